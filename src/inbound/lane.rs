//! One conversation's backlog in memory. What does not fit stays in the database and is fetched when its turn comes.

use std::collections::VecDeque;

use crate::contract::InboundMessage;
use crate::store::{Fetched, Pending};

/// Messages that are fetched at once.
pub const FETCH: usize = 16;

/// A conversation with something to deliver.
#[derive(Debug, Default)]
pub struct Lane {
    /// The next messages, oldest first.
    queue: VecDeque<Pending>,
    /// The newest row that was ever in `queue`; older ones are never taken again.
    newest: i64,
    /// Whether the database has messages behind `queue`.
    spilled: bool,
    /// Whether they are being fetched.
    fetching: bool,
    /// Whether more arrived while they were.
    late: bool,
    /// Keys acked while fetching: what is fetched may hold them still.
    acked_meanwhile: Vec<u64>,
    /// What the gateway has and has not acked, or what is being prepared for it.
    in_flight: Option<Pending>,
    /// The message in flight, made whole and not delivered yet.
    prepared: Option<Box<InboundMessage>>,
    /// Whether a delay must pass first.
    waiting: bool,
    /// Whether the dispatcher has it in its queue.
    pub queued: bool,
}

impl Lane {
    /// A lane whose backlog is all in the database, from row `first` on.
    pub fn in_database(first: i64) -> Lane {
        Lane { newest: first - 1, spilled: true, ..Lane::default() }
    }

    /// Whether something can be done for it now: deliver, or fetch.
    pub fn is_ready(&self) -> bool {
        let idle = self.in_flight.is_none() && !self.fetching && (self.spilled || !self.queue.is_empty());
        !self.waiting && (idle || self.prepared.is_some())
    }

    /// Whether it can be forgotten.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && !self.waiting && !self.fetching && !self.spilled && self.queue.is_empty()
    }

    /// A message was committed. With `room` it is kept in memory; returns whether it was.
    pub fn arrived(&mut self, message: Pending, room: bool) -> bool {
        if message.id <= self.newest {
            return false;
        }
        if self.fetching {
            self.late = true;
            return false;
        }
        if self.spilled || !room {
            self.spilled = true;
            return false;
        }
        self.newest = message.id;
        self.queue.push_back(message);
        true
    }

    /// The next message in memory; it is in flight from now on.
    pub fn take_next(&mut self) -> Option<&Pending> {
        let next = self.queue.pop_front()?;
        Some(&*self.in_flight.insert(next))
    }

    /// The message in flight has been made whole. Returns whether it is still wanted.
    pub fn prepared(&mut self, key: u64, message: Box<InboundMessage>) -> bool {
        let wanted = self.in_flight.as_ref().is_some_and(|pending| pending.key == key);
        if wanted {
            self.prepared = Some(message);
        }
        wanted
    }

    /// The message in flight, if it waits to be delivered.
    pub fn take_prepared(&mut self) -> Option<(Box<InboundMessage>, &Pending)> {
        let pending = self.in_flight.as_ref()?;
        Some((self.prepared.take()?, pending))
    }

    /// Begins a fetch: returns the row behind which to read.
    pub fn begin_fetch(&mut self) -> i64 {
        self.fetching = true;
        self.late = false;
        self.acked_meanwhile.clear();
        self.newest
    }

    /// Ends a fetch with what was read. Returns how many messages were added.
    pub fn fetched(&mut self, fetched: Fetched) -> usize {
        self.fetching = false;
        self.spilled = fetched.more || self.late;
        let before = self.queue.len();
        for message in fetched.messages {
            if message.id > self.newest {
                self.newest = message.id;
                if !self.acked_meanwhile.contains(&message.key) {
                    self.queue.push_back(message);
                }
            }
        }
        self.acked_meanwhile.clear();
        self.queue.len() - before
    }

    /// Ends a fetch that failed: it is tried again after a delay.
    pub fn fetch_failed(&mut self) {
        self.fetching = false;
        self.spilled = true;
        self.waiting = true;
    }

    /// An ack. Returns how many messages left the memory queue because of it.
    pub fn acked(&mut self, key: u64) -> usize {
        if self.in_flight.as_ref().is_some_and(|message| message.key == key) {
            self.in_flight = None;
            self.prepared = None;
            return 0;
        }
        if self.fetching {
            self.acked_meanwhile.push(key);
        }
        let before = self.queue.len();
        self.queue.retain(|message| message.key != key);
        before - self.queue.len()
    }

    /// Takes the message in flight back: it is the next one again, with one more attempt behind it. It waits.
    pub fn give_back(&mut self, counted: bool) {
        if let Some(mut message) = self.in_flight.take() {
            message.attempt += u32::from(counted);
            self.queue.push_front(message);
            self.waiting = true;
        }
    }

    /// The delay is over.
    pub fn stop_waiting(&mut self) {
        self.waiting = false;
    }

    /// How many messages it holds in memory, beside the one in flight.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i64) -> Pending {
        Pending { id, key: id as u64 * 10, attempt: 0, wire: String::new() }
    }

    fn drain(lane: &mut Lane) -> Vec<i64> {
        let mut ids = Vec::new();
        while let Some(next) = lane.take_next() {
            let (id, key) = (next.id, next.key);
            ids.push(id);
            lane.acked(key);
        }
        ids
    }

    #[test]
    fn a_message_that_arrives_during_a_fetch_is_neither_lost_nor_doubled() {
        let mut lane = Lane::in_database(1);
        assert_eq!(lane.begin_fetch(), 0);
        // Row 3 was committed before the fetch read, but its announcement comes later.
        lane.arrived(message(3), true);
        lane.fetched(Fetched { messages: vec![message(1), message(2), message(3)], more: false });
        lane.arrived(message(3), true);
        assert_eq!(drain(&mut lane), [1, 2, 3]);
        // It was late, so the lane looks once more, and finds nothing.
        assert!(lane.is_ready());
        lane.begin_fetch();
        lane.fetched(Fetched { messages: vec![], more: false });
        assert!(lane.is_idle());
    }

    #[test]
    fn what_does_not_fit_is_fetched_in_order() {
        let mut lane = Lane::default();
        lane.arrived(message(1), true);
        lane.arrived(message(2), false);
        lane.arrived(message(3), true);
        assert_eq!(drain(&mut lane), [1]);
        assert_eq!(lane.begin_fetch(), 1);
        lane.fetched(Fetched { messages: vec![message(2), message(3)], more: false });
        assert_eq!(drain(&mut lane), [2, 3]);
        assert!(lane.is_idle());
    }

    #[test]
    fn a_message_acked_while_it_is_fetched_does_not_come_again() {
        let mut lane = Lane::in_database(1);
        lane.begin_fetch();
        lane.acked(10);
        lane.fetched(Fetched { messages: vec![message(1), message(2)], more: false });
        assert_eq!(drain(&mut lane), [2]);
    }

    #[test]
    fn a_message_given_back_is_the_next_one_again() {
        let mut lane = Lane::default();
        lane.arrived(message(1), true);
        lane.arrived(message(2), true);
        lane.take_next();
        lane.give_back(true);
        assert!(!lane.is_ready());
        lane.stop_waiting();
        let again = lane.take_next().unwrap();
        assert_eq!((again.id, again.attempt), (1, 1));
    }
}
