//! A machine that slept has dead connections: every account polls anew, at once.

use std::sync::Weak;

use tokio_util::sync::CancellationToken;

use super::sidecar::Sidecar;
use crate::process::clock::{Clocks, LOOK_EVERY};

/// Watches the clocks until `stop`.
pub(super) async fn watch(sidecar: Weak<Sidecar>, stop: CancellationToken) {
    let mut before = Clocks::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let now = Clocks::now();
        if before.jumped(now, LOOK_EVERY) {
            let Some(sidecar) = sidecar.upgrade() else { return };
            tracing::warn!("the machine slept, or its clock was set; every account polls anew, on new connections");
            sidecar.clients.reconnect();
            sidecar.woken.send_modify(|times| *times += 1);
        }
        before = now;
    }
}
