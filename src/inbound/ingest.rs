//! A polled message, ready for the inbox: who sent it, what makes it unique, and the text of the wire as it came.
//!
//! Whatever can be attributed to a person is taken in, also when the rest of it makes no sense: it is then delivered as
//! what can be read of it.

use std::collections::HashMap;

use md5::{Digest as _, Md5};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::contract::MAX_TEXT_CHARS;
use crate::store::NewMessage;
use ilink::{MESSAGE_TYPE_BOT, WireItem, WireMessage, without_half_characters};

/// Ids of WeChat have some forty bytes.
pub(super) const MOST_ID_BYTES: usize = 1_024;
/// A context token goes with every message to the person.
const MOST_TOKEN_BYTES: usize = 64 * 1024;

/// Reads one element of `msgs`. `None` for what no person sent: the bot's own messages, and those without a sender.
/// With `keep_text` what the message says is kept for quotes.
pub fn read_message(raw: &str, keep_text: bool) -> Option<NewMessage> {
    let message = read_wire(raw);
    if message.message_type == Some(MESSAGE_TYPE_BOT) {
        return None;
    }
    let peer = message.from_user_id.filter(|peer| !peer.trim().is_empty() && peer.len() <= MOST_ID_BYTES);
    if peer.is_none() {
        tracing::warn!(
            message_id = message.message_id,
            "a message without a sender, or with an absurdly long one, was dropped"
        );
    }
    let said = message.item_list.first.iter().filter_map(WireItem::text);
    let text = keep_text.then(|| {
        let text = said.collect::<Vec<_>>().join("\n");
        text.chars().take(MAX_TEXT_CHARS).collect()
    });
    Some(NewMessage {
        text,
        peer: peer?,
        key: message.message_id.filter(|id| *id != 0).unwrap_or_else(|| hash(raw)),
        context_token: message
            .context_token
            .map(|token| token.reveal().to_owned())
            .filter(|token| token.len() <= MOST_TOKEN_BYTES),
        wire: raw.to_owned(),
    })
}

/// What can be read of a message.
pub(super) fn read_wire(raw: &str) -> WireMessage {
    // Serde would take an array for a message whose fields are given in order.
    if !raw.trim_start().starts_with('{') {
        return WireMessage::default();
    }
    let text = without_half_characters(raw);
    serde_json::from_str(&text).unwrap_or_else(|error: serde_json::Error| {
        // Only where and what kind: the content is nobody else's business.
        let (kind, column) = (error.classify(), error.column());
        tracing::warn!(?kind, column, "a message is not what the protocol says; delivering what can be read of it");
        rescue(&text)
    })
}

/// The fields that say whose message it is, of a message whose other fields have unexpected shapes. Each is read by
/// itself: one that is nested too deeply, or a number beyond all bounds, spoils no other.
fn rescue(raw: &str) -> WireMessage {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(raw).unwrap_or_default();
    let plain = fields.into_iter().filter(|(_, value)| !value.get().starts_with(['{', '[']));
    let read = plain.filter_map(|(name, value)| Some((name, serde_json::from_str::<Value>(value.get()).ok()?)));
    serde_json::from_value(Value::Object(read.collect())).unwrap_or_default()
}

/// The key of a message that has no id: the same bytes are the same message.
fn hash(raw: &str) -> u64 {
    let digest = Md5::digest(raw.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_attributed_and_kept_as_it_came() {
        let raw =
            r#"{"message_id":9007199254740993,"from_user_id":"u@im.wechat","context_token":"t","message_type":1}"#;
        let message = read_message(raw, true).unwrap();
        assert_eq!(message.key, 9_007_199_254_740_993);
        assert_eq!(message.peer, "u@im.wechat");
        assert_eq!(message.context_token.as_deref(), Some("t"));
        assert_eq!(message.wire, raw);
    }

    #[test]
    fn what_the_bot_wrote_and_what_nobody_wrote_is_left_out() {
        assert!(read_message(r#"{"message_id":1,"from_user_id":"b@im.bot","message_type":2}"#, true).is_none());
        assert!(read_message(r#"{"message_id":1}"#, true).is_none());
        assert!(read_message(r#"[]"#, true).is_none());
        assert!(read_message(r#""text""#, true).is_none());
    }

    #[test]
    fn a_message_with_odd_items_still_has_its_sender() {
        let raw = r#"{"message_id":5,"from_user_id":"u","item_list":[{"type":1,"text_item":"not an object"}]}"#;
        let message = read_message(raw, true).unwrap();
        assert_eq!((message.peer.as_str(), message.key), ("u", 5));
    }

    #[test]
    fn one_field_that_cannot_be_read_costs_nobody_the_message() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for odd in [r#""item_list":[{"ref_msg":{"title":1}},5]"#, r#""seq":1e999"#, r#""session_id":"\ud83d""#] {
            let raw = format!(r#"{{{odd},"from_user_id":"u","message_id":5}}"#);
            assert_eq!(read_message(&raw, true).map(|read| (read.peer, read.key)), Some(("u".into(), 5)), "{raw}");
        }
        for field in ["item_list", "seq", "unknown"] {
            let raw = format!(r#"{{"from_user_id":"u","message_id":5,"{field}":{deep}}}"#);
            assert_eq!(read_message(&raw, true).map(|read| (read.peer, read.key)), Some(("u".into(), 5)), "{raw}");
        }
        assert!(read_message(r#"[1,2,"u"]"#, true).is_none(), "an array is no message");
    }

    #[test]
    fn a_blank_context_token_is_none() {
        for token in [r#""""#, r#"" ""#, "null", "[]"] {
            let raw = format!(r#"{{"from_user_id":"u","context_token":{token}}}"#);
            assert_eq!(read_message(&raw, true).unwrap().context_token, None, "{raw}");
        }
    }

    #[test]
    fn without_an_id_the_content_decides() {
        let key = |raw: &str| read_message(raw, true).unwrap().key;
        assert_eq!(key(r#"{"from_user_id":"u","x":1}"#), key(r#"{"from_user_id":"u","x":1}"#));
        assert_ne!(key(r#"{"from_user_id":"u","x":1}"#), key(r#"{"from_user_id":"u","x":2}"#));
    }
}
