//! The table of methods over the network: the contract's, by what the caller may, and those that only the hub has.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::admin;
use super::media;
use super::session::Session;
use crate::contract::*;
use crate::rpc::register;
use crate::service::{NACK, NACK_AT_MOST};

/// The longest wait of a pull.
const WAIT_AT_MOST: Duration = Duration::from_secs(60);
/// How long a pulled message may take to be acked where nobody says how long, at least and at most.
const LEASE: Duration = Duration::from_secs(60);
const LEASE_FROM: Duration = Duration::from_secs(1);
const LEASE_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// Events that one pull gives at most.
const EVENTS_AT_MOST: usize = 1_000;

/// Parameters of `inbound.pull`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullParams {
    /// So many at most. Default: 20.
    max: Option<usize>,
    /// How long to wait for the first, in milliseconds. Default: 0.
    wait_ms: Option<u64>,
    /// When what is not acked comes again, in milliseconds. Default: 60000.
    lease_ms: Option<u64>,
}

#[derive(Clone, Serialize)]
struct Pulled {
    messages: Vec<InboundMessage>,
}

#[derive(Clone, Serialize)]
struct PulledEvents {
    events: Vec<Value>,
}

fn wait(ms: Option<u64>) -> Duration {
    Duration::from_millis(ms.unwrap_or(0)).min(WAIT_AT_MOST)
}

/// All methods, for one session.
pub fn module(session: Arc<Session>) -> Result<RpcModule<Session>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(session);
    let m = &mut module;
    register(m, "initialize", async |s: Arc<Session>, params: InitializeParams| s.initialize(params))?;
    // Once it is answered the connection ends; the hub goes on.
    register(m, "shutdown", async |_: Arc<Session>, _: Empty| Ok(Empty {}))?;
    register(m, "config.set", async |s: Arc<Session>, params: ConfigSetParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.set_config(params.config).await;
        Ok(Empty {})
    })?;
    register(m, "accounts.list", async |s: Arc<Session>, _: Empty| s.accounts().await)?;
    register(m, "accounts.remove", async |s: Arc<Session>, params: AccountParams| {
        s.caller.require_admin()?;
        let removed = s.hub.remove_account(&s.account(&params.account_id).await?).await?;
        Ok(AccountsRemoveResult { removed })
    })?;
    register(m, "accounts.export", async |s: Arc<Session>, params: AccountsExportParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.archives.export(params).await
    })?;
    register(m, "accounts.import", async |s: Arc<Session>, params: AccountsImportParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.archives.import(params).await
    })?;
    register(m, "login.start", async |s: Arc<Session>, params: LoginStartParams| {
        s.caller.require_admin()?;
        admin::start_login(&s.hub, params).await
    })?;
    register(m, "login.wait", async |s: Arc<Session>, params: LoginWaitParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.logins.wait(&params.session_key, params.timeout_ms).await
    })?;
    register(m, "login.submitCode", async |s: Arc<Session>, params: LoginSubmitCodeParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.logins.submit_code(&params.session_key, &params.code).map(|()| Empty {})
    })?;
    register(m, "login.cancel", async |s: Arc<Session>, params: LoginCancelParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.logins.cancel(&params.session_key).map(|()| Empty {})
    })?;
    register(m, "account.start", async |s: Arc<Session>, params: AccountParams| {
        s.caller.require_sender()?;
        s.start_account(&params.account_id).await
    })?;
    register(m, "account.stop", async |s: Arc<Session>, params: AccountParams| {
        s.caller.require_sender()?;
        s.stop_account(&params.account_id).await
    })?;
    register(m, "inbound.ack", async |s: Arc<Session>, params: InboundAckParams| {
        let ids = params.delivery_ids.iter().map(|id| s.delivery(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(InboundAckResult { acked: s.feed()?.ack(&ids).await? })
    })?;
    register(m, "inbound.fetchMedia", async |s: Arc<Session>, params: FetchMediaParams| {
        let fetched = s.feed()?.deliveries.fetch_media(&s.delivery(&params.delivery_id)?).await?;
        Ok(media::fetched_with_urls(fetched))
    })?;
    register(m, "inbound.nack", async |s: Arc<Session>, params: InboundNackParams| {
        let after = params.retry_after_ms.map_or(NACK, Duration::from_millis).min(NACK_AT_MOST);
        s.feed()?.nack(&s.delivery(&params.delivery_id)?, after).await?;
        Ok(Empty {})
    })?;
    register(m, "inbound.release", async |s: Arc<Session>, params: InboundReleaseParams| {
        s.feed()?.deliveries.release(&s.delivery(&params.delivery_id)?).await?;
        Ok(Empty {})
    })?;
    register(m, "inbound.pull", async |s: Arc<Session>, params: PullParams| {
        let lease = params.lease_ms.map_or(LEASE, Duration::from_millis).clamp(LEASE_FROM, LEASE_AT_MOST);
        let (max, accounts) = (params.max.unwrap_or(20), s.caller.accounts.clone());
        let messages = s.feed()?.pull(accounts, max, wait(params.wait_ms), lease).await;
        Ok(Pulled { messages: messages.into_iter().map(media::with_urls).collect() })
    })?;
    register(m, "events.pull", async |s: Arc<Session>, params: PullParams| {
        s.caller.require_sender()?;
        let (connections, until) = (&s.hub.connections, tokio::time::Instant::now() + wait(params.wait_ms));
        let max = params.max.unwrap_or(100).clamp(1, EVENTS_AT_MOST);
        let mut changes = connections.changes();
        loop {
            let events = connections.take(&s.caller, max);
            if !events.is_empty() || tokio::time::timeout_at(until, changes.changed()).await.is_err() {
                return Ok(PulledEvents { events });
            }
        }
    })?;
    register(m, "outbound.sendText", async |s: Arc<Session>, params: SendTextParams| s.send_text(params).await)?;
    register(m, "outbound.sendMedia", async |s: Arc<Session>, params: SendMediaParams| s.send_media(params).await)?;
    register(m, "outbound.sendProgress", async |s: Arc<Session>, params: SendProgressParams| {
        s.send_progress(params).await
    })?;
    register(m, "outbound.sendTyping", async |s: Arc<Session>, params: SendTypingParams| s.send_typing(params).await)?;
    register(m, "outbound.budget", async |s: Arc<Session>, params: BudgetParams| s.budget(params).await)?;
    register(m, "outbound.resetBudget", async |s: Arc<Session>, params: AccountParams| {
        s.caller.require_admin()?;
        s.hub.sidecar.sender.reset_budget(&s.account(&params.account_id).await?).await.map(|()| Empty {})
    })?;
    register(m, "outbound.queue", async |s: Arc<Session>, params: QueueParams| s.queue(params).await)?;
    register(m, "outbound.cancel", async |s: Arc<Session>, params: CancelParams| s.cancel(&params.queue_id).await)?;
    register(m, "peers.list", async |s: Arc<Session>, params: PeersListParams| s.peers(params).await)?;
    register(m, "status.get", async |s: Arc<Session>, params: StatusGetParams| s.status(params).await)?;
    admin::register_all(m)?;
    Ok(module)
}
