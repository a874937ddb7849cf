//! What all conversations share: the database, the rest of the program, and what is known of each bot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::claim::Claimant;
use super::context::OutboxContext;
use super::media::MediaPart;
use super::recovery::Recoveries;
use crate::contract::{AccountId, OutboundUpdate, UpdateStatus};
use crate::store::{AccountNo, OutboundRow, SendState, Store};
use crate::supervise::lock;
use ilink::BotToken;

/// A conversation: the account, and the person.
pub(super) type ConversationKey = (AccountId, String);

/// What all conversations share.
pub(super) struct Core {
    pub store: Store,
    /// The rest of the program.
    pub context: Box<dyn OutboxContext>,
    /// This process in claims.
    pub me: Arc<Claimant>,
    /// What was tried against refusals to prepare a message, for each bot.
    pub recoveries: Recoveries,
    /// Everything ends with it.
    pub stop: CancellationToken,
    /// Accounts that this process polls: what anybody leaves in their outbox is this process's to send.
    polled: Mutex<HashMap<AccountId, AccountNo>>,
    /// One telling at a time: each says what is so then.
    telling: tokio::sync::Mutex<()>,
    /// Tokens that the server called stale: nothing is tried with them again.
    stale: Mutex<HashMap<AccountId, BotToken>>,
}

impl Core {
    /// What conversations on this database share.
    pub fn new(store: Store, context: Box<dyn OutboxContext>, stop: CancellationToken) -> Core {
        Core {
            store,
            context,
            me: Arc::new(Claimant::this_process()),
            recoveries: Recoveries::default(),
            stop,
            polled: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            stale: Mutex::default(),
        }
    }

    /// This process polls an account, or no longer.
    pub fn set_polled(&self, account: &AccountId, number: Option<AccountNo>) {
        let mut polled = lock(&self.polled);
        match number {
            Some(number) => polled.insert(account.clone(), number),
            None => polled.remove(account),
        };
    }

    /// Whether this process polls an account.
    pub fn polls(&self, account: &AccountId) -> bool {
        lock(&self.polled).contains_key(account)
    }

    /// Whether it polls any.
    pub fn polls_any(&self) -> bool {
        !lock(&self.polled).is_empty()
    }

    /// Tells whether what a bot sends is confirmed now, where that has changed: once, by the process that polls the account.
    /// It is told before it is written down that it was: a kill in between tells it twice, not never.
    pub async fn tell_standing(&self, account: &AccountId, number: AccountNo) {
        if !self.polls(account) {
            return;
        }
        let _one_by_one = self.telling.lock().await;
        let untold = match self.store.untold_of(number).await {
            Ok(Some(untold)) => untold,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%account, %error, "whether sends are confirmed could not be read"),
        };
        let (before, now) = untold;
        self.context.standing(account, before, now);
        if let Err(error) = self.store.told(number, now.standing()).await {
            tracing::debug!(%account, %error, "what was told of an account was not written down");
        }
    }

    /// The same for all bots that this process polls, whoever sent for them.
    pub async fn tell_standings(&self) {
        match self.store.untold().await {
            Ok(found) => {
                for (account, number) in found {
                    self.tell_standing(&AccountId::normalize(&account), number).await;
                }
            }
            Err(error) => tracing::debug!(%error, "whether sends are confirmed could not be read"),
        }
    }

    /// Lets go of the files of a send that will not be sent.
    pub fn drop_files(&self, row: &OutboundRow) {
        for part in row.parts.iter().filter(|part| !part.taken) {
            if let Some(media) = part.media.as_deref().and_then(MediaPart::from_json) {
                self.context.file_done(&row.account_id, None, media);
            }
        }
    }

    /// Whether the server called this token stale.
    pub fn is_stale(&self, account: &AccountId, token: &BotToken) -> bool {
        lock(&self.stale).get(account) == Some(token)
    }

    /// Remembers that the server called this token stale.
    pub fn set_stale(&self, account: &AccountId, token: BotToken) {
        lock(&self.stale).insert(account.clone(), token);
    }

    /// The account has a new login: what was stale is not any more.
    pub fn forget_stale(&self, account: &AccountId) {
        lock(&self.stale).remove(account);
    }
}

/// What the gateway is told of a send's end; `None` where it was never told that it is held, or it waits still.
pub(super) fn update_of(row: &OutboundRow) -> Option<OutboundUpdate> {
    let status = match row.state {
        SendState::Pending => return None,
        SendState::Sent => UpdateStatus::Sent,
        SendState::Unconfirmed => UpdateStatus::Unconfirmed,
        SendState::Failed => UpdateStatus::Failed,
        SendState::Expired => UpdateStatus::Expired,
        SendState::Cancelled => UpdateStatus::Cancelled,
    };
    row.held?;
    let ids: Vec<String> = row.parts.iter().filter_map(|part| part.message_id.clone()).collect();
    let texts = row.parts.iter().map(|part| part.text.as_str()).filter(|text| !text.is_empty());
    let text = texts.collect::<Vec<_>>().join("\n");
    Some(OutboundUpdate {
        queue_id: queue_id(row.id),
        account_id: Some(row.account_id.clone()).filter(|id| !id.is_empty()),
        to: Some(row.peer.clone()),
        client_ids: row.parts.iter().map(|part| part.client_id.clone()).collect(),
        status,
        message_ids: Some(ids).filter(|ids| !ids.is_empty()),
        text: Some(text).filter(|text| !text.is_empty()),
        error: row.error.clone(),
    })
}

/// A send's name towards the gateway.
pub fn queue_id(id: i64) -> String {
    format!("q{id}")
}

/// The row of the send that has this name; `None` where it is no such name.
pub fn row_of(queue_id: &str) -> Option<i64> {
    queue_id.strip_prefix('q')?.parse().ok()
}

/// A new client id, unique without asking anybody.
pub(super) fn client_id() -> String {
    format!("openclaw-weixin-{:032x}", rand::random::<u128>())
}
