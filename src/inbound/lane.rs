//! One conversation's backlog in memory. What does not fit stays in the database and is fetched when its turn comes.

use std::collections::VecDeque;

use crate::contract::InboundMessage;
use crate::store::{Fetched, Pending};

/// Messages that are fetched at once.
pub const FETCH: usize = 16;

/// A message of so many bytes may wait in memory for whom it is given back.
const SMALL: usize = 64 * 1024;
/// Messages that the gateway keeps for later, of a conversation, at most: beyond that the next one waits again.
const RELEASED_OF_A_LANE: usize = 20;

/// What messages in memory come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many.
    pub messages: usize,
    /// In bytes.
    pub bytes: usize,
}

impl Size {
    /// Of one message.
    pub fn of(message: &Pending) -> Size {
        Size { messages: 1, bytes: message.wire.len() }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Size {
    fn sub_assign(&mut self, other: Size) {
        self.messages -= other.messages;
        self.bytes -= other.bytes;
    }
}

/// A conversation with something to deliver.
#[derive(Debug, Default)]
pub struct Lane {
    /// The next messages, oldest first.
    queue: VecDeque<Pending>,
    /// What is in `queue`. What the gateway has, and what is being prepared, is bounded by itself.
    size: Size,
    /// Rows behind this one are not in memory and not with the gateway, but for those that were given back.
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
    /// What the gateway has, has not acked, and needs not be done with before the next one.
    released: Vec<Pending>,
    /// The message in flight, made whole and not delivered yet.
    prepared: Option<Box<InboundMessage>>,
    /// Whether a delay must pass first.
    waiting: bool,
    /// Whether its next message waits for others to be prepared.
    parked: bool,
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
        !self.waiting && !self.parked && (idle || self.prepared.is_some())
    }

    /// Whether its next message has to be fetched first.
    pub fn needs_fetch(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }

    /// Whether it can be forgotten.
    pub fn is_idle(&self) -> bool {
        let holds_none = self.in_flight.is_none() && self.queue.is_empty() && self.released.is_empty();
        holds_none && !self.waiting && !self.fetching && !self.spilled
    }

    /// A message was committed. With `room` it is kept in memory.
    pub fn arrived(&mut self, message: Pending, room: bool) {
        if message.id <= self.newest {
            return;
        }
        if self.fetching {
            self.late = true;
        } else if self.spilled || !room {
            self.spilled = true;
        } else {
            self.newest = message.id;
            self.put(message);
        }
    }

    /// The next message in memory; it is in flight from now on.
    pub fn take_next(&mut self) -> Option<&Pending> {
        let next = self.queue.pop_front()?;
        self.size -= Size::of(&next);
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

    /// Ends a fetch with what was read. Without `room` only the next message is kept.
    pub fn fetched(&mut self, fetched: Fetched, room: bool) {
        self.fetching = false;
        self.spilled = fetched.more || self.late;
        for message in fetched.messages {
            if message.id <= self.newest {
                continue;
            }
            let has = |other: &Pending| other.key == message.key;
            let known = self.acked_meanwhile.contains(&message.key)
                || self.queue.iter().any(has)
                || self.released.iter().any(has)
                || self.in_flight.as_ref().is_some_and(has);
            if !room && !self.queue.is_empty() && !known {
                self.spilled = true;
                break;
            }
            self.newest = message.id;
            if !known {
                self.put(message);
            }
        }
        self.acked_meanwhile.clear();
    }

    /// Ends a fetch that failed: it is tried again after a delay.
    pub fn fetch_failed(&mut self) {
        self.fetching = false;
        self.spilled = true;
        self.waiting = true;
    }

    pub fn acked(&mut self, key: u64) {
        if self.fetching {
            self.acked_meanwhile.push(key);
        }
        if self.in_flight.take_if(|message| message.key == key).is_some() {
            self.prepared = None;
            return;
        }
        if self.take_released(key).is_some() {
            return;
        }
        if let Some(at) = self.queue.iter().position(|message| message.key == key)
            && let Some(message) = self.queue.remove(at)
        {
            self.size -= Size::of(&message);
        }
    }

    /// Takes a message back that the gateway has, or kept for later: it comes again before what is behind it and was not delivered
    /// yet, with one more attempt behind it where this one is `counted`. It waits.
    pub fn give_back(&mut self, key: u64, counted: bool) {
        let in_flight = self.in_flight.take_if(|message| message.key == key);
        let Some(mut message) = in_flight.or_else(|| self.take_released(key)) else { return };
        message.attempt += u32::from(counted);
        self.put(message);
        self.waiting = true;
    }

    fn take_released(&mut self, key: u64) -> Option<Pending> {
        let at = self.released.iter().position(|message| message.key == key)?;
        Some(self.released.remove(at))
    }

    /// Puts a message where its turn is: those that are given back come in any order.
    fn put(&mut self, message: Pending) {
        self.size += Size::of(&message);
        let at = self.queue.partition_point(|other| other.id < message.id);
        self.queue.insert(at, message);
    }

    /// The gateway keeps the message in flight for later: the next one may come. Returns whether it may.
    pub fn release(&mut self, key: u64) -> bool {
        let fits = self.released.len() < RELEASED_OF_A_LANE;
        let released = self.in_flight.take_if(|message| fits && message.key == key);
        self.released.extend(released);
        self.in_flight.is_none()
    }

    /// Takes the message in flight back, with all behind it, to the database: it is read again when its turn comes.
    pub fn park(&mut self) {
        if let Some(message) = self.in_flight.take() {
            self.put(message);
        }
        self.spill(0);
        self.parked = true;
    }

    /// It may go on.
    pub fn unpark(&mut self) {
        self.parked = false;
    }

    /// Leaves what is behind the message in flight in the database.
    pub fn spill_queue(&mut self) {
        self.spill(0);
    }

    /// Leaves what is behind the next message in the database, and a large one too.
    pub fn spill_behind_next(&mut self) {
        let is_small = self.queue.front().is_some_and(|next| next.wire.len() <= SMALL);
        self.spill(usize::from(is_small));
    }

    fn spill(&mut self, keep: usize) {
        // While a fetch is under way its result counts on what is here.
        if self.fetching {
            return;
        }
        while self.queue.len() > keep
            && let Some(message) = self.queue.pop_back()
        {
            self.size -= Size::of(&message);
            self.newest = self.newest.min(message.id - 1);
            self.spilled = true;
        }
    }

    /// The delay is over.
    pub fn stop_waiting(&mut self) {
        self.waiting = false;
    }

    /// What it holds in memory.
    pub fn size(&self) -> Size {
        self.size
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
        lane.fetched(Fetched { messages: vec![message(1), message(2), message(3)], more: false }, true);
        lane.arrived(message(3), true);
        assert_eq!(drain(&mut lane), [1, 2, 3]);
        // It was late, so the lane looks once more, and finds nothing.
        assert!(lane.is_ready());
        lane.begin_fetch();
        lane.fetched(Fetched { messages: vec![], more: false }, true);
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
        lane.fetched(Fetched { messages: vec![message(2), message(3)], more: false }, true);
        assert_eq!(drain(&mut lane), [2, 3]);
        assert!(lane.is_idle());
    }

    #[test]
    fn a_message_acked_while_it_is_fetched_does_not_come_again() {
        let mut lane = Lane::in_database(1);
        lane.begin_fetch();
        lane.acked(10);
        lane.fetched(Fetched { messages: vec![message(1), message(2)], more: false }, true);
        assert_eq!(drain(&mut lane), [2]);
    }

    #[test]
    fn without_room_only_the_next_message_is_kept_and_the_others_come_again() {
        let mut lane = Lane::in_database(1);
        lane.begin_fetch();
        lane.fetched(Fetched { messages: vec![message(1), message(2), message(3)], more: false }, false);
        assert_eq!(lane.size().messages, 1);
        assert_eq!(drain(&mut lane), [1]);
        assert_eq!(lane.begin_fetch(), 1);
        lane.fetched(Fetched { messages: vec![message(2), message(3)], more: false }, true);
        assert_eq!(drain(&mut lane), [2, 3]);
        assert_eq!((lane.is_idle(), lane.size()), (true, Size::default()));
    }

    #[test]
    fn a_parked_lane_holds_nothing_and_loses_nothing() {
        let mut lane = Lane::default();
        (1..=3).for_each(|id| lane.arrived(message(id), true));
        lane.take_next();
        lane.park();
        lane.arrived(message(4), true);
        assert_eq!((lane.size(), lane.is_ready()), (Size::default(), false));
        lane.unpark();
        assert!(lane.is_ready() && lane.needs_fetch());
        assert_eq!(lane.begin_fetch(), 0);
        lane.fetched(Fetched { messages: (1..=4).map(message).collect(), more: false }, true);
        assert_eq!(drain(&mut lane), [1, 2, 3, 4]);
    }

    #[test]
    fn a_released_message_lets_the_next_one_come_and_is_neither_lost_nor_doubled() {
        let mut lane = Lane::default();
        (1..=3).for_each(|id| lane.arrived(message(id), true));
        lane.take_next();
        assert!(lane.release(10) && lane.is_ready());
        assert_eq!(lane.take_next().unwrap().id, 2);
        // Given back behind it, it is the next one; what is fetched anew holds it and the one in flight too.
        lane.give_back(10, true);
        lane.spill_queue();
        lane.stop_waiting();
        lane.acked(20);
        assert_eq!(lane.begin_fetch(), 0);
        lane.fetched(Fetched { messages: (1..=3).map(message).collect(), more: false }, true);
        assert_eq!(drain(&mut lane), [1, 2, 3]);
        assert!(lane.is_idle() && lane.size() == Size::default());
    }

    #[test]
    fn what_is_fetched_leaves_out_what_the_gateway_has() {
        let mut lane = Lane::default();
        (1..=4).for_each(|id| lane.arrived(message(id), true));
        lane.take_next();
        lane.release(10);
        lane.take_next();
        lane.release(20);
        lane.take_next();
        lane.give_back(10, true);
        lane.spill_queue();
        lane.stop_waiting();
        lane.release(30);
        assert!(lane.needs_fetch());
        lane.begin_fetch();
        lane.fetched(Fetched { messages: (1..=4).map(message).collect(), more: false }, true);
        assert_eq!(drain(&mut lane), [1, 4]);
        lane.acked(20);
        lane.acked(30);
        assert!(lane.is_idle());
    }

    #[test]
    fn released_messages_that_are_given_back_together_all_come_again_in_order() {
        for count in 1..=RELEASED_OF_A_LANE as i64 {
            for ascending in [true, false] {
                let mut lane = Lane::default();
                (1..=count + 2).for_each(|id| lane.arrived(message(id), true));
                for _ in 0..count {
                    let key = lane.take_next().unwrap().key;
                    assert!(lane.release(key));
                }
                let mut keys: Vec<u64> = (1..=count as u64).map(|id| id * 10).collect();
                if !ascending {
                    keys.reverse();
                }
                for key in keys {
                    lane.give_back(key, true);
                    lane.spill_behind_next();
                }
                lane.stop_waiting();
                let mut came = Vec::new();
                while !lane.is_idle() {
                    if lane.needs_fetch() {
                        let after = lane.begin_fetch();
                        let messages = (after + 1..=count + 2).filter(|id| !came.contains(id)).map(message).collect();
                        lane.fetched(Fetched { messages, more: false }, true);
                    }
                    came.extend(drain(&mut lane));
                }
                assert_eq!(came, (1..=count + 2).collect::<Vec<_>>(), "{count} {ascending}");
                assert_eq!(lane.size(), Size::default());
            }
        }
    }

    #[test]
    fn only_so_many_are_released() {
        let mut lane = Lane::default();
        (1..=RELEASED_OF_A_LANE as i64 + 2).for_each(|id| lane.arrived(message(id), true));
        let mut released = 0;
        while let Some(next) = lane.take_next().map(|next| next.key) {
            if !lane.release(next) {
                break;
            }
            released += 1;
        }
        assert_eq!((released, lane.is_ready()), (RELEASED_OF_A_LANE, false));
        lane.acked(10);
        assert!(lane.release((RELEASED_OF_A_LANE as u64 + 1) * 10) && lane.is_ready());
    }

    #[test]
    fn a_message_given_back_is_the_next_one_again() {
        let mut lane = Lane::default();
        lane.arrived(message(1), true);
        lane.arrived(message(2), true);
        lane.take_next();
        lane.give_back(10, true);
        assert!(!lane.is_ready());
        lane.stop_waiting();
        let again = lane.take_next().unwrap();
        assert_eq!((again.id, again.attempt), (1, 1));
    }
}
