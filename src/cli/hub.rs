//! `hub`: the hub from the first line to the exit, its tokens, and approvals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use super::args::{Common, HubAction, HubArgs, TokenAction};
use super::open::{channel_config, locale};
use super::output::{self, Outcome};
use crate::accounts::StateDir;
use crate::contract::{AccountId, ContractError, ErrorKind, SendTextParams};
use crate::events::Events;
use crate::hub::{
    Console, Hub, HubConfig, HubOptions, Listening, Role, approved_text, backend_name, make_token, serve,
};
use crate::process;
use crate::service::Origin;
use crate::store::{Store, StoreError};

/// When the process ends whatever is still going on.
const HARD_END: Duration = Duration::from_millis(4_800);

/// Does what `hub` asks for.
pub async fn run(common: Common, args: HubArgs) -> ExitCode {
    match args.action.clone() {
        None => match serve_hub(&common, args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => output::finish(&common, Err(error)),
        },
        Some(HubAction::Token { action }) => output::finish(&common, token(&common, action).await),
        Some(HubAction::Approve { code }) => output::finish(&common, approve(&common, &code).await),
    }
}

async fn serve_hub(common: &Common, args: HubArgs) -> Result<(), ContractError> {
    let wrong = |message: String| ContractError::new(ErrorKind::InvalidParams, message);
    let state = state_dir(common)?;
    let file = state.channel().join("hub.toml");
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(tls(cert, key).map_err(wrong)?),
        _ => None,
    };
    if !args.listen.ip().is_loopback() {
        if tls.is_none() && !args.behind_proxy {
            let message = format!(
                "{} is reached from other machines, where tokens must not be read on the way: give --tls-cert and --tls-key, or \
                 --behind-proxy where a proxy on this machine ends TLS",
                args.listen
            );
            return Err(wrong(message));
        }
        let config = HubConfig::load(&file).map_err(|error| wrong(error.to_string()))?;
        if config.hosts.is_empty() {
            let message =
                format!("name in {} how the hub is reached, such as: hosts = [\"hub.example.com\"]", file.display());
            return Err(wrong(message));
        }
    }
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        let message = format!("{} cannot be listened on ({error}); choose another with --listen", args.listen);
        ContractError::new(ErrorKind::Network, message)
    })?;
    let address = listener.local_addr().unwrap_or(args.listen);
    let stop = CancellationToken::new();
    super::serve::end_on_signals(&stop);
    process::raise_open_files();
    let options = HubOptions {
        state_dir: common.state_dir.clone(),
        config: channel_config(common),
        locale: locale(),
        file,
        stop: stop.clone(),
    };
    let hub = Hub::open(options).await?;
    for warning in hub.sidecar.warnings() {
        eprintln!("warning: {}", crate::plain::lines(warning));
    }
    let console = Arc::new(Console::default());
    let code = console.one_time_code();
    let name = hub.config().hosts.first().cloned().filter(|_| !address.ip().is_loopback());
    announce(common, address, name, tls.is_some() || args.behind_proxy, &code);
    let listening = Listening { listener, tls, behind_proxy: args.behind_proxy };
    serve(hub.clone(), listening, console).await;
    std::thread::spawn(|| {
        std::thread::sleep(HARD_END);
        std::process::exit(0);
    });
    hub.close().await;
    Ok(())
}

/// `name`: the one that other machines reach it by. A proxy has a port of its own.
fn announce(common: &Common, address: SocketAddr, name: Option<String>, https: bool, code: &str) {
    use std::io::Write as _;
    let scheme = if https { "https" } else { "http" };
    let url = match name {
        Some(name) => format!("{scheme}://{name}"),
        None => format!("{scheme}://{address}"),
    };
    let console = format!("{url}/#code={code}");
    let mut out = std::io::stdout().lock();
    let _ = match common.json {
        true => writeln!(out, "{}", json!({ "url": url, "consoleUrl": console })),
        false => writeln!(out, "The hub listens at {url}\nThe console, with a link that signs you in once: {console}"),
    };
    let _ = out.flush();
}

fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
        format!("{} cannot be read ({error}): it must be PEM", path.display())
    };
    let chain = CertificateDer::pem_file_iter(cert).map_err(|error| unreadable(cert, &error))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| unreadable(cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let config = config.map_err(|error| format!("{} and {} do not fit: {error}", cert.display(), key.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn state_dir(common: &Common) -> Result<StateDir, ContractError> {
    StateDir::resolve(common.state_dir.as_deref()).ok_or_else(|| {
        let message = "there is no home directory to keep the state in; set OPENCLAW_STATE_DIR";
        ContractError::new(ErrorKind::StoreFailed, message)
    })
}

/// The database alone: a hub that runs looks at it every second.
async fn store(common: &Common) -> Result<Store, ContractError> {
    let database: PathBuf = state_dir(common)?.database();
    let opened = tokio::task::spawn_blocking(move || Store::open(&database)).await;
    Ok(opened.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))??.0)
}

async fn token(common: &Common, action: TokenAction) -> Result<Outcome, ContractError> {
    let store = store(common).await?;
    let outcome = match action {
        TokenAction::Create { backend, account, role } => {
            backend_name(&backend).map_err(|why| ContractError::new(ErrorKind::InvalidParams, why))?;
            if role != Role::Backend && !account.is_empty() {
                let message = "--account narrows backends; an admin or a viewer sees all accounts";
                return Err(ContractError::new(ErrorKind::InvalidParams, message));
            }
            let (row, created) = make_token(&backend, role, Some(account).filter(|ids| !ids.is_empty()));
            store.add_token(row).await?;
            let text =
                format!("{}\n\nThis token is shown only now. Its id, to revoke it: {}", created.token, created.id);
            Outcome::done(text, json!({ "token": created.token, "id": created.id, "backend": backend, "role": role }))
        }
        TokenAction::List => {
            let rows = store.tokens().await?;
            let line = |row: &crate::store::TokenRow| {
                let accounts = row.accounts.as_ref().map_or("all accounts".to_owned(), |ids| ids.join(", "));
                format!("{}  {}  {}  {accounts}", row.id, row.role, row.backend)
            };
            let text = match rows.is_empty() {
                true => "There is no token. Make one: hub token create --backend NAME".to_owned(),
                false => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
            };
            let rows: Vec<_> = rows
                .iter()
                .map(|row| {
                    json!({
                        "id": row.id,
                        "backend": row.backend,
                        "role": row.role,
                        "accounts": row.accounts,
                        "createdAtMs": row.created_at,
                        "lastUsedAtMs": row.used_at,
                    })
                })
                .collect();
            Outcome::done(text, json!({ "tokens": rows }))
        }
        TokenAction::Revoke { id } => {
            if !store.remove_token(&id).await? {
                let message = format!("there is no token {id}; see hub token list");
                return Err(ContractError::new(ErrorKind::InvalidParams, message));
            }
            Outcome::done(format!("{id} is revoked; its connections end within a second."), json!({ "revoked": true }))
        }
    };
    store.close().await;
    Ok(outcome)
}

async fn approve(common: &Common, code: &str) -> Result<Outcome, ContractError> {
    let sidecar = super::open::open(common, Events::none()).await?;
    let approved: Result<_, StoreError> = sidecar.store.approve_code(&code.trim().to_uppercase()).await;
    let Some(row) = approved? else {
        let message = format!("nobody waits with the code {code}; see the console, or the message that has it");
        return Err(ContractError::new(ErrorKind::InvalidParams, message));
    };
    let config = HubConfig::load(&sidecar.clients.files().state().channel().join("hub.toml")).unwrap_or_default();
    let params = SendTextParams {
        to: row.peer.clone(),
        text: approved_text(config.locale.unwrap_or_else(locale)),
        account_id: Some(AccountId::normalize(&row.account_id).to_string()),
        run_id: None,
        idempotency_key: Some(format!("hub::approved:{}", row.code)),
        extra: None,
    };
    if let Err(error) = sidecar.sender.send_text(params, Origin::default()).await {
        eprintln!("note: they could not be told: {}", crate::plain::lines(&error.message));
    }
    sidecar.close().await;
    let text = format!("{} may write to {} now.", row.peer, row.backend);
    Ok(Outcome::done(text, json!({ "backend": row.backend, "accountId": row.account_id, "peer": row.peer })))
}
