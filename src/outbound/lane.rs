//! What a lane task does: it sends what waits in one conversation, oldest first, as the ledger allows.
//!
//! It ends when nothing waits, or when only somebody else can change that: the person by writing, or a new login. Where
//! time can, it stays and sleeps. Nothing it knows is only in its memory: a task that dies is simply started again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::backend::{Answered, Ready};
use super::media::{MediaPart, REUSE_MS, UploadError};
use super::notice::with_notice;
use super::outbox::{Inner, LaneKey, Outbox, Outcome, SendError, WAIT, lock};
use crate::contract::{AccountId, HeldReason, Recovery};
use crate::ilink::{ContextToken, IlinkError, Outgoing, OutgoingItem, Refusal};
use crate::store::{AccountNo, Head, Limits, OutboundPart, OutboundRow, Refused, SendState, StoreError, Turn, now_ms};

/// The first wait after the network failed; each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How long another process's claim is watched before it is looked at again.
const THEIR_TURN: Duration = Duration::from_millis(250);

/// How often a claim is renewed while a file is uploaded.
const KEEP_CLAIM: Duration = Duration::from_secs(10);

/// What is next for the task.
enum Next {
    /// The next send.
    Again,
    /// Nothing until somebody nudges, or this time has passed.
    Sleep(Duration),
    /// Nothing until somebody nudges.
    Rest,
}

/// Sends what waits in a conversation.
pub async fn run(outbox: Outbox, key: LaneKey, nudged: Arc<Notify>) {
    let mut lane = Lane { outbox: &outbox, key: &key, failures: 0, reviving: None };
    loop {
        let next = lane.step().await.unwrap_or_else(|error| {
            tracing::error!(account = %key.0, %error, "the outbox could not go on; trying again");
            Next::Sleep(LAST_RETRY.min(FIRST_RETRY * 8))
        });
        let stop = &outbox.inner.stop;
        match next {
            Next::Again => {}
            Next::Sleep(time) => {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = nudged.notified() => {}
                    () = tokio::time::sleep(time) => {}
                }
            }
            Next::Rest => {
                // Gone from the map only if nobody nudged since: a nudge that comes later starts a new task.
                let mut lanes = lock(&outbox.inner.lanes);
                if futures_util::FutureExt::now_or_never(nudged.notified()).is_none() {
                    lanes.remove(&key);
                    return;
                }
            }
        }
        if stop.is_cancelled() {
            lock(&outbox.inner.lanes).remove(&key);
            return;
        }
    }
}

/// A send's file is on its way as long as this lives.
struct Moving<'a> {
    inner: &'a Inner,
    id: i64,
}

impl<'a> Moving<'a> {
    fn begin(inner: &'a Inner, id: i64) -> Moving<'a> {
        lock(&inner.uploading).insert(id);
        Moving { inner, id }
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        lock(&self.inner.uploading).remove(&self.id);
    }
}

struct Lane<'a> {
    outbox: &'a Outbox,
    key: &'a LaneKey,
    /// Network failures in a row.
    failures: u32,
    /// A new start whose message is still to be sent.
    reviving: Option<Recovery>,
}

impl Lane<'_> {
    async fn step(&mut self) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        let (account, peer) = self.key;
        let Some(number) = inner.store.account_no(account).await? else { return Ok(Next::Rest) };
        let me = inner.me.clone();
        let row = match inner.store.claim_head(number, peer, inner.me.name(), move |other| me.is_gone(other)).await? {
            Head::None => return Ok(Next::Rest),
            Head::Theirs { claimed_by } => {
                tracing::debug!(%account, claimed_by, "another process sends in this conversation");
                return Ok(Next::Sleep(THEIR_TURN));
            }
            Head::Mine(row) => row,
        };
        let ready = match inner.backend.ready(account).await {
            Ok(ready) => ready,
            Err(error) => {
                tracing::warn!(%account, error, "a message waits: its account cannot be used");
                return self.hold(number, HeldReason::SessionExpired, None).await;
            }
        };
        if inner.is_stale(account, &ready.session.token) {
            return self.hold(number, HeldReason::SessionExpired, None).await;
        }
        let Some(part) = row.parts.iter().find(|part| !part.sent) else {
            // All parts are there, only the row's end was not written.
            return Ok(Next::Rest);
        };
        let settings = inner.backend.settings();
        let media = part.media.as_deref().map(MediaPart::from_json);
        let uploaded = match &media {
            None => None,
            Some(None) => {
                let why = SendError::Ended("its row in the outbox cannot be read".to_owned());
                inner.end(row.id, SendState::Failed, Some(why)).await?;
                return Ok(Next::Again);
            }
            Some(Some(media)) if media.uploaded.is_none() => {
                if let Some(Turn::Hold { reason, until_ms }) =
                    inner.store.would_hold(number, peer, row.id, part.n, settings.limits).await?
                {
                    return self.hold(number, reason, until_ms).await;
                }
                return self.bring(number, &ready, &row, part.n, media.clone()).await;
            }
            Some(Some(media)) => media.uploaded.as_ref().map(|uploaded| media.item(uploaded)),
        };
        if settings.rest_as_file && self.puts_rest_into_a_file(number, &row, part.n, settings.limits).await? {
            return Ok(Next::Again);
        }
        let (token, left) = match inner.store.take_turn(number, peer, row.id, part.n, settings.limits).await? {
            Turn::Go { token, left } => (token, left),
            Turn::Wait(ms) => return Ok(Next::Sleep(Duration::from_millis(ms as u64))),
            Turn::Hold { reason, until_ms } => return self.hold(number, reason, until_ms).await,
        };
        let more = left == 0 && settings.notice && self.more_waits(&row).await?;
        let text = if more { with_notice(&part.text, settings.locale) } else { part.text.clone() };
        let token = ContextToken::new(&token);
        let message = Outgoing {
            to: peer,
            client_id: &part.client_id,
            item: uploaded.unwrap_or(OutgoingItem::Text(&text)),
            context_token: token.as_ref(),
            run_id: row.run_id.as_deref(),
        };
        match ready.ilink.send(&ready.session, &message).await {
            Ok(answer) => {
                self.failures = 0;
                let id = answer.message_id.filter(|id| *id != 0);
                let said = inner.backend.keeps_texts().then(|| part.text.clone());
                let taken = inner.store.part_taken(&row, part.n, id, said, settings.limits).await?;
                if let Some(media) = media.flatten() {
                    inner.backend.file_done(&row.account_id, id, media);
                }
                if id.is_none() {
                    let client_id = part.client_id.as_str();
                    tracing::warn!(%account, client_id, "WeChat took a message and gave it no id; perhaps nobody sees it");
                }
                inner.backend.counted(account, if id.is_some() { Answered::Confirmed } else { Answered::Unconfirmed });
                inner.backend.confirmations(account, taken.confirmations);
                self.revived(account, true);
                if let Some(row) = taken.finished
                    && !inner.tell(row.id, Outcome::Taken)
                {
                    inner.report(&row);
                }
                Ok(Next::Again)
            }
            Err(error) => {
                if error.is_stale_token() {
                    inner.set_stale(account, ready.session.token.clone());
                }
                self.failed(number, &ready, row.clone(), Some(part.n), error).await
            }
        }
    }

    /// Brings a part's file to the media host, or finds it there.
    async fn bring(
        &mut self,
        number: AccountNo,
        ready: &Ready,
        row: &OutboundRow,
        n: u32,
        mut media: MediaPart,
    ) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        let before = inner.store.media_sent_before(number, &row.peer, &media.md5, now_ms() - REUSE_MS).await?;
        let before = before
            .as_deref()
            .and_then(MediaPart::from_json)
            .filter(|before| before.kind == media.kind && before.uploaded.is_some());
        if let Some(before) = before {
            (media.uploaded, media.thumb) = (before.uploaded, before.thumb);
        } else {
            let _moving = Moving::begin(inner, row.id);
            let upload = media.clone().upload(&ready.ilink, &ready.session, &ready.cdn, &row.peer);
            tokio::pin!(upload);
            let done = loop {
                tokio::select! {
                    done = &mut upload => break done,
                    () = tokio::time::sleep(KEEP_CLAIM) => inner.store.renew_claim(row.id, inner.me.name()).await?,
                    // What was uploaded by then is uploaded again after the restart.
                    () = inner.stop.cancelled() => return Ok(Next::Rest),
                }
            };
            match done {
                Ok(uploaded) => media = uploaded,
                Err(UploadError::Ilink(error)) => {
                    if error.is_stale_token() {
                        inner.set_stale(&self.key.0, ready.session.token.clone());
                    }
                    return self.failed(number, ready, row.clone(), None, error).await;
                }
                Err(UploadError::Cdn(error)) if error.is_transient() => return self.retry(number, row, &error).await,
                Err(error) => {
                    inner.backend.counted(&self.key.0, Answered::Refused);
                    inner.end(row.id, SendState::Failed, Some(SendError::Upload(error))).await?;
                    return Ok(Next::Again);
                }
            }
        }
        inner.store.set_part_media(row.id, n, media.to_json()).await?;
        Ok(Next::Again)
    }

    /// Waits after a failure that may pass.
    async fn retry(
        &mut self,
        number: AccountNo,
        row: &OutboundRow,
        error: &(dyn std::fmt::Display + Sync),
    ) -> Result<Next, StoreError> {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
        self.failures += 1;
        tracing::warn!(account = %self.key.0, %error, failures = self.failures, "a message was not confirmed; sending it again");
        if now_ms() - row.created_at + wait.as_millis() as i64 >= WAIT.as_millis() as i64 {
            self.hold(number, HeldReason::Offline, None).await?;
        }
        Ok(Next::Sleep(wait))
    }

    /// A wire message, or the announcement of its file (`part` is none then), failed.
    async fn failed(
        &mut self,
        number: AccountNo,
        ready: &Ready,
        row: OutboundRow,
        part: Option<u32>,
        error: IlinkError,
    ) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        let (account, peer) = self.key;
        if error.is_stale_token() {
            tracing::warn!(%account, "a message waits for a new login: WeChat no longer accepts this one");
            return self.hold(number, HeldReason::SessionExpired, None).await;
        }
        if error.is_throttled() {
            let settings = inner.backend.settings();
            let unprepared = error.refusal() == Some(Refusal::PrepareFailed);
            if unprepared && inner.store.may_revive(number, now_ms(), settings.revive_every_ms).await? {
                tracing::warn!(%account, %error, "WeChat did not prepare a message; trying a new start");
                self.revive(ready).await;
                return Ok(Next::Again);
            }
            self.revived(account, false);
            // An age, or a bot that was idle: neither says how many messages it may send.
            let part = part.filter(|_| !unprepared).map(|n| (row.id, n));
            return match inner.store.refused(number, peer, part, settings.limits).await? {
                Refused::QuotaLowered => {
                    let (limit, _) = inner.store.quota(number, settings.limits.quota).await?;
                    tracing::warn!(%account, %error, limit, "WeChat allows this bot fewer messages than was thought");
                    self.hold(number, HeldReason::Quota, None).await
                }
                Refused::Closed { until_ms } => {
                    tracing::warn!(%account, %error, until_ms, "WeChat limits this bot; its messages wait");
                    self.hold(number, HeldReason::Throttled, Some(until_ms)).await
                }
            };
        }
        if error.is_transient() {
            return self.retry(number, &row, &error).await;
        }
        inner.backend.counted(account, Answered::Refused);
        inner.end(row.id, SendState::Failed, Some(SendError::Ilink(error))).await?;
        Ok(Next::Again)
    }

    /// What is known to help against "prepare failed", which nobody can explain: new connections, the start announced
    /// anew, a fresh typing ticket. The message itself, sent again, is the last of it.
    async fn revive(&mut self, ready: &Ready) {
        let inner = &self.outbox.inner;
        let (account, peer) = self.key;
        let mut tried = Vec::new();
        let mut note = |what: &str, ok: bool| {
            tracing::info!(%account, what, ok, "against a refusal to prepare a message");
            tried.push(if ok { what.to_owned() } else { format!("{what} failed") });
        };
        ready.ilink.reconnect(None);
        note("connections", true);
        note("notifystart", ready.ilink.notify_start(&ready.session).await.is_ok());
        note("typing_ticket", inner.backend.fresh_ticket(ready, account, peer).await);
        let recovery = Recovery { at_ms: now_ms(), tried, ok: None };
        inner.backend.recovering(account, recovery.clone());
        self.reviving = Some(recovery);
    }

    /// The message after [`Lane::revive`] went through, or did not.
    fn revived(&mut self, account: &AccountId, ok: bool) {
        let Some(mut recovery) = self.reviving.take() else { return };
        recovery.tried.push("send".to_owned());
        recovery.ok = Some(ok);
        tracing::warn!(%account, ok, "a message was sent again after a new start");
        self.outbox.inner.backend.recovering(account, recovery);
    }

    /// Puts what is left of an answer into a file, where part `n` has the last place and more is behind it. Only of an
    /// answer that waits alone: nobody expects others in its file.
    async fn puts_rest_into_a_file(
        &self,
        number: AccountNo,
        row: &OutboundRow,
        n: u32,
        limits: Limits,
    ) -> Result<bool, StoreError> {
        let inner = &self.outbox.inner;
        let rest: Vec<&OutboundPart> = row.parts.iter().filter(|part| part.n >= n).collect();
        let texts = rest.len() > 1 && rest.iter().all(|part| part.media.is_none());
        if !texts || inner.store.allowance(number, &row.peer, limits).await?.left != 1 {
            return Ok(false);
        }
        if self.others_wait(row).await? {
            return Ok(false);
        }
        let text = rest.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n\n");
        let Some(file) = inner.backend.text_file(text).await else { return Ok(false) };
        inner.store.replace_rest(row.id, n, file.to_json()).await?;
        Ok(true)
    }

    /// Holds everything that waits in the conversation, and tells who waits for it.
    async fn hold(&self, number: AccountNo, reason: HeldReason, until_ms: Option<i64>) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        for id in inner.store.hold(number, &self.key.1, reason).await? {
            inner.tell(id, Outcome::Held(reason));
        }
        Ok(match until_ms {
            Some(until) => Next::Sleep(Duration::from_millis((until - now_ms()).max(1) as u64)),
            None => Next::Rest,
        })
    }

    async fn more_waits(&self, row: &OutboundRow) -> Result<bool, StoreError> {
        Ok(row.parts.iter().filter(|part| !part.sent).count() > 1 || self.others_wait(row).await?)
    }

    /// Whether other sends wait in the conversation.
    async fn others_wait(&self, row: &OutboundRow) -> Result<bool, StoreError> {
        let waiting = self.outbox.inner.store.waiting_sends(Some(&self.key.0), Some(&self.key.1)).await?;
        Ok(waiting.iter().any(|other| other.id != row.id))
    }
}
