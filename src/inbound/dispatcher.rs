//! Who is delivered what, and when.
//!
//! One task owns all lanes. At most [`WINDOW`] deliveries are in flight, one per conversation; everything else waits in
//! the database, with a bounded part of it in memory, by number and by bytes: what waits, what is being prepared, and what the
//! gateway has. The task never waits: not for the gateway (the window is smaller than the queue to stdout), not for the
//! database or the media host (fetches and preparations are tasks that report back, however they end).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery_id::DeliveryId;
use super::inlet::{Announce, Inlet};
use super::lane::{FETCH, Lane, Size};
use super::normalize::{Draft, normalize};
use super::prepare::Preparer;
use crate::accounts::StatusRegistry;
use crate::contract::{AccountId, InboundMessage};
use crate::events::{self, Events};
use crate::store::{AccountNo, Fetched, Ingested, Store, StoreError};
use crate::supervise::caught;

/// Deliveries in flight at most, over all accounts.
pub const WINDOW: usize = 64;
/// What is in memory at most, over all lanes. One message more for each lane at work may come on top.
const IN_MEMORY: Size = Size { messages: 1024, bytes: 16 << 20 };
/// What is prepared at once at most. Beyond it a message that needs it waits in the database; others of the same account and of
/// other people go on.
const PREPARING: Size = Size { messages: 256, bytes: 16 << 20 };
/// Deliveries that the gateway keeps for later at most, over all accounts.
const RELEASED_IN_ALL: usize = 256;
const RELEASED_BYTES: usize = 16 << 20;
/// Bytes that the gateway has and has not acked, at most; a single message may be larger.
const UNACKED: usize = 32 << 20;
/// Backlogs that are read at once, and bytes that are read of one.
const FETCHES: usize = 8;
const FETCH_BYTES: usize = 256 * 1024;
/// How long a delivery may be acked before its attempt is written down: most acks are faster and save the write.
const COUNT_AFTER: Duration = Duration::from_millis(10);
/// How long a lane waits when the queue to stdout was full, or its backlog could not be read.
const RETRY: Duration = Duration::from_millis(250);

type LaneKey = (AccountNo, Arc<str>);

enum Event {
    Started { account: AccountNo, id: AccountId, lanes: Vec<(String, i64)> },
    Stopped { account: AccountNo },
    Arrived { account: AccountNo, taken: Ingested },
    Acked { keys: Vec<(AccountNo, u64)> },
    Nacked { account: AccountNo, key: u64, after: Duration },
    Released { account: AccountNo, key: u64 },
    Room,
    Fetched { lane: LaneKey, epoch: u64, result: Option<Fetched> },
    Prepared { lane: LaneKey, epoch: u64, key: u64, size: Size, message: Box<InboundMessage> },
}

/// What the dispatcher asks of the rest of the program.
pub struct Outlet {
    /// The way to the gateway.
    pub events: Events,
    /// Called when the dispatcher is broken by a defect: nothing would be delivered any more.
    pub broken: Box<dyn FnOnce() + Send>,
    /// Whether media are fetched only when the gateway asks for them; may change.
    pub defer_media: Arc<AtomicBool>,
    /// Only what was routed to this backend of the hub; everything where there is none.
    pub backend: Option<Arc<str>>,
}

/// A handle on the dispatcher. Clones share it.
///
/// The channel is unbounded, but what is in it is not: arrivals are announced by monitors that wait for their commit,
/// acks and nacks by requests whose number is limited, fetches by lanes in the window.
#[derive(Clone)]
pub struct Dispatcher {
    store: Store,
    events: mpsc::UnboundedSender<Event>,
    /// Only what was routed to it, where there is one.
    backend: Option<Arc<str>>,
    /// Numbers of accounts that were started, so that an ack needs no query.
    numbers: Arc<RwLock<HashMap<AccountId, AccountNo>>>,
}

impl Dispatcher {
    /// Starts the dispatcher's task; it ends with `stop`.
    pub fn start(
        store: Store,
        registry: StatusRegistry,
        preparer: Preparer,
        outlet: Outlet,
        stop: CancellationToken,
    ) -> Dispatcher {
        let (events, inbox) = mpsc::unbounded_channel();
        let Outlet { events: gateway, broken, defer_media, backend } = outlet;
        let task = Task {
            store: store.clone(),
            registry,
            preparer,
            gateway,
            defer_media,
            backend: backend.clone(),
            events: events.downgrade(),
            accounts: HashMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            in_flight: HashMap::new(),
            released: HashMap::new(),
            released_bytes: 0,
            to_release: Vec::new(),
            in_memory: Size::default(),
            unacked: 0,
            preparing: Size::default(),
            parked: VecDeque::new(),
            fetching: 0,
            hungry: VecDeque::new(),
            timers: BTreeMap::new(),
            timer_no: 0,
            refused: Vec::new(),
            uncounted: Vec::new(),
            count_at: None,
        };
        tokio::spawn(async move {
            if caught("the dispatcher", task.run(inbox, stop)).await.is_none() {
                tracing::error!("nothing would be delivered any more; ending, so that the gateway starts anew");
                broken();
            }
        });
        Dispatcher { store, events, backend, numbers: Arc::default() }
    }

    /// Begins to deliver an account's messages, the backlog first.
    pub async fn start_account(&self, id: &AccountId, account: AccountNo) -> Result<(), StoreError> {
        let lanes = self.store.lanes(account, self.backend.clone()).await?;
        self.numbers.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), account);
        let _ = self.events.send(Event::Started { account, id: id.clone(), lanes });
        Ok(())
    }

    /// Stops delivering an account's messages. What was delivered can still be acked.
    pub fn stop_account(&self, account: AccountNo) {
        self.numbers.write().unwrap_or_else(PoisonError::into_inner).retain(|_, number| *number != account);
        let _ = self.events.send(Event::Stopped { account });
    }

    /// Messages were committed; to be called in the order of commits.
    pub fn arrived(&self, account: AccountNo, taken: Ingested) {
        let _ = self.events.send(Event::Arrived { account, taken });
    }

    /// Removes deliveries for good; returns how many were still there.
    pub async fn ack(&self, deliveries: &[DeliveryId]) -> Result<u64, StoreError> {
        let mut keys = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            keys.extend(self.number(&delivery.account).await?.map(|number| (number, delivery.key)));
        }
        let events = self.events.clone();
        let announced = keys.clone();
        self.store.ack(keys, self.backend.clone(), move || drop(events.send(Event::Acked { keys: announced }))).await
    }

    /// There is room again for messages that nobody took.
    pub fn has_room(&self) {
        let _ = self.events.send(Event::Room);
    }

    /// Deliveries were acked by way of the database.
    pub fn acked_elsewhere(&self, keys: Vec<(AccountNo, u64)>) {
        if !keys.is_empty() {
            let _ = self.events.send(Event::Acked { keys });
        }
    }

    /// Takes a delivery back; it comes again after `after`.
    pub async fn nack(&self, delivery: &DeliveryId, after: Duration) -> Result<(), StoreError> {
        if let Some(account) = self.number(&delivery.account).await? {
            let _ = self.events.send(Event::Nacked { account, key: delivery.key, after });
        }
        Ok(())
    }

    /// The gateway keeps a delivery for later: it stays unacked, and the next one of its conversation may come.
    pub async fn release(&self, delivery: &DeliveryId) -> Result<(), StoreError> {
        if let Some(account) = self.number(&delivery.account).await? {
            let _ = self.events.send(Event::Released { account, key: delivery.key });
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

impl Inlet for Dispatcher {
    fn start_account<'a>(&'a self, id: &'a AccountId, account: AccountNo) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Dispatcher::start_account(self, id, account))
    }

    fn stop_account(&self, account: AccountNo) {
        Dispatcher::stop_account(self, account);
    }

    fn announcer(&self, account: AccountNo) -> Announce {
        let dispatcher = self.clone();
        Box::new(move |taken| dispatcher.arrived(account, taken))
    }
}

struct Task {
    store: Store,
    registry: StatusRegistry,
    preparer: Preparer,
    gateway: Events,
    defer_media: Arc<AtomicBool>,
    backend: Option<Arc<str>>,
    /// For fetches to report back; weak, so that the task ends when every handle is gone.
    events: mpsc::WeakUnboundedSender<Event>,
    /// Accounts that are being delivered, and which start this is: a fetch of an earlier start is ignored.
    accounts: HashMap<AccountNo, (AccountId, u64)>,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may have something to do, in turn: no account and no conversation is served twice before another.
    ready: VecDeque<LaneKey>,
    /// What the gateway has, whose it is, and how many bytes.
    in_flight: HashMap<(AccountNo, u64), (Arc<str>, usize)>,
    /// What the gateway keeps for later.
    released: HashMap<(AccountNo, u64), (Arc<str>, usize)>,
    /// How many bytes that is.
    released_bytes: usize,
    /// Deliveries that the gateway would keep for later when there is room for that.
    to_release: Vec<(AccountNo, u64)>,
    /// What the lanes hold.
    in_memory: Size,
    /// Bytes that the gateway has.
    unacked: usize,
    /// What is being prepared; also what was when its account was stopped, until it is.
    preparing: Size,
    /// Lanes whose next message waits to be prepared.
    parked: VecDeque<LaneKey>,
    /// Backlogs that are being read.
    fetching: usize,
    /// Lanes whose backlog waits to be read.
    hungry: VecDeque<LaneKey>,
    /// Lanes that wait. A map and not a `DelayQueue`, because those of an account that is stopped go all at once.
    timers: BTreeMap<(Instant, u64), LaneKey>,
    timer_no: u64,
    /// Those of them whose message nobody took.
    refused: Vec<(Instant, u64)>,
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
            if !self.hungry.is_empty() && (self.has_room(0) || self.is_at_rest()) {
                self.feed();
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
            Event::Released { account, key } => self.release(account, key),
            Event::Room => self.retry_refused(),
            Event::Fetched { lane, epoch, result } => self.fetched(lane, epoch, result),
            Event::Prepared { lane, epoch, key, size, message } => {
                self.preparing -= size;
                self.prepared(lane, epoch, key, message);
                self.unpark();
            }
        }
    }

    fn forget(&mut self, account: AccountNo) {
        self.lanes.retain(|(of, _), lane| {
            if *of == account {
                self.in_memory -= lane.size();
            }
            *of != account
        });
        let mut forgotten = 0;
        self.in_flight.retain(|(of, _), (_, bytes)| {
            if *of == account {
                self.unacked -= *bytes;
                forgotten += 1;
            }
            *of != account
        });
        self.released.retain(|(of, _), (_, bytes)| {
            if *of == account {
                self.released_bytes -= *bytes;
            }
            *of != account
        });
        self.to_release.retain(|(of, _)| *of != account);
        self.timers.retain(|_, (of, _)| *of != account);
        self.parked.retain(|(of, _)| *of != account);
        self.hungry.retain(|(of, _)| *of != account);
        if let Some((id, _)) = self.accounts.get(&account) {
            // Other dispatchers may have some of the same account.
            self.registry.update(id, |entry| entry.in_flight = entry.in_flight.saturating_sub(forgotten));
        }
    }

    /// Changes a lane, and keeps count of what is in memory.
    fn edit<T>(&mut self, key: &LaneKey, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(key)?;
        self.in_memory -= lane.size();
        let changed = change(lane);
        self.in_memory += lane.size();
        Some(changed)
    }

    /// Whether more may be held in memory.
    fn has_room(&self, more: usize) -> bool {
        self.in_memory.messages < IN_MEMORY.messages && self.in_memory.bytes + more <= IN_MEMORY.bytes
    }

    fn arrived(&mut self, account: AccountNo, taken: Ingested) {
        if !self.accounts.contains_key(&account) {
            return;
        }
        for (peer, message) in taken.new {
            let key = (account, Arc::from(peer));
            self.lanes.entry(key.clone()).or_default();
            let room = self.has_room(message.wire.len());
            self.edit(&key, |lane| lane.arrived(message, room));
            self.enqueue(&key);
        }
    }

    /// The gateway no longer has a delivery. Returns whose it is.
    fn taken_back(&mut self, account: AccountNo, key: u64) -> Option<LaneKey> {
        self.to_release.retain(|other| *other != (account, key));
        if let Some((peer, bytes)) = self.in_flight.remove(&(account, key)) {
            self.unacked -= bytes;
            self.count_in_flight(account);
            return Some((account, peer));
        }
        let (peer, bytes) = self.released.remove(&(account, key))?;
        self.released_bytes -= bytes;
        Some((account, peer))
    }

    fn acked(&mut self, account: AccountNo, key: u64) {
        self.uncounted.retain(|(of, other, _)| (*of, *other) != (account, key));
        let lanes = match self.taken_back(account, key) {
            Some(lane_key) => vec![lane_key],
            // Acked before it was delivered in this run: after a restart, or from another connection. It may be anywhere.
            None => self.lanes.keys().filter(|(of, _)| *of == account).cloned().collect(),
        };
        for lane_key in lanes {
            self.edit(&lane_key, |lane| lane.acked(key));
            self.settle(&lane_key);
        }
        self.release_more();
    }

    fn nacked(&mut self, account: AccountNo, key: u64, after: Duration) {
        let Some(lane_key) = self.taken_back(account, key) else { return };
        let back = self.edit(&lane_key, |lane| {
            lane.give_back(key, true);
            if after > RETRY {
                // Who is waited for does not fill the memory.
                lane.spill_behind_next();
            }
        });
        if back.is_some() {
            self.wait(lane_key, after);
        }
        self.release_more();
    }

    fn release(&mut self, account: AccountNo, key: u64) {
        let Some((peer, bytes)) = self.in_flight.get(&(account, key)).cloned() else { return };
        let lane_key = (account, peer);
        let fits = self.released.len() < RELEASED_IN_ALL && self.released_bytes + bytes <= RELEASED_BYTES;
        if fits && self.edit(&lane_key, |lane| lane.release(key)) == Some(true) {
            self.in_flight.remove(&(account, key));
            self.unacked -= bytes;
            self.count_in_flight(account);
            self.released_bytes += bytes;
            self.released.insert((account, key), (lane_key.1.clone(), bytes));
            self.settle(&lane_key);
        } else if !self.to_release.contains(&(account, key)) {
            // At most as many as are in flight; each is looked at again when one goes.
            self.to_release.push((account, key));
        }
    }

    /// There is room for what the gateway would keep for later.
    fn release_more(&mut self) {
        for (account, key) in std::mem::take(&mut self.to_release) {
            self.release(account, key);
        }
    }

    fn fetched(&mut self, key: LaneKey, epoch: u64, result: Option<Fetched>) {
        self.fetching -= 1;
        if self.accounts.get(&key.0).is_some_and(|(_, current)| *current == epoch) {
            let room =
                self.has_room(result.as_ref().map_or(0, |found| found.messages.iter().map(|m| m.wire.len()).sum()));
            let done = self.edit(&key, |lane| match result {
                Some(fetched) => {
                    lane.fetched(fetched, room);
                    true
                }
                None => {
                    lane.fetch_failed();
                    false
                }
            });
            match done {
                Some(true) => self.settle(&key),
                Some(false) => drop(self.wait(key, RETRY)),
                None => {}
            }
        }
        self.feed();
    }

    /// Lets lanes read their backlog whose turn it is.
    fn feed(&mut self) {
        let waiting = std::mem::take(&mut self.hungry);
        waiting.iter().for_each(|key| self.enqueue(key));
    }

    fn prepared(&mut self, key: LaneKey, epoch: u64, message_key: u64, message: Box<InboundMessage>) {
        if self.accounts.get(&key.0).is_none_or(|(_, current)| *current != epoch) {
            return;
        }
        // Acked meanwhile, it is not wanted any more.
        if self.edit(&key, |lane| lane.prepared(message_key, message)) == Some(true) {
            self.enqueue(&key);
        }
    }

    /// Whether one more message may be prepared.
    fn may_prepare(&self, size: Size) -> bool {
        self.preparing.messages == 0
            || (self.preparing.messages < PREPARING.messages && self.preparing.bytes + size.bytes <= PREPARING.bytes)
    }

    /// Lets the next lanes go on whose message waits to be prepared.
    fn unpark(&mut self) {
        let free = PREPARING.messages.saturating_sub(self.preparing.messages);
        for key in self.parked.drain(..free.min(self.parked.len())).collect::<Vec<_>>() {
            self.edit(&key, Lane::unpark);
            self.enqueue(&key);
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        self.refused.retain(|(at, _)| *at > now);
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            if self.edit(&key, Lane::stop_waiting).is_some() {
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

    fn wait(&mut self, key: LaneKey, after: Duration) -> (Instant, u64) {
        self.timer_no += 1;
        let timer = (Instant::now() + after, self.timer_no);
        self.timers.insert(timer, key);
        timer
    }

    /// Somebody takes messages now that nobody took before.
    fn retry_refused(&mut self) {
        for timer in std::mem::take(&mut self.refused) {
            // Most have passed by themselves.
            if let Some(key) = self.timers.remove(&timer)
                && self.edit(&key, Lane::stop_waiting).is_some()
            {
                self.settle(&key);
            }
        }
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
        while self.in_flight.len() < WINDOW && (self.unacked < UNACKED || self.in_flight.is_empty()) {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.queued = false;
            if !lane.is_ready() {
                continue;
            }
            let Some((id, epoch)) = self.accounts.get(&key.0) else { continue };
            let (id, epoch) = (id.clone(), *epoch);
            if lane.needs_fetch() {
                self.fetch(key, epoch);
                continue;
            }
            let next = match lane.take_prepared() {
                Some((message, next)) => Some((message, next.key, next.id, next.wire.len())),
                None => self.take_next(&key, &id, epoch),
            };
            // It is being prepared, or waits for that.
            let Some((message, message_key, row, bytes)) = next else { continue };
            if !self.gateway.emit(events::Event::Message(&message)) {
                self.edit(&key, |lane| lane.give_back(message_key, false));
                let timer = self.wait(key, RETRY);
                self.refused.push(timer);
                continue;
            }
            self.unacked += bytes;
            self.in_flight.insert((key.0, message_key), (key.1.clone(), bytes));
            self.uncounted.push((key.0, message_key, row));
            self.count_at.get_or_insert_with(|| Instant::now() + COUNT_AFTER);
            self.registry.update(&id, |entry| {
                entry.counters.delivered += 1;
                entry.in_flight += 1;
            });
        }
    }

    /// The next message of a lane, with its key, its row and its bytes, if nothing is missing of it; else it is prepared.
    fn take_next(
        &mut self,
        key: &LaneKey,
        id: &AccountId,
        epoch: u64,
    ) -> Option<(Box<InboundMessage>, u64, i64, usize)> {
        let lane = self.lanes.get_mut(key)?;
        let before = lane.size();
        let next = lane.take_next()?;
        let (message_key, row, size) = (next.key, next.id, Size::of(next));
        let delivery = DeliveryId { account: id.clone(), key: next.key };
        let mut draft = read(&delivery, &key.1, next.attempt + 1, &next.wire);
        self.in_memory -= before;
        self.in_memory += lane.size();
        if self.defer_media.load(Relaxed) {
            draft.defer();
        }
        if draft.is_whole() {
            return Some((Box::new(draft.message), message_key, row, size.bytes));
        }
        if !self.may_prepare(size) {
            self.edit(key, Lane::park);
            self.parked.push_back(key.clone());
            return None;
        }
        self.preparing += size;
        if !self.has_room(IN_MEMORY.bytes / 2) {
            // Whoever waits long does not fill the memory.
            self.edit(key, Lane::spill_queue);
        }
        prepare(&self.preparer, &self.events, key.clone(), epoch, (message_key, size), draft);
        None
    }

    /// Whether nothing is under way that will make room.
    fn is_at_rest(&self) -> bool {
        self.fetching == 0 && self.in_flight.is_empty() && self.preparing.messages == 0
    }

    /// Reads a lane's backlog, when there is room for it.
    fn fetch(&mut self, key: LaneKey, epoch: u64) {
        if self.fetching >= FETCHES || !(self.has_room(0) || self.is_at_rest()) {
            self.hungry.push_back(key);
            return;
        }
        let Some(after) = self.edit(&key, Lane::begin_fetch) else { return };
        self.fetching += 1;
        fetch(&self.store, &self.events, key, epoch, self.backend.clone(), after);
    }

    fn count_in_flight(&self, account: AccountNo) {
        if let Some((id, _)) = self.accounts.get(&account) {
            self.registry.update(id, |entry| entry.in_flight = entry.in_flight.saturating_sub(1));
        }
    }
}

/// Reads a message. One that breaks the reader is told as such: it must not come again and again.
fn read(delivery: &DeliveryId, peer: &str, attempt: u32, wire: &str) -> Draft {
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| normalize(delivery, peer, attempt, wire)));
    read.unwrap_or_else(|_| {
        tracing::error!(%delivery, "a message could not be read, by a defect");
        Draft::unreadable(delivery, peer, attempt)
    })
}

/// Makes a message whole, and reports back.
fn prepare(
    preparer: &Preparer,
    events: &mpsc::WeakUnboundedSender<Event>,
    lane: LaneKey,
    epoch: u64,
    (key, size): (u64, Size),
    draft: Draft,
) {
    let (preparer, events) = (preparer.clone(), events.clone());
    tokio::spawn(async move {
        let mut bare = draft.message.clone();
        let prepared = caught("the files of a message", preparer.prepare(lane.0, key, draft)).await;
        let message = prepared.unwrap_or_else(|| {
            tracing::error!(message_id = bare.message_id, "the message comes without its files");
            for part in bare.parts.iter_mut().filter(|part| part.text.is_none() && part.error.is_none()) {
                part.error = Some("it could not be fetched, by a defect of the sidecar; its log says more".to_owned());
            }
            bare
        });
        if let Some(events) = events.upgrade() {
            let _ = events.send(Event::Prepared { lane, epoch, key, size, message: Box::new(message) });
        }
    });
}

fn fetch(
    store: &Store,
    events: &mpsc::WeakUnboundedSender<Event>,
    lane: LaneKey,
    epoch: u64,
    backend: Option<Arc<str>>,
    after: i64,
) {
    let (store, events) = (store.clone(), events.clone());
    tokio::spawn(async move {
        let result = match store.lane(lane.0, lane.1.to_string(), backend, after, (FETCH, FETCH_BYTES)).await {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;
    use crate::inbound::ingest::read_message;
    use crate::media::{Library, Space};

    type Broken = oneshot::Receiver<()>;

    /// A dispatcher that is told of one message.
    async fn told(
        message: serde_json::Value,
        deliver: impl Fn(&InboundMessage) -> bool + Send + Sync + 'static,
    ) -> (Dispatcher, Broken, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let library = Library::new(dir.path().to_owned());
        let preparer =
            Preparer::new(store.clone(), library.clone(), Space::new(library), Arc::new(|| panic!("a defect")));
        let (say, broken) = oneshot::channel();
        let events = Events::new(move |event| matches!(event, events::Event::Message(message) if deliver(message)));
        let outlet = Outlet {
            events,
            broken: Box::new(move || say.send(()).unwrap()),
            defer_media: Arc::default(),
            backend: None,
        };
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher::start(store.clone(), StatusRegistry::new(|_| {}), preparer, outlet, stop);
        let id = AccountId::normalize("bot");
        let account = store.get_or_create_account(&id).await.unwrap().no;
        let message = read_message(&message.to_string(), false).unwrap();
        store.ingest(account, None, vec![message], |_| {}).await.unwrap();
        dispatcher.start_account(&id, account).await.unwrap();
        (dispatcher, broken, dir)
    }

    #[tokio::test]
    async fn a_dispatcher_that_breaks_says_so() {
        let item = json!({ "type": 1, "text_item": { "text": "hello" } });
        let message = json!({ "message_id": 1, "from_user_id": "ann", "item_list": [item] });
        let (_dispatcher, broken, _dir) = told(message, |_| panic!("a defect")).await;
        tokio::time::timeout(Duration::from_secs(10), broken).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_message_whose_preparation_breaks_comes_without_its_files() {
        let media = json!({ "encrypt_query_param": "x", "encrypt_type": 0 });
        let message = json!({
            "message_id": 1,
            "from_user_id": "ann",
            "item_list": [{ "type": 2, "image_item": { "media": media } }],
        });
        let (say, said) = oneshot::channel();
        let say = Mutex::new(Some(say));
        let (_dispatcher, _, _dir) = told(message, move |message| {
            let say = say.lock().unwrap().take();
            say.is_none_or(|say| say.send(message.clone()).is_ok())
        })
        .await;
        let message = tokio::time::timeout(Duration::from_secs(10), said).await.unwrap().unwrap();
        assert!(message.parts[0].error.as_deref().unwrap().contains("a defect of the sidecar"), "{message:?}");
    }
}
