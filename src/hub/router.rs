//! Gives each message to a backend, on disk, before anybody is told of it. One task does that for all accounts, in the order of
//! commits: so a backend that comes finds in the database what it was not told of, and nothing twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::commands::{PersonCommand, parse};
use super::feeds::Feeds;
use super::table::{Decision, Question, Table};
use super::texts::{self, Listed};
use crate::contract::{AccountId, ContractError, Locale, SendTextParams};
use crate::inbound::{Announce, DeliveryId, Inlet, normalize};
use crate::service::{Origin, Sidecar};
use crate::store::{AccountNo, Ingested, Pending, RouteContext, StoreError};
use crate::supervise::lock;

/// How often a stranger is told of their code.
const TELL_AGAIN_MS: i64 = 3_600_000;
/// How long it rests after the database failed.
const RETRY: Duration = Duration::from_secs(1);
/// Messages that are read at once where nobody was given them yet.
const BATCH: usize = 500;
/// How long it is believed who scanned an account's code.
const OWNER_FOR: Duration = Duration::from_secs(5);

/// What the router is told.
pub enum Command {
    /// An account begins to be polled. Whether what it has can be routed now or later: what is taken in waits on disk.
    Started(AccountId, AccountNo),
    /// It is polled no longer.
    Stopped(AccountNo),
    /// A poll brought something.
    Arrived(AccountNo, Ingested),
    /// Somebody takes a backend's messages.
    Attached(Arc<str>),
    /// Nobody takes them any more.
    Detached(Arc<str>),
    /// The rules changed.
    Changed,
}

/// The way to the router: what accounts are told to tell.
#[derive(Clone)]
pub struct RouterInlet(pub mpsc::UnboundedSender<Command>);

impl Inlet for RouterInlet {
    fn start_account<'a>(&'a self, id: &'a AccountId, account: AccountNo) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = self.0.send(Command::Started(id.clone(), account));
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop_account(&self, account: AccountNo) {
        let _ = self.0.send(Command::Stopped(account));
    }

    fn announcer(&self, account: AccountNo) -> Announce {
        let commands = self.0.clone();
        Box::new(move |taken| drop(commands.send(Command::Arrived(account, taken))))
    }
}

/// Why messages could not be routed now.
#[derive(Debug, thiserror::Error)]
enum RouteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the account's file does not say now who its owner is ({0})")]
    Owner(String),
}

/// Routes messages.
pub struct Router {
    sidecar: Arc<Sidecar>,
    feeds: Arc<Feeds>,
    table: Arc<RwLock<Arc<Table>>>,
    /// The language of what the hub writes to people.
    locale: Arc<dyn Fn() -> Locale + Send + Sync>,
    running: BTreeMap<AccountNo, AccountId>,
    /// Backends whose messages somebody takes, and accounts whose messages they are told of.
    active: HashMap<Arc<str>, HashSet<AccountNo>>,
    owners: HashMap<AccountNo, (Instant, Option<String>)>,
    /// Messages that the hub answers itself, until they are gone: nobody else gets them.
    answering: Arc<Mutex<HashSet<(AccountNo, u64)>>>,
}

impl Router {
    /// It knows of no account yet.
    pub fn new(
        sidecar: Arc<Sidecar>,
        feeds: Arc<Feeds>,
        table: Arc<RwLock<Arc<Table>>>,
        locale: Arc<dyn Fn() -> Locale + Send + Sync>,
    ) -> Router {
        let (running, active, owners) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Router { sidecar, feeds, table, locale, running, active, owners, answering: Arc::default() }
    }

    /// Routes until nobody tells it anything any more.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, stop: CancellationToken) {
        // When everything is looked at again, because the database failed.
        let mut again = None;
        loop {
            let retry = async {
                match again {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let command = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = retry => {
                    again = None;
                    Some(Command::Changed)
                }
                command = commands.recv() => command,
            };
            let Some(command) = command else { return };
            if let Err(error) = self.handle(command, again.is_some()).await {
                tracing::error!(%error, "messages were not routed; trying again");
                again = Some(tokio::time::Instant::now() + RETRY);
            }
        }
    }

    /// `behind`: something that came before could not be routed, and has to be first.
    async fn handle(&mut self, command: Command, behind: bool) -> Result<(), RouteError> {
        match command {
            Command::Started(id, account) => {
                self.running.insert(account, id);
                self.route_backlog(account).await?;
                self.tell_of(account).await
            }
            Command::Stopped(account) => {
                self.running.remove(&account);
                for (name, accounts) in &mut self.active {
                    if accounts.remove(&account) {
                        self.feeds.get(name).deliveries.dispatcher.stop_account(account);
                    }
                }
                Ok(())
            }
            Command::Arrived(account, _) if behind => self.route_backlog(account).await,
            Command::Arrived(account, taken) => self.route(account, taken.new).await,
            Command::Attached(name) => {
                self.active.entry(name.clone()).or_default();
                for account in self.running.keys().copied().collect::<Vec<_>>() {
                    self.tell_of(account).await?;
                }
                Ok(())
            }
            Command::Detached(name) => {
                // Somebody may have come meanwhile.
                if self.feeds.get(&name).presence().0 == 0 {
                    for account in self.active.remove(&name).unwrap_or_default() {
                        self.feeds.get(&name).deliveries.dispatcher.stop_account(account);
                    }
                }
                Ok(())
            }
            Command::Changed => {
                for account in self.running.keys().copied().collect::<Vec<_>>() {
                    self.route_backlog(account).await?;
                    self.tell_of(account).await?;
                }
                Ok(())
            }
        }
    }

    /// Lets the backends that are there have what an account has for them.
    async fn tell_of(&mut self, account: AccountNo) -> Result<(), RouteError> {
        let Some(id) = self.running.get(&account) else { return Ok(()) };
        let table = read(&self.table);
        for (name, accounts) in &mut self.active {
            let serves = table.backend(name).is_some_and(|backend| backend.accounts.has(id.as_str()));
            if serves && !accounts.contains(&account) {
                self.feeds.get(name).deliveries.dispatcher.start_account(id, account).await?;
                accounts.insert(account);
            }
        }
        Ok(())
    }

    async fn route_backlog(&mut self, account: AccountNo) -> Result<(), RouteError> {
        let mut after = 0;
        loop {
            let waiting = self.sidecar.store.unrouted(account, after, BATCH).await?;
            let Some((_, last)) = waiting.last() else { return Ok(()) };
            after = last.id;
            self.route(account, waiting).await?;
        }
    }

    /// Gives messages to backends: on disk, then by telling them.
    async fn route(&mut self, account: AccountNo, messages: Vec<(String, Pending)>) -> Result<(), RouteError> {
        let Some(id) = self.running.get(&account).cloned() else { return Ok(()) };
        if messages.is_empty() {
            return Ok(());
        }
        let owner = self.owner(&id, account).await?;
        let read_one = |(peer, pending): (String, Pending)| {
            let delivery = DeliveryId { account: id.clone(), key: pending.key };
            let draft = std::panic::catch_unwind(|| normalize(&delivery, &peer, 1, &pending.wire));
            // One that breaks the reader goes where its person's others go.
            let said = draft.map(|draft| (draft.message.text, draft.message.quote.and_then(|quote| quote.message_id)));
            let (text, quoted) = said.unwrap_or_default();
            (peer, pending, text, quoted)
        };
        let answering = lock(&self.answering).clone();
        let messages = messages.into_iter().filter(|(_, pending)| !answering.contains(&(account, pending.key)));
        let messages: Vec<_> = messages.map(read_one).collect();
        let mut peers: Vec<String> = messages.iter().map(|(peer, ..)| peer.clone()).collect();
        peers.sort();
        peers.dedup();
        let quoted = messages.iter().filter_map(|(.., quoted)| quoted.clone()).collect();
        let mut context = self.sidecar.store.route_context(account, peers, quoted).await?;
        let table = read(&self.table);
        let (mut routes, mut given) = (Vec::new(), BTreeMap::<Arc<str>, Vec<(String, Pending)>>::new());
        for (peer, pending, text, quoted) in messages {
            let question =
                Question { account: id.as_str(), peer: &peer, owner: owner.as_deref(), quoted: quoted.as_deref() };
            let open = table.open_to(question, &context);
            if let Some(command) = parse(&text).filter(|_| !open.is_empty()) {
                let reply = self.obey(command, &table, question, &mut context, account).await?;
                self.answer_and_take(&id, account, &peer, pending.key, Some(reply));
                continue;
            }
            match table.decide(question, &context) {
                Decision::To(backend) => {
                    routes.push((pending.id, peer.clone(), backend.clone()));
                    given.entry(backend).or_default().push((peer, pending));
                }
                Decision::Ask(backend) => {
                    let code = pairing_code();
                    let asked = self.sidecar.store.ask_access((account, &peer, &backend), code, TELL_AGAIN_MS).await?;
                    let tell = asked.filter(|asked| asked.tell);
                    let reply = tell.map(|asked| texts::pairing((self.locale)(), &asked.code));
                    self.answer_and_take(&id, account, &peer, pending.key, reply);
                }
                Decision::Refuse => {
                    tracing::info!(account = %id, "a message of somebody whom no backend answers was dropped");
                    self.answer_and_take(&id, account, &peer, pending.key, None);
                }
                Decision::Wait => {}
            }
        }
        if routes.is_empty() {
            return Ok(());
        }
        self.sidecar.store.route(account, routes).await?;
        for (backend, new) in given {
            let feed = self.feeds.get(&backend);
            if self.active.get(&backend).is_some_and(|accounts| accounts.contains(&account)) {
                feed.deliveries.dispatcher.arrived(account, Ingested { new, duplicates: 0 });
            }
            feed.has_new();
        }
        Ok(())
    }

    /// Does what a person asks of the hub itself. Returns what they are told.
    async fn obey(
        &self,
        command: PersonCommand<'_>,
        table: &Table,
        question: Question<'_>,
        context: &mut RouteContext,
        account: AccountNo,
    ) -> Result<String, RouteError> {
        let locale = (self.locale)();
        let plain = Question { quoted: None, ..question };
        let current = match table.decide(plain, context) {
            Decision::To(backend) => Some(backend),
            _ => None,
        };
        let open: Vec<Arc<str>> = table.open_to(question, context).iter().map(|backend| backend.name.clone()).collect();
        let is_current = |name: &Arc<str>| current.as_ref() == Some(name);
        let listed: Vec<Listed<'_>> = open
            .iter()
            .map(|name| Listed { name, current: is_current(name), online: self.feeds.is_online(name) })
            .collect();
        Ok(match command {
            PersonCommand::List => texts::agents(locale, &listed),
            PersonCommand::Use(wanted) => match open.iter().find(|name| name.to_lowercase() == wanted.to_lowercase()) {
                Some(name) => {
                    self.sidecar.store.choose(account, question.peer, name).await?;
                    context.choices.insert(question.peer.to_owned(), name.to_string());
                    texts::chosen(locale, name)
                }
                None => texts::no_such(locale, wanted, &listed),
            },
        })
    }

    /// A message that no backend gets: it is gone once its answer, where it gets one, is in the outbox.
    fn answer_and_take(&self, id: &AccountId, account: AccountNo, peer: &str, key: u64, reply: Option<String>) {
        let (sidecar, id, peer) = (self.sidecar.clone(), id.clone(), peer.to_owned());
        let answering = self.answering.clone();
        lock(&answering).insert((account, key));
        tokio::spawn(async move {
            if let Some(text) = reply {
                let params = SendTextParams {
                    to: peer,
                    text,
                    account_id: Some(id.to_string()),
                    run_id: None,
                    // After a kill the message is here again, and its answer is the same send.
                    idempotency_key: Some(format!("hub::reply:{id}:{key}")),
                    extra: None,
                };
                if let Err(error) = sidecar.sender.send_text(params, Origin::default()).await {
                    tracing::warn!(account = %id, %error, "somebody was not answered by the hub");
                }
            }
            if let Err(error) = sidecar.store.ack(vec![(account, key)], None, || {}).await {
                tracing::warn!(account = %id, %error, "a message that the hub answered comes again after a restart");
            }
            lock(&answering).remove(&(account, key));
        });
    }

    /// Who scanned an account's code.
    async fn owner(&mut self, id: &AccountId, account: AccountNo) -> Result<Option<String>, RouteError> {
        if let Some((at, owner)) = self.owners.get(&account)
            && at.elapsed() < OWNER_FOR
        {
            return Ok(owner.clone());
        }
        let owner = owner_of(&self.sidecar, id).await.map_err(|error| RouteError::Owner(error.message))?;
        self.owners.insert(account, (Instant::now(), owner.clone()));
        Ok(owner)
    }
}

/// Who scanned an account's code. A file that cannot be read now is an error: it says nothing of who somebody is.
pub async fn owner_of(sidecar: &Sidecar, id: &AccountId) -> Result<Option<String>, ContractError> {
    let of = id.clone();
    let file = sidecar.clients.with_files(move |files| files.load(&of)).await?;
    Ok(file?.and_then(|file| file.user_id))
}

fn read(table: &RwLock<Arc<Table>>) -> Arc<Table> {
    table.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// Eight signs that are not mistaken for each other.
fn pairing_code() -> String {
    const SIGNS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let random: [u8; 8] = rand::random();
    random.iter().map(|byte| SIGNS[usize::from(*byte) % SIGNS.len()] as char).collect()
}
