//! The poll loop of one account.
//!
//! It never waits for a conversation: a poll's messages go into the inbox, and the next poll begins. It ends when its
//! token is cancelled, within moments, whatever it is doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ingest::read_message;
use super::inlet::Inlet;
use crate::accounts::StatusRegistry;
use crate::contract::{AccountId, AccountState, ProbableCause};
use crate::store::{AccountNo, NewMessage, Store, now_ms};
use crate::supervise::caught;
use ilink::{Ilink, IlinkError, Messages, Session, Updates};

/// What the server may set the time of a poll to.
const HOLD_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The wait after a failure, and after the third in a row.
const SHORT_WAIT: Duration = Duration::from_secs(2);
const LONG_WAIT: Duration = Duration::from_secs(30);
const SHORT_WAITS: u32 = 2;
/// After a failure a poll that is still open after this time, and a greeting that was answered, count as contact.
const CONTACT: Duration = Duration::from_secs(3);
/// So many polls without any answer, one after the other, are a failure: the connection is dead, and nobody said so.
const SILENT_POLLS: u32 = 2;
/// A server that holds polls for longer than it said must not look dead for ever: after each such failure polls are given twice
/// the time, up to this many times.
const MOST_STRETCH: u32 = 4;
/// A cursor goes with every poll. Real ones have some hundred bytes.
const LARGEST_CURSOR: usize = 1024 * 1024;
/// How often it is written down that polls are answered.
const NOTE_EVERY_MS: i64 = 5 * 60 * 1000;
/// A token that dies so soon after it last worked was most likely taken over.
const TAKEN_OVER_WITHIN_MS: i64 = 3_600_000;
/// Answers that bring nothing new may come this fast; faster ones are waited out, so that a server that holds nothing, or
/// hands out the same again and again, is not asked in a hot loop.
const IDLE_PACE: Duration = Duration::from_millis(250);
/// After so many new messages old ids are forgotten.
const PRUNE_EVERY: u64 = 5_000;

/// One account's poll loop.
pub struct Monitor {
    pub id: AccountId,
    /// Its number in the database.
    pub number: AccountNo,
    /// The cursor of the last poll.
    pub cursor: String,
    /// The account's authorisation; a change takes effect at once.
    pub session: watch::Receiver<Session>,
    pub ilink: Ilink,
    pub store: Store,
    /// Who delivers what is in the inbox.
    pub inlet: Arc<dyn Inlet>,
    /// Where its state is shown.
    pub registry: StatusRegistry,
    /// Whether to keep what people write, for quotes.
    pub keep_texts: Box<dyn Fn() -> bool + Send + Sync>,
    /// Told who wrote, after their messages are on disk. Must not block.
    pub on_inbound: Box<dyn Fn(Vec<String>) + Send + Sync>,
    /// How long the server may hold a poll until it says otherwise.
    pub first_hold: Duration,
    /// Changes when connections are not to be trusted any more: the machine slept, or its clock was set.
    pub woken: watch::Receiver<u64>,
    /// Whether another login of the same person is here that is newer. Blocks.
    pub taken_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

enum Polled {
    /// The server's answer, or `None` where it had nothing to say in time.
    Answer(Result<Option<Updates>, IlinkError>),
    /// The settings changed, or by a new `login` the token: poll again with the new ones.
    Renewed { login: bool },
    /// The machine slept: poll again, on new connections.
    Woken,
    /// The end.
    Cancelled,
}

/// What a poll brought.
struct Taken {
    received: u64,
    /// Those that had not come before.
    new: u64,
    /// Whether the cursor moved.
    moved: bool,
}

impl Monitor {
    /// Polls until `cancel` is cancelled, whatever a message or a server does to this program.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut defects = 0;
        while caught("an account's monitor", self.polls(&cancel)).await.is_none() {
            defects += 1;
            // What was not taken in comes again: the cursor moves with the commit.
            let error = "polling was broken by a defect of the sidecar; its log says more";
            if !self.back_off(error, defects, &cancel).await {
                return;
            }
        }
    }

    /// Polls until `cancel` is cancelled.
    async fn polls(&mut self, cancel: &CancellationToken) {
        let mut hold = self.first_hold;
        let mut failures = 0;
        let mut silent = 0;
        let mut stretch = 1;
        let mut noted_at = 0;
        let mut since_prune = PRUNE_EVERY;
        self.session.mark_unchanged();
        self.woken.mark_unchanged();
        self.greet();
        loop {
            let asked = Instant::now();
            let updates = match self.poll(hold * stretch, cancel).await {
                Polled::Cancelled => return,
                Polled::Woken => {
                    tracing::info!(account = %self.id, "polling anew: the machine slept, or its clock was set");
                    silent = 0;
                    continue;
                }
                Polled::Renewed { login } => {
                    (failures, silent) = (0, 0);
                    if login {
                        self.greet();
                    }
                    continue;
                }
                Polled::Answer(Ok(Some(updates))) => updates,
                Polled::Answer(Ok(None)) => {
                    silent += 1;
                    if silent >= SILENT_POLLS {
                        failures += 1;
                        self.ilink.reconnect(Some((&self.session.borrow().endpoint, asked)));
                        stretch = (stretch * 2).min(MOST_STRETCH);
                        let error = format!("{silent} polls in a row were not answered; trying new connections");
                        if !self.back_off(&error, failures, cancel).await {
                            return;
                        }
                    }
                    continue;
                }
                Polled::Answer(Err(error)) if error.is_stale_token() => {
                    if !self.pause(&error, cancel).await {
                        return;
                    }
                    (failures, silent) = (0, 0);
                    self.greet();
                    continue;
                }
                Polled::Answer(Err(error)) => {
                    failures += 1;
                    if !matches!(error, IlinkError::Network { .. }) {
                        silent = 0;
                    }
                    if !self.back_off(&error.to_string(), failures, cancel).await {
                        return;
                    }
                    continue;
                }
            };
            if let Some(ms) = updates.longpolling_timeout_ms.filter(|ms| *ms > 0) {
                hold = Duration::from_millis(ms).clamp(HOLD_BOUNDS.0, HOLD_BOUNDS.1);
            }
            let empty = updates.msgs.is_empty();
            let mut paced = empty;
            if empty && asked.elapsed() <= hold {
                stretch = 1;
            }
            match self.ingest(updates, cancel).await {
                Ok(taken) => {
                    since_prune += taken.received;
                    // What came again, at the same place, will come again at once.
                    paced |= taken.new == 0 && !taken.moved;
                }
                Err(error) => {
                    // The cursor in memory has not moved: the next poll asks for the same messages.
                    failures += 1;
                    if !self.back_off(&error, failures, cancel).await {
                        return;
                    }
                    continue;
                }
            }
            (failures, silent) = (0, 0);
            if !(0..NOTE_EVERY_MS).contains(&(now_ms() - noted_at)) {
                noted_at = now_ms();
                if let Err(error) = self.store.poll_answered(self.number, noted_at).await {
                    tracing::debug!(account = %self.id, %error, "it was not written down that polls are answered");
                }
            }
            if since_prune >= PRUNE_EVERY {
                since_prune = 0;
                if let Err(error) = self.store.prune_seen(self.number).await {
                    tracing::warn!(account = %self.id, %error, "old message ids were not forgotten");
                }
            }
            if paced
                && let Some(rest) = IDLE_PACE.checked_sub(asked.elapsed())
                && cancelled_within(rest, cancel).await
            {
                return;
            }
        }
    }

    /// Tells the server that the account starts. Nothing waits for it.
    fn greet(&self) {
        let (ilink, session) = (self.ilink.clone(), self.session.borrow().clone());
        tokio::spawn(async move {
            if let Err(error) = ilink.notify_start(&session).await {
                tracing::debug!(%error, "the start of an account was not announced");
            }
        });
    }

    async fn poll(&mut self, hold: Duration, cancel: &CancellationToken) -> Polled {
        let session = self.session.borrow_and_update().clone();
        let request = self.ilink.get_updates(&session, &self.cursor, hold);
        tokio::pin!(request);
        let contact = async {
            tokio::time::sleep(CONTACT).await;
            // That a connection is open says nothing; an answer does.
            if self.ilink.notify_start(&session).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(contact);
        let mut shown = self.registry.get(&self.id).state == AccountState::Polling;
        if self.registry.get(&self.id).state == AccountState::Starting {
            show_polling(&self.registry, &self.id);
            shown = true;
        }
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Polled::Cancelled,
                answer = &mut request => return Polled::Answer(answer),
                changed = self.session.changed() => match changed {
                    Ok(()) => return Polled::Renewed { login: self.session.borrow().token != session.token },
                    // Nobody can renew it any more: the supervisor is gone.
                    Err(_) => return Polled::Cancelled,
                },
                changed = self.woken.changed() => match changed {
                    Ok(()) => return Polled::Woken,
                    Err(_) => return Polled::Cancelled,
                },
                () = &mut contact, if !shown => {
                    show_polling(&self.registry, &self.id);
                    shown = true;
                }
            }
        }
    }

    /// Puts messages and cursor on disk; the error is for a person. The cursor goes there with the last of the messages.
    async fn ingest(&mut self, updates: Updates, cancel: &CancellationToken) -> Result<Taken, String> {
        let cursor = updates.get_updates_buf.filter(|cursor| !cursor.is_empty() && *cursor != self.cursor);
        let cursor = cursor.filter(|cursor| {
            let fits = cursor.len() <= LARGEST_CURSOR;
            if !fits {
                tracing::error!(account = %self.id, bytes = cursor.len(), "the server's cursor is absurdly large; keeping the old one");
            }
            fits
        });
        let moved = cursor.is_some();
        let (received, duplicates) = match updates.msgs {
            Messages::Here(raw) => self.keep(raw, cursor).await?,
            Messages::OnDisk(mut batches) => {
                let (mut received, mut duplicates) = (0, 0);
                while let Some(batch) = batches.next().await {
                    if cancel.is_cancelled() {
                        // The cursor stays: the rest is handed out again.
                        return Err("it was stopped in the middle of a large answer".to_owned());
                    }
                    let batch = batch.map_err(|error| error.to_string())?;
                    let (more, again) = self.keep(batch, None).await?;
                    (received, duplicates) = (received + more, duplicates + again);
                }
                self.keep(Vec::new(), cursor).await?;
                (received, duplicates)
            }
        };
        let now = now_ms();
        self.registry.update(&self.id, |entry| {
            entry.state = AccountState::Polling;
            entry.paused_until_ms = None;
            entry.last_error = None;
            entry.last_poll_at_ms = Some(now);
            if received > 0 {
                entry.last_inbound_at_ms = Some(now);
                entry.counters.received += received - duplicates;
                entry.counters.duplicates += duplicates;
            }
        });
        Ok(Taken { received, new: received - duplicates, moved })
    }

    /// Puts messages on disk, and the cursor where it is given. Returns how many there were, and how many had come before.
    async fn keep(&mut self, raw: Vec<Box<RawValue>>, cursor: Option<String>) -> Result<(u64, u64), String> {
        let keep_texts = (self.keep_texts)();
        let messages: Vec<_> = raw.iter().filter_map(|raw| read(&self.id, raw.get(), keep_texts)).collect();
        let received = messages.len() as u64;
        let mut peers: Vec<String> = messages.iter().map(|message| message.peer.clone()).collect();
        peers.dedup();
        let mut duplicates = 0;
        if received > 0 || cursor.is_some() {
            let announce = self.inlet.announcer(self.number);
            let taken = self.store.ingest(self.number, cursor.clone(), messages, announce).await;
            duplicates = taken.map_err(|error| error.to_string())?;
        }
        if let Some(cursor) = cursor {
            self.cursor = cursor;
        }
        if !peers.is_empty() {
            (self.on_inbound)(peers);
        }
        Ok((received, duplicates))
    }

    /// Waits for a new login. `false`: cancelled.
    async fn pause(&mut self, error: &IlinkError, cancel: &CancellationToken) -> bool {
        let cause = self.probable_cause().await;
        tracing::warn!(account = %self.id, %error, ?cause, "WeChat no longer accepts this login; log in again");
        let happened = match cause {
            ProbableCause::TakenOver => {
                "it was most likely taken over by another login of the same WeChat user, who can use one bot at a time; log \
                 in again to use it here"
            }
            ProbableCause::Expired => "it has expired; log in again",
        };
        self.registry.update(&self.id, |entry| {
            entry.state = AccountState::Paused;
            entry.probable_cause = Some(cause);
            entry.last_error = Some(format!(
                "WeChat no longer accepts this login: {happened} (openclaw channels login --channel openclaw-weixin)"
            ));
        });
        tokio::select! {
            () = cancel.cancelled() => false,
            changed = self.session.changed() => {
                self.registry.update(&self.id, |entry| {
                    entry.state = AccountState::Starting;
                    entry.last_error = None;
                });
                changed.is_ok()
            }
        }
    }

    /// What most likely made the token stale: WeChat says only that it is.
    async fn probable_cause(&self) -> ProbableCause {
        let taken_over = self.taken_over.clone();
        if tokio::task::spawn_blocking(move || taken_over()).await.unwrap_or(false) {
            return ProbableCause::TakenOver;
        }
        let seen = self.registry.get(&self.id).last_poll_at_ms;
        let written = self.store.last_poll_answered(self.number).await.unwrap_or_default();
        match seen.max(written) {
            Some(at) if now_ms() - at < TAKEN_OVER_WITHIN_MS => ProbableCause::TakenOver,
            _ => ProbableCause::Expired,
        }
    }

    /// Waits after a failure; a new login ends the wait. `false`: cancelled.
    async fn back_off(&mut self, error: &str, failures: u32, cancel: &CancellationToken) -> bool {
        let base = if failures <= SHORT_WAITS { SHORT_WAIT } else { LONG_WAIT };
        // Up to a quarter more, so that a thousand accounts do not come back in the same moment.
        let wait = base.mul_f64(1.0 + rand::rng().random_range(0.0..0.25));
        tracing::warn!(account = %self.id, error, failures, wait_ms = wait.as_millis() as u64, "polling failed");
        self.registry.update(&self.id, |entry| {
            entry.state = AccountState::Backoff;
            entry.last_error = Some(error.to_owned());
            entry.paused_until_ms = Some(now_ms() + wait.as_millis() as i64);
        });
        tokio::select! {
            () = cancel.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
            changed = self.session.changed() => changed.is_ok(),
            changed = self.woken.changed() => changed.is_ok(),
        }
    }
}

/// Reads a message. One that breaks the reader is left out: it must not stop all that comes behind it.
fn read(account: &AccountId, raw: &str, keep_texts: bool) -> Option<NewMessage> {
    std::panic::catch_unwind(|| read_message(raw, keep_texts)).unwrap_or_else(|_| {
        tracing::error!(%account, bytes = raw.len(), "a message broke the reader, and was dropped");
        None
    })
}

fn show_polling(registry: &StatusRegistry, id: &AccountId) {
    registry.update(id, |entry| {
        entry.state = AccountState::Polling;
        entry.paused_until_ms = None;
    });
}

/// Waits; `true` as soon as it is cancelled.
async fn cancelled_within(wait: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = cancel.cancelled() => true,
        () = tokio::time::sleep(wait) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::events::{Event, Events};
    use crate::inbound::{Dispatcher, Outlet, Preparer};
    use crate::media::{Library, Space};
    use ilink::{BotToken, Endpoint, Hosts};
    use ilink_simulator::{NewBot, Simulator, SimulatorConfig};

    #[tokio::test]
    async fn a_monitor_that_breaks_is_shown_and_polls_again_where_it_was() {
        let simulator = Simulator::start(SimulatorConfig::default()).await.unwrap();
        let bot = simulator.control().create_bot(NewBot::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let id = AccountId::normalize("bot");
        let row = store.get_or_create_account(&id).await.unwrap();
        let states = Arc::new(Mutex::new(Vec::new()));
        let seen = states.clone();
        let registry = StatusRegistry::new(move |status| seen.lock().unwrap().push((status.state, status.last_error)));
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
        let outlet = Outlet {
            events: Events::new(move |event| match event {
                Event::Message(message) => say.send(message.text.clone()).is_ok(),
                _ => false,
            }),
            broken: Box::new(|| {}),
            defer_media: Arc::default(),
            backend: None,
        };
        let library = Library::new(dir.path().join("media"));
        let preparer = Preparer::new(
            store.clone(),
            library.clone(),
            Space::new(library),
            Arc::new(|| panic!("there are no files")),
        );
        let stop = CancellationToken::new();
        let _ending = stop.clone().drop_guard();
        let dispatcher = Dispatcher::start(store.clone(), registry.clone(), preparer, outlet, stop.clone());
        dispatcher.start_account(&id, row.no).await.unwrap();
        let endpoint = Endpoint {
            base_url: simulator.url(),
            route_tag: None,
            bot_agent: "test/1.0".to_owned(),
            version: Default::default(),
        };
        let session = Session { endpoint, token: BotToken::new(&bot.token).unwrap() };
        let (_session, session) = watch::channel(session);
        let (_woken, woken) = watch::channel(0);
        let broke = AtomicBool::new(false);
        let monitor = Monitor {
            id,
            number: row.no,
            cursor: String::new(),
            session,
            ilink: Ilink::new(Hosts::system("")).unwrap(),
            store,
            inlet: Arc::new(dispatcher),
            registry,
            keep_texts: Box::new(move || {
                assert!(broke.swap(true, Ordering::Relaxed), "a defect");
                false
            }),
            on_inbound: Box::new(|_| {}),
            first_hold: Duration::from_secs(35),
            woken,
            taken_over: Arc::new(|| false),
        };
        tokio::spawn(monitor.run(stop));
        simulator.control().push_text(&bot.bot_id, "ann@im.wechat", "hello").unwrap();
        let text = tokio::time::timeout(Duration::from_secs(20), said.recv()).await;
        let text = text.unwrap_or_else(|_| panic!("{:?}", states.lock().unwrap())).unwrap();
        assert_eq!(text, "hello");
        let shown = |error: &Option<String>| error.as_deref().is_some_and(|error| error.contains("a defect"));
        let states = std::mem::take(&mut *states.lock().unwrap());
        assert!(states.iter().any(|(state, error)| *state == AccountState::Backoff && shown(error)), "{states:?}");
        simulator.stop().await;
    }
}
