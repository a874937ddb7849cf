//! How far a transfer has come, for whoever watches.

use std::sync::Arc;

/// How far a transfer has come. It begins anew at 0 where it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether it goes to the host; else it comes from there.
    pub upload: bool,
    /// Bytes that have moved: of the ciphertext, where there is one.
    pub moved: u64,
    /// How many there are; `None`: the host does not say.
    pub total: Option<u64>,
}

/// Is told of every piece that moves. It must not block.
#[derive(Clone, Default)]
pub(super) struct Watcher(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl Watcher {
    pub(super) fn new(watch: impl Fn(Progress) + Send + Sync + 'static) -> Watcher {
        Watcher(Some(Arc::new(watch)))
    }

    pub(super) fn tell(&self, progress: Progress) {
        if let Some(watch) = &self.0 {
            watch(progress);
        }
    }
}
