//! What a lane task does: it sends what waits in one conversation, oldest first, as the ledger allows.
//!
//! It ends when nothing waits, or when only somebody else can change that: the person by writing, or a new login. Where
//! time can, it stays and sleeps. Nothing it knows is only in its memory: a task that dies is simply started again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::notice::with_notice;
use super::outbox::{LaneKey, Outbox, Outcome, SendError, WAIT, lock};
use crate::contract::HeldReason;
use crate::ilink::{ContextToken, IlinkError, OutgoingText};
use crate::store::{AccountNo, Head, OutboundRow, SendState, StoreError, Turn, now_ms};

/// The first wait after the network failed; each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How long another process's claim is watched before it is looked at again.
const THEIR_TURN: Duration = Duration::from_millis(250);

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
    let mut lane = Lane { outbox: &outbox, key: &key, failures: 0 };
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

struct Lane<'a> {
    outbox: &'a Outbox,
    key: &'a LaneKey,
    /// Network failures in a row.
    failures: u32,
}

impl Lane<'_> {
    async fn step(&mut self) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        let (account, peer) = self.key;
        let Some(number) = inner.store.account_no(account).await? else { return Ok(Next::Rest) };
        let row = match inner.store.claim_head(number, peer, &inner.me, is_gone).await? {
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
        let (token, last) = match inner.store.take_turn(number, peer, row.id, part.n, settings.limits).await? {
            Turn::Go { token, last } => (token, last),
            Turn::Wait(ms) => return Ok(Next::Sleep(Duration::from_millis(ms as u64))),
            Turn::Hold { reason, until_ms } => return self.hold(number, reason, until_ms).await,
        };
        let more = last && settings.notice && self.more_waits(&row).await?;
        let text = if more { with_notice(&part.text, settings.locale) } else { part.text.clone() };
        let token = ContextToken::new(&token);
        let message = OutgoingText {
            to: peer,
            client_id: &part.client_id,
            text: &text,
            context_token: token.as_ref(),
            run_id: row.run_id.as_deref(),
        };
        match ready.ilink.send_text(&ready.session, &message).await {
            Ok(answer) => {
                self.failures = 0;
                let id = answer.message_id.filter(|id| *id != 0).map(|id| id.to_string());
                inner.store.part_sent(&row, part.n, id).await?;
                inner.backend.counted(account, true);
                self.finish(&row).await?;
                Ok(Next::Again)
            }
            Err(error) => {
                if error.is_stale_token() {
                    inner.set_stale(account, ready.session.token);
                }
                self.failed(number, row, error).await
            }
        }
    }

    /// Tells the end of a send whose last part was taken.
    async fn finish(&self, row: &OutboundRow) -> Result<(), StoreError> {
        let inner = &self.outbox.inner;
        let Some(row) = inner.store.send(row.id).await?.filter(|row| row.state == SendState::Sent) else {
            return Ok(());
        };
        if !inner.tell(row.id, Outcome::Sent) {
            inner.report(&row);
        }
        Ok(())
    }

    async fn failed(&mut self, number: AccountNo, row: OutboundRow, error: IlinkError) -> Result<Next, StoreError> {
        let inner = &self.outbox.inner;
        let (account, peer) = self.key;
        if error.is_stale_token() {
            tracing::warn!(%account, "a message waits for a new login: WeChat no longer accepts this one");
            return self.hold(number, HeldReason::SessionExpired, None).await;
        }
        if error.is_throttled() {
            let until = inner.store.refused(number, peer, inner.backend.settings().limits).await?;
            tracing::warn!(%account, %error, until_ms = until, "WeChat limits this bot; its messages wait");
            return self.hold(number, HeldReason::Throttled, Some(until)).await;
        }
        if error.is_transient() {
            let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
            self.failures += 1;
            tracing::warn!(%account, %error, failures = self.failures, "a message was not confirmed; sending it again");
            if now_ms() - row.created_at + wait.as_millis() as i64 >= WAIT.as_millis() as i64 {
                self.hold(number, HeldReason::Offline, None).await?;
            }
            return Ok(Next::Sleep(wait));
        }
        inner.backend.counted(account, false);
        inner.end(row.id, SendState::Failed, Some(SendError::Ilink(error))).await?;
        Ok(Next::Again)
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
        if row.parts.iter().filter(|part| !part.sent).count() > 1 {
            return Ok(true);
        }
        let waiting = self.outbox.inner.store.waiting_sends(Some(&self.key.0), Some(&self.key.1)).await?;
        Ok(waiting.iter().any(|other| other.id != row.id))
    }
}

/// Whether the process that made a claim (`pid:start time`) is no more.
fn is_gone(claimed_by: &str) -> bool {
    let Some((pid, started)) = claimed_by.split_once(':') else { return false };
    match (pid.parse(), started.parse()) {
        (Ok(pid), Ok(started)) => !crate::process::may_live(pid, started),
        _ => false,
    }
}
