//! What the outbox looks for again and again: sends that other processes left behind, and those that waited too long.

use std::time::Duration;

use super::callers::Command;
use super::conversations::Conversations;
use crate::contract::AccountId;

/// How often old sends are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How often sends that other processes left behind are looked for: one query for all accounts.
const ADOPT: Duration = Duration::from_secs(5);

/// Finds what other processes left behind in the outbox of an account that this one polls.
pub(super) async fn adopt(conversations: Conversations) {
    let core = conversations.core.clone();
    loop {
        if core.polls_any() {
            core.tell_standings().await;
            match core.store.sendable_conversations().await {
                Ok(found) => {
                    for (account, peer) in found {
                        let key = (AccountId::normalize(&account), peer);
                        if core.polls(&key.0) {
                            conversations.tell(key, Command::Adopt);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the outbox could not be read"),
            }
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(ADOPT) => {}
        }
    }
}

/// Gives up what waited too long, and forgets what ended long ago, again and again.
pub(super) async fn sweep(conversations: Conversations) {
    let core = conversations.core.clone();
    loop {
        conversations.expire().await;
        if let Err(error) = core.store.prune_sends().await {
            tracing::warn!(%error, "finished sends could not be forgotten");
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}
