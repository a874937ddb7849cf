//! Every kind of fault, and what it leaves behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Account, Bench, message, texts};
use crate::{Endpoint, Fault, FaultKind, SentFilter};

async fn fault(bench: &Bench, body: Value) {
    assert_eq!(bench.control_post("faults", body).await, json!({}));
}

async fn send(bench: &Bench, account: &Account, client_id: &str) -> reqwest::Result<reqwest::Response> {
    let body = message("ann@im.wechat", client_id, None);
    bench.request(account, "sendmessage", body).send().await
}

async fn delivered(bench: &Bench) -> usize {
    bench.control.sent(&SentFilter::default()).await.len()
}

#[tokio::test]
async fn a_delay_delays() {
    let bench = Bench::new().await;
    let account = bench.bot();
    fault(&bench, json!({ "endpoint": "sendmessage", "kind": "delay", "value": 300, "times": 1 })).await;
    let start = Instant::now();
    send(&bench, &account, "c1").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(delivered(&bench).await, 1);
}

#[tokio::test]
async fn a_status_and_a_wrong_answer_come_instead_of_the_work() {
    let bench = Bench::new().await;
    let account = bench.bot();
    fault(&bench, json!({ "endpoint": "*", "kind": "status", "value": 503, "times": 2 })).await;
    for client_id in ["c1", "c2"] {
        assert_eq!(send(&bench, &account, client_id).await.unwrap().status(), 503);
    }
    fault(&bench, json!({ "endpoint": "sendmessage", "kind": "wrong_json", "times": 1 })).await;
    let answer = send(&bench, &account, "c3").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.json::<Value>().await.is_err());
    assert_eq!(delivered(&bench).await, 0);
    assert_eq!(send(&bench, &account, "c4").await.unwrap().status(), 200);
    assert_eq!(delivered(&bench).await, 1);
}

#[tokio::test]
async fn a_ret_is_answered_until_the_faults_are_cleared() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let ret = json!({ "endpoint": "sendmessage", "kind": "ret", "value": -2, "errmsg": "rate limited" });
    fault(&bench, ret).await;
    for client_id in ["c1", "c2", "c3"] {
        let answer = super::json_of(send(&bench, &account, client_id).await.unwrap()).await;
        assert_eq!(answer, json!({ "ret": -2, "errmsg": "rate limited" }));
    }
    let url = format!("{}/_sim/faults", bench.simulator.url());
    bench.http.delete(url).send().await.unwrap();
    send(&bench, &account, "c4").await.unwrap();
    assert_eq!(delivered(&bench).await, 1);
}

#[tokio::test]
async fn a_reset_does_nothing_and_a_dropped_answer_does_it_unseen() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control.add_fault(Fault::new(Endpoint::SendMessage, FaultKind::Reset).times(1));
    assert!(send(&bench, &account, "c1").await.is_err());
    assert_eq!(delivered(&bench).await, 0);
    bench.control.add_fault(Fault::new(Endpoint::SendMessage, FaultKind::DropAnswer).times(1));
    assert!(send(&bench, &account, "c1").await.is_err());
    assert_eq!(delivered(&bench).await, 1);
    // The retry with the same id cannot show twice.
    send(&bench, &account, "c1").await.unwrap();
    assert_eq!(delivered(&bench).await, 1);
    let requests = bench.control.bot(&account.bot_id).unwrap().requests;
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn a_truncated_answer_ends_in_the_middle() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control.push_text(&account.bot_id, "ann", "hello").unwrap();
    fault(&bench, json!({ "endpoint": "getupdates", "kind": "truncate", "times": 1 })).await;
    let request = bench.request(&account, "getupdates", json!({ "get_updates_buf": "" }));
    let mut answer = request.send().await.unwrap();
    let promised = answer.content_length().unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert_eq!(first.len() as u64, promised / 2);
    assert!(answer.chunk().await.is_err());
    assert_eq!(texts(&bench.poll(&account, "").await), ["hello"]);
}

#[tokio::test]
async fn a_duplicate_waits_for_messages_and_hands_each_out_twice() {
    let bench = Bench::new().await;
    let account = bench.bot();
    fault(&bench, json!({ "endpoint": "getupdates", "kind": "duplicate", "times": 1 })).await;
    assert_eq!(bench.poll(&account, "").await["msgs"], json!([]));
    bench.control.push_text(&account.bot_id, "ann", "one").unwrap();
    bench.control.push_text(&account.bot_id, "ann", "two").unwrap();
    assert_eq!(texts(&bench.poll(&account, "").await), ["one", "one", "two", "two"]);
    assert_eq!(texts(&bench.poll(&account, "").await), ["one", "two"]);
}

#[tokio::test]
async fn a_fault_can_be_for_one_bot_and_for_the_login() {
    let bench = Bench::new().await;
    let (one, other) = (bench.bot(), bench.bot());
    let only = json!({ "endpoint": "*", "kind": "status", "value": 500, "botId": one.bot_id });
    fault(&bench, only).await;
    assert_eq!(send(&bench, &one, "c1").await.unwrap().status(), 500);
    assert_eq!(send(&bench, &other, "c2").await.unwrap().status(), 200);
    let qrcode = bench.new_qrcode(&[]).await;
    fault(&bench, json!({ "endpoint": "get_qrcode_status", "kind": "ret", "value": -1 })).await;
    assert_eq!(bench.status(&qrcode, None).await, json!({ "ret": -1 }));
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused() {
    let bench = Bench::new().await;
    for wrong in [
        json!({ "endpoint": "nowhere", "kind": "reset" }),
        json!({ "endpoint": "*", "kind": "fire" }),
        json!({ "endpoint": "*", "kind": "status" }),
        json!({ "endpoint": "*", "kind": "delay", "value": -1 }),
        json!({ "endpoint": "*", "kind": "reset", "times": 0 }),
        json!({ "kind": "reset" }),
    ] {
        let answer = bench.control_post("faults", wrong.clone()).await;
        assert!(answer["error"].is_string(), "{wrong}");
    }
}
