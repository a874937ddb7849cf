//! QR login: every status of the server, many at once, from any process, and what a finished one changes.

mod common;

use base64::Engine as _;
use common::{Canned, Launch, Sidecar, World, eventually, run, text, until};
use ilink_simulator::{Endpoint, FaultKind, LoginStep, SimulatorConfig};
use serde_json::{Value, json};

fn confirm(user: Option<&str>, bot: Option<&str>) -> LoginStep {
    LoginStep::Confirm { user_id: user.map(str::to_owned), bot_id: bot.map(str::to_owned) }
}

fn begin(sidecar: &Sidecar) -> Value {
    sidecar.call("login.start", json!({}))
}

/// Waits for a login to end; returns how.
fn end(sidecar: &Sidecar, login: &Value) -> Value {
    sidecar.call("login.wait", json!({ "sessionKey": login["sessionKey"] }))
}

/// Waits until a login was in a state; returns what was said of it.
fn until_state(sidecar: &Sidecar, login: &Value, state: &str) -> Value {
    sidecar.wait(&format!("login state {state}"), |seen| {
        seen.progress.iter().find(|p| p["sessionKey"] == login["sessionKey"] && p["state"] == state).cloned()
    })
}

fn states(sidecar: &Sidecar) -> Vec<String> {
    sidecar.seen().progress.iter().map(|progress| text(progress, "state").to_owned()).collect()
}

#[test]
fn a_scan_and_a_confirmation_connect_an_account() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    assert!(text(&login, "qrUrl").starts_with("http"));
    let picture = text(&login, "qrPngDataUrl").strip_prefix("data:image/png;base64,").expect("a PNG");
    let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
    let picture = image::load_from_memory_with_format(&picture, image::ImageFormat::Png).unwrap();
    assert!(picture.width() == picture.height() && picture.width() > 200, "{} x {}", picture.width(), picture.height());
    assert!(text(&login, "qrText").contains('█'));
    assert!(login["expiresAtMs"].as_i64().unwrap() > 0);
    world.control.login("latest", LoginStep::Scan).unwrap();
    until_state(&sidecar, &login, "scanned");
    world.control.login("latest", confirm(Some("ann@im.wechat"), Some("b1@im.bot"))).unwrap();
    let result = end(&sidecar, &login);
    assert_eq!((result["connected"].as_bool(), result["state"].as_str()), (Some(true), Some("confirmed")));
    assert_eq!((text(&result, "accountId"), text(&result, "userId")), ("b1-im-bot", "ann@im.wechat"));
    assert_eq!(states(&sidecar), ["scanned", "confirmed"]);
    // The outcome can be asked for again.
    assert_eq!(end(&sidecar, &login), result);

    let file = world.state.json("openclaw-weixin/accounts/b1-im-bot.json");
    assert_eq!((text(&file, "userId"), text(&file, "baseUrl")), ("ann@im.wechat", world.url()));
    assert_eq!(text(&file, "token"), world.control.bot("b1@im.bot").unwrap().token);
    assert_eq!(world.state.index(), ["b1-im-bot"]);
    let listed = sidecar.call("accounts.list", json!({}))["accounts"][0].clone();
    assert_eq!((listed["configured"].as_bool(), listed["running"].as_bool()), (Some(true), Some(false)));
}

#[cfg(unix)]
#[test]
fn credentials_are_for_the_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with(SimulatorConfig { auto_login: true, ..SimulatorConfig::default() });
    let sidecar = world.sidecar();
    let result = end(&sidecar, &begin(&sidecar));
    let file = world.state.account_file(&format!("{}.json", text(&result, "accountId")));
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_number_on_the_phone_is_asked_for_until_it_is_right() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    let submit = |code: &str| {
        sidecar.call("login.submitCode", json!({ "sessionKey": login["sessionKey"], "code": code }));
    };
    let early = sidecar.refused("login.submitCode", json!({ "sessionKey": login["sessionKey"], "code": "1" }));
    assert_eq!(early["data"]["kind"], "login_failed");
    world.control.login("latest", LoginStep::Scan).unwrap();
    world.control.login("latest", LoginStep::NeedCode { code: Some("42".into()) }).unwrap();
    until_state(&sidecar, &login, "code_required");
    submit("41");
    until_state(&sidecar, &login, "code_rejected");
    submit(" 42 \n");
    eventually("the code to be accepted", || {
        let state = world.control.state();
        state.logins.iter().any(|login| login.status == "scaned").then_some(())
    });
    world.control.login("latest", confirm(None, None)).unwrap();
    assert_eq!(end(&sidecar, &login)["connected"], true);
}

#[test]
fn too_many_wrong_numbers_bring_a_new_code() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    world.control.login("latest", LoginStep::NeedCode { code: Some("42".into()) }).unwrap();
    until_state(&sidecar, &login, "code_required");
    for wrong in 1..=3 {
        sidecar.call("login.submitCode", json!({ "sessionKey": login["sessionKey"], "code": "41" }));
        let answered =
            || states(&sidecar).iter().filter(|state| *state == "code_rejected" || *state == "code_blocked").count();
        until("the verdict on the number", || answered() == wrong);
    }
    let fresh = until_state(&sidecar, &login, "refreshed");
    assert_ne!(fresh["qrUrl"], login["qrUrl"]);
    assert!(text(&fresh, "qrPngDataUrl").starts_with("data:image/png") && text(&fresh, "qrText").contains('█'));
    world.control.login("latest", confirm(None, None)).unwrap();
    assert_eq!(end(&sidecar, &login)["connected"], true);
    let expected = ["code_required", "code_rejected", "code_rejected", "code_blocked", "refreshed", "confirmed"];
    assert_eq!(states(&sidecar), expected);
}

#[test]
fn after_three_codes_it_gives_up() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    for codes in 1..=3 {
        until("the code", || world.control.state().logins.len() == codes);
        world.control.login("latest", LoginStep::Expire).unwrap();
    }
    let result = end(&sidecar, &login);
    assert_eq!((result["connected"].as_bool(), result["state"].as_str()), (Some(false), Some("expired")));
    assert_eq!(states(&sidecar), ["refreshed", "refreshed", "expired"]);
    assert_eq!(world.control.state().logins.len(), 3);
}

#[test]
fn a_redirect_is_followed() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    let host = world.host().replace("127.0.0.1", "localhost");
    world.control.login("latest", LoginStep::Redirect { host: host.clone() }).unwrap();
    until_state(&sidecar, &login, "redirected");
    world.control.login("latest", confirm(None, Some("b1@im.bot"))).unwrap();
    assert_eq!(end(&sidecar, &login)["connected"], true);
    // The account's requests go where the login ended.
    let file = world.state.json("openclaw-weixin/accounts/b1-im-bot.json");
    assert_eq!(text(&file, "baseUrl"), format!("http://{host}"));
}

#[test]
fn an_account_is_not_put_where_no_host_of_wechat_can_be() {
    let hosted = Canned::new("get_qrcode_status", |path| {
        match path {
        path if path.contains("get_bot_qrcode") => r#"{"ret":0,"qrcode":"a","qrcode_img_content":"https://x.example/a"}"#,
        _ => {
            r#"{"ret":0,"status":"confirmed","bot_token":"secret-token","ilink_bot_id":"b1@im.bot","ilink_user_id":"u",
                "baseurl":"ftp://user:secret@files.example/x"}"#
        }
    }.to_owned()
    });
    let world = World::new();
    let sidecar = Launch::new(world.state.path(), hosted.url()).start();
    let result = end(&sidecar, &begin(&sidecar));
    assert_eq!((result["connected"].as_bool(), result["state"].as_str()), (Some(false), Some("failed")));
    let said = text(&result, "message");
    assert!(said.contains("ftp://files.example/x, which is no address"), "{said}");
    assert_eq!(sidecar.call("accounts.list", json!({}))["accounts"], json!([]));
}

#[test]
fn a_bot_that_is_bound_here_is_recognised() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.sidecar();
    let before = std::fs::read(world.state.account_file(&format!("{}.json", bot.account))).unwrap();
    let login = begin(&sidecar);
    // The server knows it by the tokens that the login brought along.
    world.control.login("latest", confirm(Some(&bot.user), None)).unwrap();
    let result = end(&sidecar, &login);
    assert_eq!((result["connected"].as_bool(), result["alreadyConnected"].as_bool()), (Some(false), Some(true)));
    assert_eq!(result["state"], "already_connected");
    assert_eq!(std::fs::read(world.state.account_file(&format!("{}.json", bot.account))).unwrap(), before);
}

#[test]
fn a_login_can_be_cancelled_and_waited_for_in_part() {
    let world = World::new();
    let sidecar = world.sidecar();
    let login = begin(&sidecar);
    let key = json!({ "sessionKey": login["sessionKey"], "timeoutMs": 1 });
    assert_eq!(sidecar.call("login.wait", key)["state"], "waiting");
    let waiting = sidecar.ask("login.wait", json!({ "sessionKey": login["sessionKey"] }));
    sidecar.call("login.cancel", json!({ "sessionKey": login["sessionKey"] }));
    assert_eq!(sidecar.result(waiting)["state"], "cancelled");
    let unknown = sidecar.refused("login.wait", json!({ "sessionKey": "nobody's" }));
    assert_eq!((unknown["code"].as_i64(), unknown["data"]["kind"].as_str()), (Some(-32041), Some("login_not_found")));
}

#[test]
fn a_login_for_the_same_account_is_shared_unless_it_is_forced() {
    let world = World::new();
    let sidecar = world.sidecar();
    let start = |force: bool| sidecar.call("login.start", json!({ "accountId": "B1@im.bot", "force": force }));
    let first = start(false);
    assert_eq!(first["sessionKey"], "b1-im-bot");
    assert_eq!(start(false)["qrUrl"], first["qrUrl"]);
    assert_ne!(start(true)["qrUrl"], first["qrUrl"]);
}

#[test]
fn fifty_logins_at_once_end_each_in_its_own_account_while_another_one_runs() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let asked: Vec<u64> = (0..50).map(|_| sidecar.ask("login.start", json!({}))).collect();
    let logins: Vec<Value> = asked.into_iter().map(|id| sidecar.result(id)).collect();
    let waits: Vec<u64> =
        logins.iter().map(|login| sidecar.ask("login.wait", json!({ "sessionKey": login["sessionKey"] }))).collect();
    for login in world.control.state().logins {
        world.control.login(&login.qrcode, confirm(None, None)).unwrap();
    }
    let mut accounts: Vec<String> =
        waits.into_iter().map(|id| text(&sidecar.result(id), "accountId").to_owned()).collect();
    accounts.push(bot.account.clone());
    accounts.sort();
    accounts.dedup();
    assert_eq!(accounts.len(), 51);
    let mut index = world.state.index();
    index.sort();
    assert_eq!(index, accounts);
    world.writes(&bot, "ann@im.wechat", "hello");
    sidecar.deliveries(1);
}

#[test]
fn processes_that_log_in_at_once_lose_no_account() {
    let world = World::with(SimulatorConfig { auto_login: true, ..SimulatorConfig::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run(world.state.path(), world.url(), &["login"], "").exits(0));
        }
    });
    assert_eq!(world.state.index().len(), 4);
}

#[test]
fn the_same_person_again_replaces_the_older_account() {
    let world = World::new();
    let sidecar = world.sidecar();
    for bot in ["b1@im.bot", "b2@im.bot"] {
        let login = begin(&sidecar);
        world.control.login("latest", confirm(Some("ann@im.wechat"), Some(bot))).unwrap();
        assert_eq!(end(&sidecar, &login)["connected"], true);
    }
    assert_eq!(world.state.index(), ["b2-im-bot"]);
    assert!(!world.state.account_file("b1-im-bot.json").exists());
    let gone = sidecar.refused("account.start", json!({ "accountId": "b1-im-bot" }));
    assert_eq!(gone["data"]["kind"], "account_not_found");
}

#[test]
fn a_login_in_another_process_wakes_a_paused_account() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.control.expire(&bot.id).unwrap();
    sidecar.until_state(&bot, "paused");
    std::thread::scope(|scope| {
        let login = scope.spawn(|| run(world.state.path(), world.url(), &["login"], "").exits(0));
        until("the login", || world.control.login("latest", LoginStep::Scan).is_ok());
        world.control.login("latest", confirm(Some(&bot.user), Some(&bot.id))).unwrap();
        login.join().unwrap();
    });
    sidecar.until_state(&bot, "polling");
    world.writes(&bot, "ann@im.wechat", "are you back?");
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "are you back?");
}

#[test]
fn trouble_while_waiting_is_waited_out() {
    let world = World::new();
    let sidecar = world.sidecar();
    for kind in [FaultKind::Status(502), FaultKind::Reset, FaultKind::WrongJson] {
        world.fault(Endpoint::GetQrcodeStatus, kind, 1);
    }
    let login = begin(&sidecar);
    world.control.login("latest", confirm(None, None)).unwrap();
    assert_eq!(end(&sidecar, &login)["connected"], true);
}

#[test]
fn without_a_network_the_error_says_how_far_it_got() {
    let mut world = World::new();
    let sidecar = world.sidecar();
    world.end();
    let error = sidecar.refused("login.start", json!({}));
    assert_eq!((error["code"].as_i64(), error["data"]["kind"].as_str()), (Some(-32022), Some("network")));
    assert_eq!((error["data"]["cause"].as_str(), error["data"]["retryable"].as_bool()), (Some("tcp"), Some(true)));
    let nowhere = World::new();
    let sidecar = nowhere.launch().env("WEIXIN_ILINK_BASE_URL", "http://no-such-host.invalid").start();
    assert_eq!(sidecar.refused("login.start", json!({}))["data"]["cause"], "dns");
    // A server that does not speak TLS.
    let tls = nowhere.url().replace("http://", "https://");
    let sidecar = nowhere.launch().env("WEIXIN_ILINK_BASE_URL", &tls).start();
    let error = sidecar.refused("login.start", json!({}));
    assert_eq!(error["data"]["cause"], "tls", "{error}");
}

#[test]
fn people_are_told_in_their_language() {
    let world = World::new();
    let english = begin(&world.sidecar());
    assert!(text(&english, "message").contains("Scan the QR code"));
    let chinese = begin(&world.launch().with("locale", "zh-CN").start());
    assert!(text(&chinese, "message").contains("扫描二维码"));
}

#[test]
fn the_protocols_version_is_declared_and_can_be_raised_without_a_release() {
    let world = World::new();
    world.control.set_min_version(Some("2.4.9".parse().unwrap()));
    let refused = |version: &str| {
        let sidecar = world.launch().with("config", json!({ "channelVersion": version })).start();
        begin(&sidecar);
        world.control.login("latest", LoginStep::Scan).map_err(|error| error.to_string())
    };
    assert!(refused("2.2.0").unwrap_err().contains("升级微信接口版本"), "a phone refuses what is old");
    refused("2.4.9").unwrap();
    refused("3.0.1").unwrap();
    let sidecar = world.sidecar();
    begin(&sidecar);
    world.control.login("latest", LoginStep::Scan).unwrap();
    world.control.login("latest", confirm(Some("ann@im.wechat"), Some("b1@im.bot"))).unwrap();
    eventually("the account", || (world.state.index() == ["b1-im-bot"]).then_some(()));
    let bot = world.control.bot("b1@im.bot").unwrap();
    sidecar.call("account.start", json!({ "accountId": bot.account_id }));
    let declared = || world.control.bot("b1@im.bot").unwrap().headers_seen.client_version;
    until("its version in the header", || declared() == Some((2 << 16 | 4 << 8 | 9).to_string()));
    // The environment is over the configuration; what cannot be read is said, and is not declared.
    let other =
        world.launch().with("config", json!({ "channelVersion": "2.2.0" })).env("WEIXIN_CHANNEL_VERSION", "2.5.0");
    let other = other.start();
    begin(&other);
    world.control.login("latest", LoginStep::Scan).unwrap();
    let odd = world.launch().env("WEIXIN_CHANNEL_VERSION", "newest").spawn();
    let warnings = odd.initialize()["warnings"].clone();
    assert!(
        warnings[0].as_str().is_some_and(|text| text.contains("WEIXIN_CHANNEL_VERSION") && text.contains("2.4.9")),
        "{warnings}"
    );
    begin(&odd);
    world.control.login("latest", LoginStep::Scan).unwrap();
}

#[test]
fn a_login_on_which_nothing_happens_says_what_may_be_in_the_way() {
    for (locale, words) in [
        ("en", ["must be upgraded", "network error", "mainland"]),
        ("zh-CN", ["升级微信接口版本", "网络错误", "大陆版微信"]),
    ] {
        let config =
            SimulatorConfig { login_poll: std::time::Duration::from_millis(200), ..SimulatorConfig::default() };
        let world = World::with(config);
        let launch = world.launch().with("locale", locale).with("config", json!({ "channelVersion": "2.2.0" }));
        let sidecar = launch.env("WEIXIN_LOGIN_HINT_MS", "500").start();
        let login = begin(&sidecar);
        let hint = until_state(&sidecar, &login, "waiting");
        for word in words.iter().chain(&["2.2.0"]) {
            assert!(text(&hint, "message").contains(word), "{word} is not in {hint}");
        }
        // It goes on, and the hint is given once.
        world.control.login("latest", LoginStep::Scan).unwrap();
        until_state(&sidecar, &login, "scanned");
        world.control.login("latest", confirm(None, None)).unwrap();
        assert_eq!(end(&sidecar, &login)["connected"], true);
        assert_eq!(states(&sidecar), ["waiting", "scanned", "confirmed"]);
    }
}
