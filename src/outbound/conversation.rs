//! A conversation's sending: a task that owns what is sent next and who waits for it.
//!
//! It runs as long as it has something to send now or at a time that it knows, somebody waits, or somebody has to learn that a
//! send is held before anybody is told of its end. Nothing that must not be lost is only here: what is to be sent is on disk.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::callers::Command;
use super::core::{ConversationKey, Core};
use super::desk::Desk;
use super::sending::{Next, Sending};
use crate::supervise::{Rests, caught};

/// How long the end of the process waits for those who pass on that a send is held.
const LAST_UPDATES: Duration = Duration::from_millis(500);

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
    'conversation: loop {
        desk.set_rests(false);
        let step = caught("a conversation's outbox", sending.step());
        let (next, mut looks) = answer_during(&desk, &mut commands, step).await;
        if core.stop.is_cancelled() {
            break;
        }
        let broken = next.is_none();
        let until = match next {
            Some(Next::Again) => continue,
            Some(Next::Sleep(time)) => Some(Instant::now() + time),
            Some(Next::Rest) => None,
            None => {
                sending = Sending::new(&desk);
                Some(Instant::now() + rests.after_panic())
            }
        };
        if until.is_none() {
            desk.set_network_unanswered(false);
            desk.set_rests(true);
            desk.answer_ended().await;
        }
        // What broke is not begun again earlier because somebody asks for it.
        while !looks || broken {
            if until.is_none() && leave(&mut || commands.is_empty() && desk.is_idle()) {
                return;
            }
            tokio::select! {
                () = core.stop.cancelled() => break 'conversation,
                Some(command) = commands.recv() => looks = desk.handle(command).await,
                () = at(desk.first_deadline()) => desk.answer_overdue().await,
                () = at(until) => break,
            }
        }
    }
    // Who was told that a send is held passes that on within moments; then its end is told, if there is one.
    let last = async {
        while desk.any_unanswered()
            && let Some(command) = commands.recv().await
        {
            desk.handle(command).await;
        }
    };
    let _ = tokio::time::timeout(LAST_UPDATES, last).await;
    leave(&mut || true);
}

/// Returns at that time; never, where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Does `work`, and meanwhile what the conversation is told: neither waits for the other. Returns also whether there may be
/// something new to send.
async fn answer_during<T>(
    desk: &Desk<'_>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let mut work = std::pin::pin!(work);
    let mut handling: OptionFuture<BoxFuture<'_, bool>> = None.into();
    let (mut looks, mut is_handling) = (false, false);
    loop {
        tokio::select! {
            done = &mut work => {
                looks |= handling.await.unwrap_or(false);
                while let Ok(command) = commands.try_recv() {
                    looks |= desk.handle(command).await;
                }
                return (done, looks);
            }
            Some(look) = &mut handling, if is_handling => {
                (looks, is_handling) = (looks | look, false);
                handling = None.into();
            }
            Some(command) = commands.recv(), if !is_handling => {
                handling = Some(Box::pin(desk.handle(command)) as BoxFuture<'_, bool>).into();
                is_handling = true;
            }
            () = at(desk.first_deadline()), if !is_handling => {
                let overdue = async {
                    desk.answer_overdue().await;
                    false
                };
                handling = Some(Box::pin(overdue) as BoxFuture<'_, bool>).into();
                is_handling = true;
            }
        }
    }
}
