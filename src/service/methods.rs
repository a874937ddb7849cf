//! The contract's methods on the sidecar.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;

use super::sender::Origin;
use super::sidecar::{Open, Sidecar};
use crate::contract::*;
use crate::events::Events;
use crate::inbound::DeliveryId;
use crate::rpc::register;

/// How long a delivery rests after a `nack` that names no time.
pub const NACK: Duration = Duration::from_secs(1);
/// The longest rest.
pub const NACK_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// How often accounts tell how they are, at most.
const STATUS_AT_MOST: Duration = Duration::from_secs(1);

/// What the methods work on: the sidecar, once `initialize` has opened it.
pub struct Host {
    sidecar: OnceLock<Arc<Sidecar>>,
    /// The way to the gateway.
    events: Events,
    /// See [`Open::end`].
    end: Arc<dyn Fn() + Send + Sync>,
    /// Where the state is, over what the gateway says; for `serve --state-dir`.
    state_dir: Option<PathBuf>,
}

impl Host {
    /// Nothing is open yet.
    pub fn new(state_dir: Option<PathBuf>, events: Events, end: impl Fn() + Send + Sync + 'static) -> Host {
        Host { sidecar: OnceLock::new(), events, end: Arc::new(end), state_dir }
    }

    /// The sidecar, once it is open.
    pub fn sidecar(&self) -> Option<&Arc<Sidecar>> {
        self.sidecar.get()
    }

    fn open(&self) -> Result<&Arc<Sidecar>, ContractError> {
        self.sidecar().ok_or_else(|| ContractError::new(ErrorKind::NotInitialized, "call initialize first"))
    }

    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ContractError> {
        check_version(&params)?;
        if self.sidecar().is_some() {
            return Err(ContractError::new(ErrorKind::InvalidRequest, "initialize was answered already"));
        }
        let open = Open {
            state_dir: self.state_dir.clone().or(params.state_dir),
            config: params.config.unwrap_or_default(),
            locale: params.locale.unwrap_or_default(),
            media_roots: params.media_roots,
            gateway: crate::process::Gateway::of_this_process(params.host.pid),
            host: Some((params.host.name.clone(), params.host.version.clone())),
            defer_media: params.defer_media.unwrap_or(false),
            status_interval: params.status_interval_ms.map(|ms| Duration::from_millis(ms).max(STATUS_AT_MOST)),
            events: self.events.clone(),
            inlet: None,
            transfers: None,
            end: self.end.clone(),
        };
        tracing::info!(host = params.host.name, version = params.host.version, "initialize");
        let sidecar = Sidecar::open(open).await?;
        let result = initialized(&sidecar);
        self.sidecar
            .set(sidecar)
            .map_err(|_| ContractError::new(ErrorKind::InvalidRequest, "initialize was answered already"))?;
        Ok(result)
    }
}

/// An error where the gateway speaks another version of the contract.
pub fn check_version(params: &InitializeParams) -> Result<(), ContractError> {
    if params.protocol_version == PROTOCOL_VERSION {
        return Ok(());
    }
    let message = format!(
        "params.protocolVersion: this sidecar ({}) speaks version {PROTOCOL_VERSION}, the gateway asks for {}; \
         update whichever is older",
        super::VERSION,
        params.protocol_version
    );
    Err(ContractError::new(ErrorKind::InvalidParams, message))
}

/// What `initialize` answers.
pub fn initialized(sidecar: &Sidecar) -> InitializeResult {
    InitializeResult {
        protocol_version: PROTOCOL_VERSION,
        sidecar: SidecarInfo {
            name: super::NAME.to_owned(),
            version: super::VERSION.to_owned(),
            pid: std::process::id(),
        },
        channel: ChannelInfo {
            id: CHANNEL_ID.to_owned(),
            aliases: CHANNEL_ALIASES.map(str::to_owned).to_vec(),
            label: "WeChat".to_owned(),
            capabilities: Capabilities {
                chat_types: vec!["direct".to_owned()],
                media: true,
                typing: true,
                quotes: true,
                progress: true,
                outbox: true,
            },
        },
        limits: Limits {
            text_chunk_limit: TEXT_CHUNK_LIMIT,
            media_max_bytes: sidecar.clients.settings().media_max_bytes(),
            max_line_bytes: MAX_LINE_BYTES,
        },
        warnings: sidecar.warnings().to_vec(),
    }
}

/// Reads the id of a delivery.
pub fn delivery(id: &str) -> Result<DeliveryId, ContractError> {
    DeliveryId::parse(id).ok_or_else(|| {
        let message = format!("{id:?} is no deliveryId of this sidecar");
        ContractError::new(ErrorKind::InvalidParams, message)
    })
}

/// All methods, on `host`.
pub fn module(host: Arc<Host>) -> Result<RpcModule<Host>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(host);
    let m = &mut module;
    register(m, "initialize", async |host: Arc<Host>, params: InitializeParams| host.initialize(params).await)?;
    register(m, "config.set", async |host: Arc<Host>, params: ConfigSetParams| {
        host.open()?.set_config(params.config).await;
        Ok(Empty {})
    })?;
    register(m, "accounts.list", async |host: Arc<Host>, _: Empty| {
        Ok(AccountsListResult { accounts: host.open()?.accounts.list().await? })
    })?;
    register(m, "accounts.remove", async |host: Arc<Host>, params: AccountParams| {
        let removed = {
            let sidecar = host.open()?;
            sidecar.accounts.remove(&sidecar.directory.resolve(&params.account_id).await?).await?
        };
        Ok(AccountsRemoveResult { removed })
    })?;
    register(m, "accounts.export", async |host: Arc<Host>, params: AccountsExportParams| {
        host.open()?.archives.export(params).await
    })?;
    register(m, "accounts.import", async |host: Arc<Host>, params: AccountsImportParams| {
        host.open()?.archives.import(params).await
    })?;
    register(m, "login.start", async |host: Arc<Host>, params: LoginStartParams| {
        host.open()?.logins.start(params).await
    })?;
    register(m, "login.wait", async |host: Arc<Host>, params: LoginWaitParams| {
        host.open()?.logins.wait(&params.session_key, params.timeout_ms).await
    })?;
    register(m, "login.submitCode", async |host: Arc<Host>, params: LoginSubmitCodeParams| {
        host.open()?.logins.submit_code(&params.session_key, &params.code).map(|()| Empty {})
    })?;
    register(m, "login.cancel", async |host: Arc<Host>, params: LoginCancelParams| {
        host.open()?.logins.cancel(&params.session_key).map(|()| Empty {})
    })?;
    register(m, "account.start", async |host: Arc<Host>, params: AccountParams| {
        let sidecar = host.open()?;
        sidecar.accounts.start(&sidecar.directory.resolve(&params.account_id).await?).await.map(|()| Empty {})
    })?;
    register(m, "account.stop", async |host: Arc<Host>, params: AccountParams| {
        let sidecar = host.open()?;
        sidecar.accounts.stop(&sidecar.directory.resolve(&params.account_id).await?).await;
        Ok(Empty {})
    })?;
    register(m, "inbound.ack", async |host: Arc<Host>, params: InboundAckParams| {
        let ids = params.delivery_ids.iter().map(|id| delivery(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(InboundAckResult { acked: host.open()?.deliveries.ack(&ids).await? })
    })?;
    register(m, "inbound.fetchMedia", async |host: Arc<Host>, params: FetchMediaParams| {
        host.open()?.deliveries.fetch_media(&delivery(&params.delivery_id)?).await
    })?;
    register(m, "inbound.nack", async |host: Arc<Host>, params: InboundNackParams| {
        let after = params.retry_after_ms.map_or(NACK, Duration::from_millis).min(NACK_AT_MOST);
        tracing::info!(delivery = params.delivery_id, reason = params.reason, "a delivery was given back");
        host.open()?.deliveries.nack(&delivery(&params.delivery_id)?, after).await?;
        Ok(Empty {})
    })?;
    register(m, "inbound.release", async |host: Arc<Host>, params: InboundReleaseParams| {
        host.open()?.deliveries.release(&delivery(&params.delivery_id)?).await?;
        Ok(Empty {})
    })?;
    register(m, "outbound.sendText", async |host: Arc<Host>, params: SendTextParams| {
        host.open()?.sender.send_text(params, Origin::default()).await
    })?;
    register(m, "outbound.sendMedia", async |host: Arc<Host>, params: SendMediaParams| {
        host.open()?.sender.send_media(params, Origin::default()).await
    })?;
    register(m, "outbound.sendProgress", async |host: Arc<Host>, params: SendProgressParams| {
        host.open()?.sender.send_progress(params).await
    })?;
    register(m, "outbound.sendTyping", async |host: Arc<Host>, params: SendTypingParams| {
        host.open()?.sender.send_typing(params).await
    })?;
    register(m, "outbound.budget", async |host: Arc<Host>, params: BudgetParams| {
        host.open()?.sender.budget(params).await
    })?;
    register(m, "outbound.resetBudget", async |host: Arc<Host>, params: AccountParams| {
        let sidecar = host.open()?;
        sidecar.sender.reset_budget(&sidecar.directory.resolve(&params.account_id).await?).await.map(|()| Empty {})
    })?;
    register(m, "outbound.queue", async |host: Arc<Host>, params: QueueParams| {
        host.open()?.sender.queue(params).await
    })?;
    register(m, "outbound.cancel", async |host: Arc<Host>, params: CancelParams| {
        host.open()?.sender.cancel(&params.queue_id).await
    })?;
    register(m, "peers.list", async |host: Arc<Host>, params: PeersListParams| {
        host.open()?.directory.peers(params).await
    })?;
    register(m, "status.get", async |host: Arc<Host>, params: StatusGetParams| host.open()?.status.get(params).await)?;
    register(m, "shutdown", async |host: Arc<Host>, _: Empty| {
        host.open()?.close().await;
        Ok(Empty {})
    })?;
    Ok(module)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_answered_is_what_is_documented() {
        let host = Arc::new(Host::new(None, Events::none(), || {}));
        let answered = module(host).unwrap();
        let answered: BTreeSet<&str> = answered.method_names().collect();
        assert_eq!(answered, METHODS.iter().map(|method| method.name).collect());
    }
}
