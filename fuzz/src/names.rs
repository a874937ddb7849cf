//! Identifiers from outside: account ids become file names, delivery ids come back from the gateway, the bot's name goes into
//! every request.

use ilink::bot_agent;
use openclaw_weixin_sidecar::contract::AccountId;
use openclaw_weixin_sidecar::inbound::DeliveryId;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);

    let id = AccountId::normalize(&text);
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    assert!((1..=64).contains(&id.as_str().len()) && id.as_str().bytes().all(safe), "{id}");
    assert_eq!(AccountId::normalize(id.as_str()), id, "normalised twice is normalised once");

    if let Some(delivery) = DeliveryId::parse(&text) {
        assert_eq!(DeliveryId::parse(&delivery.to_string()), Some(delivery));
    }

    let agent = bot_agent(Some(&text), &[]);
    assert!((1..=256).contains(&agent.len()) && agent.bytes().all(|b| (b' '..=b'~').contains(&b)), "{agent:?}");
    assert_eq!(bot_agent(Some(&agent), &[]), agent, "what is valid stays");
}
