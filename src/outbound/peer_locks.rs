//! Sends to one person are accepted in the order in which they were asked for; people do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

use crate::supervise::lock;

/// The turns that are being taken. Clones share them.
#[derive(Clone, Default)]
pub struct PeerLocks {
    in_use: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl PeerLocks {
    /// Waits for the turn of a send to `peer`, in the order of the calls. It lasts until the guard is dropped.
    pub async fn take(&self, peer: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut in_use = lock(&self.in_use);
            // What only this map holds is nobody's: the map stays as small as what is being accepted.
            in_use.retain(|_, turn| Arc::strong_count(turn) > 1);
            in_use.entry(peer.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
