//! Which account somebody means, and who writes to accounts.

use super::clients::Clients;
use crate::accounts::FilesError;
use crate::contract::{AccountId, ContractError, ErrorKind, Peer, PeersListParams, PeersListResult};
use crate::store::{AccountNo, Store};

/// So many people are listed where nobody says how many, and at most.
const LISTED: u32 = 100;
const LISTED_AT_MOST: u32 = 1_000;

/// Finds accounts by what people and gateways call them. Clones share it.
#[derive(Clone)]
pub struct Directory {
    clients: Clients,
    store: Store,
}

impl Directory {
    /// The accounts whose files `clients` reads and whose rows are in `store`.
    pub fn new(clients: Clients, store: Store) -> Directory {
        Directory { clients, store }
    }

    /// An account's number in the database; an error where it has no usable credentials.
    pub async fn number(&self, id: &AccountId) -> Result<AccountNo, ContractError> {
        self.clients.session(id).await?;
        Ok(self.store.get_or_create_account(id).await?.no)
    }

    /// The account that somebody means: the one of this id, else the one that alone has this name in the configuration. An
    /// id may be written as WeChat writes it (`abc@im.bot`); a name that merely looks like an id is none: "Work!" is not the
    /// account `work`.
    pub async fn resolve(&self, named: &str) -> Result<AccountId, ContractError> {
        let id = AccountId::normalize(named);
        let called = self.clients.settings().called(named);
        let is_id = named.trim().to_lowercase().replace(['@', '.'], "-") == id.as_str();
        if is_id && (called.is_empty() || called.contains(&id)) {
            return Ok(id);
        }
        let listed = self.clients.with_files(|files| files.list()).await??;
        let called: Vec<AccountId> = called.into_iter().filter(|id| listed.contains(id)).collect();
        match called.as_slice() {
            _ if is_id && listed.contains(&id) => Ok(id),
            [] if is_id => Ok(id),
            [] => Err(no_account(named)),
            [only] => Ok(only.clone()),
            several => {
                let names = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let message = format!("several accounts are named {named:?}; name one by its id: {names}");
                Err(ContractError::new(ErrorKind::AccountAmbiguous, message))
            }
        }
    }

    /// People who have written, the last one first.
    pub async fn peers(&self, params: PeersListParams) -> Result<PeersListResult, ContractError> {
        self.peers_of(params, None, None).await
    }

    /// The same; only those whose messages this backend of the hub was given, and of these accounts (by id), where they are given.
    pub async fn peers_of(
        &self,
        params: PeersListParams,
        served: Option<String>,
        accounts: Option<Vec<String>>,
    ) -> Result<PeersListResult, ContractError> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let listed = self.clients.with_files(|files| files.list()).await??;
        let account = match filled(params.account_id) {
            Some(named) => {
                let id = self.resolve(&named).await?;
                if !listed.contains(&id) {
                    return Err(no_account(&named));
                }
                Some(id)
            }
            None => None,
        };
        let query = filled(params.query).map(|query| query.trim().to_owned());
        let limit = params.limit.unwrap_or(LISTED).min(LISTED_AT_MOST);
        let accounts = match account {
            Some(id) if accounts.as_ref().is_none_or(|ids| ids.iter().any(|other| *other == *id.as_str())) => {
                Some(vec![id.to_string()])
            }
            Some(_) => Some(Vec::new()),
            None => accounts,
        };
        let mut known = self.store.peers(accounts, query, served, limit).await?;
        // Rows may outlive a login that went away by other hands.
        known.retain(|(account, ..)| listed.iter().any(|id| id.as_str() == account));
        let peers =
            known.into_iter().map(|(account_id, id, last_inbound_at_ms)| Peer { account_id, id, last_inbound_at_ms });
        Ok(PeersListResult { peers: peers.collect() })
    }

    /// The account that a send goes out from: the one that is named, else the only one, else the one that knows the
    /// peer.
    pub async fn account_for(&self, named: Option<&str>, peer: &str) -> Result<AccountId, ContractError> {
        self.account_among(named, peer, |_| true).await
    }

    /// The same among those accounts that `seen` says: to who asks there are no others.
    pub async fn account_among(
        &self,
        named: Option<&str>,
        peer: &str,
        seen: impl Fn(&AccountId) -> bool,
    ) -> Result<AccountId, ContractError> {
        if let Some(named) = named.filter(|named| !named.trim().is_empty()) {
            return self.resolve(named).await.and_then(|id| if seen(&id) { Ok(id) } else { Err(no_account(named)) });
        }
        let mut configured = self
            .clients
            .with_files(|files| {
                let ids = files.list()?;
                let usable = |id: &AccountId| files.load(id).ok().flatten().is_some_and(|f| f.usable_token().is_some());
                Ok::<_, FilesError>(ids.into_iter().filter(usable).collect::<Vec<_>>())
            })
            .await??;
        configured.retain(|id| seen(id));
        match configured.as_slice() {
            [] => {
                let message =
                    "no account is logged in; log in first (openclaw channels login --channel openclaw-weixin)";
                return Err(ContractError::new(ErrorKind::AccountNotConfigured, message));
            }
            [only] => return Ok(only.clone()),
            _ => {}
        }
        let mut knowing = self.store.accounts_knowing(peer).await?;
        knowing.retain(|id| configured.contains(id));
        if let [only] = knowing.as_slice() {
            return Ok(only.clone());
        }
        let (why, candidates) = match knowing.is_empty() {
            true => ("none of the accounts has heard from", configured),
            false => ("several accounts know", knowing),
        };
        let names = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("{why} {peer}; name one with accountId: {names}");
        Err(ContractError::new(ErrorKind::AccountAmbiguous, message))
    }
}

fn no_account(named: &str) -> ContractError {
    let message = format!("there is no account {named:?}; see accounts.list for ids and names");
    ContractError::new(ErrorKind::AccountNotFound, message)
}
