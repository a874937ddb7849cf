//! The sender: texts and typing, and what waits.

use std::path::PathBuf;

use super::clients::Clients;
use super::directory::Directory;
use crate::contract::{
    AccountId, BudgetParams, BudgetReset, BudgetResult, CancelResult, ContractError, ErrorKind, HeldReason, Locale,
    QueueItem, QueueParams, QueueResult, SendResult, SendStatus, SendTextParams, SendTypingParams, SendTypingResult,
};
use crate::media::Library;
use crate::outbound::{
    Accepted, Content, MediaPart, Outbox, PeerLocks, SendRequest, Sent, Typing, WireItem, queue_id, row_of,
};
use crate::rpc::until_answered;
use crate::store::{OutboundRow, SendState, Store};

/// Sends for all accounts.
pub struct Sender {
    /// The client and the settings.
    pub clients: Clients,
    /// Which account is meant.
    pub directory: Directory,
    /// What was sent, and what waits.
    pub store: Store,
    pub outbox: Outbox,
    /// Sends to one person are accepted in the order of the calls.
    pub peer_locks: PeerLocks,
    pub typing: Typing,
    /// Where files are spooled.
    pub library: Library,
    /// Directories that files may be sent from, beside what the sidecar itself wrote for the conversation.
    pub media_roots: Vec<PathBuf>,
    /// The language of notices.
    pub locale: Locale,
}

impl Sender {
    /// Sends a text. What is sent to one person is accepted in the order of the calls.
    pub async fn send_text(&self, params: SendTextParams, origin: Origin) -> Result<SendResult, ContractError> {
        let to = peer(&params.to)?;
        let address = Address {
            account: params.account_id.as_deref(),
            run_id: params.run_id,
            key: params.idempotency_key.filter(|key| !key.is_empty()),
            extra: params.extra.unwrap_or(false),
            origin,
        };
        self.send(to, address, async |_| Ok(Content::Text(params.text))).await
    }

    /// Sends items of another iLink client.
    pub async fn send_items(&self, send: WireSend) -> Result<SendResult, ContractError> {
        let WireSend { account, to, items, run_id, key, extra, origin } = send;
        let to = peer(&to)?;
        let address = Address { account: Some(account.as_str()), run_id, key, extra, origin };
        self.send(to, address, async |_| Ok(Content::Items(items))).await
    }

    /// Sends what `content` makes, which is not asked where the key was used before.
    pub(super) async fn send(
        &self,
        to: String,
        address: Address<'_>,
        content: impl AsyncFnOnce(&AccountId) -> Result<Content, ContractError>,
    ) -> Result<SendResult, ContractError> {
        let Address { account, run_id, key, extra, origin } = address;
        let turn = self.peer_locks.take(&to).await;
        let known = match &key {
            Some(key) => self.store.send_by_key(key).await?,
            None => None,
        };
        // A finished send is answered without asking for an account: it may be gone since.
        if let Some(row) = known.clone().filter(|row| matches!(row.state, SendState::Sent | SendState::Unconfirmed)) {
            return Ok(result(row));
        }
        let account = self.directory.account_for(account, &to).await?;
        // An account that does not exist is an error now, not a message that waits for ever.
        let number = self.directory.number(&account).await?;
        let accepted = match known {
            Some(row) => Ok(Some(Accepted::again(account.clone(), row))),
            None => {
                let content = content(&account).await?;
                let request = SendRequest {
                    number,
                    account: account.clone(),
                    to,
                    content,
                    run_id: run_id.filter(|id| !id.is_empty()),
                    idempotency_key: key,
                    extra,
                    backend: origin.backend,
                };
                self.outbox.accept(request).await
            }
        };
        drop(turn);
        let settled = match accepted {
            Ok(Some(accepted)) => self.outbox.settle(accepted).await,
            Ok(None) => Ok(Sent::Dropped),
            Err(error) => Err(error),
        };
        match settled {
            Ok(Sent::Taken(row)) => Ok(result(row)),
            Ok(Sent::Held(row, reason, unanswered)) => {
                until_answered(unanswered);
                Ok(SendResult {
                    status: SendStatus::Held,
                    queue_id: Some(queue_id(row.id)),
                    held_reason: Some(reason.into()),
                    ..result(row)
                })
            }
            Ok(Sent::Dropped) => Ok(dropped()),
            Err(error) => Err(ContractError::from(error).account(&account)),
        }
    }

    /// How much may be sent to a person now.
    pub async fn budget(&self, params: BudgetParams) -> Result<BudgetResult, ContractError> {
        let to = peer(&params.to)?;
        let account = self.directory.account_for(params.account_id.as_deref(), &to).await?;
        let number = self.directory.number(&account).await?;
        let allowed = self.store.allowance(number, &to, self.clients.settings().outbox(self.locale).limits).await?;
        Ok(BudgetResult {
            left: allowed.left,
            resets_on: BudgetReset::Inbound,
            window_ends_at_ms: allowed.window_ends_at,
            limit: allowed.limit,
            learned: allowed.learned,
            pace_available_at_ms: allowed.available_at,
        })
    }

    /// Forgets what was learned about how much an account's bot may send.
    pub async fn reset_budget(&self, id: &AccountId) -> Result<(), ContractError> {
        self.store.reset_quota(self.directory.number(id).await?).await?;
        // What was held for the old figure may go now.
        self.flush(Some(id)).await
    }

    /// What waits to be sent.
    pub async fn queue(&self, params: QueueParams) -> Result<QueueResult, ContractError> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let account = match filled(params.account_id) {
            Some(named) => Some(self.directory.resolve(&named).await?),
            None => None,
        };
        let waiting = self.store.waiting_sends(account.as_ref(), filled(params.to).as_deref()).await?;
        let item = |row: OutboundRow| {
            let media = media_of(&row);
            QueueItem {
                queue_id: queue_id(row.id),
                kind: media.as_ref().map_or("text", |media| media.kind.name()).to_owned(),
                created_at_ms: row.created_at,
                reason: row.held.map(Into::into),
                preview: match row.parts.iter().find(|part| !part.taken) {
                    Some(part) if part.media.is_none() => preview(&part.text),
                    _ => media.map(|media| preview(&media.name)).unwrap_or_default(),
                },
                account_id: row.account_id,
                to: row.peer,
            }
        };
        Ok(QueueResult { items: waiting.into_iter().map(item).collect() })
    }

    /// Gives up a send that waits.
    pub async fn cancel(&self, queue_id: &str) -> Result<CancelResult, ContractError> {
        let Some(id) = row_of(queue_id) else {
            let message = format!("params.queueId: {queue_id:?} is no queueId of this sidecar; see outbound.queue");
            return Err(ContractError::new(ErrorKind::InvalidParams, message));
        };
        Ok(CancelResult { cancelled: self.outbox.cancel(id).await? })
    }

    /// Looks at everything that waits again.
    pub async fn flush(&self, account: Option<&AccountId>) -> Result<(), ContractError> {
        for row in self.store.waiting_sends(account, None).await? {
            self.outbox.nudge(&AccountId::normalize(&row.account_id), &row.peer);
        }
        Ok(())
    }

    /// Looks at one conversation again.
    pub fn nudge(&self, account: &AccountId, peer: &str) {
        self.outbox.nudge(account, peer);
    }

    /// Shows or ends typing. Whatever goes wrong is logged: typing is never worth an error.
    pub async fn send_typing(&self, params: SendTypingParams) -> Result<SendTypingResult, ContractError> {
        let to = peer(&params.to)?;
        let account = self.directory.account_for(params.account_id.as_deref(), &to).await?;
        let session = self.clients.session(&account).await?;
        let ilink = self.clients.ilink().await?;
        let shown = match params.active {
            true => self.typing.begin(ilink, &account, &session, &to).await,
            false => self.typing.end(ilink, &account, &session, &to).await,
        };
        if let Err(error) = &shown {
            tracing::debug!(%account, %error, "typing was not shown");
        }
        Ok(SendTypingResult { sent: shown.is_ok() })
    }
}

/// Where a send comes from.
pub(super) struct Address<'a> {
    /// The account that the gateway named.
    pub account: Option<&'a str>,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// Makes it the same send as any other with this key.
    pub key: Option<String>,
    /// It is worth less than an answer.
    pub extra: bool,
    /// Whose it is.
    pub origin: Origin,
}

/// On whose behalf something is sent.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Which backend of the hub.
    pub backend: Option<String>,
    /// A folder of its own that it may send files from.
    pub folder: Option<PathBuf>,
}

/// A message as another iLink client would send it: its items go out as they are.
pub struct WireSend {
    pub account: AccountId,
    pub to: String,
    pub items: Vec<WireItem>,
    pub run_id: Option<String>,
    /// Makes it the same send as any other with this key.
    pub key: Option<String>,
    /// It is worth less than an answer.
    pub extra: bool,
    pub origin: Origin,
}

/// What was not worth a place.
pub(super) fn dropped() -> SendResult {
    SendResult {
        status: SendStatus::Held,
        parts: 0,
        client_ids: Vec::new(),
        message_ids: Vec::new(),
        queue_id: None,
        held_reason: Some(HeldReason::Quota),
    }
}

fn media_of(row: &OutboundRow) -> Option<MediaPart> {
    row.parts.iter().find_map(|part| MediaPart::from_json(part.media.as_deref()?))
}

pub(super) fn peer(to: &str) -> Result<String, ContractError> {
    let to = to.trim();
    if to.is_empty() {
        let message = "params.to: must be a WeChat user id, such as abc@im.wechat";
        return Err(ContractError::new(ErrorKind::InvalidParams, message));
    }
    Ok(to.to_owned())
}

fn result(row: OutboundRow) -> SendResult {
    SendResult {
        status: if row.state == SendState::Unconfirmed { SendStatus::Unconfirmed } else { SendStatus::Sent },
        parts: row.parts.len() as u32,
        message_ids: row.parts.iter().filter_map(|part| part.message_id.clone()).collect(),
        client_ids: row.parts.into_iter().map(|part| part.client_id).collect(),
        queue_id: None,
        held_reason: None,
    }
}

/// The beginning of a text.
fn preview(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
