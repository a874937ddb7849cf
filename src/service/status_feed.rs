//! How accounts are, on its way to the gateway: what this process knows, with what is on disk.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use crate::accounts::StatusRegistry;
use crate::contract::{AccountId, AccountStatus, BudgetStatus, Delivery, DeliveryState, OutboxStatus};
use crate::events::{Event, Events};
use crate::store::{Confirmations, Standing, Store, StoreError};
use crate::supervise::caught;

/// How long a status waits for what the database knows: a disk that hangs must not hide that it does.
const DISK: Duration = Duration::from_secs(2);
/// How many statuses are completed with one look at the database.
const BATCH: usize = 1_000;

/// Takes the changes of a [`StatusRegistry`].
#[derive(Clone)]
pub struct StatusFeed {
    changes: mpsc::UnboundedSender<Change>,
}

/// The other end of a [`StatusFeed`].
pub struct Changes(mpsc::UnboundedReceiver<Change>);

impl StatusFeed {
    /// A feed, and what comes out of it.
    pub fn new() -> (StatusFeed, Changes) {
        let (changes, changed) = mpsc::unbounded_channel();
        (StatusFeed { changes }, Changes(changed))
    }

    /// Takes an account's status. Never blocks.
    pub fn send(&self, status: AccountStatus) {
        let _ = self.changes.send(Change::Status(Box::new(status)));
    }

    /// Returns when everything before it was passed on.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let _ = self.changes.send(Change::Flush(done));
        let _ = is_done.await;
    }
}

/// Adds what the database knows of accounts, of all processes together.
pub(super) async fn add_what_is_on_disk(
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
pub(super) fn tell_standing(registry: &StatusRegistry, id: &AccountId, before: Standing, now: Confirmations) {
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
    registry.tell(id);
}

/// What goes through the feed.
enum Change {
    /// An account's status.
    Status(Box<AccountStatus>),
    /// Answered when everything before it was passed on.
    Flush(oneshot::Sender<()>),
}

/// Passes on what comes out of a feed, in its order, with what is on disk.
pub(super) async fn pass_on(store: Store, clients: Clients, Changes(mut changes): Changes, events: Events) {
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
pub(super) async fn repeat(registry: StatusRegistry, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        registry.ids().iter().for_each(|id| registry.tell(id));
    }
}
