//! One bot: who it is, what it has been sent, and how its client behaves.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::basics::{lock, unix_millis};
use super::config::Limits;
use super::endpoint::Endpoint;
use super::mailbox::{Batch, Mailbox};
use super::quota::{Quota, Refusal};
use super::report::{BotReport, HeadersSeen, RequestReport, TypingReport};

/// Typing calls and requests that are remembered, per bot.
const HISTORY: usize = 64;

/// Two polls of one bot count as simultaneous when they overlap for this long. A client that gives up on a poll and
/// starts the next at once is seen doing so on two sockets, in either order.
const OVERLAP: Duration = Duration::from_millis(20);

/// A bot. Its lock is taken for bookkeeping, never across an await.
#[derive(Debug)]
pub(super) struct Bot {
    pub(super) id: String,
    seq: AtomicU64,
    /// Wakes the held polls: there are messages, or the bot expired, or the polls were released.
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    user_id: String,
    token: String,
    expired: bool,
    /// Its messages are accepted, given no id, and shown to nobody.
    muted: bool,
    mailbox: Mailbox,
    quota: Quota,
    client_ids: HashSet<String>,
    tickets: HashMap<String, String>,
    releases: u64,
    polls: u64,
    active_polls: usize,
    max_active_polls: usize,
    last_cursor: String,
    sent: u64,
    notify_start: u64,
    notify_stop: u64,
    typing: VecDeque<TypingReport>,
    requests: VecDeque<RequestReport>,
    headers: HeadersSeen,
}

/// What a poll finds.
#[derive(Debug)]
pub(super) enum Found {
    /// Messages.
    Messages(Batch),
    /// Nothing, and there will be nothing for this poll; the cursor to answer with.
    Nothing(String),
    /// The token is stale.
    Stale,
}

impl Bot {
    pub(super) fn new(id: String, user_id: String, token: String) -> Self {
        Self {
            id,
            seq: AtomicU64::new(0),
            wake: Notify::new(),
            state: Mutex::new(State {
                user_id,
                token,
                expired: false,
                muted: false,
                mailbox: Mailbox::new(),
                quota: Quota::default(),
                client_ids: HashSet::new(),
                tickets: HashMap::new(),
                releases: 0,
                polls: 0,
                active_polls: 0,
                max_active_polls: 0,
                last_cursor: String::new(),
                sent: 0,
                notify_start: 0,
                notify_stop: 0,
                typing: VecDeque::new(),
                requests: VecDeque::new(),
                headers: HeadersSeen::default(),
            }),
        }
    }

    /// A number that grows with every message.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether this token was replaced by a later login, or expired.
    pub(super) fn is_stale(&self, token: &str) -> bool {
        lock(&self.state).is_stale(token)
    }

    /// The current token, unless it expired.
    pub(super) fn valid_token(&self) -> Option<String> {
        let state = lock(&self.state);
        (!state.expired).then(|| state.token.clone())
    }

    /// Who scanned the QR code.
    pub(super) fn user_id(&self) -> String {
        lock(&self.state).user_id.clone()
    }

    /// A new login of the same bot: the old token is stale from now on, what was sent stays.
    pub(super) fn log_in_again(&self, user_id: String, token: String) {
        {
            let mut state = lock(&self.state);
            state.user_id = user_id;
            state.token = token;
            state.expired = false;
        }
        self.wake.notify_waiters();
    }

    /// Makes the token stale.
    pub(super) fn expire(&self) {
        lock(&self.state).expired = true;
        self.wake.notify_waiters();
    }

    /// From now on the bot's messages are accepted, given no id, and shown to nobody; or no longer.
    pub(super) fn mute(&self, muted: bool) {
        lock(&self.state).muted = muted;
    }

    /// Whether they are.
    pub(super) fn is_muted(&self) -> bool {
        lock(&self.state).muted
    }

    /// Ends the polls that are held now; they answer without messages.
    pub(super) fn release(&self) {
        lock(&self.state).releases += 1;
        self.wake.notify_waiters();
    }

    /// Puts messages into the mailbox, with the context tokens that came with them (token, person).
    pub(super) fn receive(
        &self,
        messages: impl IntoIterator<Item = axum::body::Bytes>,
        grants: impl IntoIterator<Item = (String, Arc<str>)>,
    ) {
        {
            let now = Instant::now();
            let mut state = lock(&self.state);
            for (token, peer) in grants {
                state.quota.grant(token, peer, now);
            }
            state.mailbox.append(messages);
        }
        self.wake.notify_waiters();
    }

    /// Hands out again everything that ever was, and says how many messages that is.
    pub(super) fn replay(&self) -> usize {
        let count = lock(&self.state).mailbox.replay();
        self.wake.notify_waiters();
        count
    }

    /// One long poll: answers at once when there is something after the cursor, else within `hold`.
    pub(super) async fn poll(&self, token: &str, cursor: &str, limit: usize, hold: Duration) -> Found {
        let deadline = Instant::now() + hold;
        let (position, releases, active) = {
            let mut state = lock(&self.state);
            state.polls += 1;
            state.active_polls += 1;
            state.max_active_polls = state.max_active_polls.max(1);
            cursor.clone_into(&mut state.last_cursor);
            let active = ActivePoll { bot: self, alone: state.active_polls == 1 };
            (state.mailbox.position(cursor), state.releases, active)
        };
        if !active.alone {
            tokio::time::sleep(OVERLAP).await;
            let mut state = lock(&self.state);
            state.max_active_polls = state.max_active_polls.max(state.active_polls);
        }
        loop {
            let wake = self.wake.notified();
            tokio::pin!(wake);
            // Before looking, or a message that comes between looking and waiting would wake nobody.
            wake.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if state.is_stale(token) {
                    return Found::Stale;
                }
                if let Some(batch) = state.mailbox.take(position, limit) {
                    return Found::Messages(batch);
                }
                if state.releases != releases {
                    return Found::Nothing(state.mailbox.cursor(position));
                }
            }
            tokio::select! {
                () = wake => {}
                () = tokio::time::sleep_until(deadline) => {
                    return Found::Nothing(lock(&self.state).mailbox.cursor(position));
                }
            }
        }
    }

    /// Decides on a send, and counts it when it is let through. A `client_id` is used up by a delivery only: what was
    /// refused may come again under its old name.
    pub(super) fn submit(
        &self,
        limits: &Limits,
        client_id: &str,
        peer: &str,
        token: Option<&str>,
    ) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        if state.client_ids.contains(client_id) {
            return Err(Refusal::Repeated);
        }
        state.quota.admit(limits, peer, token, Instant::now())?;
        state.client_ids.insert(client_id.to_owned());
        state.sent += 1;
        Ok(())
    }

    /// Allows a context token that no message carried: one that a client brings from before.
    pub(super) fn grant(&self, token: String, peer: Arc<str>) {
        lock(&self.state).quota.grant(token, peer, Instant::now());
    }

    /// The typing ticket of a person; the same one each time.
    pub(super) fn ticket(&self, peer: &str, make: impl FnOnce() -> String) -> String {
        lock(&self.state).tickets.entry(peer.to_owned()).or_insert_with(make).clone()
    }

    /// Records a typing call, if its ticket is the person's.
    pub(super) fn typing(&self, peer: &str, ticket: &str, status: u8) -> bool {
        let mut state = lock(&self.state);
        let valid = state.tickets.get(peer).is_some_and(|own| own == ticket);
        if valid {
            let report = TypingReport { to: peer.to_owned(), status, at_ms: unix_millis() };
            remember(&mut state.typing, report);
        }
        valid
    }

    /// Counts a start or a stop of the account.
    pub(super) fn notified(&self, start: bool) {
        let mut state = lock(&self.state);
        if start {
            state.notify_start += 1;
            state.quota.started(Instant::now());
        } else {
            state.notify_stop += 1;
        }
    }

    /// Records that a request came, before anything is decided about it.
    pub(super) fn record(&self, endpoint: Endpoint, headers: HeadersSeen) {
        let mut state = lock(&self.state);
        let reused = headers.uin.is_some() && headers.uin == state.headers.uin;
        let uin_reuses = state.headers.uin_reuses + u64::from(reused);
        state.headers = HeadersSeen { uin_reuses, ..headers };
        remember(&mut state.requests, RequestReport { endpoint, at_ms: unix_millis() });
    }

    /// Records a request to the CDN, which says nothing about the client.
    pub(super) fn record_transfer(&self, endpoint: Endpoint) {
        remember(&mut lock(&self.state).requests, RequestReport { endpoint, at_ms: unix_millis() });
    }

    /// How the bot stands.
    pub(super) fn report(&self) -> BotReport {
        let state = lock(&self.state);
        BotReport {
            bot_id: self.id.clone(),
            user_id: state.user_id.clone(),
            token: state.token.clone(),
            account_id: account_id(&self.id),
            expired: state.expired,
            active_polls: state.active_polls,
            max_active_polls: state.max_active_polls,
            polls: state.polls,
            queued: state.mailbox.queued(),
            last_cursor: state.last_cursor.clone(),
            sent_count: state.sent,
            notify_start: state.notify_start,
            notify_stop: state.notify_stop,
            typing: state.typing.iter().cloned().collect(),
            requests: state.requests.iter().cloned().collect(),
            headers_seen: state.headers.clone(),
        }
    }
}

impl State {
    fn is_stale(&self, token: &str) -> bool {
        self.expired || self.token != token
    }
}

/// A poll that counts as active until it is dropped, which also happens when its client goes away.
#[derive(Debug)]
struct ActivePoll<'a> {
    bot: &'a Bot,
    /// Whether no other poll of the bot was active when it came.
    alone: bool,
}

impl Drop for ActivePoll<'_> {
    fn drop(&mut self) {
        lock(&self.bot.state).active_polls -= 1;
    }
}

/// Appends to a history of bounded length. It grows on demand: ten thousand idle bots should cost nothing.
pub(super) fn remember<T>(history: &mut VecDeque<T>, entry: T) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(entry);
}

/// The account id that OpenClaw derives from a bot id.
fn account_id(bot_id: &str) -> String {
    let mut id = String::with_capacity(bot_id.len());
    for c in bot_id.trim().chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
            id.push(c);
        } else if !id.ends_with('-') {
            id.push('-');
        }
    }
    let id: String = id.trim_matches('-').chars().take(64).collect();
    if id.is_empty() { "default".to_owned() } else { id }
}
