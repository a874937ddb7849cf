//! The sidecar: everything that lives as long as the process, opened once, closed once.
//!
//! It does nothing itself: what a method asks for is done by one of its parts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::account_supervisor::AccountSupervisor;
use super::account_watches::{watch_clocks, watch_files, watch_leases};
use super::archives::Archives;
use super::clients::{Clients, TransferWatch};
use super::deliveries::Deliveries;
use super::directory::Directory;
use super::housekeeping::Housekeeping;
use super::logins::Logins;
use super::send_context::SendContext;
use super::sender::Sender;
use super::settings::Settings;
use super::status::Status;
use super::status_feed::{StatusFeed, pass_on, repeat};
use crate::accounts::{AccountFiles, StateDir, StatusRegistry};
use crate::contract::{Config, ContractError, ErrorKind, Locale};
use crate::events::Events;
use crate::inbound::{Dispatcher, Inlet, Outlet, Preparer, Resources};
use crate::lease::Leases;
use crate::login::LoginSessions;
use crate::media::{Library, Space};
use crate::outbound::{Outbox, PeerLocks, Typing};
use crate::process::Gateway;
use crate::store::Store;
use crate::supervise::keep_running;
use ilink::ProtocolVersion;

/// How long a stop may take before the process ends anyway.
const DRAIN: Duration = Duration::from_millis(3_500);

/// What a sidecar is opened with.
pub struct Open {
    /// The state directory; the environment's where there is none.
    pub state_dir: Option<PathBuf>,
    /// The channel's settings.
    pub config: Config,
    /// The language of texts for people.
    pub locale: Locale,
    /// Directories that files may be sent from, beside what the sidecar itself wrote for the conversation.
    pub media_roots: Option<Vec<PathBuf>>,
    pub gateway: Gateway,
    /// Its name and version, where there is one.
    pub host: Option<(String, String)>,
    /// Whether media are fetched only when the gateway asks for them.
    pub defer_media: bool,
    /// How often accounts tell how they are although nothing changed.
    pub status_interval: Option<Duration>,
    /// The way to the gateway.
    pub events: Events,
    /// Who gets the messages, where that is not the one gateway that `events` leads to.
    pub inlet: Option<MakeInlet>,
    /// Is told how files move to and from the media host.
    pub transfers: Option<TransferWatch>,
    /// Called when the gateway is gone, or a part of this program is broken: the process is to end. Must not block.
    pub end: Arc<dyn Fn() + Send + Sync>,
}

/// What somebody needs who hands messages out.
pub struct Intake {
    pub store: Store,
    /// Where deliveries are counted.
    pub registry: StatusRegistry,
    /// Fetches files.
    pub preparer: Preparer,
}

/// Makes the one who gets the messages.
pub type MakeInlet = Box<dyn FnOnce(Intake) -> Arc<dyn Inlet> + Send>;

pub struct Sidecar {
    pub accounts: Arc<AccountSupervisor>,
    /// Which account somebody means.
    pub directory: Directory,
    /// Logins under way.
    pub logins: Logins,
    /// Accounts that are taken along.
    pub archives: Archives,
    /// Deliveries that the gateway has.
    pub deliveries: Deliveries,
    /// Sends, and what waits to be sent.
    pub sender: Sender,
    /// How everything is.
    pub status: Status,
    /// Who polls an account.
    pub leases: Leases,
    /// The client, the settings, the account files.
    pub clients: Clients,
    pub store: Store,
    feed: StatusFeed,
    stop: CancellationToken,
    warnings: Vec<String>,
}

impl Sidecar {
    /// Opens the state directory and starts what watches it. No account is started.
    pub async fn open(open: Open) -> Result<Arc<Sidecar>, ContractError> {
        let Open { config, locale, gateway, host, defer_media, events, inlet, transfers, end, .. } = open;
        let Some(state) = StateDir::resolve(open.state_dir.as_deref()) else {
            let message = "there is no home directory to keep the state in; set OPENCLAW_STATE_DIR";
            return Err(ContractError::new(ErrorKind::StoreFailed, message));
        };
        let database = state.database();
        let opened = tokio::task::spawn_blocking(move || Store::open(&database)).await;
        let (store, report) = opened.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))??;
        let mut warnings: Vec<String> = report.warning().into_iter().collect();
        for warning in &warnings {
            tracing::error!(warning, "the database was damaged");
        }
        let stop = CancellationToken::new();
        let (feed, changes) = StatusFeed::new();
        let to_gateway = feed.clone();
        let registry = StatusRegistry::new(move |status| to_gateway.send(status));
        let library = Library::new(state.channel().join("media"));
        let settings = Settings::new(config, host);
        if let Err(problem) = settings.channel_version() {
            warnings.push(format!("{problem}; {} is declared instead", ProtocolVersion::NEWEST));
        }
        let clients = Clients::new(AccountFiles::new(state.clone()), settings, transfers);
        let directory = Directory::new(clients.clone(), store.clone());
        let space = Space::new(library.clone());
        let preparer = Preparer::new(store.clone(), library.clone(), space.clone(), resources(&clients));
        let broken = end.clone();
        let outlet = Outlet {
            events: events.clone(),
            broken: Box::new(move || broken()),
            defer_media: Arc::new(AtomicBool::new(defer_media)),
            backend: None,
        };
        let dispatcher = Dispatcher::start(store.clone(), registry.clone(), preparer.clone(), outlet, stop.clone());
        let inlet: Arc<dyn Inlet> = match inlet {
            Some(make) => make(Intake { store: store.clone(), registry: registry.clone(), preparer: preparer.clone() }),
            None => Arc::new(dispatcher.clone()),
        };
        let typing = Typing::new(store.clone());
        let context = SendContext {
            clients: clients.clone(),
            registry: registry.clone(),
            library: library.clone(),
            locale,
            typing: typing.clone(),
            events: events.clone(),
        };
        let outbox = Outbox::new(store.clone(), context, stop.clone());
        let leases = Leases::new(store.clone(), state, gateway, super::VERSION);
        let accounts = Arc::new(AccountSupervisor::new(
            clients.clone(),
            store.clone(),
            leases.clone(),
            registry.clone(),
            inlet,
            outbox.clone(),
            library.clone(),
        ));
        tokio::spawn(pass_on(store.clone(), clients.clone(), changes, events.clone()));
        watch(&accounts, end, &stop);
        let housekeeping =
            Housekeeping { clients: clients.clone(), store: store.clone(), library: library.clone(), space };
        keep("housekeeping", &stop, move |stop| housekeeping.clone().run(stop));
        if let Some(every) = open.status_interval {
            let registry = registry.clone();
            keep("the repeated status", &stop, move |stop| repeat(registry.clone(), every, stop));
        }
        Ok(Arc::new(Sidecar {
            directory: directory.clone(),
            logins: Logins {
                sessions: LoginSessions::default(),
                clients: clients.clone(),
                directory: directory.clone(),
                supervisor: accounts.clone(),
                events,
                locale,
            },
            archives: Archives {
                clients: clients.clone(),
                directory: directory.clone(),
                store: store.clone(),
                supervisor: accounts.clone(),
            },
            deliveries: Deliveries { dispatcher, preparer, store: store.clone(), backend: None },
            sender: Sender {
                clients: clients.clone(),
                directory: directory.clone(),
                store: store.clone(),
                outbox,
                peer_locks: PeerLocks::default(),
                typing,
                library,
                media_roots: open.media_roots.unwrap_or_default(),
                locale,
            },
            status: Status {
                clients: clients.clone(),
                directory,
                store: store.clone(),
                registry,
                started: Instant::now(),
            },
            accounts,
            leases,
            clients,
            store,
            feed,
            stop,
            warnings,
        }))
    }

    /// Replaces the configuration. Running accounts take over what concerns them.
    pub async fn set_config(&self, config: Config) {
        let settings = self.clients.settings().with(config);
        if let Err(problem) = settings.channel_version() {
            tracing::error!(problem, "the declared version stays the built-in one");
        }
        self.clients.set_settings(settings);
        self.accounts.renew().await;
    }

    /// Things a person should know that did not stop the start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Stops everything: accounts say good-bye (two seconds at most), the database is closed. Idempotent.
    pub async fn close(&self) {
        self.logins.cancel_all();
        let drained = tokio::time::timeout(DRAIN, async {
            self.accounts.stop_all().await;
            self.feed.flush().await;
            self.stop.cancel();
            self.store.close().await;
        });
        if drained.await.is_err() {
            tracing::warn!("the stop took too long; ending without the rest. Nothing that was committed is lost");
        }
    }
}

/// What media of messages are fetched with, by the settings in force then.
fn resources(clients: &Clients) -> Arc<dyn Fn() -> Resources + Send + Sync> {
    let clients = clients.clone();
    Arc::new(move || {
        let settings = clients.settings();
        Resources {
            cdn: clients.cdn(),
            limit: settings.media_max_bytes(),
            room: settings.media_room(),
            quotes_ms: settings.quotes().0,
        }
    })
}

/// Starts what the account supervisor has to notice.
fn watch(accounts: &Arc<AccountSupervisor>, end: Arc<dyn Fn() + Send + Sync>, stop: &CancellationToken) {
    let supervisor = Arc::downgrade(accounts);
    let (of_files, of_clocks) = (supervisor.clone(), supervisor.clone());
    keep("the look at account files", stop, move |stop| watch_files(of_files.clone(), stop));
    keep("the look at the clocks", stop, move |stop| watch_clocks(of_clocks.clone(), stop));
    keep("the look at leases", stop, move |stop| watch_leases(supervisor.clone(), end.clone(), stop));
}

/// Runs a task until `stop`, whatever happens in it.
fn keep<F: Future<Output = ()> + Send + 'static>(
    what: &'static str,
    stop: &CancellationToken,
    mut task: impl FnMut(CancellationToken) -> F + Send + 'static,
) {
    let of_task = stop.clone();
    tokio::spawn(keep_running(what, stop.clone(), move || task(of_task.clone())));
}
