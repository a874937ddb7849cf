//! The poll loop: deadlines, back-off, stale tokens, one poller, prompt ends.

mod common;

use std::time::{Duration, Instant};

use common::{Canned, Tap, World, eventually, run, text, until};
use ilink_simulator::{Endpoint, FaultKind, SimulatorConfig};
use serde_json::json;

const ANN: &str = "ann@im.wechat";

#[test]
fn failures_are_backed_off_from_shown_and_recovered_from() {
    for kind in [FaultKind::Status(503), FaultKind::Reset, FaultKind::WrongJson, FaultKind::Truncate] {
        let world = World::new();
        let bot = world.bot();
        let name = format!("{kind:?}");
        world.fault(Endpoint::GetUpdates, kind, 1);
        let sidecar = world.sidecar();
        world.writes(&bot, ANN, "hello");
        sidecar.start_account(&bot);
        let status = sidecar.until_state(&bot, "backoff");
        assert!(!text(&status, "lastError").is_empty(), "{name}: {status}");
        assert!(status["pausedUntilMs"].is_i64(), "{name}: {status}");
        assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "hello");
        let status = sidecar.until_state(&bot, "polling");
        assert!(status.get("lastError").is_none(), "{name}: {status}");
        sidecar.wait(&format!("what was told of {name}"), |seen| {
            let told = |state: &str| seen.statuses.iter().rposition(|status| status["state"] == state);
            (told("backoff")? < told("polling")?).then_some(())
        });
    }
}

#[test]
fn an_unreachable_server_is_named_and_waited_for() {
    let mut world = World::new();
    let bot = world.bot();
    world.end();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let status = sidecar.until_state(&bot, "backoff");
    assert!(text(&status, "lastError").contains("connection"), "{status}");
    let probe = sidecar.call("status.get", json!({ "probe": true }))["accounts"][0]["probe"].clone();
    assert_eq!(probe["ok"], false);
    assert!(text(&probe, "error").contains("connection"), "{probe}");
}

#[test]
fn a_poll_that_outlives_the_deadline_the_server_set_is_given_up_and_is_no_failure() {
    let world = World::with(SimulatorConfig { long_poll: Duration::from_secs(1), ..SimulatorConfig::default() });
    let (sidecar, bot) = world.polling();
    until("an answer that says the deadline", || world.report(&bot).polls >= 2);
    world.lasting_fault(Endpoint::GetUpdates, FaultKind::Delay(Duration::from_secs(300)));
    let asked = world.requests(&bot, Endpoint::GetUpdates);
    // With the 35 s of the beginning there would be no second one within this test's patience.
    until("a poll behind one without an answer", || world.requests(&bot, Endpoint::GetUpdates) >= asked + 2);
    assert_eq!(world.report(&bot).max_active_polls, 1);
    let states: Vec<String> = sidecar.seen().statuses.iter().map(|s| text(s, "state").to_owned()).collect();
    assert!(!states.contains(&"backoff".to_owned()), "{states:?}");
}

#[test]
fn a_stale_token_pauses_the_account_and_nothing_is_asked_any_more() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.control.expire(&bot.id).unwrap();
    let status = sidecar.until_state(&bot, "paused");
    assert!(text(&status, "lastError").contains("log in again"), "{status}");
    let polls = world.report(&bot).polls;
    let probe = sidecar.call("status.get", json!({ "probe": true }))["accounts"][0]["probe"].clone();
    assert_eq!(probe["ok"], false);
    assert_eq!(world.report(&bot).polls, polls);
}

#[test]
fn a_stop_is_prompt_in_the_middle_of_a_poll_and_both_are_idempotent() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.wait_for_poll(&bot);
    sidecar.start_account(&bot);
    let began = Instant::now();
    sidecar.stop_account(&bot);
    assert!(began.elapsed() < Duration::from_secs(3), "the poll would last 35 s: {:?}", began.elapsed());
    sidecar.stop_account(&bot);
    assert_eq!(sidecar.status(&bot)["state"], "stopped");
    let report = world.report(&bot);
    assert_eq!((report.notify_start, report.notify_stop, report.max_active_polls), (1, 1, 1));
    sidecar.start_account(&bot);
    world.writes(&bot, ANN, "hello");
    assert_eq!(sidecar.deliveries(1).len(), 1);
}

#[test]
fn one_process_polls_an_account_and_the_next_one_is_told_who() {
    let world = World::new();
    let (one, bot) = world.polling();
    let two = world.sidecar();
    let error = two.refused("account.start", json!({ "accountId": bot.account }));
    assert_eq!((error["code"].as_i64(), error["data"]["kind"].as_str()), (Some(-32014), Some("account_locked")));
    assert!(text(&error, "message").contains(&one.pid().to_string()), "{error}");
    assert_eq!(two.status(&bot)["state"], "superseded");
    one.kill();
    two.start_account(&bot);
    world.writes(&bot, ANN, "hello");
    assert_eq!(two.deliveries(1).len(), 1);
    assert_eq!(world.report(&bot).max_active_polls, 1);
}

#[test]
fn a_new_configuration_reaches_running_accounts_and_loses_no_message() {
    let world = World::new();
    let bot = world.bot();
    let tap = Tap::on(world.host());
    let sidecar = world.launch().env("WEIXIN_ILINK_BASE_URL", tap.url()).start();
    sidecar.start_account(&bot);
    world.wait_for_poll(&bot);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.writes(&bot, ANN, &format!("m{n}")).to_string());
        let account = json!({ "routeTag": n, "name": "Ann's bot" });
        let config = json!({ "botAgent": "MyBot/1.0 (test)", "accounts": { "bot1@im.bot": account } });
        sidecar.call("config.set", json!({ "config": config }));
    }
    let mut came = Vec::new();
    while came.len() < ids.len() {
        let all = sidecar.deliveries(came.len() + 1);
        sidecar.ack(&all[came.len()..]);
        came = all;
    }
    let came: Vec<&str> = came.iter().map(|message| text(message, "messageId")).collect();
    assert_eq!(came, ids);
    until("the last route tag", || tap.heard().contains("skroutetag: 19\r\n"));
    let ours = concat!("openclaw-weixin-sidecar/", env!("CARGO_PKG_VERSION"));
    until("the bot's own name", || tap.heard().contains(&format!(r#""bot_agent":"MyBot/1.0 (test) {ours}""#)));
    assert!(tap.heard().contains(&format!(r#""bot_agent":"test/1 {ours}""#)), "without a name it is the gateway's");
    assert!(tap.heard().contains(r#""channel_version":"2.4.9""#) && !tap.heard().contains(r#""channel_version":"0."#));
}

#[test]
fn a_removed_account_is_gone_with_everything_that_waited() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "hello");
    sidecar.deliveries(1);
    let held = sidecar.send("stranger@im.wechat", "never sent");
    assert_eq!(sidecar.call("accounts.remove", json!({ "accountId": bot.account }))["removed"], true);
    assert_eq!(sidecar.call("accounts.remove", json!({ "accountId": bot.account }))["removed"], false);
    let update = sidecar.wait("an update", |seen| seen.updates.first().cloned());
    assert_eq!((&update["queueId"], text(&update, "status")), (&held["queueId"], "cancelled"));
    assert!(world.state.index().is_empty());
    assert!(!world.state.account_file(&format!("{}.json", bot.account)).exists());
    for table in ["inbox", "seen", "peer", "outbound", "account", "lease"] {
        assert_eq!(world.state.count(&format!("SELECT COUNT(*) FROM {table}")), 0, "{table}");
    }
    let error = sidecar.refused("account.start", json!({ "accountId": bot.account }));
    assert_eq!(error["data"]["kind"], "account_not_found");
}

#[test]
fn what_comes_for_an_account_that_another_process_removed_reaches_no_other_account() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.wait_for_poll(&bot);
    run(world.state.path(), world.url(), &["accounts", "remove", &bot.account], "").exits(0);
    // It has not noticed yet: it looks once a second.
    world.writes(&bot, ANN, "for nobody");
    let next = world.bot();
    until("the end of the removed account", || {
        sidecar.call("accounts.list", json!({}))["accounts"][0]["accountId"] == next.account.as_str()
            && world.report(&bot).active_polls == 0
    });
    sidecar.start_account(&next);
    world.writes(&next, ANN, "for the next one");
    let came = sidecar.wait("the next one's message", |seen| {
        let of_next = seen.deliveries.iter().find(|message| message["accountId"] == next.account.as_str());
        of_next.cloned()
    });
    assert_eq!(text(&came, "text"), "for the next one");
}

#[test]
fn an_account_that_another_process_removed_and_added_again_goes_on_as_a_new_one() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.wait_for_poll(&bot);
    run(world.state.path(), world.url(), &["accounts", "remove", &bot.account], "").exits(0);
    world.state.add_account(&bot, world.url());
    world.writes(&bot, ANN, "hello");
    // Whether it has noticed the removal before the return is left to chance.
    eventually("a delivery", || {
        sidecar.start_account(&bot);
        (!sidecar.seen().deliveries.is_empty()).then_some(())
    });
    let kept = "SELECT COUNT(*) FROM inbox JOIN account ON account.no = inbox.account";
    assert_eq!(world.state.count(kept), 1);
    assert_eq!(sidecar.ack(&sidecar.deliveries(1)), 1);
    assert_eq!(world.state.count("SELECT COUNT(*) FROM inbox"), 0);
}

#[test]
fn a_probe_says_that_the_server_accepts_the_account() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let status = sidecar.call("status.get", json!({ "accountId": bot.account, "probe": true }));
    assert_eq!(status["accounts"][0]["probe"]["ok"], true);
    assert!(status["process"]["rssBytes"].as_u64().unwrap() > 0);
    let error = sidecar.refused("status.get", json!({ "accountId": "nobody" }));
    assert_eq!(error["data"]["kind"], "account_not_found");
}

#[test]
fn a_server_that_hands_out_the_same_again_and_again_is_not_asked_in_a_hot_loop() {
    let message = json!({
        "message_id": 7, "from_user_id": ANN, "to_user_id": "b@im.bot", "message_type": 1, "context_token": "t",
        "item_list": [{ "type": 1, "text_item": { "text": "hello" } }],
    });
    let updates = json!({ "ret": 0, "msgs": [message], "get_updates_buf": "stuck" }).to_string();
    let server = Canned::new("getupdates", move |path| match path.contains("getupdates") {
        true => updates.clone(),
        false => String::new(),
    });
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.launch().env("WEIXIN_ILINK_BASE_URL", server.url()).start();
    sidecar.start_account(&bot);
    sidecar.deliveries(1);
    let before = server.asked();
    std::thread::sleep(Duration::from_secs(2));
    let asked = server.asked() - before;
    assert!((2..=10).contains(&asked), "{asked} polls in two seconds");
    assert_eq!(sidecar.seen().deliveries.len(), 1);
}
