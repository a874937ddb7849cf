//! A wire message as the contract says it.

use super::delivery_id::DeliveryId;
use super::intake::read_wire;
use crate::contract::{Conversation, ConversationKind, InboundMessage, Part, PartType, Quote};
use crate::ilink::{RefMessage, WireItem, item_type};
use crate::store::now_ms;

/// What a media part says until media are fetched.
const NOT_FETCHED: &str = "this version of the sidecar does not download media";

/// Makes the notification of a message. `wire` is what the server sent, `peer` who sent it, `attempt` counts from 1.
pub fn normalize(id: &DeliveryId, peer: &str, attempt: u32, wire: &str) -> InboundMessage {
    let message = read_wire(wire);
    let mut parts: Vec<Part> = message.item_list.iter().map(part).collect();
    if parts.is_empty() {
        let error = Some("the message has no content that this version can read".to_owned());
        parts.push(Part { error, ..Part::of(PartType::Unknown) });
    }
    let spoken = parts.iter().filter_map(|part| part.text.as_deref().or(part.transcript.as_deref()));
    let text = spoken.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    InboundMessage {
        delivery_id: id.to_string(),
        attempt,
        account_id: id.account.to_string(),
        message_id: id.key.to_string(),
        seq: message.seq,
        from: peer.to_owned(),
        to: message.to_user_id.unwrap_or_else(|| id.account.to_string()),
        conversation: Conversation { kind: ConversationKind::Direct, id: peer.to_owned() },
        session_id: message.session_id.filter(|s| !s.is_empty()),
        timestamp_ms: message.create_time_ms.unwrap_or_else(now_ms),
        text,
        quote: message.item_list.iter().find_map(|item| item.ref_msg.as_ref()).map(quote),
        parts,
    }
}

fn part(item: &WireItem) -> Part {
    let media = |part_type| Part { error: Some(NOT_FETCHED.to_owned()), ..Part::of(part_type) };
    match item.item_type {
        Some(item_type::TEXT) => {
            let text = item.text_item.as_ref().and_then(|text| text.text.clone()).unwrap_or_default();
            Part { text: Some(text), ..Part::of(PartType::Text) }
        }
        Some(item_type::IMAGE) => media(PartType::Image),
        Some(item_type::VIDEO) => media(PartType::Video),
        Some(item_type::VOICE) => {
            let voice = item.voice_item.as_ref();
            Part {
                duration_ms: voice.and_then(|voice| voice.playtime),
                transcript: voice.and_then(|voice| voice.text.clone()).filter(|text| !text.is_empty()),
                ..media(PartType::Voice)
            }
        }
        Some(item_type::FILE) => {
            let file = item.file_item.as_ref();
            Part {
                file_name: file.and_then(|file| file.file_name.clone()),
                size_bytes: file.and_then(|file| file.len),
                ..media(PartType::File)
            }
        }
        other => {
            let number = other.map_or_else(|| "none".to_owned(), |n| n.to_string());
            Part { error: Some(format!("unknown item type {number}")), ..Part::of(PartType::Unknown) }
        }
    }
}

fn quote(quoted: &RefMessage) -> Quote {
    let inline = quoted.message_item.as_deref().and_then(|item| item.text_item.as_ref()?.text.clone());
    let text = inline.or_else(|| quoted.title.clone()).filter(|text| !text.is_empty());
    Quote {
        message_id: quoted.svr_id.map(|id| id.to_string()),
        resolved: text.is_some(),
        text,
        selected_text: None,
        media: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::AccountId;

    fn made(wire: &str) -> InboundMessage {
        let id = DeliveryId { account: AccountId::normalize("b1@im.bot"), key: 9_007_199_254_740_993 };
        normalize(&id, "u@im.wechat", 1, wire)
    }

    #[test]
    fn texts_and_transcripts_are_joined_in_order() {
        let message = made(
            r#"{"create_time_ms":7,"session_id":"s","to_user_id":"b1@im.bot","item_list":[
                {"type":1,"text_item":{"text":"one"}},
                {"type":3,"voice_item":{"playtime":1200,"text":"two"}},
                {"type":2,"image_item":{}},
                {"type":1,"text_item":{"text":"three"}}]}"#,
        );
        assert_eq!(message.text, "one\ntwo\nthree");
        assert_eq!(message.parts.len(), 4);
        assert_eq!(message.parts[1].duration_ms, Some(1200));
        assert_eq!(message.message_id, "9007199254740993");
        assert_eq!(message.timestamp_ms, 7);
    }

    #[test]
    fn an_unknown_item_is_a_part_that_names_its_number() {
        let message = made(r#"{"item_list":[{"type":99}]}"#);
        assert_eq!(message.parts[0].part_type, PartType::Unknown);
        assert!(message.parts[0].error.as_deref().unwrap().contains("99"));
    }

    #[test]
    fn a_message_that_makes_no_sense_is_still_delivered() {
        for wire in ["{}", r#"{"item_list":[{"type":1,"text_item":"x"}],"session_id":"s"}"#] {
            let message = made(wire);
            assert_eq!(message.from, "u@im.wechat");
            assert_eq!(message.parts.len(), 1, "{wire}");
            assert!(message.parts[0].error.is_some(), "{wire}");
        }
    }

    #[test]
    fn half_an_emoji_or_an_odd_item_costs_no_other_text() {
        let message = made(
            r#"{"item_list":[{"type":1,"text_item":{"text":"cut \ud83d"}},{"type":1,"text_item":"x"},
                {"type":1,"text_item":{"text":"whole"}}]}"#,
        );
        assert_eq!(message.text, "cut \u{fffd}\nwhole");
        assert_eq!(message.parts.len(), 3);
    }

    #[test]
    fn an_inline_quote_brings_its_text_and_a_bare_one_says_it_is_unresolved() {
        let message = made(
            r#"{"item_list":[{"type":1,"text_item":{"text":"a"},"ref_msg":{"svr_id":18446744073709551615,
                "message_item":{"type":1,"text_item":{"text":"quoted"}}}}]}"#,
        );
        let quote = message.quote.unwrap();
        assert_eq!(quote.message_id.as_deref(), Some("18446744073709551615"));
        assert_eq!((quote.text.as_deref(), quote.resolved), (Some("quoted"), true));
        let message = made(r#"{"item_list":[{"type":1,"text_item":{"text":"a"},"ref_msg":{"svr_id":5}}]}"#);
        assert!(!message.quote.unwrap().resolved);
    }
}
