//! What is known of every account's state, and who is told when it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::contract::{
    AccountId, AccountState, AccountStatus, Counters, Delivery, InboxStatus, OutboxStatus, PausedReason, ProbableCause,
    Recovery,
};
use crate::store::now_ms;
use crate::supervise::lock;

/// What one process knows of an account.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What its monitor does.
    pub state: AccountState,
    /// When it was started.
    pub last_start_at_ms: Option<i64>,
    /// When the server last answered a poll.
    pub last_poll_at_ms: Option<i64>,
    /// When a message last came in.
    pub last_inbound_at_ms: Option<i64>,
    /// When a message was last sent.
    pub last_outbound_at_ms: Option<i64>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// With `backoff`: when the next try comes.
    pub paused_until_ms: Option<i64>,
    /// With `paused`: what most likely made the token stale.
    pub probable_cause: Option<ProbableCause>,
    /// What was last tried against a refusal to prepare a message.
    pub recovery: Option<Recovery>,
    /// Deliveries that the gateway has and has not acked.
    pub in_flight: u64,
    /// Counts since the process started.
    pub counters: Counters,
}

type Listener = Box<dyn Fn(AccountStatus) + Send + Sync>;

/// The registry. Clones share it.
#[derive(Clone)]
pub struct StatusRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    entries: Mutex<HashMap<AccountId, Entry>>,
    /// Called with every change of a state; must not block.
    listener: Listener,
}

impl StatusRegistry {
    /// An empty registry. `listener` is called with every change of a state and must not block.
    pub fn new(listener: impl Fn(AccountStatus) + Send + Sync + 'static) -> StatusRegistry {
        StatusRegistry { inner: Arc::new(Inner { entries: Mutex::default(), listener: Box::new(listener) }) }
    }

    /// What is known of `id`.
    pub fn get(&self, id: &AccountId) -> Entry {
        self.entries().get(id).cloned().unwrap_or_default()
    }

    /// Changes what is known of `id`; tells the listener if its state changed.
    pub fn update(&self, id: &AccountId, change: impl FnOnce(&mut Entry)) {
        let changed = {
            let mut entries = self.entries();
            if !entries.contains_key(id) {
                entries.insert(id.clone(), Entry::default());
            }
            let Some(entry) = entries.get_mut(id) else { return };
            let before = entry.state;
            change(entry);
            (entry.state != before).then(|| entry.clone())
        };
        if let Some(after) = changed {
            tracing::info!(account = %id, state = ?after.state, error = after.last_error.as_deref(), "account state");
            (self.inner.listener)(status(id, &after));
        }
    }

    /// Every account that something is known of.
    pub fn ids(&self) -> Vec<AccountId> {
        self.entries().keys().cloned().collect()
    }

    /// Tells the listener how `id` is, whether that changed or not.
    pub fn tell(&self, id: &AccountId) {
        (self.inner.listener)(status(id, &self.get(id)));
    }

    /// Forgets `id`.
    pub fn remove(&self, id: &AccountId) {
        self.entries().remove(id);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<AccountId, Entry>> {
        // Every change is a plain assignment: a panic in between leaves nothing half done.
        lock(&self.inner.entries)
    }
}

/// An entry as the contract says it; what is on disk is added by the caller.
pub fn status(id: &AccountId, entry: &Entry) -> AccountStatus {
    AccountStatus {
        account_id: id.to_string(),
        state: entry.state,
        last_start_at_ms: entry.last_start_at_ms,
        last_poll_at_ms: entry.last_poll_at_ms,
        last_inbound_at_ms: entry.last_inbound_at_ms,
        last_outbound_at_ms: entry.last_outbound_at_ms,
        last_error: entry.last_error.clone(),
        paused_until_ms: entry.paused_until_ms.filter(|until| *until > now_ms()),
        paused_reason: (entry.state == AccountState::Paused).then_some(PausedReason::Stale),
        probable_cause: entry.probable_cause.filter(|_| entry.state == AccountState::Paused),
        delivery: Delivery::default(),
        budget: None,
        recovery: entry.recovery.clone(),
        inbox: InboxStatus { pending: entry.in_flight, in_flight: entry.in_flight },
        outbox: OutboxStatus::default(),
        counters: entry.counters,
        probe: None,
    }
}
