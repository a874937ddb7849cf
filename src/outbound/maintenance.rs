//! What the outbox looks for again and again: sends that other processes left behind, and those that waited too long.

use std::sync::Weak;
use std::time::Duration;

use super::outbox::{Inner, Outbox, lock};
use crate::contract::AccountId;

/// How often old sends are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How often sends that other processes left behind are looked for: one query for all accounts.
const ADOPT: Duration = Duration::from_secs(5);

/// Finds what other processes left behind in the outbox of an account that this one polls.
pub async fn adopt(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if !lock(&inner.kept).is_empty() {
            inner.tell_standings().await;
            match inner.store.sendable_lanes().await {
                Ok(lanes) => {
                    let outbox = Outbox { inner: inner.clone() };
                    for (account, peer) in lanes {
                        let key = (AccountId::normalize(&account), peer);
                        // A lane with a task looks after itself.
                        if lock(&inner.kept).contains_key(&key.0) && !lock(&inner.lanes).contains_key(&key) {
                            outbox.nudge(&key.0, &key.1);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the outbox could not be read"),
            }
        }
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = tokio::time::sleep(ADOPT) => {}
        }
    }
}

/// Gives up what waited too long, and forgets what ended long ago, again and again.
pub async fn sweep(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        inner.expire().await;
        if let Err(error) = inner.store.prune_sends().await {
            tracing::warn!(%error, "finished sends could not be forgotten");
        }
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}
