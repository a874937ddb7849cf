//! What the account supervisor has to notice by itself: changed account files, leases that become free, a machine that slept.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::account_supervisor::{AccountSupervisor, Waiting};
use crate::contract::AccountId;
use crate::process::clock::{Clocks, LOOK_EVERY as LOOK_AT_CLOCKS};

/// How often the account files are looked at for logins of other processes (one `stat` for all accounts), how often an owner
/// looks for requests for its leases, and how often an account that waits tries the lock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked at whether the owner of a lease that is waited for has become a stale one.
const ASSESS_EVERY: Duration = Duration::from_secs(5);
/// How long nothing is tried after a takeover that did not succeed.
const REST: Duration = Duration::from_secs(60);

/// Takes over logins and removals of other processes: looks at the account files' times, and reads them when they
/// changed.
pub(super) async fn watch_files(supervisor: Weak<AccountSupervisor>, stop: CancellationToken) {
    let mut seen = None;
    loop {
        let Some(supervisor) = supervisor.upgrade() else { return };
        let stamp = supervisor.clients.with_files(|files| files.stamp()).await.ok().flatten();
        if seen.is_some_and(|seen| seen != stamp) {
            supervisor.renew().await;
        }
        seen = Some(stamp);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// A machine that slept has dead connections: every account polls anew, at once.
pub(super) async fn watch_clocks(supervisor: Weak<AccountSupervisor>, stop: CancellationToken) {
    let mut before = Clocks::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_AT_CLOCKS) => {}
        }
        let now = Clocks::now();
        if before.jumped(now, LOOK_AT_CLOCKS) {
            let Some(supervisor) = supervisor.upgrade() else { return };
            tracing::warn!("the machine slept, or its clock was set; every account polls anew, on new connections");
            supervisor.wake();
        }
        before = now;
    }
}

/// Once a second: answers those who ask for a lease of this process, and starts the accounts of this process that wait
/// for another's. Calls `end` when the gateway of this process is gone.
pub(super) async fn watch_leases(
    supervisor: Weak<AccountSupervisor>,
    end: Arc<dyn Fn() + Send + Sync>,
    stop: CancellationToken,
) {
    let Some(leases) = supervisor.upgrade().map(|supervisor| supervisor.leases.clone()) else { return };
    let mut next_look: HashMap<AccountId, Instant> = HashMap::new();
    let mut gateway_gone = std::pin::pin!(leases.gateway_gone());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut gateway_gone => return end(),
        }
        let Some(supervisor) = supervisor.upgrade() else { return };
        if supervisor.has_any() {
            match leases.answer_requests().await {
                Ok(true) => end(),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "requests of other sidecars could not be read"),
            }
        }
        let (now, waiting) = (Instant::now(), supervisor.waiting());
        next_look.retain(|id, at| now < *at && supervisor.is_wanted(id));
        for waiting in waiting {
            wait_for_turn(&supervisor, waiting, &mut next_look).await;
        }
    }
}

/// Starts an account that waits, if its lock is free; looks now and then whether its owner has become a stale one.
async fn wait_for_turn(
    supervisor: &Arc<AccountSupervisor>,
    waiting: Waiting,
    next_look: &mut HashMap<AccountId, Instant>,
) {
    if !supervisor.start_waiting(&waiting).await {
        return;
    }
    if next_look.contains_key(&waiting.id) {
        return;
    }
    let takes_over = supervisor.assess_waiting(&waiting).await;
    next_look.insert(waiting.id.clone(), Instant::now() + if takes_over { REST } else { ASSESS_EVERY });
    if takes_over {
        let supervisor = supervisor.clone();
        tokio::spawn(async move { supervisor.take_over_waiting(&waiting).await });
    }
}
