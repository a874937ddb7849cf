//! Who waits for the sends of one conversation, and who was told that one is held and has not passed that on yet.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outcome::{SendError, Sent};
use crate::contract::OutboundUpdate;
use crate::store::OutboundRow;

/// What a conversation is told from outside.
pub(super) enum Command {
    /// Something may have changed: a send was accepted, the person wrote, there is a new login.
    Look,
    /// Another process may have left something.
    Adopt,
    /// Somebody waits for a send.
    Wait(Caller),
    /// A send was ended from outside: cancelled, or given up.
    Ended { row: OutboundRow, why: SendError },
    /// One of those who were told that a send is held has passed that on.
    Answered { id: i64 },
}

/// Somebody who waits for a send.
pub(super) struct Caller {
    /// The send, as it was when they began to wait.
    pub row: OutboundRow,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Sent, SendError>>,
    /// Until when they wait.
    pub until: Instant,
}

/// The callers of one conversation.
#[derive(Default)]
pub(super) struct Callers {
    sends: HashMap<i64, Interest>,
}

/// Who is interested in one send.
#[derive(Default)]
struct Interest {
    waiting: Vec<Caller>,
    /// How many were told that it is held, and have not passed that on.
    unanswered: usize,
    /// What is told of its end when they all have.
    update: Option<OutboundUpdate>,
}

impl Callers {
    pub fn wait(&mut self, caller: Caller) {
        self.sends.entry(caller.row.id).or_default().waiting.push(caller);
    }

    /// The sends that somebody waits for.
    pub fn waited_for(&self) -> Vec<i64> {
        self.sends.iter().filter(|(_, interest)| !interest.waiting.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Whether somebody waits for this one.
    pub fn waits(&self, id: i64) -> bool {
        self.sends.get(&id).is_some_and(|interest| !interest.waiting.is_empty())
    }

    /// When the first of them has waited long enough.
    pub fn first_deadline(&self) -> Option<Instant> {
        self.sends.values().flat_map(|interest| &interest.waiting).map(|caller| caller.until).min()
    }

    /// The sends that somebody has waited for long enough. Who does not wait any more is forgotten.
    pub fn overdue(&mut self, now: Instant) -> Vec<i64> {
        self.sends.values_mut().for_each(|interest| interest.waiting.retain(|caller| !caller.reply.is_closed()));
        self.sends.retain(|_, interest| !interest.waiting.is_empty() || interest.unanswered > 0);
        let overdue = |interest: &Interest| interest.waiting.iter().any(|caller| caller.until <= now);
        self.sends.iter().filter(|(_, interest)| overdue(interest)).map(|(id, _)| *id).collect()
    }

    /// Whoever waits for this send waits until then.
    pub fn extend(&mut self, id: i64, until: Instant) {
        let waiting = self.sends.get_mut(&id).map(|interest| &mut interest.waiting);
        waiting.into_iter().flatten().for_each(|caller| caller.until = until);
    }

    /// Gives everybody who waits for a send what `answer` makes for them. Returns whether anybody has taken it.
    pub fn resolve(&mut self, id: i64, mut answer: impl FnMut(OutboundRow) -> Result<Sent, SendError>) -> bool {
        let Some(interest) = self.sends.get_mut(&id) else { return false };
        let callers = std::mem::take(&mut interest.waiting);
        // All of them are told, not only until one listens.
        let mut taken = false;
        for Caller { row, reply, .. } in callers {
            if reply.is_closed() {
                continue;
            }
            let answer = answer(row);
            interest.unanswered += usize::from(matches!(answer, Ok(Sent::Held(..))));
            // Where it is not taken its guard is dropped, and counted as passed on.
            taken |= reply.send(answer).is_ok();
        }
        self.forget(id);
        taken
    }

    /// What is to be told of a send's end now; `None`: somebody has to learn first that it is held.
    pub fn may_tell(&mut self, update: OutboundUpdate, id: i64) -> Option<OutboundUpdate> {
        match self.sends.get_mut(&id) {
            Some(interest) if interest.unanswered > 0 => {
                interest.update = Some(update);
                None
            }
            _ => Some(update),
        }
    }

    /// One of those who were told that a send is held has passed that on. Returns what is to be told now.
    pub fn answered(&mut self, id: i64) -> Option<OutboundUpdate> {
        let interest = self.sends.get_mut(&id)?;
        interest.unanswered = interest.unanswered.saturating_sub(1);
        let update = if interest.unanswered == 0 { interest.update.take() } else { None };
        self.forget(id);
        update
    }

    /// Whether somebody has to learn first that a send is held.
    pub fn any_unanswered(&self) -> bool {
        self.sends.values().any(|interest| interest.unanswered > 0)
    }

    /// Whether nobody is interested in any send.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    fn forget(&mut self, id: i64) {
        if self.sends.get(&id).is_some_and(|interest| interest.waiting.is_empty() && interest.unanswered == 0) {
            self.sends.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::outcome::Unanswered;
    use super::*;
    use crate::contract::UpdateStatus;
    use crate::store::{AccountNo, HoldReason, SendState};

    fn row(id: i64) -> OutboundRow {
        OutboundRow {
            id,
            account: AccountNo(1),
            account_id: "bot".to_owned(),
            peer: "ann".to_owned(),
            state: SendState::Pending,
            held: None,
            error: None,
            run_id: None,
            created_at: 0,
            extra: false,
            whole: None,
            parts: Vec::new(),
        }
    }

    fn caller(id: i64) -> (Caller, oneshot::Receiver<Result<Sent, SendError>>) {
        let (reply, answer) = oneshot::channel();
        (Caller { row: row(id), reply, until: Instant::now() }, answer)
    }

    fn update() -> OutboundUpdate {
        OutboundUpdate {
            queue_id: "q1".to_owned(),
            account_id: None,
            to: None,
            client_ids: Vec::new(),
            status: UpdateStatus::Sent,
            message_ids: None,
            text: None,
            error: None,
        }
    }

    fn unanswered(tell: &mpsc::UnboundedSender<Command>) -> Unanswered {
        let tell = tell.clone();
        Unanswered::new(move || drop(tell.send(Command::Answered { id: 1 })))
    }

    #[test]
    fn all_who_wait_for_a_send_are_answered_and_then_nobody_is_interested_in_it() {
        let mut callers = Callers::default();
        let (one, mut first) = caller(1);
        let (two, mut second) = caller(1);
        let (other, _waits) = caller(2);
        for caller in [one, two, other] {
            callers.wait(caller);
        }
        assert!(callers.resolve(1, |row| Ok(Sent::Taken(row))));
        assert!(matches!(first.try_recv(), Ok(Ok(Sent::Taken(row))) if row.id == 1));
        assert!(matches!(second.try_recv(), Ok(Ok(Sent::Taken(_)))));
        assert_eq!(callers.waited_for(), [2]);
        assert!(!callers.resolve(1, |row| Ok(Sent::Taken(row))), "nobody waits any more");
    }

    #[test]
    fn the_end_of_a_held_send_is_told_when_the_last_who_was_told_of_the_hold_has_passed_that_on() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut callers = Callers::default();
        let (one, mut first) = caller(1);
        let (two, mut second) = caller(1);
        callers.wait(one);
        callers.wait(two);
        assert!(callers.resolve(1, |row| Ok(Sent::Held(row, HoldReason::Quota, unanswered(&tell)))));
        assert!(callers.may_tell(update(), 1).is_none(), "nobody knows yet that it is held");
        for (answer, is_last) in [(&mut first, false), (&mut second, true)] {
            drop(answer.try_recv().unwrap());
            assert!(matches!(told.try_recv(), Ok(Command::Answered { id: 1 })));
            assert_eq!(callers.answered(1).is_some(), is_last);
        }
        assert!(callers.is_empty());
        assert!(callers.may_tell(update(), 1).is_some());
    }

    #[test]
    fn who_does_not_wait_any_more_is_not_answered_and_keeps_nothing_back() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut callers = Callers::default();
        let (gone, answer) = caller(1);
        callers.wait(gone);
        drop(answer);
        assert!(!callers.resolve(1, |row| Ok(Sent::Held(row, HoldReason::Quota, unanswered(&tell)))));
        assert!(told.try_recv().is_err());
        assert!(callers.is_empty());
        let (gone, answer) = caller(2);
        callers.wait(gone);
        drop(answer);
        assert!(callers.overdue(Instant::now()).is_empty());
        assert!(callers.is_empty());
    }
}
