//! Who is delivered what, and when.
//!
//! One task owns all lanes. At most [`WINDOW`] deliveries are in flight, one per conversation; everything else waits in
//! the database, with a bounded part of it in memory. The task never waits: not for the gateway (the window is smaller
//! than the queue to stdout), not for the database (fetches are tasks that report back).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery_id::DeliveryId;
use super::lane::{FETCH, Lane};
use super::normalize::{Draft, normalize};
use super::prepare::Preparer;
use crate::accounts::Board;
use crate::contract::{AccountId, InboundMessage};
use crate::store::{AccountNo, Fetched, Store, StoreError, TakenIn};

/// Deliveries in flight at most, over all accounts.
pub const WINDOW: usize = 64;
/// Messages that wait in memory at most, over all lanes.
const IN_MEMORY: usize = 1024;
/// How long a delivery may be acked before its attempt is written down: most acks are faster and save the write.
const COUNT_AFTER: Duration = Duration::from_millis(10);
/// How long a lane waits when the queue to stdout was full, or its backlog could not be read.
const RETRY: Duration = Duration::from_millis(250);

/// Puts a delivery on its way to the gateway without waiting. `false`: there is no room now.
pub type Deliver = Box<dyn Fn(&InboundMessage) -> bool + Send>;

type LaneKey = (AccountNo, Arc<str>);

enum Event {
    Started { account: AccountNo, id: AccountId, lanes: Vec<(String, i64)> },
    Stopped { account: AccountNo },
    Arrived { account: AccountNo, taken: TakenIn },
    Acked { keys: Vec<(AccountNo, u64)> },
    Nacked { account: AccountNo, key: u64, after: Duration },
    Fetched { lane: LaneKey, epoch: u64, result: Option<Fetched> },
    Prepared { lane: LaneKey, epoch: u64, key: u64, message: Box<InboundMessage> },
}

/// A handle on the dispatcher. Clones share it.
///
/// The channel is unbounded, but what is in it is not: arrivals are announced by monitors that wait for their commit,
/// acks and nacks by requests whose number is limited, fetches by lanes in the window.
#[derive(Clone)]
pub struct Dispatcher {
    store: Store,
    events: mpsc::UnboundedSender<Event>,
    /// Numbers of accounts that were started, so that an ack needs no query.
    numbers: Arc<RwLock<HashMap<AccountId, AccountNo>>>,
}

impl Dispatcher {
    /// Starts the dispatcher's task; it ends with `stop`.
    pub fn start(
        store: Store,
        board: Board,
        preparer: Preparer,
        deliver: Deliver,
        stop: CancellationToken,
    ) -> Dispatcher {
        let (events, inbox) = mpsc::unbounded_channel();
        let task = Task {
            store: store.clone(),
            board,
            preparer,
            deliver,
            events: events.downgrade(),
            accounts: HashMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            in_flight: HashMap::new(),
            in_memory: 0,
            timers: BTreeMap::new(),
            timer_no: 0,
            uncounted: Vec::new(),
            count_at: None,
        };
        tokio::spawn(task.run(inbox, stop));
        Dispatcher { store, events, numbers: Arc::default() }
    }

    /// Begins to deliver an account's messages, the backlog first.
    pub async fn start_account(&self, id: &AccountId, account: AccountNo) -> Result<(), StoreError> {
        let lanes = self.store.lanes(account).await?;
        self.numbers.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), account);
        let _ = self.events.send(Event::Started { account, id: id.clone(), lanes });
        Ok(())
    }

    /// Stops delivering an account's messages. What was delivered can still be acked.
    pub fn stop_account(&self, account: AccountNo) {
        self.numbers.write().unwrap_or_else(PoisonError::into_inner).retain(|_, number| *number != account);
        let _ = self.events.send(Event::Stopped { account });
    }

    /// What announces a poll's messages, to be called in the order of commits.
    pub fn announcer(&self, account: AccountNo) -> impl FnOnce(TakenIn) + Send + 'static {
        let events = self.events.clone();
        move |taken| {
            let _ = events.send(Event::Arrived { account, taken });
        }
    }

    /// Removes deliveries for good; returns how many were still there.
    pub async fn ack(&self, deliveries: &[DeliveryId]) -> Result<u64, StoreError> {
        let mut keys = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            keys.extend(self.number(&delivery.account).await?.map(|number| (number, delivery.key)));
        }
        let events = self.events.clone();
        let announced = keys.clone();
        self.store.ack(keys, move || drop(events.send(Event::Acked { keys: announced }))).await
    }

    /// Takes a delivery back; it comes again after `after`.
    pub async fn nack(&self, delivery: &DeliveryId, after: Duration) -> Result<(), StoreError> {
        if let Some(account) = self.number(&delivery.account).await? {
            let _ = self.events.send(Event::Nacked { account, key: delivery.key, after });
        }
        Ok(())
    }

    async fn number(&self, id: &AccountId) -> Result<Option<AccountNo>, StoreError> {
        let known = self.numbers.read().unwrap_or_else(PoisonError::into_inner).get(id).copied();
        match known {
            Some(number) => Ok(Some(number)),
            None => self.store.account_no(id).await,
        }
    }
}

struct Task {
    store: Store,
    board: Board,
    preparer: Preparer,
    deliver: Deliver,
    /// For fetches to report back; weak, so that the task ends when every handle is gone.
    events: mpsc::WeakUnboundedSender<Event>,
    /// Accounts that are being delivered, and which start this is: a fetch of an earlier start is ignored.
    accounts: HashMap<AccountNo, (AccountId, u64)>,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may have something to do, in turn: no account and no conversation is served twice before another.
    ready: VecDeque<LaneKey>,
    /// What the gateway has, and whose it is.
    in_flight: HashMap<(AccountNo, u64), Arc<str>>,
    /// Messages in the lanes' queues.
    in_memory: usize,
    /// Lanes that wait.
    timers: BTreeMap<(Instant, u64), LaneKey>,
    timer_no: u64,
    /// Deliveries whose attempt is not written down yet: account, key, row.
    uncounted: Vec<(AccountNo, u64, i64)>,
    count_at: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Event>, stop: CancellationToken) {
        loop {
            let wake = [self.timers.keys().next().map(|(at, _)| *at), self.count_at].into_iter().flatten().min();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = inbox.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                () = timer => self.on_time(),
            }
            // Everything that is there already is looked at before anything is delivered.
            while let Ok(event) = inbox.try_recv() {
                self.handle(event);
            }
            self.pump();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Started { account, id, lanes } => {
                self.forget(account);
                self.timer_no += 1;
                self.accounts.insert(account, (id, self.timer_no));
                for (peer, first) in lanes {
                    let key = (account, Arc::from(peer));
                    self.lanes.insert(key.clone(), Lane::in_database(first));
                    self.enqueue(&key);
                }
            }
            Event::Stopped { account } => {
                self.forget(account);
                self.accounts.remove(&account);
            }
            Event::Arrived { account, taken } => self.arrived(account, taken),
            Event::Acked { keys } => keys.into_iter().for_each(|(account, key)| self.acked(account, key)),
            Event::Nacked { account, key, after } => self.nacked(account, key, after),
            Event::Fetched { lane, epoch, result } => self.fetched(lane, epoch, result),
            Event::Prepared { lane, epoch, key, message } => self.prepared(lane, epoch, key, message),
        }
    }

    fn forget(&mut self, account: AccountNo) {
        self.lanes.retain(|(of, _), lane| {
            if *of == account {
                self.in_memory -= lane.len();
            }
            *of != account
        });
        self.in_flight.retain(|(of, _), _| *of != account);
        self.timers.retain(|_, (of, _)| *of != account);
        if let Some((id, _)) = self.accounts.get(&account) {
            self.board.update(id, |entry| entry.in_flight = 0);
        }
    }

    fn arrived(&mut self, account: AccountNo, taken: TakenIn) {
        if !self.accounts.contains_key(&account) {
            return;
        }
        for (peer, message) in taken.new {
            let key = (account, Arc::from(peer));
            let lane = self.lanes.entry(key.clone()).or_default();
            if lane.arrived(message, self.in_memory < IN_MEMORY) {
                self.in_memory += 1;
            }
            self.enqueue(&key);
        }
    }

    fn acked(&mut self, account: AccountNo, key: u64) {
        self.uncounted.retain(|(of, other, _)| (*of, *other) != (account, key));
        if let Some(peer) = self.in_flight.remove(&(account, key)) {
            self.count_in_flight(account);
            let lane_key = (account, peer);
            if let Some(lane) = self.lanes.get_mut(&lane_key) {
                lane.acked(key);
                self.settle(&lane_key);
            }
            return;
        }
        // Acked before it was delivered in this run: after a restart, or from another connection. It may be anywhere.
        let of_account: Vec<LaneKey> = self.lanes.keys().filter(|(of, _)| *of == account).cloned().collect();
        for lane_key in of_account {
            if let Some(lane) = self.lanes.get_mut(&lane_key) {
                self.in_memory -= lane.acked(key);
                self.settle(&lane_key);
            }
        }
    }

    fn nacked(&mut self, account: AccountNo, key: u64, after: Duration) {
        let Some(peer) = self.in_flight.remove(&(account, key)) else { return };
        self.count_in_flight(account);
        let lane_key = (account, peer);
        if let Some(lane) = self.lanes.get_mut(&lane_key) {
            lane.give_back(true);
            self.in_memory += 1;
            self.wait(lane_key, after);
        }
    }

    fn fetched(&mut self, key: LaneKey, epoch: u64, result: Option<Fetched>) {
        if self.accounts.get(&key.0).is_none_or(|(_, current)| *current != epoch) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match result {
            Some(fetched) => {
                self.in_memory += lane.fetched(fetched);
                self.settle(&key);
            }
            None => {
                lane.fetch_failed();
                self.wait(key, RETRY);
            }
        }
    }

    fn prepared(&mut self, key: LaneKey, epoch: u64, message_key: u64, message: Box<InboundMessage>) {
        if self.accounts.get(&key.0).is_none_or(|(_, current)| *current != epoch) {
            return;
        }
        // Acked meanwhile, it is not wanted any more.
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.prepared(message_key, message)
        {
            self.enqueue(&key);
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.stop_waiting();
                self.settle(&key);
            }
        }
        if self.count_at.is_some_and(|at| at <= now) {
            self.count_at = None;
            let ids: Vec<i64> = self.uncounted.drain(..).map(|(_, _, id)| id).collect();
            let store = self.store.clone();
            tokio::spawn(async move {
                if let Err(error) = store.mark_delivered(ids).await {
                    tracing::warn!(%error, "attempts were not counted");
                }
            });
        }
    }

    fn wait(&mut self, key: LaneKey, after: Duration) {
        self.timer_no += 1;
        self.timers.insert((Instant::now() + after, self.timer_no), key);
    }

    /// Queues a lane that has something to do, forgets one that has nothing left.
    fn settle(&mut self, key: &LaneKey) {
        if self.lanes.get(key).is_some_and(Lane::is_idle) {
            self.lanes.remove(key);
        } else {
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get_mut(key)
            && lane.is_ready()
            && !lane.queued
        {
            lane.queued = true;
            self.ready.push_back(key.clone());
        }
    }

    fn pump(&mut self) {
        while self.in_flight.len() < WINDOW {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.queued = false;
            if !lane.is_ready() {
                continue;
            }
            let Some((id, epoch)) = self.accounts.get(&key.0) else { continue };
            let (id, epoch) = (id.clone(), *epoch);
            let (message, message_key, row) = if let Some((message, next)) = lane.take_prepared() {
                (message, next.key, next.id)
            } else if let Some(next) = lane.take_next() {
                self.in_memory -= 1;
                let delivery = DeliveryId { account: id.clone(), key: next.key };
                let draft = normalize(&delivery, &key.1, next.attempt + 1, &next.wire);
                let (message_key, row) = (next.key, next.id);
                if !draft.is_whole() {
                    prepare(&self.preparer, &self.events, key, epoch, message_key, draft);
                    continue;
                }
                (Box::new(draft.message), message_key, row)
            } else {
                let after = lane.begin_fetch();
                fetch(&self.store, &self.events, key, epoch, after);
                continue;
            };
            if !(self.deliver)(&message) {
                lane.give_back(false);
                self.in_memory += 1;
                self.wait(key, RETRY);
                continue;
            }
            self.in_flight.insert((key.0, message_key), key.1.clone());
            self.uncounted.push((key.0, message_key, row));
            self.count_at.get_or_insert_with(|| Instant::now() + COUNT_AFTER);
            self.board.update(&id, |entry| {
                entry.counters.delivered += 1;
                entry.in_flight += 1;
            });
        }
    }

    fn count_in_flight(&self, account: AccountNo) {
        if let Some((id, _)) = self.accounts.get(&account) {
            self.board.update(id, |entry| entry.in_flight = entry.in_flight.saturating_sub(1));
        }
    }
}

/// Makes a message whole, and reports back.
fn prepare(
    preparer: &Preparer,
    events: &mpsc::WeakUnboundedSender<Event>,
    lane: LaneKey,
    epoch: u64,
    key: u64,
    draft: Draft,
) {
    let (preparer, events) = (preparer.clone(), events.clone());
    tokio::spawn(async move {
        let message = Box::new(preparer.prepare(lane.0, key, draft).await);
        if let Some(events) = events.upgrade() {
            let _ = events.send(Event::Prepared { lane, epoch, key, message });
        }
    });
}

fn fetch(store: &Store, events: &mpsc::WeakUnboundedSender<Event>, lane: LaneKey, epoch: u64, after: i64) {
    let (store, events) = (store.clone(), events.clone());
    tokio::spawn(async move {
        let result = match store.lane(lane.0, lane.1.to_string(), after, FETCH).await {
            Ok(fetched) => Some(fetched),
            Err(error) => {
                tracing::error!(%error, "the backlog of a conversation could not be read; trying again");
                None
            }
        };
        if let Some(events) = events.upgrade() {
            let _ = events.send(Event::Fetched { lane, epoch, result });
        }
    });
}
