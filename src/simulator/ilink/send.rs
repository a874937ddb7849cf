//! `sendmessage`: what is wrong with a message, in the order in which the server seems to find out.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Caller, Refuse, check_base_info, json_answer};
use crate::simulator::endpoint::Endpoint;
use crate::simulator::ledger::Sent;
use crate::simulator::sent_media::SentMedia;
use crate::simulator::world::World;

/// A message of a bot. Fields are optional where their absence has an answer of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    from_user_id: String,
    to_user_id: String,
    client_id: String,
    message_type: i64,
    message_state: i64,
    item_list: Vec<Value>,
    context_token: Option<String>,
    run_id: Option<String>,
}

impl Message {
    fn text(&self) -> Option<String> {
        let text = self.item_list.iter().find_map(|item| item["text_item"]["text"].as_str());
        text.map(str::to_owned)
    }

    /// What makes a message impossible, whoever sends it.
    fn flaw(&self) -> Option<&'static str> {
        if self.to_user_id.is_empty() {
            Some("no to_user_id")
        } else if self.client_id.is_empty() {
            Some("no client_id")
        } else if self.message_type != 2 {
            Some("message_type is not 2")
        } else if !(0..=2).contains(&self.message_state) {
            Some("message_state is not 0, 1 or 2")
        } else if self.item_list.len() != 1 {
            Some("item_list has not exactly one item")
        } else if !self.item_list[0]["type"].is_u64() {
            Some("the item has no type")
        } else {
            SentMedia::of_item(&self.item_list[0]).err()
        }
    }
}

/// Delivers a message, refuses it, or drops it and says nothing.
pub(super) async fn message(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut call = match Call::open(&world, Endpoint::SendMessage, caller, &headers, &body) {
        Ok(call) => call,
        Err(response) => return *response,
    };
    let base_info = check_base_info(&call.body);
    let has_base_info = !call.body["base_info"].is_null();
    let message: Message = match serde_json::from_value(call.body["msg"].take()) {
        Ok(message) => message,
        Err(error) => {
            return call.refuse(&world, Refuse::Http(400), format!("a wrong msg: {error}"));
        }
    };
    match judge(&world, &call, &message, base_info, has_base_info) {
        Ok(()) => deliver(&world, &call, message),
        Err((how, reason)) => {
            let mut rejected = call.rejected(reason);
            rejected.text = message.text();
            rejected.to = Some(message.to_user_id);
            rejected.client_id = Some(message.client_id);
            how.answer(&world, rejected)
        }
    }
}

fn judge(
    world: &World,
    call: &Call,
    message: &Message,
    base_info: Result<(), &'static str>,
    has_base_info: bool,
) -> Result<(), (Refuse, String)> {
    if let Err(wrong) = base_info {
        let how = if has_base_info { Refuse::Http(400) } else { Refuse::Silently };
        return Err((how, wrong.to_owned()));
    }
    if let Some(flaw) = message.flaw() {
        return Err((Refuse::Http(400), flaw.to_owned()));
    }
    if !message.from_user_id.is_empty() {
        return Err((Refuse::Silently, "from_user_id is not empty".to_owned()));
    }
    let token = message.context_token.as_deref().filter(|token| !token.is_empty());
    call.bot.submit(&world.limits(), &message.client_id, &message.to_user_id, token).map_err(|refusal| {
        let how = match refusal.errmsg() {
            Some(errmsg) => Refuse::Ret(-2, errmsg),
            None => Refuse::Silently,
        };
        (how, refusal.to_string())
    })
}

fn deliver(world: &World, call: &Call, message: Message) -> Response {
    let message_id = world.message_ids(1);
    let item = &message.item_list[0];
    world.ledger.deliver(Sent {
        n: 0,
        bot_id: call.bot.id.clone(),
        text: message.text(),
        item_type: item["type"].as_u64().unwrap_or_default(),
        // It is sound, or the message would not have come this far.
        media: SentMedia::of_item(item).ok().flatten(),
        to: message.to_user_id,
        items: Value::Array(message.item_list),
        client_id: message.client_id,
        context_token: message.context_token,
        message_id: message_id.to_string(),
        run_id: message.run_id,
        at_ms: 0,
    });
    json_answer(&json!({ "message_id": message_id }))
}
