//! What WeChat handed over reaches the gateway until it is acked, once to a gateway that acks, in order within a
//! conversation, and no conversation waits for another.

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{Bot, EXIT, Sidecar, World, eventually, text, until};
use ilink_simulator::{Endpoint, FaultKind, NewMessages};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const BEN: &str = "ben@im.wechat";

/// The texts of messages.
fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| text(message, "text")).collect()
}

/// Lets a person write a last word and waits until it is delivered: what came before it has been delivered, or never is.
/// The word is acked.
#[track_caller]
fn last_word(world: &World, sidecar: &Sidecar, bot: &Bot) {
    let id = world.writes(bot, "last@im.wechat", "the last word").to_string();
    let word = sidecar.wait("the last word", |seen| {
        seen.deliveries.iter().find(|message| message["messageId"] == id.as_str()).cloned()
    });
    sidecar.ack(&[word]);
}

/// Checks that each person's messages came in the order of their ids, none twice and none missing.
#[track_caller]
fn check_order(deliveries: &[Value], ids: &[u64]) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for message in deliveries {
        let id: u64 = text(message, "messageId").parse().unwrap();
        let before = newest.insert(text(message, "from"), id);
        assert!(before.is_none_or(|before| before < id), "{id} came behind {before:?}");
    }
    let mut came: Vec<u64> = deliveries.iter().map(|m| text(m, "messageId").parse().unwrap()).collect();
    came.sort();
    assert_eq!(came, ids);
}

#[test]
fn a_message_is_delivered_as_the_contract_says() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let id = world.writes(&bot, ANN, "hello");
    let message = sidecar.deliveries(1).remove(0);
    let expected = json!({
        "deliveryId": format!("{}:{id}", bot.account), "attempt": 1, "accountId": bot.account,
        "messageId": id.to_string(), "seq": 1, "from": ANN, "to": bot.id,
        "conversation": { "kind": "direct", "id": ANN }, "sessionId": format!("{ANN}#{}", bot.id),
        "timestampMs": message["timestampMs"], "text": "hello", "parts": [{ "type": "text", "text": "hello" }],
    });
    assert_eq!(message, expected);
    assert!(message["timestampMs"].as_i64().unwrap() > 1_700_000_000_000);
}

#[test]
fn a_delivery_that_was_not_acked_comes_again_after_a_crash_in_order_with_the_next_attempt() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    for n in ["one", "two", "three"] {
        world.writes(&bot, ANN, n);
    }
    let first = sidecar.deliveries(1).remove(0);
    until("the attempt to be written down", || world.state.count("SELECT MAX(attempt) FROM inbox") == 1);
    sidecar.kill();

    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let again = sidecar.ack_all(3);
    assert_eq!(texts(&again), ["one", "two", "three"]);
    assert_eq!(again[0]["deliveryId"], first["deliveryId"]);
    assert_eq!([&again[0]["attempt"], &again[1]["attempt"]], [2, 1]);
}

#[test]
fn an_acked_delivery_never_comes_again() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "one");
    let one = sidecar.deliveries(1);
    assert_eq!(sidecar.ack(&one), 1);
    assert_eq!(sidecar.ack(&one), 0, "it was acked before");
    assert_eq!(sidecar.call("inbound.ack", json!({ "deliveryIds": ["nobody:1", "nobody:2"] }))["acked"], 0);
    sidecar.kill();

    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    last_word(&world, &sidecar, &bot);
    assert_eq!(sidecar.seen().deliveries.len(), 1);
}

#[test]
fn an_ack_of_a_delivery_of_an_earlier_process_counts() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "one");
    world.writes(&bot, ANN, "two");
    let one = sidecar.deliveries(1);
    sidecar.kill();
    let sidecar = world.sidecar();
    assert_eq!(sidecar.ack(&one), 1, "before the account is started");
    sidecar.start_account(&bot);
    assert_eq!(texts(&sidecar.deliveries(1)), ["two"]);
}

#[test]
fn a_nacked_delivery_comes_again_after_its_delay_and_holds_up_only_its_own_conversation() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "one");
    world.writes(&bot, ANN, "two");
    let one = sidecar.deliveries(1).remove(0);
    let delay = Duration::from_millis(600);
    let nacked = Instant::now();
    let params = json!({ "deliveryId": one["deliveryId"], "retryAfterMs": delay.as_millis(), "reason": "busy" });
    assert_eq!(sidecar.call("inbound.nack", params), json!({}));
    last_word(&world, &sidecar, &bot);
    assert!(nacked.elapsed() < delay, "this machine is too slow for this test");
    assert_eq!(texts(&sidecar.deliveries(2)), ["one", "the last word"]);

    let again = sidecar.deliveries(3).remove(2);
    assert!(nacked.elapsed() >= delay);
    assert_eq!((&again["deliveryId"], &again["attempt"]), (&one["deliveryId"], &json!(2)));
    assert_eq!(texts(&sidecar.ack_all(4)[3..]), ["two"]);
}

#[test]
fn a_delivery_that_the_gateway_keeps_for_later_holds_up_nothing_and_comes_again_after_a_crash() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    for said in ["one", "two", "/stop"] {
        world.writes(&bot, ANN, said);
    }
    let release = |sidecar: &Sidecar, message: &Value| {
        sidecar.call("inbound.release", json!({ "deliveryId": message["deliveryId"] }));
    };
    release(&sidecar, &sidecar.deliveries(1)[0]);
    let two = sidecar.deliveries(2)[1].clone();
    release(&sidecar, &two);
    let all = sidecar.deliveries(3);
    assert_eq!(texts(&all), ["one", "two", "/stop"]);
    sidecar.ack(&all[2..]);
    // The second was adopted, the first is still kept when both sides are killed.
    sidecar.ack(&all[1..2]);
    until("its attempt to be counted", || world.state.count("SELECT SUM(attempt) FROM inbox") == 1);
    sidecar.kill();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let again = sidecar.deliveries(1);
    assert_eq!((texts(&again), &again[0]["attempt"]), (vec!["one"], &json!(2)));
    release(&sidecar, &again[0]);
    world.writes(&bot, ANN, "three");
    assert_eq!(text(&sidecar.deliveries(2)[1], "text"), "three");
    // Given back, it comes again when the one in flight is acked.
    sidecar.call("inbound.nack", json!({ "deliveryId": again[0]["deliveryId"], "retryAfterMs": 0 }));
    sidecar.ack(&sidecar.deliveries(2)[1..]);
    let last = sidecar.deliveries(3)[2].clone();
    assert_eq!((text(&last, "text"), &last["attempt"]), ("one", &json!(3)));
    assert_eq!(sidecar.ack([&last]), 1);
    assert_eq!(world.state.count("SELECT COUNT(*) FROM inbox"), 0);
}

#[test]
fn a_conversation_gets_one_delivery_at_a_time_and_waits_for_no_other() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let other_bot = world.bot();
    sidecar.start_account(&other_bot);
    for n in 0..3 {
        world.writes(&bot, ANN, &format!("ann {n}"));
    }
    let ann = sidecar.deliveries(1);
    world.writes(&bot, BEN, "ben");
    world.writes(&other_bot, ANN, "ann to the other bot");
    sidecar.deliveries(3);
    last_word(&world, &sidecar, &bot);
    let mut came = sidecar.deliveries(4);
    came.sort_by_key(|message| text(message, "text").to_owned());
    assert_eq!(texts(&came), ["ann 0", "ann to the other bot", "ben", "the last word"]);
    sidecar.ack(&ann);
    assert_eq!(texts(&sidecar.deliveries(5)[4..]), ["ann 1"]);
}

#[test]
fn at_most_64_deliveries_are_in_flight_over_all_conversations() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let ids = world.control.burst(&bot.id, 100, 100).unwrap();
    let in_flight = |pending: u64| {
        eventually("the window to be full", || {
            let inbox = sidecar.status(&bot)["inbox"].clone();
            (inbox == json!({ "pending": pending, "inFlight": 64 })).then_some(())
        });
        sidecar.seen().deliveries.len()
    };
    assert_eq!(in_flight(100), 64);
    let first = sidecar.deliveries(64);
    sidecar.ack(&first[..10]);
    assert_eq!(in_flight(90), 74);
    sidecar.ack(&first[10..]);
    let all = sidecar.deliveries(100);
    check_order(&all, &ids);
}

#[cfg(target_os = "linux")]
#[test]
fn a_gateway_that_stops_reading_loses_nothing_and_makes_nothing_grow() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let before = common::memory(sidecar.pid(), "VmRSS");
    sidecar.stop_listening();
    let ids = world.control.burst(&bot.id, 50, 5_000).unwrap();
    until("everything to be taken in", || world.state.count("SELECT COUNT(*) FROM inbox") == 5_000);
    let peak = common::memory(sidecar.pid(), "VmHWM");
    assert!(peak < before + (32 << 20), "5,000 messages took it from {before} to {peak} bytes");
    sidecar.listen();
    check_order(&sidecar.ack_all(5_000), &ids);
    until("an empty inbox", || world.state.count("SELECT COUNT(*) FROM inbox") == 0);
}

#[test]
fn what_arrives_behind_a_backlog_that_does_not_fit_in_memory_comes_behind_it() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let mut ids = world.control.burst(&bot.id, 3, 1_500).unwrap();
    sidecar.until_received(&bot, 1_500);
    ids.extend(world.control.burst(&bot.id, 5, 50).unwrap());
    let mut acked = 0;
    while acked < 1_000 {
        let seen = sidecar.deliveries(acked + 1);
        sidecar.ack(&seen[acked..]);
        acked = seen.len();
    }
    ids.extend(world.control.burst(&bot.id, 5, 50).unwrap());
    sidecar.until_received(&bot, 1_600);
    // The last answers may have come while nothing was in flight to be acked: go on with whatever is not acked yet.
    while acked < 1_600 {
        let seen = sidecar.deliveries(acked + 1);
        sidecar.ack(&seen[acked..]);
        acked = seen.len();
    }
    check_order(&sidecar.deliveries(1_600), &ids);
}

#[test]
fn replaying_everything_the_server_ever_sent_causes_no_delivery() {
    let world = World::new();
    let (mut sidecar, bot) = world.polling();
    let ids = world.control.burst(&bot.id, 20, 400).unwrap();
    world.control.push_raw(&bot.id, vec![raw(json!({ "from_user_id": ANN, "item_list": [] }))]).unwrap();
    sidecar.ack_all(ids.len() + 1);

    let nothing_comes = |sidecar: &Sidecar, what: &str| {
        let before = sidecar.seen().deliveries.len();
        assert!(world.control.replay(&bot.id).unwrap() >= 401);
        last_word(&world, sidecar, &bot);
        assert_eq!(sidecar.seen().deliveries.len(), before + 1, "{what}");
        until(&format!("the count of duplicates {what}"), || {
            sidecar.status(&bot)["counters"]["duplicates"].as_u64().unwrap() >= 401
        });
    };
    nothing_comes(&sidecar, "at once");
    sidecar.kill();
    sidecar = world.sidecar();
    sidecar.start_account(&bot);
    nothing_comes(&sidecar, "after a restart");
    sidecar.kill();
    world.state.sql().execute("UPDATE account SET cursor = ''", []).unwrap();
    sidecar = world.sidecar();
    sidecar.start_account(&bot);
    nothing_comes(&sidecar, "after the loss of the cursor");
}

#[test]
fn a_message_that_the_server_hands_over_twice_is_delivered_once() {
    let world = World::new();
    let bot = world.bot();
    world.lasting_fault(Endpoint::GetUpdates, FaultKind::Duplicate);
    let ids = world.control.burst(&bot.id, 10, 100).unwrap();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let all = sidecar.ack_all(100);
    last_word(&world, &sidecar, &bot);
    check_order(&all[..100], &ids);
    assert_eq!(sidecar.seen().deliveries.len(), 101);
    until("the count of duplicates", || sidecar.status(&bot)["counters"]["duplicates"] == 101);
}

#[test]
fn ids_above_two_to_the_53_are_exact() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let ids = [(1 << 53) + 1, (1 << 63) + 5, u64::MAX - 1, u64::MAX];
    for id in ids {
        let message = NewMessages { message_id: Some(id), ..NewMessages::text(&bot.id, id.to_string(), "hello") };
        world.control.push(&message).unwrap();
    }
    let named = |messages: &[Value], field: &str| {
        messages.iter().map(|message| text(message, field).to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    // Each is another person's: no order is promised between them.
    assert_eq!(named(&sidecar.deliveries(4), "messageId"), ids.map(|id| id.to_string()).into());
    sidecar.kill();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let again = sidecar.deliveries(4);
    assert_eq!(named(&again, "deliveryId"), ids.map(|id| format!("{}:{id}", bot.account)).into());
    assert_eq!(sidecar.ack(&again), 4);
}

fn raw(message: Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(&message).unwrap()
}

#[test]
fn a_message_that_makes_no_sense_holds_up_no_other() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let messages = [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({ "message_id": "x", "from_user_id": {} }),
        json!({ "message_id": 1, "from_user_id": "bot@im.bot", "message_type": 2 }),
        json!({ "message_id": 2, "from_user_id": "a", "item_list": 7 }),
        json!({ "message_id": 3, "from_user_id": "b", "item_list": [{ "type": "text" }, null] }),
        json!({ "message_id": 4, "from_user_id": "c", "item_list": [{ "type": 1, "text_item": 7 }], "context_token": 7 }),
        json!({ "message_id": 5, "from_user_id": "d", "item_list": [{ "type": 99 }] }),
        json!({ "message_id": -6, "from_user_id": "e", "create_time_ms": "soon", "item_list": [] }),
        json!({ "message_id": 7, "from_user_id": "f", "item_list": [{ "type": 1, "text_item": { "text": "sense" } }] }),
    ];
    world.control.push_raw(&bot.id, messages.map(raw).into()).unwrap();
    last_word(&world, &sidecar, &bot);
    let came = sidecar.deliveries(7);
    let from: Vec<&str> = came.iter().map(|message| text(message, "from")).collect();
    assert_eq!(from, ["a", "b", "c", "d", "e", "f", "last@im.wechat"]);
    assert_eq!(text(&came[5], "text"), "sense");
    for message in &came[..5] {
        let parts = message["parts"].as_array().unwrap();
        assert!(parts.iter().any(|part| part["error"].is_string()), "it says what could not be read: {message}");
    }
    assert_eq!(sidecar.ack(&came[..6]), 6);
}

#[test]
fn a_stopped_account_delivers_nothing_and_goes_on_where_it_was() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "one");
    world.writes(&bot, ANN, "two");
    let one = sidecar.deliveries(1);
    sidecar.until_received(&bot, 2);
    sidecar.stop_account(&bot);
    assert_eq!(sidecar.ack(&one), 1, "what was delivered can still be acked");
    world.writes(&bot, ANN, "three");
    assert_eq!(sidecar.status(&bot)["inbox"], json!({ "pending": 1, "inFlight": 0 }));
    sidecar.start_account(&bot);
    assert_eq!(texts(&sidecar.ack_all(3)), ["one", "two", "three"]);
    sidecar.call("shutdown", json!({}));
    assert!(sidecar.exit(EXIT).success());
}
