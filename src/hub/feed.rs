//! One backend's deliveries, and who takes them: its connections, its pulls, its webhook. What one of them had and did not ack
//! when it went comes again, to whoever is there.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::Scope;
use super::router::Command;
use crate::contract::{ContractError, InboundMessage};
use crate::events::{Event, Events};
use crate::inbound::{DeliveryId, Dispatcher, Outlet};
use crate::service::{Deliveries, Intake};
use crate::supervise::lock;

/// Messages that one pull takes at most.
const PULL_AT_MOST: usize = 100;
/// How long a pull waits at least: what is in the database comes through the dispatcher.
const PULL_AT_LEAST: Duration = Duration::from_millis(50);
/// How long a pull waits for more once it has one.
const PULL_GATHER: Duration = Duration::from_millis(5);
/// How long a backend that pulls counts as there after its last pull.
const PULL_LINGER: Duration = Duration::from_secs(60);

/// Who takes a backend's messages.
enum Taker {
    /// A connection, or a webhook; `false`: not now. Must not block.
    Direct(Box<dyn Fn(&InboundMessage) -> bool + Send + Sync>),
    /// Whoever pulls.
    Pulls,
}

struct Consumer {
    id: u64,
    accounts: Scope,
    taker: Taker,
}

/// A pull that waits for messages.
struct Pull {
    id: u64,
    accounts: Scope,
    max: usize,
    got: Vec<InboundMessage>,
    first: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Consumers {
    list: VecDeque<Consumer>,
    pulls: VecDeque<Pull>,
    /// Who has a delivery: a consumer, or a pull.
    holders: HashMap<String, u64>,
    /// Of the pulls that are there, or were a short while ago.
    pulling: Option<(Attached, Instant)>,
}

/// One backend's deliveries.
pub struct Feed {
    pub name: Arc<str>,
    /// What is done with a delivery.
    pub deliveries: Deliveries,
    consumers: Arc<Mutex<Consumers>>,
    defer: Arc<AtomicBool>,
    commands: mpsc::UnboundedSender<Command>,
    /// Changes with every message that is routed to it; for those who look into the inbox themselves.
    arrived: watch::Sender<u64>,
    next_id: AtomicU64,
    /// When somebody was last there, for alerts.
    seen: Mutex<Option<Instant>>,
}

/// Somebody who takes a backend's messages, until this is dropped.
pub struct Attached {
    feed: Weak<Feed>,
    id: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            feed.detach(self.id);
        }
    }
}

impl Feed {
    /// Of the backend of this name; nobody takes its messages yet.
    pub fn new(
        name: &str,
        intake: &Intake,
        commands: mpsc::UnboundedSender<Command>,
        end: Arc<dyn Fn() + Send + Sync>,
        stop: CancellationToken,
    ) -> Arc<Feed> {
        let name: Arc<str> = name.into();
        let consumers: Arc<Mutex<Consumers>> = Arc::default();
        let defer: Arc<AtomicBool> = Arc::default();
        let takers = consumers.clone();
        let events = Events::new(move |event| matches!(event, Event::Message(message) if hand_out(&takers, message)));
        let (store, preparer) = (intake.store.clone(), intake.preparer.clone());
        let outlet =
            Outlet { events, broken: Box::new(move || end()), defer_media: defer.clone(), backend: Some(name.clone()) };
        let dispatcher = Dispatcher::start(store.clone(), intake.registry.clone(), preparer.clone(), outlet, stop);
        let deliveries = Deliveries { dispatcher, preparer, store, backend: Some(name.clone()) };
        let (arrived, next_id, seen) = (watch::Sender::new(0), AtomicU64::new(1), Mutex::default());
        Arc::new(Feed { name, deliveries, consumers, defer, commands, arrived, next_id, seen })
    }

    /// Whether media are fetched only when it asks for them. All its connections share that.
    pub fn set_defer(&self, defer: bool) {
        self.defer.store(defer, Relaxed);
    }

    /// Somebody takes messages of `accounts` from now on.
    pub fn attach(
        self: &Arc<Self>,
        accounts: Scope,
        take: impl Fn(&InboundMessage) -> bool + Send + Sync + 'static,
    ) -> Attached {
        let id = self.next_id.fetch_add(1, Relaxed);
        lock(&self.consumers).list.push_back(Consumer { id, accounts, taker: Taker::Direct(Box::new(take)) });
        let _ = self.commands.send(Command::Attached(self.name.clone()));
        self.was_seen();
        Attached { feed: Arc::downgrade(self), id }
    }

    fn detach(&self, id: u64) {
        let (left, nobody) = {
            let mut consumers = lock(&self.consumers);
            consumers.list.retain(|consumer| consumer.id != id);
            let left: Vec<String> =
                consumers.holders.iter().filter(|(_, holder)| **holder == id).map(|(key, _)| key.clone()).collect();
            consumers.holders.retain(|_, holder| *holder != id);
            (left, consumers.list.is_empty())
        };
        self.was_seen();
        self.give_back(left);
        if nobody {
            let _ = self.commands.send(Command::Detached(self.name.clone()));
        }
    }

    /// What nobody has any more comes again at once.
    fn give_back(&self, deliveries: Vec<String>) {
        let dispatcher = self.deliveries.dispatcher.clone();
        if deliveries.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for id in deliveries.iter().filter_map(|id| DeliveryId::parse(id)) {
                if let Err(error) = dispatcher.nack(&id, Duration::ZERO).await {
                    tracing::warn!(%error, "a delivery was not given back; it comes again after a restart");
                }
            }
        });
    }

    /// Deliveries are done with.
    pub async fn ack(&self, ids: &[DeliveryId]) -> Result<u64, ContractError> {
        let acked = self.deliveries.ack(ids).await?;
        let mut consumers = lock(&self.consumers);
        for id in ids {
            consumers.holders.remove(&id.to_string());
        }
        Ok(acked)
    }

    /// A delivery comes again after a while.
    pub async fn nack(&self, id: &DeliveryId, after: Duration) -> Result<(), ContractError> {
        lock(&self.consumers).holders.remove(&id.to_string());
        self.deliveries.nack(id, after).await
    }

    /// Waits `wait` at most for messages of `accounts`; what is not acked within `lease` comes again. Dropped before it is done, it
    /// gives back what it got.
    pub async fn pull(
        self: &Arc<Self>,
        accounts: Scope,
        max: usize,
        wait: Duration,
        lease: Duration,
    ) -> Vec<InboundMessage> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let (first, has_one) = oneshot::channel();
        self.is_pulling();
        let max = max.clamp(1, PULL_AT_MOST);
        let pull = Pull { id, accounts, max, got: Vec::new(), first: Some(first) };
        lock(&self.consumers).pulls.push_back(pull);
        self.deliveries.dispatcher.has_room();
        let waiting = PullGuard { feed: self, id };
        if tokio::time::timeout(wait.max(PULL_AT_LEAST), has_one).await.is_ok() {
            tokio::time::sleep(PULL_GATHER).await;
        }
        let got = self.end_pull(id);
        std::mem::forget(waiting);
        self.expire(id, &got, lease);
        self.is_pulling();
        got
    }

    fn end_pull(&self, id: u64) -> Vec<InboundMessage> {
        let mut consumers = lock(&self.consumers);
        let at = consumers.pulls.iter().position(|pull| pull.id == id);
        at.and_then(|at| consumers.pulls.remove(at)).map(|pull| pull.got).unwrap_or_default()
    }

    /// Takes back what a pull got and nobody acks.
    fn expire(self: &Arc<Self>, id: u64, got: &[InboundMessage], lease: Duration) {
        let ids: Vec<String> = got.iter().map(|message| message.delivery_id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let feed = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(lease).await;
            let Some(feed) = feed.upgrade() else { return };
            let left = {
                let mut consumers = lock(&feed.consumers);
                let left: Vec<String> = ids.into_iter().filter(|key| consumers.holders.get(key) == Some(&id)).collect();
                for key in &left {
                    consumers.holders.remove(key);
                }
                left
            };
            feed.give_back(left);
        });
    }

    /// A backend that pulls is there between two pulls too.
    fn is_pulling(self: &Arc<Self>) {
        self.was_seen();
        let until = Instant::now() + PULL_LINGER;
        {
            // Decided and written down at once: an `Attached` that is dropped takes this lock itself.
            let mut consumers = lock(&self.consumers);
            if let Some((_, linger)) = &mut consumers.pulling {
                *linger = until;
                return;
            }
            let id = self.next_id.fetch_add(1, Relaxed);
            consumers.list.push_back(Consumer { id, accounts: Scope::of(None), taker: Taker::Pulls });
            consumers.pulling = Some((Attached { feed: Arc::downgrade(self), id }, until));
        }
        let _ = self.commands.send(Command::Attached(self.name.clone()));
        let feed = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(feed) = feed.upgrade() else { return };
                let until = {
                    let mut consumers = lock(&feed.consumers);
                    let Some((_, until)) = &consumers.pulling else { return };
                    let until = *until;
                    // Pulls that wait, and leases that run, which belong to no consumer of the list, keep it there.
                    let leased =
                        consumers.holders.values().any(|holder| consumers.list.iter().all(|c| c.id != *holder));
                    let idle = consumers.pulls.is_empty() && !leased;
                    if idle && until <= Instant::now() {
                        let gone = consumers.pulling.take();
                        drop(consumers);
                        drop(gone);
                        return;
                    }
                    until.max(Instant::now() + Duration::from_secs(1))
                };
                drop(feed);
                tokio::time::sleep_until(until).await;
            }
        });
    }

    /// Messages were routed to it.
    pub fn has_new(&self) {
        self.arrived.send_modify(|times| *times += 1);
    }

    /// Changes with every message that is routed to it.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// Somebody of the backend was there just now.
    pub fn was_seen(&self) {
        *lock(&self.seen) = Some(Instant::now());
    }

    /// How many take its messages, and how long ago somebody was last there.
    pub fn presence(&self) -> (usize, Option<Duration>) {
        let connections = lock(&self.consumers).list.len();
        let ago = if connections > 0 { Some(Duration::ZERO) } else { lock(&self.seen).map(|at| at.elapsed()) };
        (connections, ago)
    }
}

/// A pull that is not over.
struct PullGuard<'a> {
    feed: &'a Arc<Feed>,
    id: u64,
}

impl Drop for PullGuard<'_> {
    fn drop(&mut self) {
        let got = self.feed.end_pull(self.id);
        self.feed.expire(self.id, &got, Duration::ZERO);
    }
}

/// Gives a message to the next one in turn who takes it.
fn hand_out(consumers: &Mutex<Consumers>, message: &InboundMessage) -> bool {
    let mut consumers = lock(consumers);
    for _ in 0..consumers.list.len() {
        let Some(consumer) = consumers.list.pop_front() else { return false };
        let holder = match &consumer.taker {
            _ if !consumer.accounts.has(&message.account_id) => None,
            Taker::Direct(take) => take(message).then_some(consumer.id),
            Taker::Pulls => give_to_pull(&mut consumers, message),
        };
        consumers.list.push_back(consumer);
        if let Some(holder) = holder {
            consumers.holders.insert(message.delivery_id.clone(), holder);
            return true;
        }
    }
    false
}

/// Which pull took it.
fn give_to_pull(consumers: &mut Consumers, message: &InboundMessage) -> Option<u64> {
    let fits = |pull: &&mut Pull| pull.got.len() < pull.max && pull.accounts.has(&message.account_id);
    let pull = consumers.pulls.iter_mut().find(fits)?;
    pull.got.push(message.clone());
    if let Some(first) = pull.first.take() {
        let _ = first.send(());
    }
    Some(pull.id)
}
