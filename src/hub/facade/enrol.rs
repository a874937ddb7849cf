//! QR logins of clients: a real code of WeChat's. The client gets a token of the hub, the hub keeps the real one.

use std::time::Duration;

use serde_json::json;

use super::super::admin;
use super::super::caller::Role;
use super::super::connections::LoginView;
use super::super::http::Failure;
use super::super::hub::Hub;
use crate::contract::{ContractError, ErrorKind, LoginStartParams, LoginState};

/// Logins under way at most: nobody who asks for one has a token.
const LOGINS: usize = 20;
/// How long a status that does not change is held.
const HOLD: Duration = Duration::from_secs(30);

fn allowed(hub: &Hub) -> Result<(), Failure> {
    if hub.config().enrol {
        return Ok(());
    }
    let message = "clients may not log accounts in through this hub: give the client a token (hub token create), or set \
                   enrol = true in hub.toml";
    Err(ContractError::new(ErrorKind::Forbidden, message).into())
}

/// `get_bot_qrcode`.
pub async fn begin(hub: &Hub) -> Result<String, Failure> {
    allowed(hub)?;
    if hub.connections.open_logins() >= LOGINS {
        let message = "too many logins are under way; wait until some have ended";
        return Err(ContractError::new(ErrorKind::Forbidden, message).into());
    }
    let started =
        admin::start_login(hub, LoginStartParams { force: Some(true), ..LoginStartParams::default() }).await?;
    hub.connections.is_of_client(&started.session_key);
    let answer = json!({ "ret": 0, "qrcode": started.session_key, "qrcode_img_content": started.qr_url });
    Ok(answer.to_string())
}

/// `get_qrcode_status`.
pub async fn status(hub: &Hub, base: &str, qrcode: Option<String>, code: Option<String>) -> Result<String, Failure> {
    allowed(hub)?;
    let key = qrcode.unwrap_or_default();
    // Of an admin's login nobody without a token is told, or given one.
    let Some(before) = hub.connections.login_view(&key).filter(|view| view.of_client) else {
        return Ok(json!({ "ret": 0, "status": "expired" }).to_string());
    };
    let code = code.filter(|code| !code.is_empty());
    if let Some(code) = &code {
        hub.sidecar.logins.submit_code(&key, code)?;
    }
    // A number is answered with what came of it, anything else once the code was scanned.
    let fits = |view: &LoginView| match code {
        Some(_) => view.version != before.version,
        None => view.state != LoginState::Waiting,
    };
    let state = hub.connections.login_when(&key, HOLD, fits).await.map_or(LoginState::Expired, |view| view.state);
    let status = match state {
        LoginState::Waiting | LoginState::Redirected => "wait",
        LoginState::Scanned => "scaned",
        LoginState::CodeRequired | LoginState::CodeRejected => "need_verifycode",
        LoginState::CodeBlocked => "verify_code_blocked",
        // The client shows a code that has run out: it asks for the next one itself.
        LoginState::Refreshed | LoginState::Expired | LoginState::Failed | LoginState::Cancelled => "expired",
        LoginState::Confirmed | LoginState::AlreadyConnected => return confirmed(hub, base, &key).await,
    };
    if status == "expired" {
        let _ = hub.sidecar.logins.cancel(&key);
    }
    Ok(json!({ "ret": 0, "status": status }).to_string())
}

async fn confirmed(hub: &Hub, base: &str, key: &str) -> Result<String, Failure> {
    let end = hub.sidecar.logins.wait(key, Some(0)).await?;
    let Some(account) = end.account_id.filter(|_| hub.connections.forget_login(key)) else {
        // Its token was given already, and is not kept.
        return Ok(json!({ "ret": 0, "status": "expired" }).to_string());
    };
    let created = hub.tokens.create(&account, Role::Backend, Some(vec![account.clone()])).await?;
    hub.rules_changed().await?;
    let answer = json!({
        "ret": 0,
        "status": "confirmed",
        "bot_token": created.token,
        "ilink_bot_id": account,
        "ilink_user_id": end.user_id,
        "baseurl": base,
    });
    Ok(answer.to_string())
}
