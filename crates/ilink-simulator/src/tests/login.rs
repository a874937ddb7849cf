//! Every status a QR code can have, and how it gets there.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, json_of, quick};
use crate::{LoginStep, NewBot, SimulatorConfig};

fn confirm() -> LoginStep {
    LoginStep::Confirm { user_id: None, bot_id: None }
}

#[tokio::test]
async fn a_login_goes_from_wait_over_scaned_to_confirmed() {
    let bench = Bench::new().await;
    let qrcode = bench.new_qrcode(&[]).await;
    assert_eq!(bench.status(&qrcode, None).await["status"], "wait");
    bench.control.login(&qrcode, LoginStep::Scan).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "scaned");
    bench.control.login("latest", confirm()).unwrap();
    let answer = bench.status(&qrcode, None).await;
    assert_eq!(answer["status"], "confirmed");
    assert_eq!(answer["ilink_bot_id"], "bot1@im.bot");
    assert_eq!(answer["ilink_user_id"], "user1@im.wechat");
    assert_eq!(answer["baseurl"], bench.simulator.url());
    let bot = bench.control.bot("bot1@im.bot").unwrap();
    assert_eq!(answer["bot_token"], bot.token);
    assert_eq!(bot.account_id, "bot1-im-bot");
    // The answer may have been lost: it is given again.
    assert_eq!(bench.status(&qrcode, None).await["status"], "confirmed");
}

#[tokio::test]
async fn a_status_poll_is_held_until_the_phone_does_something() {
    let long = SimulatorConfig { login_poll: Duration::from_secs(30), ..quick() };
    let bench = Bench::with(long).await;
    let qrcode = bench.new_qrcode(&[]).await;
    let scan = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        bench.control.login(&qrcode, LoginStep::Scan).unwrap();
    };
    let start = Instant::now();
    let (answer, ()) = tokio::join!(bench.status(&qrcode, None), scan);
    assert_eq!(answer["status"], "scaned");
    assert!(start.elapsed() >= Duration::from_millis(140));
}

#[tokio::test]
async fn an_automatic_login_makes_a_new_bot_and_a_new_person_each_time() {
    let bench = Bench::with(SimulatorConfig { auto_login: true, ..quick() }).await;
    for n in 1..=2 {
        let qrcode = bench.new_qrcode(&[]).await;
        let mut answer = Value::Null;
        while answer["status"] != "confirmed" {
            answer = bench.status(&qrcode, None).await;
        }
        assert_eq!(answer["ilink_bot_id"], format!("bot{n}@im.bot"));
        assert_eq!(answer["ilink_user_id"], format!("user{n}@im.wechat"));
    }
}

#[tokio::test]
async fn the_control_api_takes_a_login_away_from_the_automatic_one() {
    let bench = Bench::with(SimulatorConfig { auto_login: true, ..quick() }).await;
    let qrcode = bench.new_qrcode(&[]).await;
    bench.control.login(&qrcode, LoginStep::NeedCode { code: Some("12".into()) }).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(bench.status(&qrcode, None).await["status"], "need_verifycode");
}

#[tokio::test]
async fn the_right_verify_code_leads_to_scaned_and_three_wrong_ones_block() {
    let bench = Bench::new().await;
    let qrcode = bench.new_qrcode(&[]).await;
    let report = bench.control.login(&qrcode, LoginStep::NeedCode { code: None }).unwrap();
    let code = report.code.unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "need_verifycode");
    assert_eq!(bench.status(&qrcode, Some("no")).await["status"], "need_verifycode");
    assert_eq!(bench.status(&qrcode, Some(&code)).await["status"], "scaned");
    // The same code again, as if the answer had been lost.
    assert_eq!(bench.status(&qrcode, Some(&code)).await["status"], "scaned");

    let qrcode = bench.new_qrcode(&[]).await;
    bench.control.login("latest", LoginStep::NeedCode { code: Some("42".into()) }).unwrap();
    for expected in ["need_verifycode", "need_verifycode", "verify_code_blocked"] {
        assert_eq!(bench.status(&qrcode, Some("41")).await["status"], expected);
    }
    let refused = bench.control.login(&qrcode, confirm()).unwrap_err();
    assert!(refused.to_string().contains("verify_code_blocked"), "{refused}");
}

#[tokio::test]
async fn a_qr_code_expires_by_itself_by_command_and_when_unknown() {
    let short = SimulatorConfig { qr_lifetime: Duration::from_millis(100), ..quick() };
    let bench = Bench::with(short).await;
    let qrcode = bench.new_qrcode(&[]).await;
    // A poll that is held notices, too.
    assert_eq!(bench.status(&qrcode, None).await["status"], "expired");
    assert_eq!(bench.status("never-made", None).await["status"], "expired");
    assert_eq!(bench.status("latest", None).await["status"], "expired");

    let bench = Bench::new().await;
    let qrcode = bench.new_qrcode(&[]).await;
    bench.control.login(&qrcode, LoginStep::Expire).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "expired");
    let qrcode = bench.new_qrcode(&[]).await;
    bench.control.login(&qrcode, LoginStep::Block).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "verify_code_blocked");
}

#[tokio::test]
async fn a_redirect_is_told_until_the_client_asks_the_other_host() {
    let bench = Bench::new().await;
    let qrcode = bench.new_qrcode(&[]).await;
    let host = bench.simulator.url().replace("http://127.0.0.1", "localhost");
    bench.control.login(&qrcode, LoginStep::Redirect { host: host.clone() }).unwrap();
    for _ in 0..2 {
        let answer = bench.status(&qrcode, None).await;
        assert_eq!(answer["status"], "scaned_but_redirect");
        assert_eq!(answer["redirect_host"], host);
    }
    let url = format!("http://{host}/ilink/bot/get_qrcode_status?qrcode={qrcode}");
    let there = bench.app(bench.http.get(url)).send().await.unwrap();
    assert_eq!(json_of(there).await["status"], "scaned");
    bench.control.login(&qrcode, confirm()).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["baseurl"], format!("http://{host}"));
}

#[tokio::test]
async fn a_bot_that_is_bound_here_is_recognised_by_its_valid_token() {
    let bench = Bench::new().await;
    let bot = bench.control.create_bot(NewBot { user_id: Some("ann@im.wechat".into()), ..NewBot::default() }).unwrap();
    let by_ann = || LoginStep::Confirm { user_id: Some("ann@im.wechat".into()), bot_id: None };

    let qrcode = bench.new_qrcode(&[&bot.token]).await;
    bench.control.login(&qrcode, by_ann()).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "binded_redirect");

    // Somebody else scans.
    let qrcode = bench.new_qrcode(&[&bot.token]).await;
    bench.control.login(&qrcode, confirm()).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "confirmed");

    // The token is of no use any more, so the login has to give a new one.
    bench.control.expire(&bot.bot_id).unwrap();
    let qrcode = bench.new_qrcode(&[&bot.token]).await;
    let again = LoginStep::Confirm { user_id: None, bot_id: Some(bot.bot_id.clone()) };
    bench.control.login(&qrcode, again).unwrap();
    let answer = bench.status(&qrcode, None).await;
    assert_eq!(answer["status"], "confirmed");
    assert_eq!(answer["ilink_user_id"], "ann@im.wechat");
    assert_ne!(answer["bot_token"], bot.token);
    assert!(!bench.control.bot(&bot.bot_id).unwrap().expired);

    let qrcode = bench.new_qrcode(&[]).await;
    bench.control.login(&qrcode, LoginStep::AlreadyBound).unwrap();
    assert_eq!(bench.status(&qrcode, None).await["status"], "binded_redirect");
}

#[tokio::test]
async fn a_qr_code_can_be_had_by_get_and_not_without_the_app_headers() {
    let bench = Bench::new().await;
    let url = format!("{}/ilink/bot/get_bot_qrcode?bot_type=3", bench.simulator.url());
    let answer = json_of(bench.app(bench.http.get(&url)).send().await.unwrap()).await;
    assert!(answer["qrcode"].is_string());
    let bare = bench.http.post(&url).json(&json!({})).send().await.unwrap();
    assert_eq!(bare.status(), 400);
    let many = vec!["t"; 11];
    let many = bench.app(bench.http.post(&url)).json(&json!({ "local_token_list": many }));
    assert_eq!(many.send().await.unwrap().status(), 400);
    assert_eq!(bench.reasons().len(), 2);
}
