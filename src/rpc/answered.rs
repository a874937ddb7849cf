//! What must not happen before a request is answered.

use std::any::Any;
use std::sync::{Arc, Mutex};

use crate::supervise::lock;

type Kept = Arc<Mutex<Vec<Box<dyn Any + Send>>>>;

tokio::task_local! {
    static KEPT: Kept;
}

/// Keeps `guard` until the answer to the request that is being worked on is on its way; drops it now where there is none.
pub fn until_answered(guard: impl Send + 'static) {
    let _ = KEPT.try_with(|kept| lock(kept).push(Box::new(guard)));
}

/// Runs `work`, which answers a request, and drops what was kept for it.
pub async fn answering<T>(work: impl Future<Output = T>) -> T {
    let kept = Kept::default();
    let answered = KEPT.scope(kept.clone(), work).await;
    drop(kept);
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Note(Arc<Mutex<Vec<&'static str>>>);

    impl Drop for Note {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("dropped");
        }
    }

    #[tokio::test]
    async fn a_guard_lives_until_the_answer() {
        let said = Arc::new(Mutex::new(Vec::new()));
        answering(async {
            until_answered(Note(said.clone()));
            tokio::task::yield_now().await;
            said.lock().unwrap().push("answered");
        })
        .await;
        until_answered(Note(said.clone()));
        assert_eq!(*said.lock().unwrap(), ["answered", "dropped", "dropped"], "without a request: at once");
    }
}
