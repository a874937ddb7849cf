//! The account supervisor: what this process does with each account.
//!
//! For each account there is one state, which only this file changes, and one lock around it. What the account's monitor is
//! doing (connected, backing off, paused) is the monitor's to say; whose its lease is, `lease` knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use crate::accounts::{AccountFile, FilesError, StatusRegistry, read_legacy};
use crate::contract::{Account, AccountId, AccountState, ContractError, ErrorKind};
use crate::inbound::{Inlet, Monitor};
use crate::lease::{Lease, Leases, Locked, YIELD_GRACE};
use crate::media::Library;
use crate::outbound::Outbox;
use crate::process::{KeepReason, Verdict};
use crate::store::{AccountNo, LeaseOwner, Store, now_ms};
use crate::supervise::lock;
use ilink::{Session, shown_address};

/// How often the lock of an owner that was asked to yield is tried.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// What this process does with an account.
#[derive(Default)]
enum State {
    /// Nothing.
    #[default]
    Stopped,
    /// It is to run, and does not yet: it is being started, or another process has its lease. All who try share the token, which
    /// is cancelled when the account is stopped, or one of them has started it or failed for good: none of the others begins it
    /// again after that.
    Wanted(CancellationToken),
    /// Its monitor was started.
    Running(Running),
}

struct Running {
    number: AccountNo,
    session: watch::Sender<Session>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    /// Held as long as the monitor runs.
    lease: Lease,
}

impl State {
    /// Whether a monitor runs: not one that a defect has ended.
    fn is_running(&self) -> bool {
        matches!(self, State::Running(running) if !running.task.is_finished())
    }
}

/// An account that was ever asked for.
#[derive(Default)]
struct Slot {
    /// Held while it is started or stopped: all tries of this process to take its lease are made under it, and none of them
    /// sees the lease taken by another one.
    state: Mutex<State>,
    /// Held by whoever takes the account over: that takes seconds, in which nobody should wait for `state`.
    takeover: Mutex<()>,
}

type Slots = HashMap<AccountId, Arc<Slot>>;

/// Runs the accounts of one state directory.
pub struct AccountSupervisor {
    /// Account files, settings, the client.
    pub(super) clients: Clients,
    pub(super) store: Store,
    /// Who polls what.
    pub(super) leases: Leases,
    registry: StatusRegistry,
    /// Where messages go.
    inlet: Arc<dyn Inlet>,
    outbox: Outbox,
    library: Library,
    slots: std::sync::Mutex<Slots>,
    /// Changes when the machine slept.
    woken: watch::Sender<u64>,
}

impl AccountSupervisor {
    /// A supervisor of accounts none of which was started.
    pub fn new(
        clients: Clients,
        store: Store,
        leases: Leases,
        registry: StatusRegistry,
        inlet: Arc<dyn Inlet>,
        outbox: Outbox,
        library: Library,
    ) -> AccountSupervisor {
        let (slots, woken) = (std::sync::Mutex::default(), watch::Sender::new(0));
        AccountSupervisor { clients, store, leases, registry, inlet, outbox, library, slots, woken }
    }

    /// The accounts on disk, newest login last.
    pub async fn list(&self) -> Result<Vec<Account>, ContractError> {
        let labels: HashMap<String, String> = self.store.labels().await?.into_iter().collect();
        let files = self
            .clients
            .with_files(|files| {
                let ids = files.list()?;
                Ok::<_, FilesError>(ids.into_iter().map(|id| (files.load(&id), id)).collect::<Vec<_>>())
            })
            .await??;
        let settings = self.clients.settings();
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
    /// Where another one holds it that is not stale, that is an error, and the account starts by itself when it is free.
    pub async fn start(&self, id: &AccountId) -> Result<(), ContractError> {
        let slot = self.slot(id);
        let wanted = {
            let mut state = slot.state.lock().await;
            match std::mem::take(&mut *state) {
                running if running.is_running() => {
                    *state = running;
                    return Ok(());
                }
                State::Wanted(wanted) => {
                    *state = State::Wanted(wanted.clone());
                    wanted
                }
                ended => {
                    let wanted = CancellationToken::new();
                    *state = State::Wanted(wanted.clone());
                    if let State::Running(ended) = ended {
                        self.end(id, ended).await;
                    }
                    wanted
                }
            }
        };
        let started = match self.try_start(id, &slot, &wanted).await {
            Err(error) if error.data.kind == ErrorKind::AccountLocked && !wanted.is_cancelled() => {
                self.take_over(id, &slot, &wanted).await
            }
            done => done,
        };
        if let Err(error) = &started
            && error.data.kind != ErrorKind::AccountLocked
        {
            self.give_up(id, &slot, &wanted, error).await;
        }
        started
    }

    /// Starts an account if that is still wanted and its lease is free.
    async fn try_start(&self, id: &AccountId, slot: &Slot, wanted: &CancellationToken) -> Result<(), ContractError> {
        let mut state = slot.state.lock().await;
        if state.is_running() {
            return Ok(());
        }
        if wanted.is_cancelled() {
            let message =
                format!("account {id} was stopped, or could not be started, meanwhile; start it again if it is wanted");
            return Err(ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id));
        }
        let running = self.begin(id).await?;
        // Whoever else tries it is done: after a stop none of them may begin it again.
        if let State::Wanted(others) = std::mem::replace(&mut *state, State::Running(running)) {
            others.cancel();
        }
        wanted.cancel();
        Ok(())
    }

    /// A try that began with this token has failed for good.
    async fn give_up(&self, id: &AccountId, slot: &Slot, wanted: &CancellationToken, error: &ContractError) {
        wanted.cancel();
        let mut state = slot.state.lock().await;
        // A start that was asked for since goes on.
        if matches!(&*state, State::Wanted(current) if current.is_cancelled()) {
            *state = State::Stopped;
            self.not_started(id, error);
        }
    }

    fn not_started(&self, id: &AccountId, error: &ContractError) {
        self.registry.update(id, |entry| {
            entry.state = AccountState::Stopped;
            entry.last_error = Some(error.message.clone());
        });
    }

    /// `None`: the lease is another's.
    async fn try_unless_locked(
        &self,
        id: &AccountId,
        slot: &Slot,
        wanted: &CancellationToken,
    ) -> Option<Result<(), ContractError>> {
        match self.try_start(id, slot, wanted).await {
            Err(error) if error.data.kind == ErrorKind::AccountLocked => None,
            done => Some(done),
        }
    }

    /// The same again and again while an owner that was asked may yield; not any more when it is not wanted any more.
    async fn try_for_a_while(
        &self,
        id: &AccountId,
        slot: &Slot,
        wanted: &CancellationToken,
    ) -> Option<Result<(), ContractError>> {
        let until = Instant::now() + YIELD_GRACE;
        while Instant::now() < until {
            tokio::time::sleep(TRY_EVERY).await;
            if let Some(done) = self.try_unless_locked(id, slot, wanted).await {
                return Some(done);
            }
            if wanted.is_cancelled() {
                return None;
            }
        }
        None
    }

    /// Takes the lease and starts the monitor.
    async fn begin(&self, id: &AccountId) -> Result<Running, ContractError> {
        let session = self.clients.session(id).await?;
        let ilink = self.clients.ilink().await?.clone();
        let lease = self.leases.take(id).await.map_err(|error| ContractError::from(error).account(id))?;
        let row = self.store.get_or_create_account(id).await?;
        let cursor = if row.imported { row.cursor } else { self.import(id, row.no).await? };
        self.leases.record(id).await?;
        self.inlet.start_account(id, row.no).await?;
        self.registry.update(id, |entry| {
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
            inlet: self.inlet.clone(),
            registry: self.registry.clone(),
            keep_texts: {
                let clients = self.clients.clone();
                Box::new(move || clients.settings().keeps_texts())
            },
            on_inbound: self.on_inbound(id, row.no),
            first_hold: self.clients.settings().first_hold(),
            woken: self.woken.subscribe(),
            taken_over: {
                let (files, id) = (self.clients.files().clone(), id.clone());
                Arc::new(move || files.has_newer_login(&id))
            },
        };
        let task = tokio::spawn(monitor.run(cancel.clone()));
        // What an earlier run, or another process, left behind.
        self.outbox.polls(id, row.no).await;
        Ok(Running { number: row.no, session: sender, cancel, task, lease })
    }

    /// What a monitor tells of the people who wrote: their conversations go on where something waits.
    fn on_inbound(&self, id: &AccountId, number: AccountNo) -> Box<dyn Fn(Vec<String>) + Send + Sync> {
        let (outbox, id) = (self.outbox.clone(), id.clone());
        Box::new(move |peers| {
            let (outbox, id) = (outbox.clone(), id.clone());
            tokio::spawn(async move { outbox.wrote(&id, number, &peers).await });
        })
    }

    /// Stops an account's monitor and says good-bye to the server; one that does not run stays so.
    pub async fn stop(&self, id: &AccountId) {
        let slot = self.slot(id);
        let mut state = slot.state.lock().await;
        match std::mem::take(&mut *state) {
            State::Stopped => {}
            State::Wanted(wanted) => {
                wanted.cancel();
                self.registry.update(id, |entry| entry.state = AccountState::Stopped);
            }
            State::Running(running) => self.end(id, running).await,
        }
    }

    /// Whether this process does nothing with an account: it neither runs nor waits for another's lease.
    pub async fn is_stopped(&self, id: &AccountId) -> bool {
        let slot = self.slot(id);
        let state = slot.state.lock().await;
        !state.is_running() && !matches!(&*state, State::Wanted(_))
    }

    /// Stops all accounts at once.
    pub async fn stop_all(&self) {
        let slots = self.slots();
        futures_util::future::join_all(slots.keys().map(|id| self.stop(id))).await;
    }

    async fn end(&self, id: &AccountId, running: Running) {
        let Running { number, session, cancel, task, lease } = running;
        cancel.cancel();
        self.outbox.polls_no_longer(id);
        if let Err(error) = task.await {
            tracing::error!(account = %id, %error, "a monitor ended by a defect of the sidecar");
        }
        self.inlet.stop_account(number);
        let farewell = session.borrow().clone();
        if let Ok(ilink) = self.clients.ilink().await
            && let Err(error) = ilink.notify_stop(&farewell).await
        {
            tracing::debug!(account = %id, %error, "the stop of an account was not announced");
        }
        drop(lease);
        self.registry.update(id, |entry| {
            entry.state = AccountState::Stopped;
            entry.paused_until_ms = None;
        });
    }

    /// Removes an account: its monitor, its credentials, its rows. Returns whether there was one.
    pub async fn remove(&self, id: &AccountId) -> Result<bool, ContractError> {
        self.stop(id).await;
        for row in self.store.waiting_sends(Some(id), None).await? {
            self.outbox.cancel(row.id).await?;
        }
        let of_files = id.clone();
        let files = self.clients.with_files(move |files| files.remove(&of_files)).await??;
        let rows = self.store.forget_account(id).await?;
        let (library, of_media) = (self.library.clone(), id.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || library.forget(of_media.as_str())).await {
            tracing::warn!(account = %id, %error, "the media of a removed account are still there");
        }
        self.registry.remove(id);
        Ok(files || rows)
    }

    /// Hands running accounts their authorisation anew; one whose credentials are gone is stopped.
    pub async fn renew(&self) {
        for (id, slot) in self.slots() {
            self.renew_account(&id, &mut *slot.state.lock().await).await;
        }
    }

    async fn renew_account(&self, id: &AccountId, state: &mut State) {
        let State::Running(running) = &*state else { return };
        let number = running.number;
        match self.clients.session(id).await {
            Ok(_) if self.store.account_no(id).await.is_ok_and(|now| now != Some(number)) => {
                tracing::info!(account = %id, "an account was removed and added again; starting it anew");
                // Where the other process is in between, it is waited for.
                let wanted = State::Wanted(CancellationToken::new());
                if let State::Running(ended) = std::mem::replace(state, wanted) {
                    self.end(id, ended).await;
                }
                match self.begin(id).await {
                    Ok(running) => *state = State::Running(running),
                    Err(error) => {
                        if error.data.kind != ErrorKind::AccountLocked {
                            *state = State::Stopped;
                            self.not_started(id, &error);
                        }
                        tracing::warn!(account = %id, %error, "an account could not be started anew");
                    }
                }
            }
            Ok(session) => {
                let renewed = running.session.send_if_modified(|current| {
                    let changed = *current != session;
                    *current = session;
                    changed
                });
                if renewed {
                    tracing::info!(account = %id, "an account's login or settings were renewed");
                    self.outbox.renewed(id, number).await;
                }
            }
            Err(error) if matches!(error.data.kind, ErrorKind::AccountNotFound | ErrorKind::AccountNotConfigured) => {
                tracing::warn!(account = %id, %error, "a running account has lost its credentials; stopping it");
                if let State::Running(ended) = std::mem::take(state) {
                    self.end(id, ended).await;
                }
                self.registry.update(id, |entry| entry.last_error = Some(error.message));
            }
            Err(error) => tracing::warn!(account = %id, %error, "an account's credentials could not be read again"),
        }
    }

    /// Every account polls anew, on new connections.
    pub fn wake(&self) {
        self.clients.reconnect();
        self.woken.send_modify(|times| *times += 1);
    }

    /// Goes on where an account's lock is held: takes it over from a stale owner, or says why not. From a live one it is
    /// not taken, and that is known at once.
    async fn take_over(&self, id: &AccountId, slot: &Slot, wanted: &CancellationToken) -> Result<(), ContractError> {
        let _one_at_a_time = slot.takeover.lock().await;
        // Whoever was before this one may have been lucky.
        if let Some(done) = self.try_unless_locked(id, slot, wanted).await {
            return done;
        }
        let Some(owner) = self.leases.owner(id).await? else {
            let message =
                format!("account {id} is polled by another process, which has just begun (pid unknown); try again");
            return Err(ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id));
        };
        let reason = match self.leases.assess(id, &owner).await? {
            Verdict::Leave(reason) => reason,
            Verdict::Ask | Verdict::End if !self.leases.ask(id, &owner).await? => KeepReason::OwnerGone,
            Verdict::Ask | Verdict::End => {
                if let Some(done) = self.try_for_a_while(id, slot, wanted).await {
                    return done;
                }
                if wanted.is_cancelled() {
                    return Err(self.superseded(id, wanted, owner, KeepReason::Withdrawn));
                }
                let of_end = wanted.clone();
                match self.leases.end_owner(id, &owner, move || !of_end.is_cancelled()).await? {
                    Err(reason) => reason,
                    // It is free now, unless a third one was faster.
                    Ok(()) => match self.try_unless_locked(id, slot, wanted).await {
                        Some(done) => return done,
                        None => KeepReason::OwnerGone,
                    },
                }
            }
        };
        // Another try may have had it meanwhile.
        match slot.state.lock().await.is_running() {
            true => Ok(()),
            false => Err(self.superseded(id, wanted, owner, reason)),
        }
    }

    /// Says in the status, and in an error, who polls the account and what a person can do.
    fn superseded(
        &self,
        id: &AccountId,
        wanted: &CancellationToken,
        owner: LeaseOwner,
        reason: KeepReason,
    ) -> ContractError {
        let message = Locked { id: id.clone(), owner, reason }.to_string();
        if !wanted.is_cancelled() {
            self.registry.update(id, |entry| {
                entry.state = AccountState::Superseded;
                entry.last_error = Some(message.clone());
            });
        }
        ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id)
    }

    /// The accounts that wait for another's lease and that nobody is starting.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let free = |slot: &Slot| {
            let state = slot.state.try_lock().ok()?;
            let State::Wanted(wanted) = &*state else { return None };
            slot.takeover.try_lock().is_ok().then(|| wanted.clone())
        };
        let slots = self.slots().into_iter();
        slots.filter_map(|(id, slot)| free(&slot).map(|wanted| Waiting { id, slot, wanted })).collect()
    }

    /// Whether an account waits, whoever is at it; also where that is being changed just now.
    pub(super) fn is_wanted(&self, id: &AccountId) -> bool {
        let slot = self.slot(id);
        slot.state.try_lock().map_or(true, |state| matches!(&*state, State::Wanted(_)))
    }

    /// Starts an account that waits, if its lease is free. Returns whether it is still another's.
    pub(super) async fn start_waiting(&self, waiting: &Waiting) -> bool {
        let Waiting { id, slot, wanted } = waiting;
        match self.try_unless_locked(id, slot, wanted).await {
            None => return true,
            Some(Ok(())) => tracing::info!(account = %id, "an account that another process polled is free; started"),
            Some(Err(error))
                if matches!(error.data.kind, ErrorKind::AccountNotFound | ErrorKind::AccountNotConfigured) =>
            {
                self.give_up(id, slot, wanted, &error).await;
            }
            Some(Err(error)) => tracing::warn!(account = %id, %error, "an account that waits could not be started"),
        }
        false
    }

    /// Looks whether the owner of a lease that is waited for has become a stale one. Returns whether it is to be taken over;
    /// if not, the status says why.
    pub(super) async fn assess_waiting(&self, waiting: &Waiting) -> bool {
        let Waiting { id, wanted, .. } = waiting;
        let Ok(Some(owner)) = self.leases.owner(id).await else { return false };
        match self.leases.assess(id, &owner).await {
            Ok(Verdict::Leave(reason)) => drop(self.superseded(id, wanted, owner, reason)),
            Ok(Verdict::Ask | Verdict::End) => return true,
            Err(error) => tracing::debug!(account = %id, %error, "the owner of an account could not be looked at"),
        }
        false
    }

    /// Takes over an account that waits.
    pub(super) async fn take_over_waiting(&self, waiting: &Waiting) {
        let Waiting { id, slot, wanted } = waiting;
        if let Err(error) = self.take_over(id, slot, wanted).await {
            tracing::warn!(account = %id, %error, "an account was not taken over");
        }
    }

    /// Whether this process was ever asked to run an account.
    pub(super) fn has_any(&self) -> bool {
        !lock(&self.slots).is_empty()
    }

    /// Reads what the official plugin left, once. Returns the cursor to go on from.
    async fn import(&self, id: &AccountId, number: AccountNo) -> Result<String, ContractError> {
        let of_files = id.clone();
        let legacy = self.clients.with_files(move |files| read_legacy(files, &of_files)).await?;
        for problem in &legacy.problems {
            tracing::warn!(account = %id, problem, "a file of the official plugin was not taken over");
        }
        if legacy.cursor.is_some() || !legacy.tokens.is_empty() {
            tracing::info!(account = %id, peers = legacy.tokens.len(), "took over what the official plugin knew");
        }
        self.store.import(number, legacy.cursor, legacy.tokens, now_ms()).await?;
        Ok(self.store.get_or_create_account(id).await?.cursor)
    }

    async fn is_running(&self, id: &AccountId) -> bool {
        let slot = lock(&self.slots).get(id).cloned();
        match slot {
            // One that is locked is being started or stopped; soon it is known.
            Some(slot) => slot.state.lock().await.is_running(),
            None => false,
        }
    }

    fn slot(&self, id: &AccountId) -> Arc<Slot> {
        lock(&self.slots).entry(id.clone()).or_default().clone()
    }

    fn slots(&self) -> Slots {
        lock(&self.slots).clone()
    }
}

/// An account that waits for another's lease.
pub(super) struct Waiting {
    pub id: AccountId,
    slot: Arc<Slot>,
    wanted: CancellationToken,
}
