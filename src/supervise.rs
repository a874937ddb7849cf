//! Work that does not end by a defect without anybody seeing it: a panic is in the log, and what must go on goes on.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a task rests after a panic before it starts again: twice as long each time, between these.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));
/// A task that ran this long before it broke starts again after the shortest rest.
const RAN_WELL: Duration = Duration::from_secs(600);

/// Runs `work`; `None`: a panic ended it. The log says so, and where it was.
///
/// What the work shares with others must do without its last step: whole entries behind locks, or the database.
pub async fn caught<T>(what: &str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.inspect_err(|_| tracing::error!(what, "broken by a defect of the sidecar; the line before says where")).ok()
}

/// Locks a mutex, also one whose holder panicked. For what is never left half done: whole entries are put in and taken out,
/// or a plain value is assigned.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what `begin` begins until it ends by itself; when a panic ends it, begins it again after a rest, until `stop`.
pub async fn keep_running<F: Future<Output = ()>>(what: &str, stop: CancellationToken, mut begin: impl FnMut() -> F) {
    let mut rests = Rests::begin();
    while caught(what, begin()).await.is_none() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(rests.after_panic()) => {}
        }
    }
}

/// How long what breaks again and again rests before it is begun again.
pub struct Rests {
    next: Duration,
    /// When it was last begun.
    began: Instant,
}

impl Rests {
    pub fn begin() -> Rests {
        Rests { next: REST.0, began: Instant::now() }
    }

    /// It broke, and begins anew after the time that this returns.
    pub fn after_panic(&mut self) -> Duration {
        let rest = if self.began.elapsed() > RAN_WELL { REST.0 } else { self.next };
        self.next = (rest * 2).min(REST.1);
        self.began = Instant::now() + rest;
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_breaks_is_begun_again_after_ever_longer_rests_until_it_ends_by_itself() {
        let began = Instant::now();
        let times = AtomicU32::new(0);
        keep_running("a test", CancellationToken::new(), async || {
            assert!(times.fetch_add(1, Ordering::Relaxed) >= 3, "broken");
        })
        .await;
        assert_eq!(times.into_inner(), 4);
        assert!(began.elapsed() >= Duration::from_millis(100 + 200 + 400));
    }

    #[tokio::test]
    async fn nothing_is_begun_again_at_the_end() {
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let mut times = 0;
        keep_running("a test", stop, || {
            times += 1;
            stopping.cancel();
            async { panic!("broken") }
        })
        .await;
        assert_eq!(times, 1);
    }
}
