//! Who waits for a conversation's sends, answered by what becomes of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::callers::{Callers, Command};
use super::core::{ConversationKey, Core, queue_id, update_of};
use super::outcome::{SendError, Sent, Unanswered};
use crate::store::{HoldReason, OutboundRow, SendState, StoreError};
use crate::supervise::lock;

/// How long a caller waits, for pacing or for a retry, before it is told that the send is held.
pub(super) const WAIT: Duration = Duration::from_secs(15);

/// A conversation, as both of its halves see it: the one that sends, and the one that answers callers meanwhile.
pub(super) struct Desk<'a> {
    /// What all conversations share.
    pub core: &'a Core,
    /// Which conversation it is.
    pub key: &'a ConversationKey,
    callers: Mutex<Callers>,
    sender: mpsc::WeakUnboundedSender<Command>,
    /// The send whose file is on its way to the media host; 0: none.
    uploading: AtomicI64,
    /// Whether nothing is to be sent, as far as it is known here.
    rests: AtomicBool,
    /// Whether the network was asked and has not answered since, or has failed.
    unanswered: AtomicBool,
}

impl<'a> Desk<'a> {
    /// Nobody waits yet. `sender` leads to the conversation.
    pub fn new(core: &'a Core, key: &'a ConversationKey, sender: mpsc::WeakUnboundedSender<Command>) -> Desk<'a> {
        let (uploading, rests, unanswered) = (AtomicI64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Desk { core, key, callers: Mutex::default(), sender, uploading, rests, unanswered }
    }

    /// Whether nobody waits for anything.
    pub fn is_idle(&self) -> bool {
        lock(&self.callers).is_empty()
    }

    /// The network is being asked or has failed (true), or has answered (false): it decides what a caller who has waited long
    /// enough is told.
    pub fn set_network_unanswered(&self, unanswered: bool) {
        self.unanswered.store(unanswered, Ordering::Relaxed);
    }

    /// A send's file is on its way to the media host while `work` runs: its callers wait as long as it moves.
    pub async fn uploading<T>(&self, id: i64, work: impl Future<Output = T>) -> T {
        /// Also when a panic ends the work: nothing moves then.
        struct Moving<'a>(&'a AtomicI64);
        impl Drop for Moving<'_> {
            fn drop(&mut self) {
                self.0.store(0, Ordering::Relaxed);
            }
        }
        self.uploading.store(id, Ordering::Relaxed);
        let _moving = Moving(&self.uploading);
        work.await
    }

    /// Nothing is to be sent any more, or something may be again.
    pub fn set_rests(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Whether somebody has to learn first that a send is held.
    pub fn any_unanswered(&self) -> bool {
        lock(&self.callers).any_unanswered()
    }

    /// All of a send was taken: tells who waits, or who was told that it is held.
    pub fn taken(&self, row: &OutboundRow) {
        if !lock(&self.callers).resolve(row.id, |_| Ok(Sent::Taken(row.clone()))) {
            self.tell_end(row);
        }
    }

    /// Ends a waiting send that will not be sent, and tells who waits, or who was told that it is held.
    pub async fn end(&self, id: i64, state: SendState, why: SendError) -> Result<(), StoreError> {
        if let Some(row) = self.core.store.end_send(id, state, Some(why.to_string())).await? {
            self.core.drop_files(&row);
            self.ended(&row, &why);
        }
        Ok(())
    }

    /// Tells who waits for these that they are held.
    pub async fn held(&self, ids: Vec<i64>, reason: HoldReason) -> Result<(), StoreError> {
        for id in ids {
            if lock(&self.callers).waits(id) {
                let now = self.core.store.find_send(id).await?;
                self.answer(id, now.as_ref(), reason);
            }
        }
        Ok(())
    }

    /// Tells who waits for these extras that they are given up.
    pub fn dropped(&self, ids: Vec<i64>) {
        for id in ids {
            lock(&self.callers).resolve(id, |_| Ok(Sent::Dropped));
        }
    }

    fn ended(&self, row: &OutboundRow, why: &SendError) {
        if !lock(&self.callers).resolve(row.id, |_| Err(why.clone())) {
            self.tell_end(row);
        }
    }

    /// Tells who was told that a send is held how it ended; first they must have learned that it is.
    fn tell_end(&self, row: &OutboundRow) {
        let told = update_of(row).and_then(|update| lock(&self.callers).may_tell(update, row.id));
        told.into_iter().for_each(|update| self.core.context.ended(update));
    }

    /// Answers who waits for a send by what its row says; `reason`: why it is held, where the row does not say.
    fn answer(&self, id: i64, now: Option<&OutboundRow>, reason: HoldReason) {
        lock(&self.callers).resolve(id, |before| {
            let row = now.cloned().unwrap_or(before);
            match row.state {
                SendState::Pending => {
                    let reason = row.held.unwrap_or(reason);
                    tracing::info!(account = %self.key.0, queue_id = queue_id(id), ?reason, "a send is held");
                    let sender = self.sender.clone();
                    let unanswered = Unanswered::new(move || {
                        if let Some(sender) = sender.upgrade() {
                            let _ = sender.send(Command::Answered { id });
                        }
                    });
                    Ok(Sent::Held(row, reason, unanswered))
                }
                SendState::Cancelled if row.extra => Ok(Sent::Dropped),
                _ => Sent::of_ended(row),
            }
        });
    }

    /// Does what the conversation is told. Returns whether there may be something new to send.
    pub async fn handle(&self, command: Command) -> bool {
        match command {
            Command::Look => true,
            // Where something waits for its time, it looks after itself.
            Command::Adopt => self.rests.load(Ordering::Relaxed),
            Command::Wait(caller) => {
                let id = caller.row.id;
                lock(&self.callers).wait(caller);
                // It may have ended since its row was read: nobody would say so.
                self.answer_if_ended(id).await;
                true
            }
            Command::Ended { row, why } => {
                self.ended(&row, &why);
                // The next one is sent when its time comes: the network is asked no earlier because this one is gone.
                false
            }
            Command::Answered { id } => {
                let update = lock(&self.callers).answered(id);
                update.into_iter().for_each(|update| self.core.context.ended(update));
                false
            }
        }
    }

    async fn answer_if_ended(&self, id: i64) {
        if let Ok(Some(row)) = self.core.store.find_send(id).await
            && row.state != SendState::Pending
        {
            self.answer(id, Some(&row), HoldReason::Throttled);
        }
    }

    /// Answers who waits for something that has ended, by another process perhaps.
    pub async fn answer_ended(&self) {
        let ids = lock(&self.callers).waited_for();
        for id in ids {
            self.answer_if_ended(id).await;
        }
    }

    /// When the first caller has waited long enough.
    pub fn first_deadline(&self) -> Option<Instant> {
        lock(&self.callers).first_deadline()
    }

    /// Tells who has waited long enough that the send is held; not while its file moves: a large one takes its time.
    pub async fn answer_overdue(&self) {
        let now = Instant::now();
        let overdue = lock(&self.callers).overdue(now);
        for id in overdue {
            if self.uploading.load(Ordering::Relaxed) == id {
                lock(&self.callers).extend(id, now + WAIT);
                continue;
            }
            let reason =
                if self.unanswered.load(Ordering::Relaxed) { HoldReason::Offline } else { HoldReason::Throttled };
            // Held only if it still waits: what ended meanwhile has ended, and nobody will say so later.
            let held = async {
                self.core.store.hold_send(id, reason).await?;
                self.core.store.find_send(id).await
            };
            match held.await {
                Ok(row) => self.answer(id, row.as_ref(), reason),
                Err(error) => {
                    lock(&self.callers).resolve(id, |_| Err(error.clone().into()));
                }
            }
        }
    }
}
