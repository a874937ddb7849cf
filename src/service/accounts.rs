//! Accounts: list, start, stop, renew, remove.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::sidecar::Sidecar;
use crate::accounts::{AccountFile, FilesError, Lease, read_legacy};
use crate::contract::{Account, AccountId, AccountState, Config, ContractError, ErrorKind};
use crate::inbound::Monitor;
use crate::store::{AccountNo, now_ms};
use ilink::{Session, shown_address};

/// How often the account files are looked at for logins of other processes: one `stat` for all accounts.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where an account's monitor is, and whose turn it is to change that.
#[derive(Default)]
pub struct Slot {
    running: Mutex<Option<Running>>,
    /// Whether a start was asked for and has not succeeded, and no stop since. What starts it looks under the lock of
    /// `running`, and what stops it forgets it there: a stop is never followed by a start that was asked for before.
    pub(super) wanted: AtomicBool,
    /// Held by whoever takes the account over: that takes seconds, in which nobody should wait for `running`.
    pub(super) claim: Mutex<()>,
}

struct Running {
    number: AccountNo,
    session: watch::Sender<Session>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    /// Held as long as the monitor runs.
    lease: Lease,
}

impl Sidecar {
    /// The accounts on disk, newest login last, and those that run without being there any more.
    pub async fn accounts(&self) -> Result<Vec<Account>, ContractError> {
        let labels: std::collections::HashMap<String, String> = self.store.labels().await?.into_iter().collect();
        let files = self
            .with_files(|files| {
                let ids = files.list()?;
                Ok::<_, FilesError>(ids.into_iter().map(|id| (files.load(&id), id)).collect::<Vec<_>>())
            })
            .await??;
        let settings = self.settings();
        let mut accounts = Vec::with_capacity(files.len());
        for (file, id) in files {
            let (file, problem) = match file {
                Ok(file) => (file.unwrap_or_default(), None),
                Err(error) => (AccountFile::default(), Some(error.to_string())),
            };
            accounts.push(Account {
                name: settings.name(&id),
                label: labels.get(id.as_str()).cloned(),
                enabled: settings.enabled(&id),
                configured: file.usable_token().is_some(),
                running: self.is_running(&id).await,
                base_url: shown_address(&settings.account_endpoint(&id, file.base_url.as_deref()).base_url),
                user_id: file.user_id,
                saved_at: file.saved_at,
                account_id: id.to_string(),
                problem,
            });
        }
        Ok(accounts)
    }

    /// Starts an account's monitor; one that runs stays as it is. Takes seconds where a stale process holds the account.
    pub async fn start_account(&self, id: &AccountId) -> Result<(), ContractError> {
        let slot = self.slot(id);
        let running = slot.running.lock().await;
        slot.wanted.store(true, Ordering::Relaxed);
        drop(running);
        let started = match self.start_wanted(id, &slot).await {
            Err(error) if error.data.kind == ErrorKind::AccountLocked => self.take_over(id, &slot).await,
            done => done,
        };
        if started.as_ref().is_err_and(|error| error.data.kind != ErrorKind::AccountLocked) {
            slot.wanted.store(false, Ordering::Relaxed);
        }
        started
    }

    /// Starts an account if it is still wanted and its lease is free. All tries of this process to take a lease are made
    /// under the lock of the slot: none of them sees the lease taken by another one.
    pub(super) async fn start_wanted(&self, id: &AccountId, slot: &Slot) -> Result<(), ContractError> {
        let mut running = slot.running.lock().await;
        if running.as_ref().is_some_and(|monitor| !monitor.task.is_finished()) {
            slot.wanted.store(false, Ordering::Relaxed);
            return Ok(());
        }
        if !slot.wanted.load(Ordering::Relaxed) {
            let message = format!("account {id} was stopped before another process had given it up");
            return Err(ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id));
        }
        let started = self.start_anew(id, &mut running).await;
        if started.is_ok() {
            slot.wanted.store(false, Ordering::Relaxed);
        }
        started
    }

    /// Starts an account's monitor in its locked slot, after the end of one that is there.
    async fn start_anew(&self, id: &AccountId, running: &mut Option<Running>) -> Result<(), ContractError> {
        if let Some(ended) = running.take() {
            self.end(id, ended).await;
        }
        let session = self.session(id).await?;
        let ilink = self.ilink().await?.clone();
        let lease = self.take_lease(id).await?;
        let row = self.store.get_or_create_account(id).await?;
        let cursor = if row.imported { row.cursor } else { self.import(id, row.no).await? };
        self.store.set_lease(id, self.as_owner()).await?;
        self.dispatcher.start_account(id, row.no).await?;
        self.board.update(id, |entry| {
            entry.state = AccountState::Starting;
            entry.last_start_at_ms = Some(now_ms());
            entry.last_error = None;
        });
        let (sender, receiver) = watch::channel(session);
        let cancel = CancellationToken::new();
        let monitor = Monitor {
            id: id.clone(),
            number: row.no,
            cursor,
            session: receiver,
            ilink,
            store: self.store.clone(),
            dispatcher: self.dispatcher.clone(),
            board: self.board.clone(),
            keep_texts: {
                let clients = self.clients.clone();
                Box::new(move || clients.settings().keeps_texts())
            },
            heard: self.on_inbound(id, row.no),
            first_hold: self.settings().first_hold(),
            woken: self.woken.subscribe(),
            taken_over: {
                let (files, id) = (self.files.clone(), id.clone());
                Arc::new(move || files.has_newer_login(&id))
            },
        };
        let task = tokio::spawn(monitor.run(cancel.clone()));
        *running = Some(Running { number: row.no, session: sender, cancel, task, lease });
        // What an earlier run, or another process, left behind.
        self.outbox.keep(id, row.no).await;
        Ok(())
    }

    /// What a monitor tells of the people who wrote: their conversations go on where something waits.
    fn on_inbound(&self, id: &AccountId, number: AccountNo) -> Box<dyn Fn(Vec<String>) + Send + Sync> {
        let (outbox, id) = (self.outbox.clone(), id.clone());
        Box::new(move |peers| {
            let (outbox, id) = (outbox.clone(), id.clone());
            tokio::spawn(async move {
                match outbox.store().waiting_lanes(number).await {
                    Ok(waiting) => {
                        waiting.iter().filter(|peer| peers.contains(peer)).for_each(|peer| outbox.nudge(&id, peer));
                    }
                    Err(error) => tracing::error!(account = %id, %error, "the outbox could not be read"),
                }
            });
        })
    }

    /// Stops an account's monitor and says good-bye to the server; one that does not run stays so.
    pub async fn stop_account(&self, id: &AccountId) {
        let slot = self.slot(id);
        let mut running = slot.running.lock().await;
        if slot.wanted.swap(false, Ordering::Relaxed) {
            self.board.update(id, |entry| entry.state = AccountState::Stopped);
        }
        if let Some(monitor) = running.take() {
            self.end(id, monitor).await;
        }
    }

    /// Stops all accounts at once.
    pub(super) async fn stop_all(&self) {
        let ids: Vec<AccountId> = self.slots.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        futures_util::future::join_all(ids.iter().map(|id| self.stop_account(id))).await;
    }

    async fn end(&self, id: &AccountId, monitor: Running) {
        let Running { number, session, cancel, task, lease } = monitor;
        cancel.cancel();
        self.outbox.release(id);
        if let Err(error) = task.await {
            tracing::error!(account = %id, %error, "a monitor ended by a defect of the sidecar");
        }
        self.dispatcher.stop_account(number);
        let farewell = session.borrow().clone();
        if let Ok(ilink) = self.ilink().await
            && let Err(error) = ilink.notify_stop(&farewell).await
        {
            tracing::debug!(account = %id, %error, "the stop of an account was not announced");
        }
        drop(lease);
        self.board.update(id, |entry| {
            entry.state = AccountState::Stopped;
            entry.paused_until_ms = None;
        });
    }

    /// Removes an account: its monitor, its credentials, its rows. Returns whether there was one.
    pub async fn remove_account(&self, id: &AccountId) -> Result<bool, ContractError> {
        self.stop_account(id).await;
        for row in self.store.waiting_sends(Some(id), None).await? {
            self.outbox.cancel(row.id).await?;
        }
        let of_files = id.clone();
        let files = self.with_files(move |files| files.remove(&of_files)).await??;
        let rows = self.store.forget_account(id).await?;
        let (library, of_media) = (self.library.clone(), id.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || library.forget(of_media.as_str())).await {
            tracing::warn!(account = %id, %error, "the media of a removed account are still there");
        }
        self.board.remove(id);
        Ok(files || rows)
    }

    /// Replaces the configuration. Running accounts take over what concerns them.
    pub async fn set_config(&self, config: Config) {
        let settings = self.settings().with(config);
        if let Err(problem) = settings.channel_version() {
            tracing::error!(problem, "the declared version stays the built-in one");
        }
        self.clients.set_settings(settings);
        self.renew().await;
    }

    /// An account's authorisation, from its file.
    pub(super) async fn session(&self, id: &AccountId) -> Result<Session, ContractError> {
        self.clients.session(id).await
    }

    /// The process id of who last took an account's lease.
    pub async fn lease_owner(&self, id: &AccountId) -> Result<Option<u32>, ContractError> {
        Ok(self.store.lease(id).await?.map(|owner| owner.pid))
    }

    async fn take_lease(&self, id: &AccountId) -> Result<Lease, ContractError> {
        let of_lock = id.clone();
        let taken = self.with_files(move |files| Lease::take(files.state(), &of_lock)).await?;
        match taken {
            Ok(lease) => Ok(lease),
            Err(error) => Err(ContractError::from(error).account(id)),
        }
    }

    /// Reads what the official plugin left, once. Returns the cursor to go on from.
    async fn import(&self, id: &AccountId, number: AccountNo) -> Result<String, ContractError> {
        let of_files = id.clone();
        let legacy = self.with_files(move |files| read_legacy(files, &of_files)).await?;
        for problem in &legacy.problems {
            tracing::warn!(account = %id, problem, "a file of the official plugin was not taken over");
        }
        if legacy.cursor.is_some() || !legacy.tokens.is_empty() {
            tracing::info!(account = %id, peers = legacy.tokens.len(), "took over what the official plugin knew");
        }
        self.store.import(number, legacy.cursor, legacy.tokens, now_ms()).await?;
        Ok(self.store.get_or_create_account(id).await?.cursor)
    }

    pub(super) async fn is_running(&self, id: &AccountId) -> bool {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        match slot {
            // A slot that is locked is being started or stopped; soon it is known.
            Some(slot) => slot.running.lock().await.as_ref().is_some_and(|monitor| !monitor.task.is_finished()),
            None => false,
        }
    }

    pub(super) fn slot(&self, id: &AccountId) -> Arc<Slot> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone()
    }

    /// Hands running accounts their authorisation anew; one whose credentials are gone is stopped.
    pub(super) async fn renew(&self) {
        let slots: Vec<(AccountId, Arc<Slot>)> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().map(|(id, slot)| (id.clone(), slot.clone())).collect()
        };
        for (id, slot) in slots {
            let mut running = slot.running.lock().await;
            let Some(monitor) = &*running else { continue };
            let number = monitor.number;
            match self.session(&id).await {
                Ok(_) if self.store.account_no(&id).await.is_ok_and(|now| now != Some(number)) => {
                    tracing::info!(account = %id, "an account was removed and added again; starting it anew");
                    if let Err(error) = self.start_anew(&id, &mut running).await {
                        // Where the other process is in between, it is waited for.
                        slot.wanted.store(error.data.kind == ErrorKind::AccountLocked, Ordering::Relaxed);
                        tracing::warn!(account = %id, %error, "an account could not be started anew");
                    }
                }
                Ok(session) => {
                    let renewed = monitor.session.send_if_modified(|current| {
                        let changed = *current != session;
                        *current = session;
                        changed
                    });
                    if renewed {
                        tracing::info!(account = %id, "an account's login or settings were renewed");
                        self.outbox.renewed(&id, monitor.number).await;
                    }
                }
                Err(error)
                    if matches!(error.data.kind, ErrorKind::AccountNotFound | ErrorKind::AccountNotConfigured) =>
                {
                    tracing::warn!(account = %id, %error, "a running account has lost its credentials; stopping it");
                    if let Some(monitor) = running.take() {
                        self.end(&id, monitor).await;
                    }
                    self.board.update(&id, |entry| entry.last_error = Some(error.message));
                }
                Err(error) => tracing::warn!(account = %id, %error, "an account's credentials could not be read again"),
            }
        }
    }
}

/// Takes over logins and removals of other processes: looks at the account files' times, and reads them when they
/// changed.
pub(super) async fn watch_files(sidecar: Weak<Sidecar>, stop: CancellationToken) {
    let mut seen = None;
    loop {
        let Some(sidecar) = sidecar.upgrade() else { return };
        let stamp = sidecar.with_files(|files| files.stamp()).await.ok().flatten();
        if seen.is_some_and(|seen| seen != stamp) {
            sidecar.renew().await;
        }
        seen = Some(stamp);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = sidecar.files_changed.notified() => seen = Some(None),
        }
    }
}
