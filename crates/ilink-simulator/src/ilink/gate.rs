//! What every request passes: it is recorded, and faults strike it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::call::{Caller, json_answer, text_header};
use crate::cdn_http::{ERROR_HEADER, drain};
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::faults::{FaultKind, Moment};
use crate::report::HeadersSeen;
use crate::world::World;

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
    let caller = if endpoint.is_cdn() {
        Caller::of_transfer(&world, request.uri())
    } else {
        Caller::identify(&world, request.headers())
    };
    match &caller.bot {
        Some(bot) if endpoint.is_cdn() => bot.record_transfer(endpoint),
        Some(bot) => bot.record(endpoint, headers_seen(request.headers())),
        None => world.record(endpoint),
    }
    let bot_id = caller.bot.as_ref().map(|bot| bot.id.clone());
    let strike = |moment| world.faults.strike(moment, endpoint, bot_id.as_deref());

    match strike(Moment::Arrival) {
        Some(FaultKind::Delay(delay)) => tokio::time::sleep(delay).await,
        // Until the client gives up, which ends this handler.
        Some(FaultKind::Silence) => std::future::pending().await,
        _ => {}
    }
    let fault = strike(Moment::Processing);
    if fault.is_some() && fault != Some(FaultKind::Reset) {
        // A client that is still writing its upload would read a broken pipe instead of the answer.
        drain(std::mem::take(request.body_mut())).await;
    }
    match fault {
        Some(FaultKind::Status(status)) => return fault_page(status),
        Some(FaultKind::Refuse { status, message }) => return refusal(status, &message),
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
        Some(FaultKind::Truncate) => truncated(response),
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

/// How the CDN refuses.
fn refusal(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = HeaderValue::from_str(message).unwrap_or(HeaderValue::from_static("refused"));
    (status, [(ERROR_HEADER, message)]).into_response()
}

/// The answer on a connection that has been cut: writing it is what makes the HTTP layer notice.
fn unsent() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Half of the body under the length of the whole one; an empty one is missing a byte.
fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let announced = text_header(&parts.headers, header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    // Our own answers either say their length, or are in memory, and then their length is known.
    let whole: u64 = announced.or_else(|| body.size_hint().exact()).unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.max(1)));
    let chunks = stream::unfold(Some((body.into_data_stream(), whole / 2)), |state| async move {
        let (mut chunks, left) = state?;
        if left > 0
            && let Some(Ok(mut chunk)) = chunks.next().await
        {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - chunk.len() as u64;
            return Some((Ok::<Bytes, std::io::Error>(chunk), Some((chunks, left))));
        }
        // An error at once would make the HTTP layer throw away what it has not yet written.
        tokio::time::sleep(HALF_WAY).await;
        Some((Err(std::io::ErrorKind::UnexpectedEof.into()), None))
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}
