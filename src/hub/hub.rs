//! The hub: the core with its accounts started, and everything that serves backends, put together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::{ConfigError, HubConfig};
use super::connections::Connections;
use super::feeds::Feeds;
use super::router::{Command, Router, RouterInlet};
use super::sealed::Seal;
use super::table::Table;
use super::tokens::Tokens;
use crate::contract::{AccountId, Config, ContractError, ErrorKind, Locale};
use crate::events::{Event, Events};
use crate::outbound::row_of;
use crate::process::Gateway;
use crate::service::{Open, Sidecar};
use crate::supervise::{keep_running, lock};

/// How often it is looked whether another process changed tokens or approvals, or somebody the file.
const LOOK: Duration = Duration::from_secs(1);
/// How often posted files are removed that nobody sent.
const SWEEP: Duration = Duration::from_secs(3600);
/// How often accounts are started that are new, or could not be.
const START: Duration = Duration::from_secs(10);

/// What a hub is opened with.
pub struct HubOptions {
    pub state_dir: Option<PathBuf>,
    /// The channel's settings.
    pub config: Config,
    /// The language of the environment.
    pub locale: Locale,
    /// `hub.toml`.
    pub file: PathBuf,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
}

/// The hub.
pub struct Hub {
    pub sidecar: Arc<Sidecar>,
    pub tokens: Tokens,
    pub feeds: Arc<Feeds>,
    pub connections: Arc<Connections>,
    table: Arc<RwLock<Arc<Table>>>,
    /// What clients of the façade get of the media host is sealed with it.
    pub seal: Seal,
    config: Arc<RwLock<Arc<HubConfig>>>,
    file: PathBuf,
    /// When the file was written that was read last.
    written: Mutex<Option<SystemTime>>,
    locale: Locale,
    commands: mpsc::UnboundedSender<Command>,
    /// Accounts that an admin stopped: they stay so until one starts them, or the hub does.
    stopped_by_hand: Mutex<HashSet<AccountId>>,
    pub stop: CancellationToken,
    pub started_at_ms: i64,
}

impl Hub {
    /// Opens the state directory, and begins to run its accounts. `hub.toml` must be right.
    pub async fn open(options: HubOptions) -> Result<Arc<Hub>, ContractError> {
        let HubOptions { state_dir, config, locale, file, stop } = options;
        let (written, settings) = read_if_changed(&file, None).await?;
        let wrong = |error: ConfigError| ContractError::new(ErrorKind::InvalidParams, error.to_string());
        let settings = settings.unwrap_or_else(|| Ok(HubConfig::default())).map_err(wrong)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let connections = Arc::new(Connections::default());
        let intake = Arc::new(OnceLock::new());
        let (inlet, taken) = (RouterInlet(commands.clone()), intake.clone());
        let of_end = stop.clone();
        let end: Arc<dyn Fn() + Send + Sync> = Arc::new(move || of_end.cancel());
        // Who sent what has ended is in the database, which is open once the sidecar is.
        let store_of_events = Arc::new(OnceLock::new());
        let sidecar = Sidecar::open(Open {
            state_dir,
            config,
            locale,
            media_roots: None,
            gateway: Gateway::NONE,
            host: Some(("openclaw-weixin-hub".to_owned(), crate::service::VERSION.to_owned())),
            defer_media: false,
            status_interval: None,
            events: events(connections.clone(), store_of_events.clone()),
            inlet: Some(Box::new(move |parts| {
                let _ = taken.set(parts);
                Arc::new(inlet)
            })),
            transfers: None,
            end: end.clone(),
        })
        .await?;
        let _ = store_of_events.set(sidecar.store.clone());
        let key = sidecar.clients.files().state().channel().join("hub.key");
        let unusable = |error: std::io::Error| {
            let message =
                format!("{} cannot be used ({error}); make it readable and writable for this user", key.display());
            ContractError::new(ErrorKind::StoreFailed, message)
        };
        let of_seal = key.clone();
        let seal = tokio::task::spawn_blocking(move || Seal::open(&of_seal)).await;
        let seal = seal.map_err(std::io::Error::other).and_then(|seal| seal).map_err(unusable)?;
        let Some(intake) = Arc::into_inner(intake).and_then(OnceLock::into_inner) else {
            return Err(ContractError::new(ErrorKind::Internal, "the sidecar was opened without its intake"));
        };
        let tokens = Tokens::new(sidecar.store.clone());
        tokens.refresh().await?;
        let table = Arc::new(RwLock::new(Arc::new(Table::new(&tokens.rows().await?, &settings))));
        let feeds = Arc::new(Feeds::new(intake, commands.clone(), end.clone(), stop.clone()));
        let config = Arc::new(RwLock::new(Arc::new(settings)));
        let of_texts = config.clone();
        let language: Arc<dyn Fn() -> Locale + Send + Sync> =
            Arc::new(move || of_texts.read().unwrap_or_else(PoisonError::into_inner).locale.unwrap_or(locale));
        let router = Router::new(sidecar.clone(), feeds.clone(), table.clone(), language);
        let (of_router, broken) = (stop.clone(), end.clone());
        tokio::spawn(async move {
            if crate::supervise::caught("the router", router.run(inbox, of_router)).await.is_none() {
                tracing::error!("nothing would be routed any more; ending");
                broken();
            }
        });
        let started_at_ms = crate::store::now_ms();
        let hub = Arc::new(Hub {
            sidecar,
            tokens,
            feeds,
            connections,
            table,
            seal,
            config,
            file,
            written: Mutex::new(written),
            locale,
            commands,
            stopped_by_hand: Mutex::default(),
            stop: stop.clone(),
            started_at_ms,
        });
        let (of_look, of_start) = (hub.clone(), hub.clone());
        tokio::spawn(keep_running("the look at tokens and hub.toml", stop.clone(), move || of_look.clone().look()));
        tokio::spawn(keep_running("the start of accounts", stop.clone(), move || of_start.clone().start_accounts()));
        let of_webhooks = hub.clone();
        tokio::spawn(keep_running("webhooks", stop, move || super::webhooks::run(of_webhooks.clone())));
        Ok(hub)
    }

    /// `hub.toml` as it is in force.
    pub fn config(&self) -> Arc<HubConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who gets what.
    pub fn rules(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The language of what the hub writes to people.
    pub fn locale(&self) -> Locale {
        self.config().locale.unwrap_or(self.locale)
    }

    /// Takes over that tokens or the file changed.
    pub async fn rules_changed(&self) -> Result<(), ContractError> {
        let table = Table::new(&self.tokens.rows().await?, &self.config());
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        let _ = self.commands.send(Command::Changed);
        Ok(())
    }

    async fn look(self: Arc<Self>) {
        let mut swept = None;
        loop {
            if swept.is_none_or(|at: tokio::time::Instant| at.elapsed() > SWEEP) {
                swept = Some(tokio::time::Instant::now());
                let library = self.sidecar.sender.library.clone();
                tokio::task::spawn_blocking(move || super::media::sweep(&library));
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let mut changed = match self.tokens.refresh().await {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::warn!(%error, "tokens could not be read");
                    continue;
                }
            };
            let before = *lock(&self.written);
            let Ok((written, read)) = read_if_changed(&self.file, before).await else { continue };
            *lock(&self.written) = written;
            match read {
                Some(Ok(config)) => {
                    tracing::info!(file = %self.file.display(), "hub.toml was taken over");
                    *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    changed = true;
                }
                Some(Err(error)) => tracing::error!(%error, "hub.toml is wrong; what was in force before stays"),
                None => {}
            }
            if changed && let Err(error) = self.rules_changed().await {
                tracing::warn!(%error, "the rules could not be made anew");
            }
        }
    }

    /// Starts what is there and does not run, also what another process lets go of, or somebody logs in meanwhile. An account
    /// that somebody stopped by hand stays so.
    async fn start_accounts(self: Arc<Self>) {
        loop {
            self.start_new_accounts().await;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.connections.logged_in.notified() => {}
                () = tokio::time::sleep(START) => {}
            }
        }
    }

    /// The same, once.
    pub async fn start_new_accounts(&self) {
        let accounts = match self.sidecar.accounts.list().await {
            Ok(accounts) => accounts,
            Err(error) => return tracing::warn!(%error, "the accounts could not be listed"),
        };
        let new = accounts.into_iter().filter(|account| account.enabled && account.configured && !account.running);
        for account in new {
            let id = AccountId::normalize(&account.account_id);
            if lock(&self.stopped_by_hand).contains(&id) || !self.sidecar.accounts.is_stopped(&id).await {
                continue;
            }
            let sidecar = self.sidecar.clone();
            // One that is locked waits for its owner, and keeps nobody waiting.
            tokio::spawn(async move {
                if let Err(error) = sidecar.accounts.start(&id).await {
                    tracing::warn!(account = %id, %error, "an account was not started");
                }
            });
        }
    }

    /// Starts an account for an admin.
    pub async fn start_account(&self, id: &AccountId) -> Result<(), ContractError> {
        lock(&self.stopped_by_hand).remove(id);
        self.sidecar.accounts.start(id).await
    }

    /// Stops an account for an admin.
    pub async fn stop_account(&self, id: &AccountId) {
        lock(&self.stopped_by_hand).insert(id.clone());
        self.sidecar.accounts.stop(id).await;
    }

    /// Removes an account for an admin. Returns whether there was one.
    pub async fn remove_account(&self, id: &AccountId) -> Result<bool, ContractError> {
        let removed = self.sidecar.accounts.remove(id).await;
        // Logged in again it is another.
        lock(&self.stopped_by_hand).remove(id);
        removed
    }

    /// Stops everything.
    pub async fn close(&self) {
        self.sidecar.close().await;
        self.stop.cancel();
    }
}

/// Events to whoever is connected.
fn events(connections: Arc<Connections>, store: Arc<OnceLock<crate::store::Store>>) -> Events {
    Events::new(move |event| {
        match event {
            // Messages go through the router.
            Event::Message(_) => return false,
            Event::Status(status) => connections.status(&status),
            Event::Login(progress) => connections.login(&progress),
            Event::SendEnded(update) => {
                let id = row_of(&update.queue_id);
                let (connections, store) = (connections.clone(), store.get().cloned());
                tokio::spawn(async move {
                    let backend = match (store, id) {
                        (Some(store), Some(id)) => store.sender_of(id).await.ok().flatten().map(|(backend, _)| backend),
                        _ => None,
                    };
                    connections.send_ended(backend.as_deref(), &update);
                });
            }
        }
        true
    })
}

/// When the file was written, and what is in it where that is not `before`. One that is there no more reads as empty.
async fn read_if_changed(
    file: &Path,
    before: Option<SystemTime>,
) -> Result<(Option<SystemTime>, Option<Result<HubConfig, ConfigError>>), ContractError> {
    let file = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        // Looked at first: what is changed while it is read, is read again.
        let written = std::fs::metadata(&file).and_then(|about| about.modified()).ok();
        (written, (written != before).then(|| HubConfig::load(&file)))
    });
    read.await.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))
}
