//! What one caller may do: the contract, with everything that is another's left out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::caller::{Caller, Role};
use super::feed::{Attached, Feed};
use super::hub::Hub;
use super::media;
use super::router::owner_of;
use super::table::{Decision, Question};
use crate::contract::*;
use crate::inbound::DeliveryId;
use crate::outbound::row_of;
use crate::rpc::Outgoing;
use crate::service::{Origin, delivery, initialized};
use crate::store::RouteContext;
use crate::supervise::lock;

/// Whether messages come on a connection.
enum Receiving {
    NotYet,
    Now(Attached),
    Over,
}

/// A caller and their connection, where they have one.
pub struct Session {
    pub hub: Arc<Hub>,
    pub caller: Arc<Caller>,
    /// Where messages go; `None` over HTTP, where they are pulled.
    outgoing: Option<Outgoing>,
    ready: AtomicBool,
    /// What takes messages; nothing any more once the connection is over.
    attached: Mutex<Receiving>,
    /// Accounts that this connection has stopped for itself.
    stopped: Arc<Mutex<HashSet<String>>>,
}

impl Session {
    /// Of one request over HTTP.
    pub fn of_request(hub: Arc<Hub>, caller: Arc<Caller>) -> Session {
        Session::new(hub, caller, None)
    }

    /// Of a connection.
    pub fn of_connection(hub: Arc<Hub>, caller: Arc<Caller>, outgoing: Outgoing) -> Session {
        Session::new(hub, caller, Some(outgoing))
    }

    fn new(hub: Arc<Hub>, caller: Arc<Caller>, outgoing: Option<Outgoing>) -> Session {
        let (attached, stopped) = (Mutex::new(Receiving::NotYet), Arc::default());
        Session { hub, caller, ready: AtomicBool::new(outgoing.is_none()), outgoing, attached, stopped }
    }

    /// Whether anything but `initialize` may be asked.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// The caller's backend.
    pub fn feed(&self) -> Result<Arc<Feed>, ContractError> {
        self.caller.require_receiver()?;
        Ok(self.hub.feeds.get(&self.caller.backend))
    }

    /// Agrees on the version. From now on messages come, where there is a connection that they can come on.
    pub fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ContractError> {
        crate::service::check_version(&params)?;
        if self.ready.swap(true, Relaxed) && self.outgoing.is_some() {
            return Err(ContractError::new(ErrorKind::InvalidRequest, "initialize was answered already"));
        }
        if self.caller.role == Role::Backend {
            let feed = self.hub.feeds.get(&self.caller.backend);
            if let Some(defer) = params.defer_media {
                feed.set_defer(defer);
            }
            if let Some(outgoing) = self.outgoing.clone() {
                let stopped = self.stopped.clone();
                let attached = feed.attach(self.caller.accounts.clone(), move |message| {
                    !lock(&stopped).contains(&message.account_id)
                        && outgoing.deliver("inbound.message", &media::with_urls(message.clone()))
                });
                let mut receiving = lock(&self.attached);
                if matches!(*receiving, Receiving::NotYet) {
                    *receiving = Receiving::Now(attached);
                }
            }
        }
        Ok(initialized(&self.hub.sidecar))
    }

    /// The connection is over, whatever still runs of it: what it had comes to others now.
    pub fn disconnected(&self) {
        let had = std::mem::replace(&mut *lock(&self.attached), Receiving::Over);
        if let Receiving::Now(attached) = had {
            drop(attached);
        }
    }

    /// The account that is meant, if the caller sees it.
    pub async fn account(&self, named: &str) -> Result<AccountId, ContractError> {
        let id = self.hub.sidecar.directory.resolve(named).await?;
        self.caller.sees(&id)?;
        Ok(id)
    }

    /// Starts an account: for the caller of a backend, on this connection only.
    pub async fn start_account(&self, named: &str) -> Result<Empty, ContractError> {
        let id = self.account(named).await?;
        match self.caller.role {
            Role::Admin => self.hub.start_account(&id).await.map(|()| Empty {}),
            _ => {
                lock(&self.stopped).remove(id.as_str());
                Ok(Empty {})
            }
        }
    }

    /// Stops an account: for the caller of a backend, on this connection only.
    pub async fn stop_account(&self, named: &str) -> Result<Empty, ContractError> {
        let id = self.account(named).await?;
        match self.caller.role {
            Role::Admin => self.hub.stop_account(&id).await,
            _ => drop(lock(&self.stopped).insert(id.to_string())),
        }
        Ok(Empty {})
    }

    /// Accounts that the caller sees.
    pub async fn accounts(&self) -> Result<AccountsListResult, ContractError> {
        let mut accounts = self.hub.sidecar.accounts.list().await?;
        accounts.retain(|account| self.caller.accounts.has(&account.account_id));
        Ok(AccountsListResult { accounts })
    }

    /// Reads ids of deliveries, all of which must be of accounts that the caller sees.
    pub fn delivery(&self, id: &str) -> Result<DeliveryId, ContractError> {
        let id = delivery(id)?;
        self.caller.sees(&id.account)?;
        Ok(id)
    }

    /// The account that a send goes out from, where the conversation is the caller's.
    pub async fn sender_for(&self, named: Option<&str>, to: &str) -> Result<AccountId, ContractError> {
        self.caller.require_sender()?;
        let to = to.trim();
        let seen = |id: &AccountId| self.caller.accounts.has(id.as_str());
        let account = self.hub.sidecar.directory.account_among(named, to, seen).await?;
        if self.caller.role == Role::Admin || self.is_theirs(&account, to).await? {
            return Ok(account);
        }
        let message = format!("the conversation with {to} is not this backend's: none of its messages came here");
        Err(ContractError::new(ErrorKind::Forbidden, message).account(&account))
    }

    /// Whether a conversation is the caller's backend's: it was given one of its messages, or would be now.
    pub async fn is_theirs(&self, account: &AccountId, peer: &str) -> Result<bool, ContractError> {
        let (hub, backend) = (&self.hub, &*self.caller.backend);
        let Some(number) = hub.sidecar.store.account_no(account).await? else { return Ok(false) };
        if hub.sidecar.store.is_served(number, peer, backend).await? {
            return Ok(true);
        }
        let context: RouteContext = hub.sidecar.store.route_context(number, vec![peer.to_owned()], Vec::new()).await?;
        let owner = owner_of(&hub.sidecar, account).await?;
        let question = Question { account: account.as_str(), peer, owner: owner.as_deref(), quoted: None };
        Ok(matches!(hub.rules().decide(question, &context), Decision::To(name) if *name == *backend))
    }

    /// On whose behalf this caller sends.
    pub fn origin(&self) -> Origin {
        Origin { backend: Some(self.caller.backend.to_string()), folder: None }
    }

    /// A key of the caller's, which is no other backend's.
    pub fn key(&self, key: Option<String>) -> Option<String> {
        key.filter(|key| !key.is_empty()).map(|key| format!("hub:{}:{key}", self.caller.backend))
    }

    /// Sends a text.
    pub async fn send_text(&self, params: SendTextParams) -> Result<SendResult, ContractError> {
        let account = self.sender_for(params.account_id.as_deref(), &params.to).await?;
        let idempotency_key = self.key(params.idempotency_key);
        let params = SendTextParams { account_id: Some(account.to_string()), idempotency_key, ..params };
        self.hub.sidecar.sender.send_text(params, self.origin()).await
    }

    /// Sends a file: one that was posted before, one that a message of the conversation brought, or what is at a public address.
    pub async fn send_media(&self, params: SendMediaParams) -> Result<SendResult, ContractError> {
        let account = self.sender_for(params.account_id.as_deref(), &params.to).await?;
        let mut origin = self.origin();
        let mut params = params;
        if let Some(id) = params.media_id.take() {
            if params.path.is_some() || params.url.is_some() {
                let message = "params: give one of path, url and mediaId";
                return Err(ContractError::new(ErrorKind::InvalidParams, message));
            }
            let posted = media::posted(&self.hub, &self.caller.backend, &id).await?;
            origin.folder = posted.parent().map(Into::into);
            if params.file_name.is_none() {
                params.file_name = media::posted_name(&posted);
            }
            params.path = Some(posted.to_string_lossy().into_owned());
        }
        let idempotency_key = self.key(params.idempotency_key);
        let posted = origin.folder.is_some().then(|| params.path.clone()).flatten();
        let params = SendMediaParams { account_id: Some(account.to_string()), idempotency_key, ..params };
        let sent = self.hub.sidecar.sender.send_media(params, origin).await?;
        if let Some(path) = posted {
            media::was_sent(path).await;
        }
        Ok(sent)
    }

    /// Shows tool progress.
    pub async fn send_progress(&self, params: SendProgressParams) -> Result<SendResult, ContractError> {
        let account = self.sender_for(params.account_id.as_deref(), &params.to).await?;
        let params = SendProgressParams { account_id: Some(account.to_string()), ..params };
        self.hub.sidecar.sender.send_progress(params).await
    }

    /// Shows or ends typing.
    pub async fn send_typing(&self, params: SendTypingParams) -> Result<SendTypingResult, ContractError> {
        let account = self.sender_for(params.account_id.as_deref(), &params.to).await?;
        self.hub.sidecar.sender.send_typing(SendTypingParams { account_id: Some(account.to_string()), ..params }).await
    }

    /// How much may be sent to a person now.
    pub async fn budget(&self, params: BudgetParams) -> Result<BudgetResult, ContractError> {
        let account = self.sender_for(params.account_id.as_deref(), &params.to).await?;
        self.hub.sidecar.sender.budget(BudgetParams { account_id: Some(account.to_string()), ..params }).await
    }

    /// What of the caller's waits to be sent.
    pub async fn queue(&self, params: QueueParams) -> Result<QueueResult, ContractError> {
        let mut queue = self.hub.sidecar.sender.queue(params).await?;
        let backends = self.hub.sidecar.store.backends_of_waiting().await?;
        queue.items.retain(|item| {
            let theirs = row_of(&item.queue_id)
                .and_then(|id| backends.get(&id))
                .is_some_and(|name| **name == *self.caller.backend);
            self.caller.accounts.has(&item.account_id) && (theirs || self.caller.role == Role::Admin)
        });
        if self.caller.role == Role::Viewer {
            queue.items.iter_mut().for_each(|item| item.preview.clear());
        }
        Ok(queue)
    }

    /// Gives up something of the caller's that waits.
    pub async fn cancel(&self, queue_id: &str) -> Result<CancelResult, ContractError> {
        self.caller.require_sender()?;
        let sent_by = match row_of(queue_id) {
            Some(id) => self.hub.sidecar.store.sender_of(id).await?,
            None => None,
        };
        let is_theirs = |(backend, account): &(String, String)| {
            **backend == *self.caller.backend && self.caller.accounts.has(account)
        };
        if self.caller.role != Role::Admin && !sent_by.as_ref().is_some_and(is_theirs) {
            // Whether there is such a message of another's is not its business.
            return Ok(CancelResult { cancelled: false });
        }
        self.hub.sidecar.sender.cancel(queue_id).await
    }

    /// People whose conversations are the caller's.
    pub async fn peers(&self, params: PeersListParams) -> Result<PeersListResult, ContractError> {
        let served = (self.caller.role == Role::Backend).then(|| self.caller.backend.to_string());
        self.hub.sidecar.directory.peers_of(params, served, self.caller.accounts.ids()).await
    }

    /// How the process and the accounts are that the caller sees.
    pub async fn status(&self, params: StatusGetParams) -> Result<StatusGetResult, ContractError> {
        let mut status = self.hub.sidecar.status.get(params).await?;
        status.accounts.retain(|account| self.caller.accounts.has(&account.account_id));
        Ok(status)
    }
}
