//! What is known of every account's state, and who is told when it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::contract::{AccountId, AccountState, AccountStatus, Counters, InboxStatus, OutboxStatus};
use crate::store::now_ms;

/// What one process knows of an account.
#[derive(Clone, Debug)]
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
    /// Deliveries that the gateway has and has not acked.
    pub in_flight: u64,
    /// Counts since the process started.
    pub counters: Counters,
}

impl Default for Entry {
    fn default() -> Self {
        Entry {
            state: AccountState::Stopped,
            last_start_at_ms: None,
            last_poll_at_ms: None,
            last_inbound_at_ms: None,
            last_outbound_at_ms: None,
            last_error: None,
            paused_until_ms: None,
            in_flight: 0,
            counters: Counters::default(),
        }
    }
}

type Listener = Box<dyn Fn(AccountStatus) + Send + Sync>;

/// The board. Clones share it.
#[derive(Clone)]
pub struct Board {
    inner: Arc<Inner>,
}

struct Inner {
    entries: Mutex<HashMap<AccountId, Entry>>,
    /// Called with every change of a state; must not block.
    listener: Listener,
}

impl Board {
    /// An empty board. `listener` is called with every change of a state and must not block.
    pub fn new(listener: impl Fn(AccountStatus) + Send + Sync + 'static) -> Board {
        Board { inner: Arc::new(Inner { entries: Mutex::default(), listener: Box::new(listener) }) }
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

    /// Forgets `id`.
    pub fn remove(&self, id: &AccountId) {
        self.entries().remove(id);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<AccountId, Entry>> {
        // Every change is a plain assignment: a panic in between leaves nothing half done.
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry as the contract says it; what is on disk (inbox, outbox) is added by who asks the store.
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
        inbox: InboxStatus { pending: entry.in_flight, in_flight: entry.in_flight },
        outbox: OutboxStatus::default(),
        counters: entry.counters,
        probe: None,
    }
}
