//! `getupdates`: what was routed to the backend, behind the cursor that the client comes with. Coming with a cursor acks what is
//! before it; a client that lost its cursor gets again what it did not ack.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

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

/// Where a client is, under the hub's seal: in what was routed to this backend, of these accounts. Any other, of another server, another
/// token or another database, means: from the beginning, and acks nothing.
#[derive(Serialize, Deserialize)]
struct Cursor {
    #[serde(rename = "b")]
    backend: String,
    /// A digest of the token's accounts.
    #[serde(rename = "s")]
    scope: String,
    #[serde(rename = "p")]
    place: i64,
}

fn scope_of(accounts: &Option<Vec<String>>) -> String {
    accounts.as_ref().map_or(String::new(), |ids| hex::encode(&Sha256::digest(ids.join(" ").as_bytes())[..8]))
}

/// Answers a poll.
pub async fn get(hub: &Hub, session: &Session, feed: &Feed, base: &str, body: &Value) -> Result<String, Failure> {
    let (store, caller) = (&hub.sidecar.store, &session.caller);
    let accounts = caller.accounts.ids();
    let scope = scope_of(&accounts);
    let cursor = body["get_updates_buf"].as_str().and_then(|text| hub.seal.open_sealed::<Cursor>(text));
    let cursor = cursor.filter(|cursor| *cursor.backend == *caller.backend && cursor.scope == scope);
    // A database that was made anew gives its places again.
    let last = store.last_place().await.map_err(ContractError::from)?;
    let sealed = |place: i64| match place {
        0 => String::new(),
        place => hub.seal.seal(&Cursor { backend: caller.backend.to_string(), scope: scope.clone(), place }),
    };
    let mut after = 0;
    if let Some(cursor) = cursor.map(|cursor| cursor.place).filter(|place| *place > 0 && *place <= last) {
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
            let cursor = sealed(last.routed);
            let messages: Vec<Box<RawValue>> =
                found.into_iter().map(|row| wire::for_client(&row, base, &hub.seal)).collect();
            return Ok(answer(&messages, &cursor));
        }
        if tokio::time::timeout_at(until, arrivals.changed()).await.is_err() {
            feed.was_seen();
            return Ok(answer(&[], &sealed(after)));
        }
    }
}

fn answer(messages: &[Box<RawValue>], cursor: &str) -> String {
    let messages: Vec<&str> = messages.iter().map(|message| message.get()).collect();
    let messages = messages.join(",");
    format!(r#"{{"ret":0,"msgs":[{messages}],"get_updates_buf":"{cursor}","longpolling_timeout_ms":{HOLD_TOLD}}}"#)
}
