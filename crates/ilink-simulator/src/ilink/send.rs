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
use crate::endpoint::Endpoint;
use crate::ledger::Sent;
use crate::sent_media::SentMedia;
use crate::world::World;

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
    fn flaw(&self, strict: bool) -> Option<&'static str> {
        if self.to_user_id.is_empty() {
            Some("no to_user_id")
        } else if self.client_id.is_empty() {
            Some("no client_id")
        } else if self.message_type != 2 {
            Some("message_type is not 2")
        } else if !(0..=2).contains(&self.message_state) {
            Some("message_state is not 0, 1 or 2")
        } else if self.item_list.is_empty() || (strict && self.item_list.len() != 1) {
            Some("item_list has not exactly one item")
        } else if !self.item_list.iter().all(|item| item["type"].is_u64()) {
            Some("the item has no type")
        } else {
            self.item_list.iter().find_map(|item| SentMedia::of_item(item).err())
        }
    }

    /// The item that says what kind of message it is: the media, where a caption came with it.
    fn main_item(&self) -> &Value {
        let media = self.item_list.iter().find(|item| matches!(SentMedia::of_item(item), Ok(Some(_))));
        // It has one, or the message would not have come this far.
        media.or(self.item_list.first()).unwrap_or(&Value::Null)
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
    let base_info = check_base_info(&call.body, world.config.strict);
    let has_base_info = !call.body["base_info"].is_null();
    let mut fields: Vec<String> =
        call.body["msg"].as_object().into_iter().flat_map(|msg| msg.keys().cloned()).collect();
    fields.sort();
    let message: Message = match serde_json::from_value(call.body["msg"].take()) {
        Ok(message) => message,
        Err(error) => {
            return call.refuse(&world, Refuse::Http(400), format!("a wrong msg: {error}"));
        }
    };
    match judge(&world, &call, &message, base_info, has_base_info) {
        Ok(()) if call.bot.is_muted() => {
            let mut rejected = call.rejected("the bot is muted");
            rejected.text = message.text();
            rejected.to = Some(message.to_user_id);
            rejected.client_id = Some(message.client_id);
            Refuse::Muted.answer(&world, rejected)
        }
        Ok(()) => deliver(&world, &call, message, fields),
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
    if let Some(flaw) = message.flaw(world.config.strict) {
        return Err((Refuse::Http(400), flaw.to_owned()));
    }
    if !message.from_user_id.is_empty() {
        return Err((Refuse::Silently, "from_user_id is not empty".to_owned()));
    }
    let token = message.context_token.as_deref().filter(|token| !token.is_empty());
    call.bot.submit(&world.limits(), &message.client_id, &message.to_user_id, token).map_err(|refusal| {
        let how = match refusal.errmsg() {
            Some(errmsg) => Refuse::Ret(-2, errmsg),
            None if call.bot.is_muted() => Refuse::Muted,
            None => Refuse::Silently,
        };
        (how, refusal.to_string())
    })
}

fn deliver(world: &World, call: &Call, message: Message, fields: Vec<String>) -> Response {
    let message_id = world.message_ids(1);
    let item = message.main_item();
    world.ledger.deliver(Sent {
        n: 0,
        bot_id: call.bot.id.clone(),
        shown: message.text().map(|text| shown(&text, world.limits().hide_tags)),
        text: message.text(),
        item_type: item["type"].as_u64().unwrap_or_default(),
        // It is sound, or the message would not have come this far.
        media: SentMedia::of_item(item).ok().flatten(),
        to: message.to_user_id,
        items: Value::Array(message.item_list),
        fields,
        client_id: message.client_id,
        context_token: message.context_token,
        message_id: message_id.to_string(),
        run_id: message.run_id,
        at_ms: 0,
    });
    json_answer(&json!({ "message_id": message_id }))
}

/// What a person sees of a text: where tags are hidden, nothing from the first `<` on that could begin one, outside code.
fn shown(text: &str, hide_tags: bool) -> String {
    let mut in_code = false;
    let mut before = text.char_indices().peekable();
    while let Some((at, c)) = before.next() {
        match c {
            '`' => in_code = !in_code,
            '<' if hide_tags && !in_code => {
                let next = before.peek().map(|(_, next)| *next);
                if next.is_some_and(|next| next.is_ascii_alphabetic() || next == '/' || next == '!') {
                    return text[..at].to_owned();
                }
            }
            _ => {}
        }
    }
    text.to_owned()
}
