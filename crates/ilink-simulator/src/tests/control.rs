//! The control API itself, over HTTP and in process, and the life of the server.

use std::time::Duration;

use serde_json::json;

use super::{Bench, eventually, json_of, quick, texts};
use crate::{ControlError, Simulator, SimulatorConfig, SimulatorError};

#[tokio::test]
async fn bots_are_made_with_what_is_given_and_ids_are_not_shared() {
    let bench = Bench::new().await;
    let given = json!({
        "botId": "44B9b8ec@im.bot", "userId": "ann@im.wechat", "token": "secret",
        "contextTokens": { "ann@im.wechat": "kept" },
    });
    let bot = bench.control_post("bots", given.clone()).await;
    assert_eq!(bot["accountId"], "44b9b8ec-im-bot");
    assert_eq!(bot["token"], "secret");
    assert!(bench.control_post("bots", given).await["error"].is_string());
    assert!(bench.control_post("bots", json!({ "token": "secret" })).await["error"].is_string());
    assert_eq!(bench.control_post("bots", json!({})).await["userId"].as_str().unwrap().len(), 15);
    let account = super::Account { bot_id: "44B9b8ec@im.bot".into(), token: "secret".into() };
    assert!(bench.send(&account, "c1", Some("kept")).await["ret"].is_null());
}

#[tokio::test]
async fn everything_can_be_driven_over_http() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let id = &account.bot_id;
    let qrcode = bench.new_qrcode(&[]).await;
    let need = bench.control_post("logins/latest/need-code", json!({ "code": "007" })).await;
    assert_eq!((&need["status"], &need["qrcode"]), (&json!("need_verifycode"), &json!(qrcode)));
    let who = json!({ "userId": "ann", "botId": "b@im.bot" });
    let done = bench.control_post(&format!("logins/{qrcode}/confirm"), who).await;
    assert_eq!((&done["status"], &done["botId"]), (&json!("confirmed"), &json!("b@im.bot")));

    let burst = bench.control_post("burst", json!({ "botId": id, "people": 2, "messages": 4 })).await;
    assert_eq!(burst["messageIds"].as_array().unwrap().len(), 4);
    let push = json!({ "botId": id, "from": "ann", "text": "hi", "count": 2, "createTimeMs": 5 });
    bench.control_post("messages", push).await;
    let answer = bench.poll(&account, "").await;
    assert_eq!(texts(&answer)[4..], ["hi", "hi"]);
    assert_eq!(answer["msgs"][5]["create_time_ms"], 5);
    assert_eq!(bench.control_post("replay", json!({ "botId": id })).await["count"], 6);
    bench.control_post(&format!("bots/{id}/release"), json!({})).await;
    bench.control_post(&format!("bots/{id}/expire"), json!({})).await;
    let state = bench.control_get(&format!("state?botId={id}")).await;
    assert_eq!(state["bots"].as_array().unwrap().len(), 1);
    assert_eq!(state["bots"][0]["expired"], true);
    assert_eq!(state["bots"][0]["queued"], 6);
    assert_eq!(state["logins"][0]["status"], "confirmed");
}

#[tokio::test]
async fn pages_in_a_browser_drive_nothing() {
    let bench = Bench::new().await;
    let url = format!("{}/_sim/bots", bench.simulator.url());
    let port = bench.simulator.url().rsplit_once(':').unwrap().1.to_owned();
    for (host, origin, status) in [
        (None, None, 200),
        (Some(format!("localhost:{port}")), None, 200),
        (Some(format!("[::1]:{port}")), Some("http://127.0.0.1:9".to_owned()), 200),
        (Some(format!("rebound.example:{port}")), None, 403),
        (Some(format!("127.0.0.1.rebound.example:{port}")), None, 403),
        (None, Some("https://page.example".to_owned()), 403),
        (None, Some("null".to_owned()), 403),
        (None, Some("http://localhost@page.example".to_owned()), 403),
    ] {
        let mut request = bench.http.post(&url).body("{}");
        for (name, value) in [("host", &host), ("origin", &origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{host:?} {origin:?}");
    }
}

#[tokio::test]
async fn files_are_read_for_whoever_started_it_only() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret.txt");
    std::fs::write(&path, "secret").unwrap();
    let content = [json!({ "type": "file", "fileName": "a.txt", "media": { "path": path } })];
    let push = json!({ "botId": account.bot_id, "from": "ann", "content": content }).to_string();
    let url = format!("{}/_sim/messages", bench.simulator.url());
    for (secret, status) in [(None, 403), (Some("guessed"), 403), (Some(bench.simulator.control().secret()), 200)] {
        let mut request = bench.http.post(&url).body(push.clone());
        if let Some(secret) = secret {
            request = request.header("x-simulator-secret", secret);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{secret:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let bench = Bench::new().await;
    let url = bench.simulator.url();
    let missing = bench.http.post(format!("{url}/_sim/bots/nobody/expire")).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let login = bench.http.post(format!("{url}/_sim/logins/latest/scan")).send().await.unwrap();
    assert_eq!(login.status(), 404);
    bench.new_qrcode(&[]).await;
    for (step, status) in [("redirect", 400), ("dance", 400), ("expire", 200), ("scan", 409)] {
        let path = format!("{url}/_sim/logins/latest/{step}");
        let answer = bench.http.post(path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{step}");
        assert_eq!(json_of(answer).await["error"].is_string(), status != 200);
    }
    let empty = json!({ "botId": bench.bot().bot_id, "from": "ann" });
    assert!(bench.control_post("messages", empty).await["error"].is_string());
    assert!(matches!(bench.control.burst("nobody", 1, 1), Err(ControlError::NoSuchBot(_))));
}

#[tokio::test]
async fn a_stop_cuts_what_is_held_and_frees_the_port() {
    let long = SimulatorConfig { long_poll: Duration::from_secs(35), ..quick() };
    let bench = Bench::with(long).await;
    let account = bench.bot();
    let url = bench.simulator.url();
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let taken = Simulator::start(SimulatorConfig { port, ..quick() }).await;
    assert!(matches!(taken, Err(SimulatorError::Bind { .. })));
    let body = json!({ "get_updates_buf": "" });
    let held = tokio::spawn(bench.request(&account, "getupdates", body).send());
    let is_held = || bench.control.bot(&account.bot_id).unwrap().active_polls == 1;
    eventually("the poll is held", is_held).await;
    bench.simulator.stop().await;
    assert!(held.await.unwrap().is_err());
    let again = Simulator::start(SimulatorConfig { port, ..quick() }).await.unwrap();
    assert_eq!(again.url(), url);
}
