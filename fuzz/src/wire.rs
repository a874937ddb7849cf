//! Answers to polls, down to what the gateway is told of each message.

use std::collections::HashMap;

use openclaw_weixin_sidecar::contract::AccountId;
use openclaw_weixin_sidecar::fuzzing::{Messages, read_updates};
use openclaw_weixin_sidecar::inbound::{DeliveryId, normalize, read_message};
use serde_json::value::RawValue;

pub fn check(body: &[u8]) {
    let updates = read_updates(body);
    let mended = String::from_utf8_lossy(body);
    assert_eq!(
        updates.is_ok(),
        read_updates(mended.as_bytes()).is_ok(),
        "bytes that are no text spoil only their text"
    );
    if let Ok(updates) = updates
        && let Messages::Here(messages) = updates.msgs
    {
        messages.iter().for_each(|raw| message(raw.get()));
    }
    // Most inputs are no whole answer; a message by itself is found sooner.
    if let Ok(text) = std::str::from_utf8(body)
        && serde_json::from_str::<&RawValue>(text).is_ok()
    {
        message(text);
    }
}

fn message(raw: &str) {
    let read = read_message(raw, true);
    let facts = Facts::of(raw);
    let Some(message) = read else {
        assert!(!facts.attributable(), "dropped, though its sender is known: {raw}");
        return;
    };
    assert!(!message.peer.trim().is_empty());
    assert_eq!(message.wire, raw, "the inbox keeps what came");
    assert!(message.context_token.is_none_or(|token| !token.trim().is_empty()), "a blank token replaces a good one");
    if let Some(sender) = &facts.sender {
        assert_eq!(&message.peer, sender);
    }
    if let Some(id) = facts.id {
        assert_eq!(message.key, id, "ids are exact");
    }

    let id = DeliveryId { account: AccountId::normalize("b1@im.bot"), key: message.key };
    let draft = normalize(&id, &message.peer, 1, raw);
    let to_fetch: Vec<Option<usize>> = draft.media.iter().map(|item| item.part).collect();
    let told = draft.message;
    assert_eq!(told.message_id, message.key.to_string());
    assert_eq!(told.from, message.peer);
    assert!(!told.parts.is_empty(), "something is always said");
    for (n, part) in told.parts.iter().enumerate() {
        let says = part.text.is_some() || part.transcript.is_some() || part.error.is_some();
        assert!(says || to_fetch.contains(&Some(n)), "a part that says nothing");
    }
    let json = serde_json::to_string(&told).expect("a notification is JSON");
    assert!(!json.contains('\n'), "a notification is a line");
}

/// What the message says of itself, read field by field: no field spoils another, the last of several counts.
#[derive(Default)]
struct Facts {
    sender: Option<String>,
    id: Option<u64>,
    from_bot: bool,
}

impl Facts {
    fn of(raw: &str) -> Facts {
        let Ok(fields) = serde_json::from_str::<HashMap<String, &RawValue>>(raw) else { return Facts::default() };
        let text = |name: &str| fields.get(name).map_or("", |value| value.get());
        let id: Option<u64> = text("message_id").trim_matches('"').parse().ok();
        Facts {
            sender: serde_json::from_str(text("from_user_id")).ok(),
            id: id.filter(|id| *id != 0),
            // Read as leniently as the protocol writes it: whatever might say "a bot" does not count as attributable.
            from_bot: text("message_type").contains('2'),
        }
    }

    fn attributable(&self) -> bool {
        !self.from_bot && self.sender.as_ref().is_some_and(|sender| !sender.trim().is_empty())
    }
}
