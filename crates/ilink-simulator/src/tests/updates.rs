//! `getupdates`: cursors, holding, batches, replays, expiry.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, eventually, quick, texts};
use crate::{NewMessages, SimulatorConfig};

#[tokio::test]
async fn messages_come_once_per_cursor_and_again_for_an_older_one() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control.push_text(&account.bot_id, "ann", "one").unwrap();
    let first = bench.poll(&account, "").await;
    assert_eq!(texts(&first), ["one"]);
    assert_eq!(first["longpolling_timeout_ms"], 400);
    let cursor = first["get_updates_buf"].as_str().unwrap();
    bench.control.push_text(&account.bot_id, "ann", "two").unwrap();
    let second = bench.poll(&account, cursor).await;
    assert_eq!(texts(&second), ["two"]);
    assert_eq!(texts(&bench.poll(&account, cursor).await), ["two"]);
    assert_eq!(texts(&bench.poll(&account, "").await), ["one", "two"]);
    assert_eq!(texts(&bench.poll(&account, "made elsewhere").await), ["one", "two"]);
    let end = second["get_updates_buf"].as_str().unwrap();
    let nothing = bench.poll(&account, end).await;
    assert_eq!(nothing["msgs"], json!([]));
    assert_eq!(nothing["get_updates_buf"], end);
    let bot = bench.control.bot(&account.bot_id).unwrap();
    assert_eq!((bot.polls, bot.queued, bot.active_polls), (6, 0, 0));
    assert_eq!(bot.last_cursor, end);
}

#[tokio::test]
async fn a_message_has_exact_ids_and_a_context_token_of_its_own() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let mut new = NewMessages::text(&account.bot_id, "ann@im.wechat", "no. {n}");
    new.message_id = Some(u64::MAX - 1);
    new.count = 2;
    assert_eq!(bench.control.push(&new).unwrap(), [u64::MAX - 1, u64::MAX]);
    let id = bench.control.push_text(&account.bot_id, "bob", "mine").unwrap();
    assert!(id > 1 << 53);
    let answer = bench.poll(&account, "").await;
    let messages = answer["msgs"].as_array().unwrap();
    assert_eq!(messages[0]["message_id"], json!(u64::MAX - 1));
    assert_eq!(messages[2]["message_id"], json!(id));
    assert_eq!(texts(&answer), ["no. 1", "no. 2", "mine"]);
    assert_ne!(messages[0]["context_token"], messages[1]["context_token"]);
    assert_eq!(messages[0]["from_user_id"], "ann@im.wechat");
    assert_eq!(messages[0]["to_user_id"], account.bot_id);
    assert_eq!(messages[0]["message_type"], 1);
}

#[tokio::test]
async fn a_poll_is_held_and_answered_when_a_message_comes() {
    let long = SimulatorConfig { long_poll: Duration::from_secs(35), ..quick() };
    let bench = Bench::with(long).await;
    let account = bench.bot();
    let push = async {
        let is_held = || bench.control.bot(&account.bot_id).unwrap().active_polls == 1;
        eventually("the poll is held", is_held).await;
        bench.control.push_text(&account.bot_id, "ann", "now").unwrap();
    };
    let start = Instant::now();
    let (answer, ()) = tokio::join!(bench.poll(&account, ""), push);
    assert_eq!(texts(&answer), ["now"]);
    assert!(start.elapsed() < Duration::from_secs(5));

    let release = async {
        let is_held = || bench.control.bot(&account.bot_id).unwrap().active_polls == 1;
        eventually("the poll is held", is_held).await;
        bench.control.release(&account.bot_id).unwrap();
    };
    let cursor = answer["get_updates_buf"].as_str().unwrap();
    let (answer, ()) = tokio::join!(bench.poll(&account, cursor), release);
    assert_eq!(answer["msgs"], json!([]));
    assert_eq!(answer["get_updates_buf"], cursor);
}

#[tokio::test]
async fn expiry_ends_a_held_poll_with_minus_14_and_everything_after_it() {
    let long = SimulatorConfig { long_poll: Duration::from_secs(35), ..quick() };
    let bench = Bench::with(long).await;
    let account = bench.bot();
    let expire = async {
        let is_held = || bench.control.bot(&account.bot_id).unwrap().active_polls == 1;
        eventually("the poll is held", is_held).await;
        bench.control.expire(&account.bot_id).unwrap();
    };
    let (answer, ()) = tokio::join!(bench.poll(&account, ""), expire);
    assert_eq!((&answer["ret"], &answer["errcode"]), (&json!(-14), &json!(-14)));
    assert_eq!(bench.send(&account, "c1", None).await["ret"], -14);
    let config = bench.call(&account, "getconfig", json!({ "ilink_user_id": "ann" })).await;
    assert_eq!(config["ret"], -14);
    assert_eq!(bench.call(&account, "msg/notifystart", json!({})).await["ret"], -14);
    let stranger = super::Account { bot_id: String::new(), token: "never seen".into() };
    assert_eq!(bench.poll(&stranger, "").await["ret"], -14);
}

#[tokio::test]
async fn an_answer_carries_no_more_than_a_batch() {
    let bench = Bench::with(SimulatorConfig { max_batch: 3, ..quick() }).await;
    let account = bench.bot();
    bench.control.burst(&account.bot_id, 2, 7).unwrap();
    let mut cursor = String::new();
    let mut sizes = Vec::new();
    let mut people = Vec::new();
    loop {
        let answer = bench.poll(&account, &cursor).await;
        let messages = answer["msgs"].as_array().unwrap();
        if messages.is_empty() {
            break;
        }
        sizes.push(messages.len());
        people.extend(messages.iter().map(|m| m["from_user_id"].as_str().unwrap().to_owned()));
        cursor = answer["get_updates_buf"].as_str().unwrap().to_owned();
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(people[..3], ["person1@im.wechat", "person2@im.wechat", "person1@im.wechat"]);
}

#[tokio::test]
async fn a_replay_hands_out_everything_again_whatever_the_cursor_and_never_more_than_once() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control.burst(&account.bot_id, 1, 5).unwrap();
    let first = bench.poll(&account, "").await;
    let mut cursor = first["get_updates_buf"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(bench.control.replay(&account.bot_id).unwrap(), 5);
        let again = bench.poll(&account, &cursor).await;
        assert_eq!(again["msgs"], first["msgs"]);
        again["get_updates_buf"].as_str().unwrap().clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn raw_messages_and_items_travel_verbatim() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let raw = r#"{"botId":"BOT","messages":[{"message_id": 18446744073709551615.5e1,"item_list":"none"},null]}"#;
    let url = format!("{}/_sim/raw", bench.simulator.url());
    let body = raw.replace("BOT", &account.bot_id);
    bench.http.post(url).body(body).send().await.unwrap().error_for_status().unwrap();
    let items = json!([{ "type": 99, "strange_item": { "id": u64::MAX } }]);
    let push = json!({ "botId": account.bot_id, "from": "ann", "items": items, "messageId": "7" });
    let ids = bench.control_post("messages", push).await;
    assert_eq!(ids, json!({ "messageIds": ["7"] }));

    let request = bench.request(&account, "getupdates", json!({ "get_updates_buf": "" }));
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"{"message_id": 18446744073709551615.5e1,"item_list":"none"},null,"#), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["msgs"][2]["item_list"], items);
    assert_eq!(answer["msgs"][2]["message_id"], 7);
}

#[tokio::test]
async fn the_context_token_of_a_raw_message_counts() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let raw = r#"{"from_user_id":"ann@im.wechat","context_token":"raw-token"}"#.to_owned();
    let raw = serde_json::value::RawValue::from_string(raw).unwrap();
    bench.control.push_raw(&account.bot_id, vec![raw]).unwrap();
    assert!(bench.send(&account, "c1", Some("raw-token")).await["ret"].is_null());
}

#[tokio::test]
async fn simultaneous_polls_are_noticed_and_a_client_that_leaves_is_not_one() {
    let long = SimulatorConfig { long_poll: Duration::from_secs(35), ..quick() };
    let bench = Bench::with(long).await;
    let account = bench.bot();
    let report = || bench.control.bot(&account.bot_id).unwrap();
    for n in 1..=5 {
        let request = bench.request(&account, "getupdates", json!({ "get_updates_buf": "" }));
        let poll = tokio::spawn(request.send());
        eventually("the poll is held", || report().polls == n).await;
        poll.abort();
    }
    eventually("the poll is gone", || report().active_polls == 0).await;
    assert_eq!((report().polls, report().max_active_polls), (5, 1));
    let release = async {
        eventually("two polls", || report().max_active_polls == 2).await;
        bench.control.release(&account.bot_id).unwrap();
    };
    tokio::join!(bench.poll(&account, ""), bench.poll(&account, ""), release);
}
