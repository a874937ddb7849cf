//! `get_bot_qrcode` and `get_qrcode_status`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::call::{Refuse, check_app, json_answer, text_header};
use crate::basics::secret;
use crate::config::Version;
use crate::control::take_step;
use crate::endpoint::Endpoint;
use crate::ledger::Rejected;
use crate::login::{Login, LoginStep};
use crate::world::World;

/// The most tokens a client may send along.
const MAX_LOCAL_TOKENS: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NewQuery {
    bot_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewBody {
    local_token_list: Vec<String>,
}

/// A new QR code. A GET is what older clients send: without a body, so without tokens. `base_info` is not asked for,
/// as the call is made before there is anything to be authorised for.
pub(super) async fn new_qrcode(
    State(world): State<Arc<World>>,
    method: Method,
    Query(query): Query<NewQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refuse = |reason: String| Refuse::Http(400).answer(&world, Rejected::new(Some(Endpoint::GetBotQrcode), reason));
    if let Err(wrong) = check_app(&headers) {
        return refuse(wrong.to_owned());
    }
    if query.bot_type.as_deref() != Some("3") {
        return refuse("bot_type is not 3".to_owned());
    }
    let tokens = if method == Method::GET || body.is_empty() {
        Vec::new()
    } else {
        match serde_json::from_slice::<NewBody>(&body) {
            Ok(body) if body.local_token_list.len() <= MAX_LOCAL_TOKENS => body.local_token_list,
            Ok(_) => return refuse("more than 10 tokens in local_token_list".to_owned()),
            Err(error) => return refuse(format!("a wrong body: {error}")),
        }
    };
    let version = text_header(&headers, "ilink-app-clientversion").and_then(|version| version.parse().ok());
    let version = Version(version.unwrap_or(0));
    let login = Arc::new(Login::new(secret(), tokens, version, world.config.qr_lifetime));
    world.add_login(login.clone());
    // The content of the code, as on the real server: a page for a phone. There is no phone here, so there is no
    // page behind it; what a phone would do there is done with the control API.
    let content = format!("{}/q/{}?bot_type=3", world.url, login.qrcode);
    let answer = json!({ "ret": 0, "qrcode": login.qrcode, "qrcode_img_content": content });
    if world.config.auto_login {
        tokio::spawn(log_in_by_itself(world, login));
    }
    json_answer(&answer)
}

/// Scans and confirms, unless the control API does something with the login first.
async fn log_in_by_itself(world: Arc<World>, login: Arc<Login>) {
    let confirm = LoginStep::Confirm { user_id: None, bot_id: None };
    for step in [LoginStep::Scan, confirm] {
        tokio::select! {
            () = tokio::time::sleep(world.config.auto_login_delay) => {}
            () = world.shutdown.cancelled() => return,
        }
        if take_step(&world, &login, step, false).is_err() {
            return;
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusQuery {
    qrcode: String,
    verify_code: Option<String>,
}

/// What became of a QR code. One that is not known is as good as expired.
pub(super) async fn status(
    State(world): State<Arc<World>>,
    Query(query): Query<StatusQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Err(wrong) = check_app(&headers) {
        let rejected = Rejected::new(Some(Endpoint::GetQrcodeStatus), wrong);
        return Refuse::Http(400).answer(&world, rejected);
    }
    let Some(login) = world.login(&query.qrcode).ok().filter(|login| login.qrcode == query.qrcode) else {
        return json_answer(&json!({ "ret": 0, "status": "expired" }));
    };
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text_header(&headers, "host"));
    let code = query.verify_code.as_deref().filter(|code| !code.is_empty());
    let config = &world.config;
    json_answer(&login.poll(code, host, config.verify_attempts, config.login_poll).await)
}
