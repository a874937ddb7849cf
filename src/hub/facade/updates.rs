//! `getupdates`: what was routed to the backend, behind the cursor that the client comes with. Coming with a cursor acks what is
//! before it; a client that lost its cursor gets again what it did not ack.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::feed::Feed;
use super::super::http::Failure;
use super::super::hub::Hub;
use super::super::session::Session;
use super::wire;
use crate::contract::ContractError;

/// How long an empty answer is held, and what clients are told of it, in milliseconds.
const HOLD: Duration = Duration::from_secs(30);
const HOLD_TOLD: u64 = 35_000;
/// Messages, and bytes of them, in an answer.
const AT_MOST: (usize, usize) = (100, 4 << 20);
/// What a cursor of the hub's begins with; any other is of another server, and means: from the beginning.
const CURSOR: &str = "wxhub1.";

/// Answers a poll.
pub async fn get(hub: &Hub, session: &Session, feed: &Feed, base: &str, body: &Value) -> Result<String, Failure> {
    let (store, caller) = (&hub.sidecar.store, &session.caller);
    let cursor = body["get_updates_buf"].as_str().and_then(|text| text.strip_prefix(CURSOR)?.parse::<i64>().ok());
    let accounts = caller.accounts.ids();
    let mut after = 0;
    if let Some(cursor) = cursor.filter(|cursor| *cursor > 0) {
        let acked = store.ack_routed(caller.backend.clone(), accounts.clone(), cursor).await;
        feed.deliveries.dispatcher.acked_elsewhere(acked.map_err(ContractError::from)?);
        after = cursor;
    }
    let until = tokio::time::Instant::now() + HOLD;
    let mut arrivals = feed.arrivals();
    loop {
        arrivals.mark_unchanged();
        let found = store.routed_after(caller.backend.clone(), accounts.clone(), after, AT_MOST).await;
        let found = found.map_err(ContractError::from)?;
        if let Some(last) = found.last() {
            let cursor = last.routed;
            let messages: Vec<Box<RawValue>> =
                found.into_iter().filter_map(|row| wire::for_client(row.wire, base, &hub.seal)).collect();
            return Ok(answer(&messages, cursor));
        }
        if tokio::time::timeout_at(until, arrivals.changed()).await.is_err() {
            feed.was_seen();
            return Ok(answer(&[], after));
        }
    }
}

fn answer(messages: &[Box<RawValue>], cursor: i64) -> String {
    let messages: Vec<&str> = messages.iter().map(|message| message.get()).collect();
    let messages = messages.join(",");
    let cursor = if cursor > 0 { format!("{CURSOR}{cursor}") } else { String::new() };
    format!(r#"{{"ret":0,"msgs":[{messages}],"get_updates_buf":"{cursor}","longpolling_timeout_ms":{HOLD_TOLD}}}"#)
}
