//! What the console, and whoever has an admin's or a viewer's token, asks of the hub itself: methods beside the contract's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alerts::alerts;
use super::caller::Role;
use super::config::backend_name;
use super::hub::Hub;
use super::session::Session;
use super::texts;
use crate::contract::*;
use crate::outbound::row_of;
use crate::rpc::register;
use crate::service::Origin;
use crate::store::Queued;

/// Rows that one answer has at most, and where nobody says how many.
const ROWS_AT_MOST: usize = 500;
const ROWS: usize = 50;
/// How long a login may be waited for at once.
const WAIT_AT_MOST: Duration = Duration::from_secs(60);

/// Begins a login whose state can be looked at from then on.
pub async fn start_login(hub: &Hub, params: LoginStartParams) -> Result<LoginStartResult, ContractError> {
    let started = hub.sidecar.logins.start(params).await?;
    hub.connections.login(&LoginProgress {
        session_key: started.session_key.clone(),
        state: LoginState::Waiting,
        message: started.message.clone(),
        qr_url: Some(started.qr_url.clone()),
        qr_png_data_url: Some(started.qr_png_data_url.clone()),
        qr_text: None,
    });
    Ok(started)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListParams {
    account_id: Option<String>,
    query: Option<String>,
    state: Option<AccountState>,
    sort: Option<Sort>,
    #[serde(default)]
    descending: bool,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl ListParams {
    fn page<T>(&self, rows: Vec<T>) -> Vec<T> {
        rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(ROWS).min(ROWS_AT_MOST)).collect()
    }

    fn finds(&self, texts: &[Option<&str>]) -> bool {
        let Some(query) = self.query.as_deref().map(str::trim).filter(|query| !query.is_empty()) else { return true };
        let query = query.to_lowercase();
        texts.iter().flatten().any(|text| text.to_lowercase().contains(&query))
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Sort {
    Name,
    State,
    LastInbound,
    Held,
}

#[derive(Clone, Debug, Deserialize)]
struct LoginParams {
    #[serde(rename = "sessionKey")]
    session_key: String,
    /// The version that is known already.
    after: Option<u64>,
    #[serde(rename = "waitMs")]
    wait_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
struct TokenParams {
    backend: String,
    role: Option<Role>,
    accounts: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct TokenId {
    id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessParams {
    backend: String,
    account_id: String,
    peer: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueId {
    queue_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceParams {
    account_id: String,
    peer: String,
    #[serde(default)]
    content: bool,
    limit: Option<usize>,
}

async fn statuses(session: &Session) -> Result<Vec<AccountStatus>, ContractError> {
    Ok(session.status(StatusGetParams { account_id: None, probe: None }).await?.accounts)
}

async fn overview(session: &Session) -> Result<Value, ContractError> {
    let (hub, statuses) = (&session.hub, statuses(session).await?);
    let count = |state| statuses.iter().filter(|status| status.state == state).count();
    let held: u64 = statuses.iter().map(|status| status.outbox.held).sum();
    Ok(json!({
        "version": crate::service::VERSION,
        "startedAtMs": hub.started_at_ms,
        "accounts": {
            "total": statuses.len(),
            "starting": count(AccountState::Starting),
            "polling": count(AccountState::Polling),
            "backoff": count(AccountState::Backoff),
            "paused": count(AccountState::Paused),
            "stopped": count(AccountState::Stopped),
            "superseded": count(AccountState::Superseded),
        },
        "held": held,
        "waitingApprovals": hub.sidecar.store.access_waiting().await?.len(),
        "alerts": alerts(hub, &statuses).await?,
    }))
}

async fn accounts(session: &Session, params: ListParams) -> Result<Value, ContractError> {
    let known = session.accounts().await?.accounts;
    let mut statuses: HashMap<String, AccountStatus> =
        statuses(session).await?.into_iter().map(|status| (status.account_id.clone(), status)).collect();
    let rules = session.hub.rules();
    let mut rows: Vec<(Account, AccountStatus)> = known
        .into_iter()
        .filter_map(|account| statuses.remove(&account.account_id).map(|status| (account, status)))
        .filter(|(account, status)| {
            params.state.is_none_or(|state| state == status.state)
                && params.finds(&[
                    Some(&account.account_id),
                    account.name.as_deref(),
                    account.label.as_deref(),
                    account.user_id.as_deref(),
                ])
        })
        .collect();
    // As the page shows it.
    let name = |account: &Account| {
        let shown = account.name.as_ref().or(account.label.as_ref()).unwrap_or(&account.account_id);
        shown.to_lowercase()
    };
    match params.sort {
        Some(Sort::Name) => rows.sort_by_key(|(account, _)| name(account)),
        Some(Sort::State) => rows.sort_by_key(|(account, status)| (format!("{:?}", status.state), name(account))),
        Some(Sort::LastInbound) => rows.sort_by_key(|(_, status)| status.last_inbound_at_ms),
        Some(Sort::Held) => rows.sort_by_key(|(_, status)| status.outbox.held),
        None => {}
    }
    if params.descending {
        rows.reverse();
    }
    let total = rows.len();
    let row = |(account, status): (Account, AccountStatus)| {
        let backends: Vec<String> =
            rules.of_account(&account.account_id).iter().map(|backend| backend.name.to_string()).collect();
        json!({
            "accountId": account.account_id,
            "name": account.name,
            "label": account.label,
            "userId": account.user_id,
            "state": status.state,
            "problem": account.problem,
            "lastError": status.last_error,
            "pausedReason": status.paused_reason,
            "probableCause": status.probable_cause,
            "lastPollAtMs": status.last_poll_at_ms,
            "lastInboundAtMs": status.last_inbound_at_ms,
            "lastConfirmedAtMs": status.delivery.last_confirmed_at_ms,
            "delivery": status.delivery.state,
            "budgetLimit": status.budget.map(|budget| budget.limit),
            "inboxPending": status.inbox.pending,
            "held": status.outbox.held,
            "defaultBackend": backends.first(),
            "backends": backends,
        })
    };
    Ok(json!({ "total": total, "accounts": params.page(rows).into_iter().map(row).collect::<Vec<_>>() }))
}

async fn backends(session: &Session) -> Result<Value, ContractError> {
    let hub = &session.hub;
    let (tokens, queued, rules, config) =
        (hub.tokens.rows().await?, hub.sidecar.store.queued().await?, hub.rules(), hub.config());
    let mut names: Vec<String> = rules.backends().iter().map(|backend| backend.name.to_string()).collect();
    // Those whose tokens are gone while messages still wait for them, and those who only look.
    for name in tokens.iter().map(|token| &token.backend).chain(queued.keys()).filter(|name| !name.is_empty()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let row = |name: String| {
        let rule = rules.backend(&name);
        let Queued { messages, oldest_at } = queued.get(&name).copied().unwrap_or_default();
        let of_backend = tokens.iter().filter(|token| token.backend == name);
        let tokens: Vec<Value> = of_backend
            .map(|token| {
                json!({
                    "id": token.id,
                    "role": token.role,
                    "accounts": token.accounts,
                    "createdAtMs": token.created_at,
                    "lastUsedAtMs": token.used_at,
                })
            })
            .collect();
        json!({
            "access": rule.map(|rule| rule.access),
            "accounts": rule.map(|rule| rule.accounts.ids()),
            "online": hub.feeds.is_online(&name),
            "connections": hub.feeds.connections(&name),
            "queued": messages,
            "oldestMs": oldest_at,
            "webhook": config.backends.get(&name).and_then(|backend| Some(backend.webhook.as_ref()?.url.clone())),
            "tokens": tokens,
            "name": name,
        })
    };
    Ok(json!({ "backends": names.into_iter().map(row).collect::<Vec<_>>() }))
}

async fn login(session: &Session, params: LoginParams) -> Result<Value, ContractError> {
    let (hub, key) = (&session.hub, &params.session_key);
    let wait = Duration::from_millis(params.wait_ms.unwrap_or(0)).min(WAIT_AT_MOST);
    let view = hub.connections.login_when(key, wait, |view| params.after != Some(view.version)).await;
    let view = view.ok_or_else(|| {
        let message = format!("there is no login {key:?}; start a new one");
        ContractError::new(ErrorKind::LoginNotFound, message)
    })?;
    // Which account it is the login itself knows.
    let end = hub.sidecar.logins.wait(key, Some(0)).await.ok();
    Ok(json!({
        "version": view.version,
        "state": view.state,
        "message": view.message,
        "qrUrl": view.qr_url,
        "qrPngDataUrl": view.qr_png_data_url,
        "accountId": end.and_then(|end| end.account_id),
    }))
}

async fn held(session: &Session, params: ListParams) -> Result<Value, ContractError> {
    let queue = session.queue(QueueParams { account_id: params.account_id.clone(), to: None }).await?;
    let backends = session.hub.sidecar.store.backends_of_waiting().await?;
    let mut items = queue.items;
    items.retain(|item| params.finds(&[Some(&item.account_id), Some(&item.to), Some(&item.queue_id)]));
    let total = items.len();
    let row = |item: QueueItem| {
        let backend = row_of(&item.queue_id).and_then(|row| backends.get(&row));
        json!({
            "queueId": item.queue_id,
            "accountId": item.account_id,
            "to": item.to,
            "kind": item.kind,
            "createdAtMs": item.created_at_ms,
            "reason": item.reason,
            "backend": backend,
        })
    };
    Ok(json!({ "total": total, "items": params.page(items).into_iter().map(row).collect::<Vec<_>>() }))
}

/// Looks at a conversation again in which something waits, as far as WeChat's limits allow.
async fn send_now(session: &Session, queue_id: &str) -> Result<Empty, ContractError> {
    let queue = session.queue(QueueParams { account_id: None, to: None }).await?;
    let item = queue.items.into_iter().find(|item| item.queue_id == queue_id);
    let item = item.ok_or_else(|| {
        let message = format!("params.queueId: {queue_id:?} does not wait (any more)");
        ContractError::new(ErrorKind::InvalidParams, message)
    })?;
    session.hub.sidecar.sender.nudge(&AccountId::normalize(&item.account_id), &item.to);
    Ok(Empty {})
}

async fn trace(session: &Session, params: TraceParams) -> Result<Value, ContractError> {
    if params.content {
        session.caller.require_admin()?;
    }
    let account = session.account(&params.account_id).await?;
    let store = &session.hub.sidecar.store;
    if !session.accounts().await?.accounts.iter().any(|known| known.account_id == account.as_str()) {
        let message = format!("there is no account {account}; see hub.accounts");
        return Err(ContractError::new(ErrorKind::AccountNotFound, message));
    }
    let rows = match store.account_no(&account).await? {
        Some(number) => store.trace(number, &params.peer, params.limit.unwrap_or(ROWS).min(ROWS_AT_MOST)).await?,
        None => Vec::new(),
    };
    let events: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({
                "atMs": row.at,
                "direction": if row.out { "out" } else { "in" },
                "id": row.id,
                "state": row.state,
                "backend": row.backend,
                "attempt": row.attempt,
                "text": row.text.filter(|_| params.content),
            })
        })
        .collect();
    Ok(json!({ "events": events }))
}

async fn approvals(session: &Session) -> Result<Value, ContractError> {
    let waiting: Vec<Value> = session
        .hub
        .sidecar
        .store
        .access_waiting()
        .await?
        .into_iter()
        .filter(|row| session.caller.accounts.has(&row.account_id))
        .map(|row| {
            json!({
                "backend": row.backend,
                "accountId": row.account_id,
                "peer": row.peer,
                "code": row.code,
                "atMs": row.at,
            })
        })
        .collect();
    Ok(json!({ "waiting": waiting }))
}

async fn decide(session: &Session, params: AccessParams, approved: bool) -> Result<Empty, ContractError> {
    session.caller.require_admin()?;
    let account = session.account(&params.account_id).await?;
    let store = &session.hub.sidecar.store;
    let decided = match store.account_no(&account).await? {
        Some(number) => store.decide_access(number, &params.peer, &params.backend, approved).await?,
        None => false,
    };
    if !decided {
        let message = format!("{} has not asked for {}", params.peer, params.backend);
        return Err(ContractError::new(ErrorKind::InvalidParams, message));
    }
    if approved {
        tell_approved(&session.hub, account, params.peer);
    }
    Ok(Empty {})
}

/// Tells somebody that they may write now. Whether that works is not what the approval hangs on.
fn tell_approved(hub: &Hub, account: AccountId, peer: String) {
    let (sidecar, text) = (hub.sidecar.clone(), texts::approved(hub.locale()));
    tokio::spawn(async move {
        let params = SendTextParams {
            to: peer,
            text,
            account_id: Some(account.to_string()),
            run_id: None,
            idempotency_key: None,
            extra: None,
        };
        if let Err(error) = sidecar.sender.send_text(params, Origin::default()).await {
            tracing::warn!(%account, %error, "somebody was approved and could not be told");
        }
    });
}

async fn create_token(session: &Session, params: TokenParams) -> Result<Value, ContractError> {
    session.caller.require_admin()?;
    backend_name(&params.backend)
        .map_err(|why| ContractError::new(ErrorKind::InvalidParams, format!("params.backend: {why}")))?;
    let (role, accounts) = (params.role.unwrap_or(Role::Backend), params.accounts.filter(|ids| !ids.is_empty()));
    if role != Role::Backend && accounts.is_some() {
        let message = "params.accounts: narrows backends; an admin or a viewer sees all accounts";
        return Err(ContractError::new(ErrorKind::InvalidParams, message));
    }
    let created = session.hub.tokens.create(&params.backend, role, accounts).await?;
    session.hub.rules_changed().await?;
    Ok(json!({ "id": created.id, "token": created.token }))
}

/// The hub's own methods.
pub fn register_all(m: &mut RpcModule<Session>) -> Result<(), RegisterMethodError> {
    register(m, "hub.overview", async |s: Arc<Session>, _: Empty| {
        s.caller.require_observer()?;
        overview(&s).await
    })?;
    register(m, "hub.accounts", async |s: Arc<Session>, params: ListParams| {
        s.caller.require_observer()?;
        accounts(&s, params).await
    })?;
    register(m, "hub.backends", async |s: Arc<Session>, _: Empty| {
        s.caller.require_observer()?;
        backends(&s).await
    })?;
    register(m, "hub.login", async |s: Arc<Session>, params: LoginParams| {
        s.caller.require_admin()?;
        login(&s, params).await
    })?;
    register(m, "hub.tokens.create", async |s: Arc<Session>, params: TokenParams| create_token(&s, params).await)?;
    register(m, "hub.tokens.revoke", async |s: Arc<Session>, params: TokenId| {
        s.caller.require_admin()?;
        let revoked = s.hub.tokens.revoke(&params.id).await?;
        s.hub.rules_changed().await?;
        Ok(json!({ "revoked": revoked }))
    })?;
    register(m, "hub.approvals", async |s: Arc<Session>, _: Empty| {
        s.caller.require_observer()?;
        approvals(&s).await
    })?;
    register(m, "hub.approve", async |s: Arc<Session>, params: AccessParams| decide(&s, params, true).await)?;
    register(m, "hub.deny", async |s: Arc<Session>, params: AccessParams| decide(&s, params, false).await)?;
    register(m, "hub.held", async |s: Arc<Session>, params: ListParams| {
        s.caller.require_observer()?;
        held(&s, params).await
    })?;
    register(m, "hub.sendNow", async |s: Arc<Session>, params: QueueId| {
        s.caller.require_admin()?;
        send_now(&s, &params.queue_id).await
    })?;
    register(m, "hub.trace", async |s: Arc<Session>, params: TraceParams| {
        s.caller.require_observer()?;
        trace(&s, params).await
    })?;
    Ok(())
}
