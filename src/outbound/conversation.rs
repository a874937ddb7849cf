//! A conversation's sending: a task that owns what is sent next and who waits for it.
//!
//! It runs as long as something is to be sent, somebody waits, or somebody has to learn that a send is held before anybody is
//! told of its end. Nothing that must not be lost is only here: what is to be sent is on disk.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::callers::Command;
use super::core::{ConversationKey, Core};
use super::desk::Desk;
use super::sending::{Next, Sending};
use crate::supervise::{Rests, caught};

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
        let (next, looks) = answer_during(&desk, &mut commands, step).await;
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

/// Does `work`, and meanwhile what the conversation is told. Returns also whether there may be something new to send.
async fn answer_during<T>(
    desk: &Desk<'_>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let mut work = std::pin::pin!(work);
    let mut looks = false;
    loop {
        tokio::select! {
            done = &mut work => {
                while let Ok(command) = commands.try_recv() {
                    looks |= desk.handle(command).await;
                }
                return (done, looks);
            }
            Some(command) = commands.recv() => looks |= desk.handle(command).await,
            () = at(desk.first_deadline()) => desk.answer_overdue().await,
        }
    }
}
