//! How everything is.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::sidecar::Sidecar;
use crate::accounts::StatusRegistry;
use crate::contract::{
    AccountId, AccountStatus, BudgetStatus, ContractError, Delivery, DeliveryState, OutboxStatus, ProbeResult,
    ProcessStatus, StatusGetParams, StatusGetResult,
};
use crate::events::{Event, Events};
use crate::process;
use crate::store::{Answer, Confirmations, Standing, Store, StoreError};
use crate::supervise::caught;
use ilink::Refusal;

/// How long a status waits for what the database knows: a disk that hangs must not hide that it does.
const DISK: Duration = Duration::from_secs(2);
/// How many statuses are completed with one look at the database.
const BATCH: usize = 1_000;
/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(10);

impl Sidecar {
    /// The process and its accounts; with `probe` the server is asked whether it accepts them.
    pub async fn status(&self, params: StatusGetParams) -> Result<StatusGetResult, ContractError> {
        let ids = match params.account_id.filter(|id| !id.trim().is_empty()) {
            Some(id) => {
                let id = self.resolve(&id).await?;
                // An id that is nobody's is an error; one without credentials has a status all the same.
                if let Err(error) = self.session(&id).await
                    && error.data.kind == crate::contract::ErrorKind::AccountNotFound
                {
                    return Err(error);
                }
                vec![id]
            }
            None => self.with_files(|files| files.list()).await??,
        };
        let mut accounts: Vec<AccountStatus> =
            ids.iter().map(|id| crate::accounts::status(id, &self.board.get(id))).collect();
        add_what_is_on_disk(&self.store, &self.clients, &mut accounts).await?;
        if params.probe.unwrap_or(false) {
            let probes = futures_util::future::join_all(ids.iter().map(|id| self.probe(id))).await;
            for (status, probe) in accounts.iter_mut().zip(probes) {
                status.probe = Some(probe);
            }
        }
        Ok(StatusGetResult {
            process: ProcessStatus {
                pid: std::process::id(),
                version: super::VERSION.to_owned(),
                uptime_ms: self.uptime().as_millis() as u64,
                rss_bytes: process::resident_bytes(),
            },
            accounts,
        })
    }

    /// The latest wire messages and how they were answered, for a report.
    pub async fn answers(&self, at_most: usize) -> Result<Vec<Answer>, ContractError> {
        Ok(self.store.answers(at_most).await?)
    }

    /// Asks the server whether it accepts an account, with a request that changes nothing.
    pub async fn probe(&self, id: &AccountId) -> ProbeResult {
        let began = Instant::now();
        let asked = tokio::time::timeout(PROBE, self.ask(id)).await;
        let error = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message),
            Err(_) => Some(format!("no answer within {} s", PROBE.as_secs())),
        };
        ProbeResult { ok: error.is_none(), latency_ms: began.elapsed().as_millis() as u64, error }
    }

    async fn ask(&self, id: &AccountId) -> Result<(), ContractError> {
        let session = self.session(id).await?;
        let of_file = id.clone();
        let file = self.with_files(move |files| files.load(&of_file)).await??.unwrap_or_default();
        let user = file.user_id.unwrap_or_default();
        match self.ilink().await?.get_config(&session, &user, None).await {
            // Whoever scanned the code has not written yet: the server knows the bot all the same.
            Err(error) if error.refusal() == Some(Refusal::NotWrittenYet) => Ok(()),
            asked => Ok(asked.map(|_| ())?),
        }
    }
}

/// Adds what the database knows of accounts, of all processes together.
async fn add_what_is_on_disk(
    store: &Store,
    clients: &Clients,
    accounts: &mut [AccountStatus],
) -> Result<(), StoreError> {
    let pending = store.inbox_counts().await?;
    let waiting = store.outbox_counts().await?;
    let confirmations = store.confirmations().await?;
    let learned = store.learned_quotas().await?;
    let configured = clients.settings().quota();
    for status in accounts {
        let id = status.account_id.as_str();
        status.inbox.pending = pending.get(id).copied().unwrap_or(0);
        status.delivery = confirmations.get(id).copied().map(delivery).unwrap_or_default();
        let limit = learned.get(id).map_or(configured, |learned| configured.min(*learned));
        status.budget = Some(BudgetStatus { limit, learned: limit < configured });
        if let Some((held, oldest)) = waiting.get(id) {
            status.outbox = OutboxStatus { held: *held, oldest_ms: Some(*oldest) };
        }
    }
    Ok(())
}

/// What the server's answers say of a bot, as the contract says it.
fn delivery(found: Confirmations) -> Delivery {
    Delivery {
        state: match found.standing() {
            Standing::Muted => DeliveryState::Unconfirmed,
            Standing::Confirmed => DeliveryState::Ok,
            Standing::Unknown => DeliveryState::Unknown,
        },
        unconfirmed_in_a_row: found.unconfirmed,
        since_ms: found.since_ms.filter(|_| found.muted),
        last_confirmed_at_ms: found.confirmed_at,
    }
}

/// Tells that what a bot sends is not confirmed any more, or is again: in the log, for whoever runs this, and to the gateway.
pub(super) fn tell_standing(board: &StatusRegistry, id: &AccountId, before: Standing, now: Confirmations) {
    match (before, now.standing()) {
        (_, Standing::Muted) => tracing::error!(
            account = %id,
            unconfirmed = now.unconfirmed,
            since_ms = now.since_ms,
            "ALERT: WeChat accepts this bot's messages but confirms none of them; most likely nobody sees them. Receiving and \
             typing still work. Do not resend; this usually ends by itself after hours or weeks. To report it: \
             openclaw-weixin-sidecar doctor --report FILE"
        ),
        (Standing::Muted, _) => {
            tracing::error!(account = %id, "ALERT OVER: WeChat confirms this bot's messages again");
        }
        (Standing::Unknown | Standing::Confirmed, _) => {}
    }
    board.tell(id);
}

/// What the board shows, on its way to the gateway.
pub(super) enum Change {
    /// An account's status.
    Status(Box<AccountStatus>),
    /// Answered when everything before it was passed on.
    Flush(oneshot::Sender<()>),
}

/// Passes on what the board shows, in its order, with what is on disk.
pub(super) async fn pass_on(
    store: Store,
    clients: Clients,
    mut changes: mpsc::UnboundedReceiver<Change>,
    events: Events,
) {
    let mut batch = Vec::new();
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        let batch = std::mem::take(&mut batch);
        let _ = caught("a change of an account's status", pass_on_batch(&store, &clients, batch, &events)).await;
    }
}

async fn pass_on_batch(store: &Store, clients: &Clients, batch: Vec<Change>, events: &Events) {
    let (mut accounts, mut flushed) = (Vec::new(), Vec::new());
    for change in batch {
        match change {
            Change::Status(status) => accounts.push(*status),
            Change::Flush(done) => flushed.push(done),
        }
    }
    if !accounts.is_empty() {
        let added = tokio::time::timeout(DISK, add_what_is_on_disk(store, clients, &mut accounts)).await;
        if !matches!(added, Ok(Ok(()))) {
            tracing::debug!("the database did not say what it knows of accounts");
        }
    }
    for status in accounts {
        events.emit(Event::Status(status));
    }
    for done in flushed {
        let _ = done.send(());
    }
}

/// Tells how each account is, again and again, so that a gateway knows how old its knowledge is.
pub(super) async fn repeat(sidecar: Weak<Sidecar>, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let Some(sidecar) = sidecar.upgrade() else { return };
        for id in sidecar.board.ids() {
            sidecar.board.tell(&id);
        }
    }
}
