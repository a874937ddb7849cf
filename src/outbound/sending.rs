//! What a conversation sends: what waits in it, oldest first, as the quota allows.

use std::time::{Duration, Instant};

use super::context::{Answered, NotReady, OutboxSettings, Ready};
use super::core::{ConversationKey, Core};
use super::desk::{Desk, WAIT};
use super::media::{ForeignItem, MediaPart, REUSE_MS, UploadError};
use super::notice::with_notice;
use super::outcome::SendError;
use super::overflow;
use crate::contract::{Recovery, RecoveryAction, RecoveryStep};
use crate::store::{
    AccountNo, Head, Held, HoldReason, OutboundPart, OutboundRow, QuotaLimits, Refused, SendDecision, SendState,
    StoreError, now_ms,
};
use ilink::{ContextToken, IlinkError, Limit, MessageId, OutgoingItem, OutgoingMessage};

/// The first wait after the network failed; each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How long another process's claim is watched before it is looked at again.
const THEIR_TURN: Duration = Duration::from_millis(250);

/// How often a claim is renewed while a file is uploaded.
const KEEP_CLAIM: Duration = Duration::from_secs(10);
/// How often a conversation looks again while another one tries a recovery for their bot.
const RECOVERY_PACE: Duration = Duration::from_secs(1);
/// How often what has happened already is tried to be written down, and the first wait between two tries; each is twice the one
/// before.
const PERSIST: (u32, Duration) = (8, Duration::from_millis(100));

/// What is next for the conversation.
pub(super) enum Next {
    /// The next send.
    Again,
    /// Nothing until somebody nudges, or this time has passed.
    Sleep(Duration),
    /// Nothing until somebody nudges.
    Rest,
}

/// Writes down what has happened: a database that is busy, or a disk that is full, is asked again for half a minute.
async fn persist<T, F: Future<Output = Result<T, StoreError>>>(
    core: &Core,
    write: impl Fn() -> F,
) -> Result<T, StoreError> {
    let (tries, mut wait) = PERSIST;
    for _ in 1..tries {
        match write().await {
            Err(error) if error.is_retryable() && !core.stop.is_cancelled() => {
                tracing::warn!(%error, "a send's progress was not written down; trying again");
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    write().await
}

/// What a conversation sends.
pub(super) struct Sending<'a> {
    desk: &'a Desk<'a>,
    core: &'a Core,
    key: &'a ConversationKey,
    /// Network failures in a row.
    failures: u32,
    /// When the last wire message was sent.
    asked: Instant,
    /// A recovery whose message is still to be sent again, and which send that is of.
    recovering: Option<(i64, Recovery)>,
}

impl<'a> Sending<'a> {
    /// Nothing was sent yet.
    pub fn new(desk: &'a Desk<'a>) -> Sending<'a> {
        Sending { desk, core: desk.core, key: desk.key, failures: 0, asked: Instant::now(), recovering: None }
    }

    /// Sends the next wire message, or finds out why not now.
    pub async fn step(&mut self) -> Next {
        match self.try_step().await {
            Ok(next) => next,
            // The process ends; the next one goes on.
            Err(StoreError::Closed) => Next::Rest,
            Err(error) => {
                tracing::error!(account = %self.key.0, %error, "the outbox could not go on; trying again");
                Next::Sleep(LAST_RETRY.min(FIRST_RETRY * 8))
            }
        }
    }

    async fn try_step(&mut self) -> Result<Next, StoreError> {
        let core = self.core;
        let (account, peer) = self.key;
        let Some(number) = core.store.account_no(account).await? else { return Ok(Next::Rest) };
        let me = core.me.clone();
        let row = match core.store.claim_head(number, peer, core.me.name(), move |other| me.is_gone(other)).await? {
            Head::None => {
                self.not_recovered();
                return Ok(Next::Rest);
            }
            Head::Theirs { claimed_by } => {
                tracing::debug!(%account, claimed_by, "another process sends in this conversation");
                return Ok(Next::Sleep(THEIR_TURN));
            }
            Head::Mine(row) => row,
        };
        if self.recovering.as_ref().is_some_and(|(id, _)| *id != row.id) {
            self.not_recovered();
        }
        let ready = match core.context.ready(account).await {
            Ok(ready) => ready,
            Err(NotReady::NoLogin(error)) => {
                tracing::warn!(%account, error, "a message waits: its account cannot be used");
                return self.hold(number, HoldReason::SessionExpired, None).await;
            }
            // A file that cannot be read now says nothing of the login.
            Err(NotReady::Now(error)) => return self.retry(number, &row, &error).await,
        };
        if core.is_stale(account, &ready.session.token) {
            return self.hold(number, HoldReason::SessionExpired, None).await;
        }
        let Some(part) = row.parts.iter().find(|part| !part.taken) else {
            // All parts are there, only the row's end was not written.
            return Ok(Next::Rest);
        };
        let settings = core.context.settings();
        let foreign = part.media.as_deref().and_then(ForeignItem::from_json);
        let media = part.media.as_deref().filter(|_| foreign.is_none()).map(MediaPart::from_json);
        let uploaded = match &media {
            None => None,
            Some(None) => {
                let why = SendError::Ended("its row in the outbox cannot be read".to_owned());
                self.desk.end(row.id, SendState::Failed, why).await?;
                return Ok(Next::Again);
            }
            Some(Some(media)) if media.uploaded.is_none() => {
                if let Some(SendDecision::Hold { reason, until_ms }) =
                    core.store.would_hold(number, peer, row.id, part.n, settings.limits).await?
                {
                    if media.rest {
                        // The person's next message may have room for all of it.
                        self.give_up_rest(&row, part.n, media, false).await?;
                    }
                    return self.hold(number, reason, until_ms).await;
                }
                return self.upload(number, &ready, &row, part.n, media.clone()).await;
            }
            Some(Some(media)) => media.uploaded.as_ref().map(|uploaded| media.item(uploaded)),
        };
        if settings.rest_as_file && media.is_none() && self.plans_a_file(number, &row, part.n, &settings).await? {
            return Ok(Next::Again);
        }
        let (token, left) = match core.store.take_turn(number, peer, row.id, part.n, settings.limits).await? {
            SendDecision::Go { token, left } => (token, left),
            SendDecision::Wait(ms) => return Ok(Next::Sleep(Duration::from_millis(ms as u64))),
            SendDecision::Hold { reason, until_ms } => return self.hold(number, reason, until_ms).await,
        };
        let more = left == 0 && settings.notice && self.more_waits(&row).await?;
        let text = if more { with_notice(&part.text, settings.locale) } else { part.text.clone() };
        let token = ContextToken::new(&token);
        let message = OutgoingMessage {
            to: peer,
            client_id: &part.client_id,
            item: match (&foreign, uploaded) {
                (Some(foreign), _) => OutgoingItem::Other(&foreign.item),
                (None, Some(uploaded)) => uploaded,
                (None, None) => OutgoingItem::Text(&text),
            },
            context_token: token.as_ref(),
            run_id: row.run_id.as_deref(),
        };
        self.desk.set_network_unanswered(true);
        self.asked = Instant::now();
        let answered = ready.ilink.send(&ready.session, &message).await;
        match answered {
            Ok(answer) => self.taken(number, &row, part, media.flatten(), answer.message_id, settings.limits).await,
            Err(error) => self.failed(number, &ready, row.clone(), Some(part.n), error).await,
        }
    }

    /// The server took a wire message; without an id perhaps nobody sees it.
    async fn taken(
        &mut self,
        number: AccountNo,
        row: &OutboundRow,
        part: &OutboundPart,
        media: Option<MediaPart>,
        id: Option<MessageId>,
        limits: QuotaLimits,
    ) -> Result<Next, StoreError> {
        let (core, account) = (self.core, &self.key.0);
        self.reached();
        let said = if part.media.is_none() { part.text.clone() } else { String::new() };
        let said = core.context.keeps_texts().then_some(said);
        // The message is out: that it is not written down must not send it again.
        let taken = persist(core, || core.store.part_taken(row, part.n, id.clone(), said.clone(), limits)).await?;
        if let Some(media) = media {
            core.context.file_done(&row.account_id, id.as_ref().and_then(|id| id.number), media);
        }
        if id.is_none() {
            let client_id = part.client_id.as_str();
            tracing::warn!(%account, client_id, "WeChat took a message and gave it no id; perhaps nobody sees it");
        }
        core.context.counted(account, if id.is_some() { Answered::Confirmed } else { Answered::Unconfirmed });
        if taken.untold {
            core.tell_standing(account, number).await;
        }
        self.sent_again(true);
        if let Some(row) = taken.finished {
            self.desk.taken(&row);
        }
        Ok(Next::Again)
    }

    /// Brings a part's file to the media host, or finds it there.
    async fn upload(
        &mut self,
        number: AccountNo,
        ready: &Ready,
        row: &OutboundRow,
        n: u32,
        mut media: MediaPart,
    ) -> Result<Next, StoreError> {
        let core = self.core;
        let before = core.store.media_sent_before(number, &row.peer, &media.md5, now_ms() - REUSE_MS).await?;
        let before = before
            .as_deref()
            .and_then(MediaPart::from_json)
            .filter(|before| before.kind == media.kind && before.uploaded.is_some());
        if let Some(before) = before {
            (media.uploaded, media.thumb) = (before.uploaded, before.thumb);
        } else {
            let upload = media.clone().upload(&ready.ilink, &ready.session, &ready.cdn, &row.peer);
            let Some(done) = self.desk.uploading(row.id, self.with_claim(row.id, upload)).await else {
                // What was uploaded by then is uploaded again after the restart.
                return Ok(Next::Rest);
            };
            match done {
                Ok(uploaded) => media = uploaded,
                Err(UploadError::Ilink(error)) => {
                    if media.rest && error.refusal().is_some() && !error.is_stale_token() && error.limit().is_none() {
                        return self.give_up_rest(row, n, &media, true).await;
                    }
                    return self.failed(number, ready, row.clone(), None, error).await;
                }
                Err(UploadError::Cdn(error)) if error.is_transient() => return self.retry(number, row, &error).await,
                Err(error) if media.rest => {
                    tracing::warn!(account = %self.key.0, %error, "the rest of an answer was not taken as a file; it waits as text");
                    return self.give_up_rest(row, n, &media, true).await;
                }
                Err(error) => {
                    core.context.counted(&self.key.0, Answered::Refused);
                    self.desk.end(row.id, SendState::Failed, SendError::Upload(error)).await?;
                    return Ok(Next::Again);
                }
            }
        }
        self.reached();
        // The upload is done: that it is not written down must not do it again.
        if let Some(whole) = row.whole.as_deref().filter(|_| media.rest) {
            let rest: Vec<&OutboundPart> = row.parts.iter().filter(|part| part.n >= n).collect();
            let text = overflow::text_of(whole, &rest);
            persist(core, || core.store.replace_rest(row.id, n, text.clone(), media.to_json())).await?;
        } else {
            persist(core, || core.store.set_part_media(row.id, n, media.to_json())).await?;
        }
        Ok(Next::Again)
    }

    /// Does what takes long, and keeps the claim on a send meanwhile. `None`: the process ends.
    async fn with_claim<T>(&self, send: i64, work: impl Future<Output = T>) -> Option<T> {
        let core = self.core;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep(KEEP_CLAIM) => {
                    if let Err(error) = core.store.renew_claim(send, core.me.name()).await {
                        tracing::warn!(account = %self.key.0, %error, "the claim on a send was not renewed; its upload goes on");
                    }
                }
                () = core.stop.cancelled() => return None,
            }
        }
    }

    /// The network answered.
    fn reached(&mut self) {
        self.failures = 0;
        self.desk.set_network_unanswered(false);
    }

    /// Gives up sending the rest of an answer as a file: its texts are still there.
    async fn give_up_rest(
        &self,
        row: &OutboundRow,
        n: u32,
        media: &MediaPart,
        for_good: bool,
    ) -> Result<Next, StoreError> {
        let core = self.core;
        core.store.give_up_rest(row.id, n, for_good).await?;
        core.context.file_done(&row.account_id, None, media.clone());
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
        self.desk.set_network_unanswered(true);
        tracing::warn!(account = %self.key.0, %error, failures = self.failures, "a message could not be sent now; trying again");
        if now_ms() - row.created_at + wait.as_millis() as i64 >= WAIT.as_millis() as i64 {
            self.hold(number, HoldReason::Offline, None).await?;
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
        let core = self.core;
        let (account, peer) = self.key;
        if !error.is_transient() {
            self.reached();
        }
        if error.is_stale_token() {
            core.set_stale(account, ready.session.token.clone());
            tracing::warn!(%account, "a message waits for a new login: WeChat no longer accepts this one");
            return self.hold(number, HoldReason::SessionExpired, None).await;
        }
        if let Some(limit) = error.limit() {
            let settings = core.context.settings();
            if limit == Limit::Unprepared
                && core.recoveries.begin(&core.store, account, number, settings.recovery_every_ms).await?
            {
                tracing::warn!(%account, %error, "WeChat did not prepare a message; trying a recovery");
                self.recover(ready, row.id).await;
                return Ok(Next::Again);
            }
            if limit == Limit::Unprepared && self.recovering.is_none() && core.recoveries.concerns(account, self.asked)
            {
                // Another conversation tries it for the same bot: what comes of that counts for this one too.
                return Ok(Next::Sleep(RECOVERY_PACE));
            }
            self.sent_again(false);
            let part = part.filter(|_| limit == Limit::Messages).map(|n| (row.id, n));
            return match core.store.refused(number, peer, part, settings.limits).await? {
                Refused::QuotaLowered => {
                    let (limit, _) = core.store.quota(number, settings.limits.quota).await?;
                    tracing::warn!(%account, %error, limit, "WeChat allows this bot fewer messages than was thought");
                    self.hold(number, HoldReason::Quota, None).await
                }
                Refused::Closed { until_ms } => {
                    tracing::warn!(%account, %error, until_ms, "WeChat limits this bot; its messages wait");
                    self.hold(number, HoldReason::Throttled, Some(until_ms)).await
                }
            };
        }
        if error.is_transient() {
            return self.retry(number, &row, &error).await;
        }
        self.sent_again(false);
        core.context.counted(account, Answered::Refused);
        self.desk.end(row.id, SendState::Failed, SendError::Ilink(error)).await?;
        Ok(Next::Again)
    }

    /// What is known to help against "prepare failed", which nobody can explain: new connections, the start announced
    /// anew, a fresh typing ticket. The message itself, sent again, is the last of it.
    async fn recover(&mut self, ready: &Ready, send: i64) {
        let core = self.core;
        let (account, peer) = self.key;
        let mut tried = Vec::new();
        let mut note = |step: RecoveryAction, ok: bool| {
            tracing::info!(%account, ?step, ok, "prepare failed: a step of the recovery");
            tried.push(RecoveryStep { step, ok });
        };
        note(RecoveryAction::Connections, ready.ilink.reconnect(None));
        note(RecoveryAction::NotifyStart, ready.ilink.notify_start(&ready.session).await.is_ok());
        note(RecoveryAction::TypingTicket, core.context.fresh_ticket(ready, account, peer).await);
        let recovery = Recovery { at_ms: now_ms(), tried, ok: None };
        core.context.recovering(account, recovery.clone());
        self.recovering = Some((send, recovery));
    }

    /// The message of a recovery was sent again: it went through, or did not.
    fn sent_again(&mut self, ok: bool) {
        let Some((_, recovery)) = &mut self.recovering else { return };
        recovery.tried.push(RecoveryStep { step: RecoveryAction::Send, ok });
        self.recovered(ok);
    }

    /// The message of a recovery will not be sent again now.
    fn not_recovered(&mut self) {
        self.recovered(false);
    }

    fn recovered(&mut self, ok: bool) {
        let Some((_, mut recovery)) = self.recovering.take() else { return };
        let account = &self.key.0;
        self.core.recoveries.end(account);
        recovery.ok = Some(ok);
        tracing::warn!(%account, ok, "the recovery ended");
        self.core.context.recovering(account, recovery);
    }

    /// Plans a file for what is left of an answer, where part `n` has the last place and more is behind it. Only of an
    /// answer that waits alone: nobody expects others in its file.
    async fn plans_a_file(
        &self,
        number: AccountNo,
        row: &OutboundRow,
        n: u32,
        settings: &OutboxSettings,
    ) -> Result<bool, StoreError> {
        let core = self.core;
        let rest: Vec<&OutboundPart> = row.parts.iter().filter(|part| part.n >= n).collect();
        let Some(whole) = row.whole.as_deref().filter(|_| rest.len() > 1 && rest.iter().all(|part| !part.tried)) else {
            return Ok(false);
        };
        if core.store.allowance(number, &row.peer, settings.limits).await?.left != 1 || self.others_wait(row).await? {
            return Ok(false);
        }
        let text = overflow::text_of(whole, &rest);
        let Some(spooled) = core.context.spool_text(text).await else { return Ok(false) };
        let file = overflow::file(spooled, settings.locale);
        core.store.plan_rest(row.id, n, file.to_json()).await
    }

    /// Holds everything that waits in the conversation, and tells who waits for it.
    async fn hold(&mut self, number: AccountNo, reason: HoldReason, until_ms: Option<i64>) -> Result<Next, StoreError> {
        self.not_recovered();
        let core = self.core;
        let Held { held, dropped } = core.store.hold(number, &self.key.1, reason).await?;
        self.desk.held(held, reason).await?;
        self.desk.dropped(dropped);
        Ok(match until_ms {
            Some(until) => Next::Sleep(Duration::from_millis((until - now_ms()).max(1) as u64)),
            None => Next::Rest,
        })
    }

    async fn more_waits(&self, row: &OutboundRow) -> Result<bool, StoreError> {
        Ok(row.parts.iter().filter(|part| !part.taken).count() > 1 || self.others_wait(row).await?)
    }

    /// Whether other sends wait in the conversation.
    async fn others_wait(&self, row: &OutboundRow) -> Result<bool, StoreError> {
        let waiting = self.core.store.waiting_sends(Some(&self.key.0), Some(&self.key.1)).await?;
        Ok(waiting.iter().any(|other| other.id != row.id))
    }
}
