//! Who is connected now, and what they are told besides messages: how accounts are, how logins go, how held sends ended.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::caller::{Caller, Role};
use crate::contract::{AccountStatus, LoginProgress, LoginState, OutboundUpdate};
use crate::rpc::Outgoing;
use crate::supervise::lock;

/// Events that are kept for a backend that pulls; beyond it the oldest are forgotten.
const KEPT: usize = 1_000;
/// Logins whose state is kept.
const LOGINS: usize = 1_000;

struct Connection {
    caller: Arc<Caller>,
    outgoing: Outgoing,
}

/// A login, as the console shows it.
#[derive(Clone, Debug)]
pub struct LoginView {
    /// One higher with each change.
    pub version: u64,
    pub state: LoginState,
    pub message: String,
    pub qr_url: Option<String>,
    pub qr_png_data_url: Option<String>,
    /// Whether a client of iLink began it, who has no token: it is told of no other.
    pub of_client: bool,
}

/// Everybody who is told something.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    connected: Mutex<HashMap<u64, Connection>>,
    /// For `events.pull`, by backend; only of those that pulled once.
    kept: Mutex<HashMap<Arc<str>, VecDeque<Value>>>,
    logins: Mutex<HashMap<String, LoginView>>,
    changed: watch::Sender<u64>,
    /// Told when a login has ended well: there may be a new account.
    pub logged_in: Notify,
}

/// A connection, until this is dropped.
pub struct Connected {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        lock(&self.connections.connected).remove(&self.id);
    }
}

impl Connections {
    /// Somebody is told from now on.
    pub fn add(self: &Arc<Self>, caller: Arc<Caller>, outgoing: Outgoing) -> Connected {
        let id = self.next.fetch_add(1, Relaxed);
        lock(&self.connected).insert(id, Connection { caller, outgoing });
        Connected { connections: self.clone(), id }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.connected).len()
    }

    /// An account's state changed.
    pub fn status(&self, status: &AccountStatus) {
        let concerns = |caller: &Caller| caller.accounts.has(&status.account_id);
        for connection in lock(&self.connected).values().filter(|connection| concerns(&connection.caller)) {
            connection.outgoing.notify_latest(status.account_id.clone(), "account.status", status.clone());
        }
        // A backend that pulls sees only its accounts: which these are its token says when it asks.
        self.keep(|_| true, "account.status", &json!(status));
    }

    /// A login's state changed.
    pub fn login(&self, progress: &LoginProgress) {
        {
            let mut logins = lock(&self.logins);
            if logins.len() >= LOGINS {
                logins.retain(|_, view| !is_over(view.state));
            }
            let view = logins.entry(progress.session_key.clone()).or_insert_with(|| LoginView {
                version: 0,
                state: progress.state,
                message: String::new(),
                qr_url: None,
                qr_png_data_url: None,
                of_client: false,
            });
            view.version += 1;
            (view.state, view.message) = (progress.state, progress.message.clone());
            if progress.qr_url.is_some() {
                (view.qr_url, view.qr_png_data_url) = (progress.qr_url.clone(), progress.qr_png_data_url.clone());
            }
        }
        self.changed.send_modify(|times| *times += 1);
        if progress.state == LoginState::Confirmed {
            self.logged_in.notify_waiters();
        }
        // A code logs in whoever scans it: admins alone see one.
        for connection in lock(&self.connected).values().filter(|connection| connection.caller.role == Role::Admin) {
            connection.outgoing.notify("login.progress", progress);
        }
    }

    /// A send of a backend that was held has ended.
    pub fn send_ended(&self, backend: Option<&str>, update: &OutboundUpdate) {
        let account = update.account_id.as_deref().unwrap_or_default();
        for connection in lock(&self.connected).values() {
            let Caller { backend: of, role, accounts, .. } = &*connection.caller;
            let is_theirs = *role == Role::Admin || (*role == Role::Backend && Some(&**of) == backend);
            if is_theirs && accounts.has(account) {
                connection.outgoing.notify("outbound.update", update);
            }
        }
        // What the hub itself sent, or a command, is no backend's.
        self.keep(|name| Some(name) == backend, "outbound.update", &json!(update));
    }

    /// Keeps an event for those backends that pull.
    fn keep(&self, concerns: impl Fn(&str) -> bool, method: &str, params: &Value) {
        let mut kept = lock(&self.kept);
        for (_, events) in kept.iter_mut().filter(|(name, _)| concerns(name)) {
            if events.len() >= KEPT {
                events.pop_front();
            }
            events.push_back(json!({ "method": method, "params": params }));
        }
        drop(kept);
        self.changed.send_modify(|times| *times += 1);
    }

    /// What is kept for a backend that pulls, of the accounts that its token sees; from its first pull on something is kept.
    pub fn take(&self, caller: &Caller, max: usize) -> Vec<Value> {
        let mut kept = lock(&self.kept);
        let events = kept.entry(caller.backend.clone()).or_default();
        // What this token does not see is another's of the backend.
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for event in events.drain(..) {
            let seen = event["params"]["accountId"].as_str().is_none_or(|account| caller.accounts.has(account));
            match seen && taken.len() < max {
                true => taken.push(event),
                false => left.push_back(event),
            }
        }
        *events = left;
        taken
    }

    /// A client of iLink began this login.
    pub fn is_of_client(&self, session_key: &str) {
        if let Some(view) = lock(&self.logins).get_mut(session_key) {
            view.of_client = true;
        }
    }

    /// How many logins are under way.
    pub fn open_logins(&self) -> usize {
        lock(&self.logins).values().filter(|view| !is_over(view.state)).count()
    }

    /// Forgets a login. Returns whether it was known.
    pub fn forget_login(&self, session_key: &str) -> bool {
        lock(&self.logins).remove(session_key).is_some()
    }

    /// Changes whenever something is told.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A login as soon as it fits, or as it stands after `within`; `None` where there is none (any more).
    pub async fn login_when(
        &self,
        session_key: &str,
        within: Duration,
        fits: impl Fn(&LoginView) -> bool,
    ) -> Option<LoginView> {
        let (until, mut changes) = (Instant::now() + within, self.changes());
        loop {
            let view = self.login_view(session_key)?;
            if fits(&view) || tokio::time::timeout_at(until, changes.changed()).await.is_err() {
                return Some(view);
            }
        }
    }

    /// A login, as it stands.
    pub fn login_view(&self, session_key: &str) -> Option<LoginView> {
        lock(&self.logins).get(session_key).cloned()
    }
}

/// Whether a login is over.
fn is_over(state: LoginState) -> bool {
    use LoginState::*;
    matches!(state, Confirmed | AlreadyConnected | Expired | Failed | Cancelled)
}
