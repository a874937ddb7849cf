//! A polled message, ready for the inbox: who sent it, what makes it unique, and the text of the wire as it came.
//!
//! Whatever can be attributed to a person is taken in, also when the rest of it makes no sense: it is then delivered as
//! what can be read of it.

use md5::{Digest as _, Md5};
use serde_json::Value;

use crate::ilink::{MESSAGE_TYPE_BOT, WireMessage};
use crate::store::NewMessage;

/// Reads one element of `msgs`. `None` for what no person sent: the bot's own messages, and those without a sender.
/// With `keep_text` it is kept for quotes what the message says.
pub fn read_message(raw: &str, keep_text: bool) -> Option<NewMessage> {
    let message = serde_json::from_str::<WireMessage>(raw).unwrap_or_else(|error| {
        tracing::warn!(%error, "a message is not what the protocol says; delivering what can be read of it");
        rescue(raw)
    });
    if message.message_type == Some(MESSAGE_TYPE_BOT) {
        return None;
    }
    let peer = message.from_user_id.filter(|peer| !peer.trim().is_empty());
    if peer.is_none() {
        tracing::warn!(message_id = message.message_id, "a message without a sender was dropped");
    }
    let said = message.item_list.iter().filter_map(|item| match (&item.text_item, &item.voice_item) {
        (Some(text), _) => text.text.as_deref(),
        (None, Some(voice)) => voice.text.as_deref(),
        (None, None) => None,
    });
    let text = keep_text.then(|| said.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"));
    Some(NewMessage {
        text,
        peer: peer?,
        key: message.message_id.filter(|id| *id != 0).unwrap_or_else(|| hash(raw)),
        context_token: message.context_token.map(|token| token.reveal().to_owned()),
        wire: raw.to_owned(),
    })
}

/// The fields that say whose message it is, of a message whose other fields have unexpected shapes.
pub(super) fn rescue(raw: &str) -> WireMessage {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(raw) else { return WireMessage::default() };
    fields.retain(|name, value| !matches!(value, Value::Object(_) | Value::Array(_)) && name != "item_list");
    if fields.get("context_token").is_some_and(|token| !token.is_string()) {
        fields.shift_remove("context_token");
    }
    serde_json::from_value(Value::Object(fields)).unwrap_or_default()
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
    fn without_an_id_the_content_decides() {
        let key = |raw: &str| read_message(raw, true).unwrap().key;
        assert_eq!(key(r#"{"from_user_id":"u","x":1}"#), key(r#"{"from_user_id":"u","x":1}"#));
        assert_ne!(key(r#"{"from_user_id":"u","x":1}"#), key(r#"{"from_user_id":"u","x":2}"#));
    }
}
