//! What every request passes: it is recorded, and faults strike it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;

use super::call::{Caller, json_answer, text_header};
use crate::simulator::connection::Connection;
use crate::simulator::endpoint::Endpoint;
use crate::simulator::faults::{FaultKind, Moment};
use crate::simulator::report::HeadersSeen;
use crate::simulator::world::World;

/// The time in which the first half of a truncated answer travels, before the connection goes.
const HALF_WAY: Duration = Duration::from_millis(50);

/// Finds out who asks, records it, and lets the faults do their work before and after the endpoint does its own.
pub(super) async fn pass(
    State(world): State<Arc<World>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(endpoint) = Endpoint::of_path(request.uri().path()) else {
        return next.run(request).await;
    };
    let caller = Caller::identify(&world, request.headers());
    let bot_id = caller.bot.as_ref().map(|bot| bot.id.clone());
    match &caller.bot {
        Some(bot) => bot.record(endpoint, headers_seen(request.headers())),
        None => world.record(endpoint),
    }
    let strike = |moment| world.faults.strike(moment, endpoint, bot_id.as_deref());

    if let Some(FaultKind::Delay(delay)) = strike(Moment::Arrival) {
        tokio::time::sleep(delay).await;
    }
    match strike(Moment::Processing) {
        Some(FaultKind::Status(status)) => return fault_page(status),
        Some(FaultKind::WrongJson) => return fault_page(200),
        Some(FaultKind::Ret { ret, errmsg }) => {
            let mut answer = json!({ "ret": ret });
            if let Some(errmsg) = errmsg {
                answer["errmsg"] = json!(errmsg);
            }
            return json_answer(&answer);
        }
        Some(FaultKind::Reset) => {
            connection.reset();
            return unsent();
        }
        _ => {}
    }
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    match strike(Moment::Answer) {
        Some(FaultKind::DropAnswer) => {
            connection.close();
            unsent()
        }
        Some(FaultKind::Truncate) => truncated(response).await,
        _ => response,
    }
}

fn headers_seen(headers: &HeaderMap) -> HeadersSeen {
    let header = |name| text_header(headers, name).map(str::to_owned);
    HeadersSeen {
        app_id: header("ilink-app-id"),
        client_version: header("ilink-app-clientversion"),
        authorization_type: header("authorizationtype"),
        uin: header("x-wechat-uin"),
        uin_reuses: 0,
        route_tag: header("skroutetag"),
        user_agent: header("user-agent"),
    }
}

/// What a proxy or a captive portal puts in place of an answer.
fn fault_page(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = "<html><body>this is not the server you are looking for</body></html>";
    (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

/// The answer on a connection that has been cut: writing it is what makes the HTTP layer notice.
fn unsent() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Half of the body under the length of the whole one.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // Our own answers are in memory already.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    let chunks = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok::<Bytes, std::io::Error>(half), None));
        }
        // An error at once would make the HTTP layer throw away what it has not yet written.
        tokio::time::sleep(HALF_WAY).await;
        Some((Err(std::io::ErrorKind::UnexpectedEof.into()), None))
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}
