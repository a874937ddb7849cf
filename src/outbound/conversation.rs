//! A conversation's sending: a task that owns what is sent next and who waits for it.
//!
//! It runs as long as something is to be sent, somebody waits, or somebody has to learn that a send is held before anybody is
//! told of its end. Nothing that must not be lost is only here: what is to be sent is on disk.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::callers::{Callers, Command};
use super::core::{ConversationKey, Core, lock, update_of};
use super::outcome::{SendError, Sent, Unanswered};
use super::sending::{Next, Sending};
use crate::store::{HoldReason, OutboundRow, SendState, StoreError};
use crate::supervise::{Rests, caught};

/// How long a caller waits, for pacing or for a retry, before it is told that the send is held.
pub(super) const WAIT: Duration = Duration::from_secs(15);

/// What a conversation is told.
pub(super) struct Mailbox {
    commands: mpsc::UnboundedReceiver<Command>,
    /// For those who are to tell it something later.
    sender: mpsc::WeakUnboundedSender<Command>,
}

impl Mailbox {
    /// An empty one, and the way into it.
    pub fn new() -> (mpsc::UnboundedSender<Command>, Mailbox) {
        let (sender, commands) = mpsc::unbounded_channel();
        let weak = sender.downgrade();
        (sender, Mailbox { commands, sender: weak })
    }
}

/// Sends what waits in a conversation, and answers who waits for it. When there is nothing to do, `leave` is asked whether
/// the task may end: not where it was told something meanwhile, which the given question says.
pub(super) async fn run(
    core: Arc<Core>,
    key: ConversationKey,
    mailbox: Mailbox,
    leave: impl Fn(&mut (dyn FnMut() -> bool + Send)) -> bool,
) {
    let Mailbox { mut commands, sender } = mailbox;
    let desk = Desk::new(&core, &key, sender);
    let (mut sending, mut rests) = (Sending::new(&desk), Rests::begin());
    loop {
        let step = caught("a conversation's outbox", sending.step());
        let (next, looks) = desk.answer_during(&mut commands, step).await;
        let next = next.unwrap_or_else(|| {
            sending = Sending::new(&desk);
            Next::Sleep(rests.after_panic())
        });
        let until = match next {
            _ if core.stop.is_cancelled() => break,
            Next::Again => continue,
            Next::Sleep(time) => Some(Instant::now() + time),
            Next::Rest => None,
        };
        if until.is_none() {
            desk.network(false);
            desk.answer_ended().await;
        }
        let mut looks = looks;
        while !looks {
            if until.is_none() && leave(&mut || commands.is_empty() && desk.is_idle()) {
                return;
            }
            tokio::select! {
                () = core.stop.cancelled() => break,
                Some(command) = commands.recv() => looks = desk.handle(command).await,
                () = at(desk.first_deadline()) => desk.answer_overdue().await,
                () = at(until) => looks = true,
            }
        }
    }
    leave(&mut || true);
}

/// Returns at that time; never, where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

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
    /// Whether the network is asked, or has failed and will be asked again.
    asks: AtomicBool,
}

impl<'a> Desk<'a> {
    fn new(core: &'a Core, key: &'a ConversationKey, sender: mpsc::WeakUnboundedSender<Command>) -> Desk<'a> {
        let (uploading, asks) = (AtomicI64::new(0), AtomicBool::new(false));
        Desk { core, key, callers: Mutex::default(), sender, uploading, asks }
    }

    fn is_idle(&self) -> bool {
        lock(&self.callers).is_empty()
    }

    /// The network is asked, or has answered.
    pub fn network(&self, asks: bool) {
        self.asks.store(asks, Ordering::Relaxed);
    }

    /// A send's file is on its way to the media host while `work` runs: its callers wait as long as it moves.
    pub async fn uploading<T>(&self, id: i64, work: impl Future<Output = T>) -> T {
        self.uploading.store(id, Ordering::Relaxed);
        let done = work.await;
        self.uploading.store(0, Ordering::Relaxed);
        done
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
                    let unanswered = match self.sender.upgrade() {
                        Some(sender) => Unanswered::of(id, sender),
                        None => Unanswered::at_the_end(id),
                    };
                    Ok(Sent::Held(row, reason, unanswered))
                }
                SendState::Cancelled if row.extra => Ok(Sent::Dropped),
                _ => Sent::of_ended(row),
            }
        });
    }

    /// Does what the conversation is told. Returns whether there may be something new to send.
    async fn handle(&self, command: Command) -> bool {
        match command {
            Command::Look => true,
            Command::Wait(caller) => {
                let id = caller.row.id;
                lock(&self.callers).wait(caller);
                // It may have ended since its row was read: nobody would say so.
                self.answer_if_ended(id).await;
                true
            }
            Command::Ended { row, why } => {
                self.ended(&row, &why);
                true
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
    async fn answer_ended(&self) {
        let ids = lock(&self.callers).waited_for();
        for id in ids {
            self.answer_if_ended(id).await;
        }
    }

    fn first_deadline(&self) -> Option<Instant> {
        lock(&self.callers).first_deadline()
    }

    /// Tells who has waited long enough that the send is held; not while its file moves: a large one takes its time.
    async fn answer_overdue(&self) {
        let now = Instant::now();
        let overdue = lock(&self.callers).overdue(now);
        for id in overdue {
            if self.uploading.load(Ordering::Relaxed) == id {
                lock(&self.callers).extend(id, now + WAIT);
                continue;
            }
            let reason = if self.asks.load(Ordering::Relaxed) { HoldReason::Offline } else { HoldReason::Throttled };
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

    /// Does `work`, and meanwhile what the conversation is told. Returns also whether there may be something new to send.
    async fn answer_during<T>(
        &self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        work: impl Future<Output = T>,
    ) -> (T, bool) {
        let mut work = std::pin::pin!(work);
        let mut looks = false;
        loop {
            tokio::select! {
                done = &mut work => {
                    while let Ok(command) = commands.try_recv() {
                        looks |= self.handle(command).await;
                    }
                    return (done, looks);
                }
                Some(command) = commands.recv() => looks |= self.handle(command).await,
                () = at(self.first_deadline()) => self.answer_overdue().await,
            }
        }
    }
}
