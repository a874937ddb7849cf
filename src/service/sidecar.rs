//! Everything that lives as long as the process: opened once, closed once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::accounts::Slot;
use super::clients::{Clients, SendContext};
use super::settings::Settings;
use super::status::{self, Change};
use crate::accounts::{AccountFiles, StateDir, StatusRegistry};
use crate::contract::{AccountId, Config, ContractError, ErrorKind, Locale};
use crate::events::Events;
use crate::inbound::{Dispatcher, Outlet, Preparer, Resources};
use crate::login::Sessions;
use crate::media::{Library, Room};
use crate::outbound::{Outbox, PeerLocks, Typing};
use crate::process::Gateway;
use crate::store::Store;
use crate::supervise::keep_running;
use ilink::{Ilink, ProtocolVersion};

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
    /// The gateway.
    pub gateway: Gateway,
    /// Its name and version, where there is one.
    pub host: Option<(String, String)>,
    /// Whether media are fetched only when the gateway asks for them.
    pub defer_media: bool,
    /// How often accounts tell how they are although nothing changed.
    pub status_interval: Option<Duration>,
    /// The way to the gateway.
    pub events: Events,
    /// Called when the gateway is gone, or a part of this program is broken: the process is to end. Must not block.
    pub end: Arc<dyn Fn() + Send + Sync>,
}

/// The sidecar.
pub struct Sidecar {
    pub(super) files: AccountFiles,
    pub(super) store: Store,
    pub(super) board: StatusRegistry,
    pub(super) dispatcher: Dispatcher,
    pub(super) clients: Clients,
    pub(super) library: Library,
    pub(super) room: Room,
    pub(super) preparer: Preparer,
    pub(super) media_roots: Vec<PathBuf>,
    pub(super) outbox: Outbox,
    pub(super) turns: PeerLocks,
    pub(super) typing: Typing,
    pub(super) logins: Sessions,
    pub(super) events: Events,
    pub(super) locale: Locale,
    pub(super) gateway: Gateway,
    /// See [`Open::end`].
    pub(super) end: Arc<dyn Fn() + Send + Sync>,
    /// One per account that was ever started; its lock orders start, stop and removal.
    pub(super) slots: Mutex<HashMap<AccountId, Arc<Slot>>>,
    /// Set off when account files may have changed.
    pub(super) files_changed: Notify,
    /// Changes when the machine slept.
    pub(super) woken: tokio::sync::watch::Sender<u64>,
    stop: CancellationToken,
    warnings: Vec<String>,
    /// What the board shows, on its way to the gateway.
    changes: mpsc::UnboundedSender<Change>,
    started: Instant,
}

impl Sidecar {
    /// Opens the state directory and starts what watches it. No account is started.
    pub async fn open(open: Open) -> Result<Arc<Sidecar>, ContractError> {
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
        let (changes, changed) = mpsc::unbounded_channel();
        let to_gateway = changes.clone();
        let board = StatusRegistry::new(move |status| {
            let _ = to_gateway.send(Change::Status(Box::new(status)));
        });
        let library = Library::new(state.channel().join("media"));
        let media_roots = open.media_roots.unwrap_or_default();
        let files = AccountFiles::new(state);
        let settings = Settings::new(open.config, open.host);
        if let Err(problem) = settings.channel_version() {
            warnings.push(format!("{problem}; {} is declared instead", ProtocolVersion::NEWEST));
        }
        let clients = Clients::new(files.clone(), settings);
        let of_media = clients.clone();
        let resources = Arc::new(move || {
            let settings = of_media.settings();
            Resources {
                cdn: of_media.cdn(),
                limit: settings.media_max_bytes(),
                room: settings.media_room(),
                quotes_ms: settings.quotes().0,
            }
        });
        let room = Room::new(library.clone());
        let preparer = Preparer::new(store.clone(), library.clone(), room.clone(), resources);
        let (events, broken) = (open.events, open.end.clone());
        let outlet =
            Outlet { events: events.clone(), broken: Box::new(move || broken()), defer_media: open.defer_media };
        let dispatcher = Dispatcher::start(store.clone(), board.clone(), preparer.clone(), outlet, stop.clone());
        let typing = Typing::new(store.clone());
        let context = SendContext {
            clients: clients.clone(),
            board: board.clone(),
            library: library.clone(),
            locale: open.locale,
            typing: typing.clone(),
            events: events.clone(),
        };
        let sidecar = Arc::new(Sidecar {
            files,
            clients,
            library,
            room,
            preparer,
            media_roots,
            turns: PeerLocks::default(),
            outbox: Outbox::new(store.clone(), context, stop.clone()),
            typing,
            store,
            board,
            dispatcher,
            logins: Sessions::default(),
            events: events.clone(),
            locale: open.locale,
            gateway: open.gateway,
            end: open.end,
            slots: Mutex::default(),
            files_changed: Notify::new(),
            woken: tokio::sync::watch::Sender::new(0),
            stop: stop.clone(),
            warnings,
            changes,
            started: Instant::now(),
        });
        tokio::spawn(status::pass_on(sidecar.store.clone(), sidecar.clients.clone(), changed, events));
        sidecar.keep("the look at account files", super::accounts::watch_files);
        sidecar.keep("the look at the clocks", super::wake::watch);
        sidecar.keep("housekeeping", super::housekeeping::run);
        if let Some(every) = open.status_interval {
            sidecar.keep("the repeated status", move |sidecar, stop| status::repeat(sidecar, every, stop));
        }
        sidecar.keep("the look at leases", move |sidecar, stop| super::takeover::keep(sidecar, open.gateway, stop));
        Ok(sidecar)
    }

    /// Runs a task until the end, whatever happens in it.
    fn keep<F>(
        self: &Arc<Self>,
        what: &'static str,
        mut task: impl FnMut(Weak<Sidecar>, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sidecar, stop) = (Arc::downgrade(self), self.stop.clone());
        let begin = {
            let stop = stop.clone();
            move || task(sidecar.clone(), stop.clone())
        };
        tokio::spawn(keep_running(what, stop, begin));
    }

    /// The wire client.
    pub async fn ilink(&self) -> Result<&Ilink, ContractError> {
        self.clients.ilink().await
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.clients.settings()
    }

    /// The account files.
    pub fn files(&self) -> &AccountFiles {
        &self.files
    }

    /// Things a person should know that did not stop the start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How long it runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Runs file work where it may block.
    pub(super) async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountFiles) -> T + Send + 'static,
    ) -> Result<T, ContractError> {
        self.clients.with_files(work).await
    }

    /// Ends every login under way, so that whoever waits for one is answered.
    pub fn cancel_logins(&self) {
        self.logins.cancel_all();
    }

    /// Stops everything: accounts say good-bye (two seconds at most), the database is closed. Idempotent.
    pub async fn close(&self) {
        self.logins.cancel_all();
        let drained = tokio::time::timeout(DRAIN, async {
            self.stop_all().await;
            self.flush_statuses().await;
            self.stop.cancel();
            self.store.close().await;
        });
        if drained.await.is_err() {
            tracing::warn!("the stop took too long; ending without the rest. Nothing that was committed is lost");
        }
    }

    /// Returns when the gateway was told of every change so far.
    pub(super) async fn flush_statuses(&self) {
        let (done, is_done) = oneshot::channel();
        let _ = self.changes.send(Change::Flush(done));
        let _ = is_done.await;
    }
}
