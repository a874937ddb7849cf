//! An iLink server for clients that exist: a hub's token is their `bot_token`.
//!
//! What they send goes through the outbox, what they get comes from the inbox: nothing is passed on to WeChat as it is but encrypted
//! files and where those go.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `updates` | `getupdates`: a cursor for each backend |
//! | `send` | `sendmessage`, typing, `getuploadurl` |
//! | `cdn` | encrypted files, passed on |
//! | `enrol` | QR logins of clients, where that is allowed |
//! | `wire` | messages with addresses of the hub in place of the media host's |

pub mod cdn;
mod enrol;
mod send;
mod updates;
mod wire;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{App, CameFrom, Failure, recognise, whole};
use super::session::Session;
use crate::contract::{ContractError, ErrorKind, MAX_LINE_BYTES};

/// What WeChat says of a login that expired. No client is told that here: some then forget their token, and ask WeChat itself for a new
/// login, hundreds of times a second.
const STALE: i64 = -14;
/// What they are told of a token that the hub does not accept.
const UNKNOWN: i64 = -1;
/// What clients are told of a message that can never be sent, where WeChat did not say it itself.
const REFUSED: i64 = -3;

/// Parameters in the address.
#[derive(Debug, Deserialize)]
pub struct Asked {
    qrcode: Option<String>,
    verify_code: Option<String>,
}

/// Answers one endpoint.
pub async fn call(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    Path(endpoint): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = base_of(&app, &headers);
    let answered = match endpoint.as_str() {
        "get_bot_qrcode" => enrol::begin(&app.hub).await,
        "get_qrcode_status" => enrol::status(&app.hub, &base, asked.qrcode, asked.verify_code).await,
        _ => match recognise(&app, &headers, from.ip()) {
            Ok((caller, revoked)) => {
                let session = Session::of_request(app.hub.clone(), caller);
                tokio::select! {
                    answered = authorised(&app, session, &endpoint, &base, body) => answered,
                    () = revoked.cancelled() => Err(Failure::Unauthorized),
                }
            }
            Err(failure) => Err(failure),
        },
    };
    match answered {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(failure) => refused(failure),
    }
}

async fn authorised(app: &App, session: Session, endpoint: &str, base: &str, body: Body) -> Result<String, Failure> {
    let body = whole(body, MAX_LINE_BYTES).await?;
    let body: Value = match body.is_empty() {
        true => json!({}),
        false => {
            serde_json::from_slice(&body).map_err(|error| Failure::Bad(format!("the body is no JSON: {error}")))?
        }
    };
    let feed = session.feed()?;
    feed.was_seen();
    let session = Arc::new(session);
    match endpoint {
        "getupdates" => updates::get(&app.hub, &session, &feed, base, &body).await,
        "sendmessage" => send::message(&app.hub, session, &body).await.map(|answer| answer.to_string()),
        "sendtyping" => send::typing(&app.hub, &session, &body).await.map(|answer| answer.to_string()),
        "getuploadurl" => send::upload_url(&app.hub, &session, base, body).await.map(|answer| answer.to_string()),
        // Tickets are the hub's own affair: `sendtyping` takes any.
        "getconfig" => Ok(json!({ "ret": 0, "typing_ticket": "aHVi" }).to_string()),
        "msg/notifystart" | "msg/notifystop" => Ok(json!({ "ret": 0 }).to_string()),
        _ => Err(Failure::NotFound("iLink has no such endpoint here; see docs/hub.md")),
    }
}

/// The hub's own address, as this client has it.
fn base_of(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("{}://{host}", if app.secure { "https" } else { "http" })
}

/// A failure as iLink says it. Who only looks at the body finds the same there.
fn refused(failure: Failure) -> Response {
    let message = failure.message();
    let ret = match &failure {
        Failure::Contract(error) => return of_contract(error),
        Failure::Unauthorized | Failure::TooManyGuesses => UNKNOWN,
        _ => REFUSED,
    };
    (failure.status(), axum::Json(json!({ "ret": ret, "errcode": ret, "errmsg": message }))).into_response()
}

fn of_contract(error: &ContractError) -> Response {
    let said = error.data.ilink.as_ref();
    let ret = said.and_then(|said| said.ret.or(said.errcode)).filter(|ret| *ret != 0);
    let status = match error.data.kind {
        // Nothing was decided: the client may try again.
        ErrorKind::Network | ErrorKind::StoreFailed | ErrorKind::Internal => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    // An account's own login that expired is not the client's token: a new login of the client would not help.
    let ret = ret.filter(|ret| *ret != STALE).unwrap_or(REFUSED);
    (status, axum::Json(json!({ "ret": ret, "errcode": ret, "errmsg": error.message }))).into_response()
}
