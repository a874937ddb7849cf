//! The outbox: accepts sends and waits for them; conversations send them.

use std::borrow::Cow;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::callers::{Caller, Command};
use super::chunk::chunk;
use super::context::{OutboxContext, OutboxSettings};
use super::conversations::Conversations;
use super::core::{Core, client_id, queue_id};
use super::desk::WAIT;
use super::maintenance;
use super::markdown::{for_wechat, without_tags};
use super::media::{ForeignItem, MediaPart, discard};
use super::outcome::{SendError, Sent, Unanswered};
use super::progress::{self, Progress, Shown};
use crate::contract::{AccountId, MAX_CHUNKS, TEXT_CHUNK_LIMIT};
use crate::store::{AccountNo, HoldReason, NewPart, NewSend, OutboundRow, SendState, Store, StoreError};
use crate::supervise::keep_running;

/// What a send consists of.
pub enum Content {
    /// Markdown.
    Text(String),
    /// A file in the spool, and what is said before it: Markdown, or nothing.
    Media(Box<MediaPart>, Option<String>),
    /// Items of another iLink client: they go out as they are.
    Items(Vec<WireItem>),
}

/// An item of another iLink client.
pub enum WireItem {
    Text(String),
    /// Anything else, as it goes over the wire.
    Other(Value),
}

/// Something to send.
pub struct SendRequest {
    /// From which account.
    pub account: AccountId,
    pub number: AccountNo,
    pub to: String,
    /// What it is.
    pub content: Content,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// Makes it the same send as any other with this key.
    pub idempotency_key: Option<String>,
    /// It is worth less than an answer: it is sent at once, or not at all.
    pub extra: bool,
    /// Which backend of the hub sends it.
    pub backend: Option<String>,
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

/// The outbox. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    conversations: Conversations,
}

impl Outbox {
    /// An outbox on this database. Its tasks end with `stop`.
    pub fn new(store: Store, context: impl OutboxContext, stop: CancellationToken) -> Outbox {
        let conversations = Conversations::new(Core::new(store, Box::new(context), stop.clone()));
        let of_sweep = conversations.clone();
        let sweep = move || maintenance::sweep(of_sweep.clone());
        tokio::spawn(keep_running("the outbox's forgetting", stop.clone(), sweep));
        let of_adopt = conversations.clone();
        let adopt = move || maintenance::adopt(of_adopt.clone());
        tokio::spawn(keep_running("the outbox's look at what others left", stop, adopt));
        Outbox { conversations }
    }

    fn core(&self) -> &Core {
        &self.conversations.core
    }

    /// Accepts a send: it is on disk when this returns. `None`: it is an extra for which there is no room.
    ///
    /// With a known `idempotency_key` nothing new is accepted: it is about the send that has that key.
    pub async fn accept(&self, request: SendRequest) -> Result<Option<Accepted>, SendError> {
        let file = match &request.content {
            Content::Media(media, _) => Some(media.file.clone()),
            Content::Text(_) | Content::Items(_) => None,
        };
        let accepted = self.try_accept(request).await;
        // Only where nothing was written down for certain: an answer of the database that got lost may leave a row that needs its
        // file. What no row names goes after a day.
        let refused = matches!(accepted, Ok(None) | Err(SendError::Empty | SendError::TooLong { .. }));
        if let Some(file) = file.filter(|_| refused) {
            let _ = tokio::task::spawn_blocking(move || discard(&file)).await;
        }
        accepted
    }

    async fn try_accept(&self, request: SendRequest) -> Result<Option<Accepted>, SendError> {
        let SendRequest { account, number, to, content, run_id, idempotency_key, extra, backend } = request;
        let settings = self.core().context.settings();
        let (parts, whole) = match content {
            Content::Text(text) => parts_of(&text, None, &settings),
            Content::Media(media, text) => parts_of(&text.unwrap_or_default(), Some(&media), &settings),
            Content::Items(items) => (items.into_iter().flat_map(wire_parts).collect(), None),
        };
        if parts.is_empty() {
            return Err(SendError::Empty);
        }
        if parts.len() > MAX_CHUNKS {
            return Err(SendError::TooLong { parts: parts.len() });
        }
        if extra && !progress::has_room_for_extra(self.core(), &account, number, &to, parts.len() as u32).await? {
            return Ok(None);
        }
        let send = NewSend {
            account: number,
            peer: to.clone(),
            idem_key: idempotency_key,
            run_id,
            extra,
            whole,
            backend,
            parts,
        };
        let row = self.core().store.accept_send(send).await?;
        Ok(Some(Accepted { account, row }))
    }

    /// Waits until an accepted send is sent, held or refused, for 15 s at most.
    pub async fn settle(&self, accepted: Accepted) -> Result<Sent, SendError> {
        let Accepted { account, row } = accepted;
        if row.state != SendState::Pending {
            return Sent::of_ended(row);
        }
        let (reply, answer) = oneshot::channel();
        let caller = Caller { row: row.clone(), reply, until: Instant::now() + WAIT };
        // A key that was used before may be another account's.
        let account = if row.account_id.is_empty() { account } else { AccountId::normalize(&row.account_id) };
        let key = (account, row.peer.clone());
        self.conversations.tell(key.clone(), Command::Wait(caller));
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = self.core().stop.cancelled() => None,
        };
        match answer {
            Some(Ok(held @ Sent::Held(..))) => {
                self.conversations.expire().await;
                Ok(held)
            }
            Some(answer) => answer,
            None => {
                tracing::info!(
                    queue_id = queue_id(row.id),
                    stops = self.core().stop.is_cancelled(),
                    "a send's conversation ended; it is held"
                );
                if !self.core().stop.is_cancelled() {
                    // A defect has ended the conversation, and it is begun again.
                    self.core().store.hold_send(row.id, HoldReason::Offline).await?;
                    self.conversations.tell(key, Command::Look);
                }
                Ok(Sent::Held(row, HoldReason::Offline, Unanswered::without_conversation()))
            }
        }
    }

    /// Looks at a conversation again: something was accepted, the person wrote, a time has come.
    pub fn nudge(&self, account: &AccountId, peer: &str) {
        self.conversations.tell((account.clone(), peer.to_owned()), Command::Look);
    }

    /// This process polls an account: from now on it sends whatever waits there, whoever accepted it.
    pub async fn polls(&self, account: &AccountId, number: AccountNo) {
        self.core().set_polled(account, Some(number));
        self.core().tell_standing(account, number).await;
        self.look_where(account, number, |_| true).await;
    }

    /// It does not poll it any more.
    pub fn polls_no_longer(&self, account: &AccountId) {
        self.core().set_polled(account, None);
    }

    /// These people wrote: their conversations go on where something waits.
    pub async fn wrote(&self, account: &AccountId, number: AccountNo, peers: &[String]) {
        self.look_where(account, number, |waiting| peers.contains(waiting)).await;
    }

    /// Looks at those conversations of an account in which something waits.
    async fn look_where(&self, account: &AccountId, number: AccountNo, which: impl Fn(&String) -> bool) {
        match self.core().store.waiting_conversations(number).await {
            Ok(peers) => peers.iter().filter(|peer| which(peer)).for_each(|peer| self.nudge(account, peer)),
            Err(error) => tracing::error!(%account, %error, "the outbox could not be read"),
        }
    }

    /// The account has a new login: what was stale is not any more.
    pub async fn renewed(&self, account: &AccountId, number: AccountNo) {
        self.core().forget_stale(account);
        self.look_where(account, number, |_| true).await;
    }

    /// Gives up a waiting send. Returns whether it was waiting.
    pub async fn cancel(&self, id: i64) -> Result<bool, StoreError> {
        self.conversations.cancel(id).await
    }

    /// Shows tool progress where there is room for it.
    pub async fn show(&self, tool: Progress) -> Result<Shown, StoreError> {
        progress::show(self.core(), tool).await
    }
}

/// The wire messages of a text (Markdown) and the file behind it, and the text itself where its rest may become a file.
fn parts_of(text: &str, media: Option<&MediaPart>, settings: &OutboxSettings) -> (Vec<NewPart>, Option<String>) {
    let whole = for_wechat(text);
    let text = if settings.escape_tags { without_tags(&whole) } else { Cow::Borrowed(&*whole) };
    let texts = chunk(&text, TEXT_CHUNK_LIMIT);
    let may_overflow = settings.rest_as_file && texts.len() > 1 && media.is_none();
    let mut parts: Vec<NewPart> = texts.into_iter().map(text_part).collect();
    // One item a message: what is said of a file goes before it.
    parts.extend(media.map(|media| other_part(media.to_json())));
    (parts, may_overflow.then_some(whole))
}

/// The wire messages of an item of another client: one, but for a text that is too long.
fn wire_parts(item: WireItem) -> Vec<NewPart> {
    match item {
        WireItem::Text(text) => chunk(&text, TEXT_CHUNK_LIMIT).into_iter().map(text_part).collect(),
        WireItem::Other(item) => vec![other_part(ForeignItem { item }.to_json())],
    }
}

fn text_part(text: String) -> NewPart {
    NewPart { client_id: client_id(), text, media: None }
}

fn other_part(media: String) -> NewPart {
    NewPart { client_id: client_id(), text: String::new(), media: Some(media) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::contract::{Locale, OutboundUpdate, Recovery};
    use crate::outbound::context::{Answered, NotReady, OutboxSettings, Ready};
    use crate::outbound::media::ItemKind;
    use crate::outbound::source::{Spooled, measure};
    use crate::store::{Confirmations, QuotaLimits, Standing};

    /// A context that breaks when it is first asked, and has no login then.
    struct Breaks(Arc<AtomicU32>);

    impl OutboxContext for Breaks {
        fn ready<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Ready, NotReady>> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "a defect");
            Box::pin(async { Err(NotReady::NoLogin("no login".to_owned())) })
        }

        fn settings(&self) -> OutboxSettings {
            OutboxSettings {
                limits: QuotaLimits { quota: 10, token_ttl_ms: 1_000_000, per_minute: 60, burst: 10, close_ms: 1_000 },
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
    async fn a_conversation_that_breaks_is_begun_again_and_its_caller_is_answered() {
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
            backend: None,
        };
        let accepted = outbox.accept(request).await.unwrap().unwrap();
        let sent = tokio::time::timeout(WAIT, outbox.settle(accepted)).await.unwrap();
        assert!(matches!(sent, Ok(Sent::Held(_, HoldReason::SessionExpired, _))), "{sent:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_file_stays_where_the_database_did_not_say_what_became_of_its_send() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("state.sqlite");
        let (store, _) = Store::open(&database).unwrap();
        let account = AccountId::normalize("bot");
        let number = store.get_or_create_account(&account).await.unwrap().no;
        let stop = CancellationToken::new();
        let _ending = stop.clone().drop_guard();
        let outbox = Outbox::new(store, Breaks(Arc::default()), stop);
        let outside = rusqlite::Connection::open(&database).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let file = dir.path().join("a.bin");
        std::fs::write(&file, "content").unwrap();
        let request = |text: String| SendRequest {
            account: account.clone(),
            number,
            to: "ann".to_owned(),
            content: Content::Media(
                Box::new(MediaPart::new(measure(&file).unwrap(), ItemKind::File, "a.bin".into(), "text/plain".into())),
                Some(text),
            ),
            run_id: None,
            idempotency_key: None,
            extra: false,
            backend: None,
        };
        let failed = outbox.accept(request("as promised".to_owned())).await;
        assert!(matches!(failed, Err(SendError::Store(_))));
        assert!(file.exists(), "perhaps a row names it");
        let refused = outbox.accept(request("a line of its own\n\n".repeat(30_000))).await;
        assert!(matches!(refused, Err(SendError::TooLong { .. })));
        assert!(!file.exists());
    }
}
