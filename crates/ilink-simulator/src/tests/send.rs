//! `sendmessage`, typing, start and stop, and the headers of them all.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Account, Bench, message};
use crate::SentFilter;

#[tokio::test]
async fn a_message_is_delivered_and_listed_as_it_was_sent() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let token = bench.context_token(&account).await;
    let mut body = message("ann@im.wechat", "c1", Some(&token));
    body["msg"]["run_id"] = json!("run");
    let answer = bench.call(&account, "sendmessage", body.clone()).await;
    assert!(answer["message_id"].as_u64().unwrap() > 1 << 53);
    let sent = bench.control_get("sent").await;
    let sent = &sent["sent"][0];
    assert_eq!(sent["n"], 1);
    assert_eq!(sent["botId"], account.bot_id);
    assert_eq!(sent["to"], "ann@im.wechat");
    assert_eq!(sent["text"], "text of c1");
    assert_eq!(sent["items"], body["msg"]["item_list"]);
    assert_eq!(sent["clientId"], "c1");
    assert_eq!(sent["contextToken"], token);
    assert_eq!(sent["runId"], "run");
    assert_eq!(sent["messageId"], answer["message_id"].to_string());
    assert_eq!(bench.control.bot(&account.bot_id).unwrap().sent_count, 1);
}

#[tokio::test]
async fn what_the_server_drops_in_silence_looks_like_a_success_and_is_recorded() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.send(&account, "c1", None).await;
    let mut from = message("ann@im.wechat", "c2", None);
    from["msg"]["from_user_id"] = json!("bot");
    let no_base_info = bench.bare(&account, "sendmessage", &message("ann@im.wechat", "c3", None));
    let answers = [
        bench.send(&account, "c1", None).await,
        bench.call(&account, "sendmessage", from).await,
        super::json_of(no_base_info.send().await.unwrap()).await,
    ];
    for answer in answers {
        assert!(answer["message_id"].is_u64() && answer["ret"].is_null(), "{answer}");
    }
    assert_eq!(bench.control.sent(&SentFilter::default()).await.len(), 1);
    let list = bench.control_get(&format!("rejected?botId={}", account.bot_id)).await;
    let list = list["rejected"].as_array().unwrap();
    let reasons: Vec<_> = list.iter().map(|r| r["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["a repeated client_id", "from_user_id is not empty", "no base_info"]);
    assert!(list.iter().all(|r| r["answer"] == "silent" && r["endpoint"] == "sendmessage"));
    assert_eq!(list[2]["clientId"], "c3");
    assert_eq!(list[2]["text"], "text of c3");
}

#[tokio::test]
async fn a_malformed_message_fails_visibly() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let wrong: [(&str, Value); 6] = [
        ("to_user_id", json!("")),
        ("client_id", json!("")),
        ("message_type", json!(1)),
        ("message_state", json!(9)),
        ("item_list", json!([])),
        ("item_list", json!("text")),
    ];
    for (field, value) in wrong {
        let mut body = message("ann@im.wechat", "c1", None);
        body["msg"][field] = value;
        let answer = bench.request(&account, "sendmessage", body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{field}");
    }
    assert_eq!(bench.reasons().len(), 6);
}

#[tokio::test]
async fn every_header_is_demanded() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let cases = [
        ("iLink-App-Id", "app", 400),
        ("iLink-App-ClientVersion", "2.4.9", 400),
        ("AuthorizationType", "bearer", 400),
        ("X-WECHAT-UIN", "MTIzNDU2Nzg5MDEyMw==", 400),
        ("X-WECHAT-UIN", "12345", 400),
        ("Content-Type", "text/plain", 400),
        ("Authorization", "Basic abc", 401),
    ];
    for (name, value, status) in cases {
        let body = json!({ "ilink_user_id": "ann" });
        let mut request = bench.request(&account, "getconfig", body).build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = bench.http.execute(request).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
    }
    assert_eq!(bench.reasons().len(), cases.len());
    let no_info = bench.bare(&account, "getconfig", &json!({ "ilink_user_id": "ann" }));
    assert_eq!(no_info.send().await.unwrap().status(), 400);
    let nowhere = bench.request(&account, "getnothing", json!({})).send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
}

#[tokio::test]
async fn what_a_client_says_about_itself_is_shown() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let request = bench.request(&account, "msg/notifystart", json!({})).header("SKRouteTag", "t1");
    let again = request.try_clone().unwrap();
    request.send().await.unwrap();
    again.send().await.unwrap();
    bench.call(&account, "msg/notifystop", json!({})).await;
    let state = bench.control_get("state").await;
    let bot = &state["bots"][0];
    assert_eq!((&bot["notifyStart"], &bot["notifyStop"]), (&json!(2), &json!(1)));
    assert_eq!(bot["headersSeen"]["clientVersion"], "132105");
    assert_eq!(bot["headersSeen"]["uinReuses"], 1);
    assert_eq!(bot["requests"][2]["endpoint"], "notifystop");
    let report = bench.control.bot(&account.bot_id).unwrap();
    assert_eq!(report.headers_seen.app_id.as_deref(), Some("bot"));
}

#[tokio::test]
async fn typing_needs_the_ticket_of_the_person() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let ticket = async |account: &Account, user: &str| {
        bench.call(account, "getconfig", json!({ "ilink_user_id": user })).await["typing_ticket"].clone()
    };
    let ann = ticket(&account, "ann").await;
    assert_eq!(ticket(&account, "ann").await, ann);
    assert_ne!(ticket(&account, "bob").await, ann);
    for (user, status, ret) in [("ann", 1, 0), ("ann", 2, 0), ("bob", 1, -1)] {
        let body = json!({ "ilink_user_id": user, "typing_ticket": ann, "status": status });
        assert_eq!(bench.call(&account, "sendtyping", body).await["ret"], ret);
    }
    for _ in 0..100 {
        let body = json!({ "ilink_user_id": "ann", "typing_ticket": ann, "status": 1 });
        bench.call(&account, "sendtyping", body).await;
    }
    let typing = bench.control.bot(&account.bot_id).unwrap().typing;
    assert!(typing.len() < 100 && typing.iter().all(|t| t.to == "ann"));
}

#[tokio::test]
async fn sent_messages_can_be_waited_for() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let none = bench.control_get("sent?waitMs=50&count=1").await;
    assert_eq!(none["sent"], json!([]));
    let send = async {
        for n in 0..3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            bench.send(&account, &format!("c{n}"), None).await;
        }
    };
    let path = format!("sent?botId={}&to=ann@im.wechat&count=3&waitMs=20000", account.bot_id);
    let (all, ()) = tokio::join!(bench.control_get(&path), send);
    assert_eq!(all["sent"].as_array().unwrap().len(), 3);
    let last = bench.control_get("sent?after=2").await;
    assert_eq!(last["sent"][0]["clientId"], "c2");
    assert_eq!(bench.control_get("sent?to=bob").await["sent"], json!([]));
}
