//! What surrounds the messages: typing, and the start and stop of an account.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Caller, Refuse, json_answer};
use crate::endpoint::Endpoint;
use crate::world::World;

#[derive(Debug, Deserialize)]
struct ConfigBody {
    ilink_user_id: String,
}

/// The typing ticket of a person: the same one each time, so that a client may keep it.
pub(super) async fn config(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let endpoint = Endpoint::GetConfig;
    let (call, body) = match Call::open_typed::<ConfigBody>(&world, endpoint, caller, &headers, &body) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if body.ilink_user_id.is_empty() {
        return call.refuse(&world, Refuse::Http(400), "no ilink_user_id");
    }
    let ticket = call.bot.ticket(&body.ilink_user_id, || STANDARD.encode(rand::random::<[u8; 24]>()));
    json_answer(&json!({ "ret": 0, "typing_ticket": ticket }))
}

#[derive(Debug, Deserialize)]
struct TypingBody {
    ilink_user_id: String,
    typing_ticket: String,
    status: u8,
}

/// The typing indicator. It counts towards no quota.
pub(super) async fn typing(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let endpoint = Endpoint::SendTyping;
    let (call, body) = match Call::open_typed::<TypingBody>(&world, endpoint, caller, &headers, &body) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if !matches!(body.status, 1 | 2) {
        return call.refuse(&world, Refuse::Http(400), "status is neither 1 nor 2");
    }
    if !call.bot.typing(&body.ilink_user_id, &body.typing_ticket, body.status) {
        let how = Refuse::Ret(-1, "invalid typing_ticket");
        return call.refuse(&world, how, "a typing_ticket that is not this person's");
    }
    json_answer(&json!({ "ret": 0 }))
}

/// A client starts an account.
pub(super) async fn start(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    notify(&world, Endpoint::NotifyStart, caller, &headers, &body)
}

/// A client stops an account.
pub(super) async fn stop(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    notify(&world, Endpoint::NotifyStop, caller, &headers, &body)
}

fn notify(world: &World, endpoint: Endpoint, caller: Caller, headers: &HeaderMap, body: &Bytes) -> Response {
    match Call::open_typed::<Value>(world, endpoint, caller, headers, body) {
        Ok((call, _)) => {
            call.bot.notified(endpoint == Endpoint::NotifyStart);
            json_answer(&json!({ "ret": 0 }))
        }
        Err(response) => *response,
    }
}
