//! What is known of every account's state, and who is told when it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::contract::{
    AccountId, AccountState, AccountStatus, Counters, Delivery, DeliveryState, InboxStatus, OutboxStatus, PausedReason,
    ProbableCause, Recovery,
};
use crate::store::{Confirmations, now_ms};

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
    /// With `paused`: what most likely made the token stale.
    pub probable_cause: Option<ProbableCause>,
    /// Whether what it sends is confirmed; `None`: this process has not looked yet.
    pub delivery: Option<Delivery>,
    /// What was last tried against a refusal to prepare a message.
    pub recovery: Option<Recovery>,
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
            probable_cause: None,
            delivery: None,
            recovery: None,
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

    /// What the server's answers say of the bot now. The end of confirmations, and their return, is told once: in the log,
    /// for whoever runs this, and to the listener. What was so before this process looked for the first time is no news.
    pub fn set_delivery(&self, id: &AccountId, now: Confirmations) {
        let now = delivery(now);
        let mut before = None;
        self.update(id, |entry| before = entry.delivery.replace(now));
        let Some(before) = before.filter(|before| before.state != now.state) else { return };
        match (before.state, now.state) {
            (_, DeliveryState::Unconfirmed) => tracing::error!(
                account = %id,
                unconfirmed = now.unconfirmed_in_a_row,
                since_ms = now.since_ms,
                "ALERT: WeChat takes this bot's messages and does not confirm them: most likely nobody sees them. Receiving \
                 and typing go on. Nothing is sent twice; it ends by itself, after hours or weeks. To report it: \
                 openclaw-weixin-sidecar doctor --report FILE"
            ),
            (DeliveryState::Unconfirmed, _) => {
                tracing::error!(account = %id, "ALERT OVER: WeChat confirms this bot's messages again");
            }
            _ => {}
        }
        (self.inner.listener)(status(id, &self.get(id)));
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
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server's answers say, as the contract says it.
pub fn delivery(found: Confirmations) -> Delivery {
    Delivery {
        state: match (found.muted, found.confirmed_at) {
            (true, _) => DeliveryState::Unconfirmed,
            (false, Some(_)) => DeliveryState::Ok,
            (false, None) => DeliveryState::Unknown,
        },
        unconfirmed_in_a_row: found.unconfirmed,
        since_ms: found.since_ms.filter(|_| found.muted),
        last_confirmed_at_ms: found.confirmed_at,
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
        paused_reason: (entry.state == AccountState::Paused).then_some(PausedReason::Stale),
        probable_cause: entry.probable_cause.filter(|_| entry.state == AccountState::Paused),
        delivery: entry.delivery.unwrap_or_default(),
        budget: None,
        recovery: entry.recovery.clone(),
        inbox: InboxStatus { pending: entry.in_flight, in_flight: entry.in_flight },
        outbox: OutboxStatus::default(),
        counters: entry.counters,
        probe: None,
    }
}
