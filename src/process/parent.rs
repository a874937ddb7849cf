//! Noticing that the gateway is gone although its end of the pipe is held open by somebody else.

use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Resolves when this process has lost the parent it had at the call: it was re-parented. Never resolves where the
/// system does not tell, or where the parent was gone before.
pub async fn parent_gone() {
    let parent = super::parent_pid();
    if parent <= 1 {
        return std::future::pending().await;
    }
    while super::parent_pid() == parent {
        tokio::time::sleep(EVERY).await;
    }
}
