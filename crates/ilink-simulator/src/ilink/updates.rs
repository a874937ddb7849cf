//! `getupdates`, the long poll.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::call::{Call, Caller, Refuse};
use crate::bot::Found;
use crate::config::to_millis;
use crate::endpoint::Endpoint;
use crate::faults::Moment;
use crate::world::World;

#[derive(Debug, Deserialize)]
struct Body {
    get_updates_buf: String,
}

/// Hands out what comes after the cursor, at once or when it comes.
pub(super) async fn get(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let opened = Call::open_typed::<Body>(&world, Endpoint::GetUpdates, caller, &headers, &body);
    // Ten thousand polls wait below; what they do not need is let go here.
    drop((headers, body));
    let (call, body) = match opened {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let config = &world.config;
    let found = call.bot.poll(&call.token, &body.get_updates_buf, config.max_batch, config.hold()).await;
    match found {
        Found::Stale => call.refuse(&world, Refuse::Ret(-14, "session timeout"), "a stale token"),
        Found::Nothing(cursor) => answer(&world, &[], 1, &cursor),
        Found::Messages(batch) => {
            let bot_id = Some(&*call.bot.id);
            let fault = world.faults.strike(Moment::HandingOut, Endpoint::GetUpdates, bot_id);
            answer(&world, &batch.messages, if fault.is_some() { 2 } else { 1 }, &batch.cursor)
        }
    }
}

/// Puts the answer together by hand: the messages are JSON already, and nothing else needs escaping.
fn answer(world: &World, messages: &[Bytes], times: usize, cursor: &str) -> Response {
    let size: usize = messages.iter().map(|message| message.len() + 1).sum();
    let mut body = Vec::with_capacity(size * times + 160);
    body.extend_from_slice(br#"{"ret":0,"msgs":["#);
    let copies = messages.iter().flat_map(|message| std::iter::repeat_n(message, times));
    for (n, message) in copies.enumerate() {
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(message);
    }
    body.extend_from_slice(br#"],"get_updates_buf":""#);
    body.extend_from_slice(cursor.as_bytes());
    let timeout = to_millis(world.config.long_poll);
    body.extend_from_slice(format!(r#"","longpolling_timeout_ms":{timeout}}}"#).as_bytes());
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
