//! The outbox: accepts sends, waits for them, and keeps one lane task for each conversation with something to send.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::chunk::chunk;
use super::claim::Claimant;
use super::context::OutboxContext;
use super::lane;
use super::maintenance;
use super::markdown::{for_wechat, without_tags};
use super::media::{MediaPart, UploadError};
use crate::contract::{AccountId, MAX_CHUNKS, OutboundUpdate, TEXT_CHUNK_LIMIT, UpdateStatus};
use crate::store::{AccountNo, HoldReason, NewPart, NewSend, OutboundRow, SendState, Store, StoreError};
use crate::supervise::keep_running;
use ilink::{BotToken, IlinkError};

/// How long a caller waits, for pacing or for a retry, before it is told that the send is held.
pub(super) const WAIT: Duration = Duration::from_secs(15);
/// A recovery that takes longer is not waited for.
const RECOVERY: Duration = Duration::from_secs(60);

/// Why a send failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// There is nothing to send.
    #[error("text: nothing is left to send (it is blank, or holds only what WeChat cannot show)")]
    Empty,
    /// It would be more wire messages than a text may become.
    #[error(
        "text: {parts} WeChat messages would be needed for it, and {MAX_CHUNKS} is the most; send it as a file, or in parts"
    )]
    TooLong {
        /// How many wire messages it would be.
        parts: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// iLink refused it for good.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
    /// Its file did not get to the media host.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// It was refused, given up or cancelled before.
    #[error("this message was not sent: {0}")]
    Ended(String),
}

/// What became of a send that did not fail.
#[derive(Debug)]
pub enum Sent {
    /// The server took all of it; the row's state says whether it confirmed all of it.
    Taken(OutboundRow),
    /// It is kept, and sent by itself when it can be. As long as the guard lives nobody is told how it ended: first the caller
    /// learns that it is held.
    Held(OutboundRow, HoldReason, Unanswered),
    /// It was an extra, and there is no room for it now.
    Dropped,
}

/// What a send consists of.
pub enum Content {
    /// Markdown.
    Text(String),
    /// A file in the spool, and what is said before it: Markdown, or nothing.
    Media(Box<MediaPart>, Option<String>),
}

/// Something to send.
pub struct SendRequest {
    /// From which account.
    pub account: AccountId,
    /// Its number.
    pub number: AccountNo,
    /// To whom.
    pub to: String,
    /// What it is.
    pub content: Content,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// Makes it the same send as any other with this key.
    pub idempotency_key: Option<String>,
    /// It is worth less than an answer: it is sent at once, or not at all.
    pub extra: bool,
}

/// A send that is on disk.
pub struct Accepted {
    account: AccountId,
    row: OutboundRow,
}

impl Accepted {
    /// A send that was accepted before.
    pub fn again(account: AccountId, row: OutboundRow) -> Accepted {
        Accepted { account, row }
    }
}

/// A send whose caller has no answer yet. What is to be told of its end waits until the last of these is dropped.
pub struct Unanswered {
    inner: Weak<Inner>,
    id: i64,
}

impl Unanswered {
    fn begin(inner: &Arc<Inner>, id: i64) -> Unanswered {
        lock(&inner.unanswered).entry(id).or_default().callers += 1;
        Unanswered { inner: Arc::downgrade(inner), id }
    }
}

impl std::fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unanswered({})", self.id)
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let ended = {
            let mut unanswered = lock(&inner.unanswered);
            let Some(ending) = unanswered.get_mut(&self.id) else { return };
            ending.callers -= 1;
            if ending.callers > 0 {
                return;
            }
            unanswered.remove(&self.id).and_then(|ending| ending.update)
        };
        if let Some(update) = ended {
            inner.context.ended(update);
        }
    }
}

/// What becomes of a send while its callers have no answer yet.
#[derive(Default)]
struct Ending {
    callers: usize,
    update: Option<OutboundUpdate>,
}

/// What a waiting caller is told.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The server took all of it; the row says whether it confirmed it.
    Taken,
    /// It is held.
    Held(HoldReason),
    /// It was an extra, and is given up.
    Dropped,
    /// It failed.
    Failed(SendError),
}

/// How far the last recovery of a bot is.
#[derive(Clone, Copy, Debug)]
pub(super) enum LastRecovery {
    UnderWay(Instant),
    Ended(Instant),
}

pub(super) type LaneKey = (AccountId, String);

/// The outbox. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub store: Store,
    pub context: Box<dyn OutboxContext>,
    /// This process in claims.
    pub me: Arc<Claimant>,
    /// Lanes with a task; setting off the notify makes the task look again.
    pub lanes: Mutex<HashMap<LaneKey, Arc<tokio::sync::Notify>>>,
    /// Callers that wait for a send; several may wait for the same.
    waiting: Mutex<HashMap<i64, Vec<oneshot::Sender<Outcome>>>>,
    /// Accounts that this process polls: what anybody leaves in their outbox is this process's to send.
    pub kept: Mutex<HashMap<AccountId, AccountNo>>,
    /// Sends whose caller has no answer yet.
    unanswered: Mutex<HashMap<i64, Ending>>,
    /// Sends whose file is on its way to the media host.
    pub uploading: Mutex<HashSet<i64>>,
    /// Conversations whose lane asks the network, or waits to ask again.
    pub asking: Mutex<HashSet<LaneKey>>,
    /// One telling at a time: each says what is so then.
    telling: tokio::sync::Mutex<()>,
    /// Accounts for whose bot a recovery was tried: since when it is, or when it ended.
    pub recoveries: Mutex<HashMap<AccountId, LastRecovery>>,
    /// Who begins one is seen by who asks whether to.
    pub recovery_begins: tokio::sync::Mutex<()>,
    /// Tokens that the server called stale: nothing is tried with them again.
    stale: Mutex<HashMap<AccountId, BotToken>>,
    pub stop: CancellationToken,
}

impl Outbox {
    /// An outbox on this database. Its tasks end with `stop`.
    pub fn new(store: Store, context: impl OutboxContext, stop: CancellationToken) -> Outbox {
        let outbox = Outbox {
            inner: Arc::new(Inner {
                store,
                context: Box::new(context),
                me: Arc::new(Claimant::this_process()),
                lanes: Mutex::default(),
                waiting: Mutex::default(),
                unanswered: Mutex::default(),
                kept: Mutex::default(),
                uploading: Mutex::default(),
                asking: Mutex::default(),
                telling: tokio::sync::Mutex::default(),
                recoveries: Mutex::default(),
                recovery_begins: tokio::sync::Mutex::default(),
                stale: Mutex::default(),
                stop,
            }),
        };
        let inner = Arc::downgrade(&outbox.inner);
        let stop = &outbox.inner.stop;
        let of_sweep = inner.clone();
        let sweep = move || maintenance::sweep(of_sweep.clone());
        tokio::spawn(keep_running("the outbox's forgetting", stop.clone(), sweep));
        let adopt = move || maintenance::adopt(inner.clone());
        tokio::spawn(keep_running("the outbox's look at what others left", stop.clone(), adopt));
        outbox
    }

    /// Accepts a send: it is on disk when this returns. `None`: it is an extra for which there is no room.
    ///
    /// With a known `idempotency_key` nothing new is accepted: it is about the send that has that key.
    pub async fn accept(&self, request: SendRequest) -> Result<Option<Accepted>, SendError> {
        let SendRequest { account, number, to, content, run_id, idempotency_key, extra } = request;
        let (text, media) = match content {
            Content::Text(text) => (text, None),
            Content::Media(media, text) => (text.unwrap_or_default(), Some(media)),
        };
        let settings = self.inner.context.settings();
        let whole = for_wechat(&text);
        let text = if settings.escape_tags { without_tags(&whole) } else { Cow::Borrowed(&*whole) };
        let texts = chunk(&text, TEXT_CHUNK_LIMIT);
        let may_overflow = settings.rest_as_file && texts.len() > 1 && media.is_none();
        let part = |text: String| NewPart { client_id: client_id(), text, media: None };
        let mut parts: Vec<NewPart> = texts.into_iter().map(part).collect();
        // One item a message: what is said of a file goes before it.
        parts.extend(media.map(|media| NewPart {
            client_id: client_id(),
            text: String::new(),
            media: Some(media.to_json()),
        }));
        if parts.is_empty() {
            return Err(SendError::Empty);
        }
        if parts.len() > MAX_CHUNKS {
            return Err(SendError::TooLong { parts: parts.len() });
        }
        if extra && !self.has_room_for_extra(&account, number, &to, parts.len() as u32).await? {
            return Ok(None);
        }
        let whole = may_overflow.then_some(whole);
        let send =
            NewSend { account: number, peer: to.clone(), idem_key: idempotency_key, run_id, extra, whole, parts };
        let row = self.inner.store.accept_send(send).await?;
        Ok(Some(Accepted { account, row }))
    }

    /// Waits until an accepted send is sent, held or refused, for 15 s at most.
    pub async fn settle(&self, accepted: Accepted) -> Result<Sent, SendError> {
        let Accepted { account, row } = accepted;
        let (id, inner) = (row.id, &self.inner);
        if row.state != SendState::Pending {
            return ended(row);
        }
        let unanswered = Unanswered::begin(inner, id);
        let (outcome, mut waits) = oneshot::channel();
        lock(&inner.waiting).entry(id).or_default().push(outcome);
        // It may have ended after its row was read and before there was anybody to tell: nobody will.
        if let Ok(Some(now)) = inner.store.find_send(id).await
            && now.state != SendState::Pending
        {
            drop(waits);
            inner.stop_waiting(id);
            return ended(now);
        }
        self.nudge(&account, &row.peer);
        let told = self.wait(id, &mut waits).await;
        // From here on nobody tells this caller anything: what was told in the last moment is there.
        waits.close();
        inner.stop_waiting(id);
        let reason = match told.or_else(|| waits.try_recv().ok()) {
            Some(Outcome::Taken) => None,
            Some(Outcome::Held(reason)) => Some(reason),
            Some(Outcome::Dropped) => return Ok(Sent::Dropped),
            Some(Outcome::Failed(error)) => return Err(error),
            None if inner.stop.is_cancelled() => return Ok(Sent::Held(row, HoldReason::Offline, unanswered)),
            None => {
                let asks = lock(&inner.asking).contains(&(account, row.peer.clone()));
                let reason = if asks { HoldReason::Offline } else { HoldReason::Throttled };
                // Held only if it still waits: what ended meanwhile has ended, and nobody will say so later.
                inner.store.hold_send(id, reason).await?
            }
        };
        let row = inner.store.find_send(id).await?.unwrap_or(row);
        match (row.state, row.held.or(reason)) {
            (SendState::Pending, reason) => {
                inner.expire().await;
                Ok(Sent::Held(row, reason.unwrap_or(HoldReason::Throttled), unanswered))
            }
            (SendState::Cancelled, _) if row.extra => Ok(Sent::Dropped),
            _ => ended(row),
        }
    }

    /// What a waiting caller is told; `None`: nothing in time, or the end of this process.
    async fn wait(&self, id: i64, waits: &mut oneshot::Receiver<Outcome>) -> Option<Outcome> {
        loop {
            let outcome = tokio::select! {
                outcome = tokio::time::timeout(WAIT, &mut *waits) => outcome,
                () = self.inner.stop.cancelled() => return None,
            };
            // A large file takes its time; nothing is wrong while it moves.
            if outcome.is_ok() || !lock(&self.inner.uploading).contains(&id) {
                return outcome.ok()?.ok();
            }
        }
    }

    /// Looks at a conversation again: something was accepted, the person wrote, a time has come.
    pub fn nudge(&self, account: &AccountId, peer: &str) {
        let key = (account.clone(), peer.to_owned());
        let mut lanes = lock(&self.inner.lanes);
        if let Some(lane) = lanes.get(&key) {
            lane.notify_one();
            return;
        }
        let notify = Arc::new(tokio::sync::Notify::new());
        lanes.insert(key.clone(), notify.clone());
        drop(lanes);
        let outbox = self.clone();
        let run = move || lane::run(outbox.clone(), key.clone(), notify.clone());
        tokio::spawn(keep_running("a conversation's outbox", self.inner.stop.clone(), run));
    }

    /// From now on this process sends whatever waits for an account, whoever accepted it.
    pub async fn keep(&self, account: &AccountId, number: AccountNo) {
        lock(&self.inner.kept).insert(account.clone(), number);
        self.inner.tell_standing(account, number).await;
        self.flush(account, number).await;
    }

    /// No longer.
    pub fn release(&self, account: &AccountId) {
        lock(&self.inner.kept).remove(account);
    }

    /// Looks at every conversation of an account in which something waits.
    async fn flush(&self, account: &AccountId, number: AccountNo) {
        match self.inner.store.waiting_lanes(number).await {
            Ok(peers) => peers.iter().for_each(|peer| self.nudge(account, peer)),
            Err(error) => tracing::error!(%account, %error, "the outbox could not be read"),
        }
    }

    /// The account has a new login: what was stale is not any more.
    pub async fn renewed(&self, account: &AccountId, number: AccountNo) {
        lock(&self.inner.stale).remove(account);
        self.flush(account, number).await;
    }

    /// Gives up a waiting send. Returns whether it was waiting.
    pub async fn cancel(&self, id: i64) -> Result<bool, StoreError> {
        self.inner.end(id, SendState::Cancelled, None).await
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }
}

impl Inner {
    /// Tells whoever waits for a send; nobody is a fine answer too.
    pub fn resolve(&self, id: i64, outcome: Outcome) -> bool {
        let callers = lock(&self.waiting).remove(&id).unwrap_or_default();
        let told = callers.into_iter().map(|caller| caller.send(outcome.clone()).is_ok());
        // All of them are told, not only until one listens.
        told.filter(|told| *told).count() > 0
    }

    /// Forgets callers that no longer wait.
    fn stop_waiting(&self, id: i64) {
        let mut waiting = lock(&self.waiting);
        if let Some(callers) = waiting.get_mut(&id) {
            callers.retain(|caller| !caller.is_closed());
            if callers.is_empty() {
                waiting.remove(&id);
            }
        }
    }

    /// Ends a waiting send and tells who waits, or who was told that it is held. Returns whether it was waiting.
    pub async fn end(&self, id: i64, state: SendState, error: Option<SendError>) -> Result<bool, StoreError> {
        let Some(row) = self.store.end_send(id, state, error.as_ref().map(ToString::to_string)).await? else {
            return Ok(false);
        };
        self.drop_files(&row);
        let why = error.unwrap_or_else(|| SendError::Ended("it was cancelled".to_owned()));
        if !self.resolve(id, Outcome::Failed(why)) {
            self.notify_end(&row);
        }
        Ok(true)
    }

    /// Tells whether what a bot sends is confirmed now, where that has changed: once, by the process that polls the account.
    /// It is told before it is written down that it was: a kill in between tells it twice, not never.
    pub async fn tell_standing(&self, account: &AccountId, number: AccountNo) {
        if !lock(&self.kept).contains_key(account) {
            return;
        }
        let _one_by_one = self.telling.lock().await;
        let untold = match self.store.untold_of(number).await {
            Ok(Some(untold)) => untold,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%account, %error, "whether sends are confirmed could not be read"),
        };
        let (before, now) = untold;
        self.context.standing(account, before, now);
        if let Err(error) = self.store.told(number, now.standing()).await {
            tracing::debug!(%account, %error, "what was told of an account was not written down");
        }
    }

    /// The same for all bots that this process polls, whoever sent for them.
    pub async fn tell_standings(&self) {
        match self.store.untold().await {
            Ok(found) => {
                for (account, number) in found {
                    self.tell_standing(&AccountId::normalize(&account), number).await;
                }
            }
            Err(error) => tracing::debug!(%error, "whether sends are confirmed could not be read"),
        }
    }

    /// Whether a recovery for an account's bot is under way, or ended after something was asked: then the answer is of before.
    pub fn recovers(&self, account: &AccountId, asked: Instant) -> bool {
        match lock(&self.recoveries).get(account) {
            Some(LastRecovery::UnderWay(since)) => since.elapsed() < RECOVERY,
            Some(LastRecovery::Ended(at)) => *at > asked,
            None => false,
        }
    }

    /// Gives up what waited too long, and the oldest where too many wait.
    pub async fn expire(&self) {
        let settings = self.context.settings();
        let ended = match self.store.expire_sends(settings.hold_ttl_ms, settings.max_held).await {
            Ok(ended) => ended,
            Err(error) => return tracing::warn!(%error, "old sends could not be given up"),
        };
        for row in ended {
            tracing::warn!(queue_id = queue_id(row.id), to = row.peer, "a held message was given up");
            self.drop_files(&row);
            let why = SendError::Ended(row.error.clone().unwrap_or_default());
            if !self.resolve(row.id, Outcome::Failed(why)) {
                self.notify_end(&row);
            }
        }
    }

    /// Lets go of the files of a send that will not be sent.
    fn drop_files(&self, row: &OutboundRow) {
        for part in row.parts.iter().filter(|part| !part.taken) {
            if let Some(media) = part.media.as_deref().and_then(MediaPart::from_json) {
                self.context.file_done(&row.account_id, None, media);
            }
        }
    }

    /// `outbound.update` for a send that was reported as held.
    pub fn notify_end(&self, row: &OutboundRow) {
        let status = match row.state {
            SendState::Pending => return,
            SendState::Sent => UpdateStatus::Sent,
            SendState::Unconfirmed => UpdateStatus::Unconfirmed,
            SendState::Failed => UpdateStatus::Failed,
            SendState::Expired => UpdateStatus::Expired,
            SendState::Cancelled => UpdateStatus::Cancelled,
        };
        if row.held.is_some() {
            let ids: Vec<String> = row.parts.iter().filter_map(|part| part.message_id.clone()).collect();
            let texts = row.parts.iter().map(|part| part.text.as_str()).filter(|text| !text.is_empty());
            let text = texts.collect::<Vec<_>>().join("\n");
            let update = OutboundUpdate {
                queue_id: queue_id(row.id),
                account_id: Some(row.account_id.clone()).filter(|id| !id.is_empty()),
                to: Some(row.peer.clone()),
                client_ids: row.parts.iter().map(|part| part.client_id.clone()).collect(),
                status,
                message_ids: Some(ids).filter(|ids| !ids.is_empty()),
                text: Some(text).filter(|text| !text.is_empty()),
                error: row.error.clone(),
            };
            match lock(&self.unanswered).get_mut(&row.id) {
                Some(ending) => ending.update = Some(update),
                None => self.context.ended(update),
            }
        }
    }

    /// Whether the server called this token stale.
    pub fn is_stale(&self, account: &AccountId, token: &BotToken) -> bool {
        lock(&self.stale).get(account) == Some(token)
    }

    /// Remembers that the server called this token stale.
    pub fn set_stale(&self, account: &AccountId, token: BotToken) {
        lock(&self.stale).insert(account.clone(), token);
    }
}

/// What became of a send that waits no more.
fn ended(row: OutboundRow) -> Result<Sent, SendError> {
    match row.state {
        SendState::Sent | SendState::Unconfirmed => Ok(Sent::Taken(row)),
        _ => Err(SendError::Ended(row.error.unwrap_or_else(|| "it was cancelled".to_owned()))),
    }
}

/// A send's name towards the gateway.
pub fn queue_id(id: i64) -> String {
    format!("q{id}")
}

/// A new client id, unique without asking anybody.
pub(super) fn client_id() -> String {
    format!("openclaw-weixin-{:032x}", rand::random::<u128>())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole entries are put in and taken out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::contract::{Locale, Recovery};
    use crate::outbound::context::{Answered, NotReady, OutboxSettings, Ready};
    use crate::outbound::source::Spooled;
    use crate::store::{Confirmations, Limits, Standing};

    /// A context that breaks when it is first asked, and has no login then.
    struct Breaks(Arc<AtomicU32>);

    impl OutboxContext for Breaks {
        fn ready<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Ready, NotReady>> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "a defect");
            Box::pin(async { Err(NotReady::NoLogin("no login".to_owned())) })
        }

        fn settings(&self) -> OutboxSettings {
            OutboxSettings {
                limits: Limits { quota: 10, token_ttl_ms: 1_000_000, per_minute: 60, burst: 10, close_ms: 1_000 },
                max_held: 10,
                hold_ttl_ms: 1_000_000,
                notice: false,
                locale: Locale::En,
                rest_as_file: false,
                escape_tags: false,
                recovery_every_ms: 1_000_000,
            }
        }

        fn keeps_texts(&self) -> bool {
            false
        }

        fn file_done(&self, _: &str, _: Option<u64>, _: MediaPart) {}

        fn ended(&self, _: OutboundUpdate) {}

        fn counted(&self, _: &AccountId, _: Answered) {}

        fn standing(&self, _: &AccountId, _: Standing, _: Confirmations) {}

        fn recovering(&self, _: &AccountId, _: Recovery) {}

        fn fresh_ticket<'a>(&'a self, _: &'a Ready, _: &'a AccountId, _: &'a str) -> BoxFuture<'a, bool> {
            Box::pin(async { false })
        }

        fn spool_text(&self, _: String) -> BoxFuture<'_, Option<Spooled>> {
            Box::pin(async { None })
        }
    }

    #[tokio::test]
    async fn a_lane_that_breaks_is_begun_again_and_its_caller_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let account = AccountId::normalize("bot");
        let number = store.get_or_create_account(&account).await.unwrap().no;
        let asked = Arc::new(AtomicU32::new(0));
        let stop = CancellationToken::new();
        let _ending = stop.clone().drop_guard();
        let outbox = Outbox::new(store, Breaks(asked.clone()), stop);
        let request = SendRequest {
            account,
            number,
            to: "ann".to_owned(),
            content: Content::Text("hello".to_owned()),
            run_id: None,
            idempotency_key: None,
            extra: false,
        };
        let accepted = outbox.accept(request).await.unwrap().unwrap();
        let sent = tokio::time::timeout(WAIT, outbox.settle(accepted)).await.unwrap();
        assert!(matches!(sent, Ok(Sent::Held(_, HoldReason::SessionExpired, _))), "{sent:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
