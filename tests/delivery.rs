//! What WeChat takes without an id is not called sent: it is unconfirmed, final, and told to whoever runs the bot.

mod common;

use common::{Bot, Sidecar, World, assert_private, run, text, until};
use ilink_simulator::{Endpoint, FaultKind, Rejected};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const BOB: &str = "bob@im.wechat";

fn started(world: &World, bot: &Bot) -> Sidecar {
    let config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "quotaPerMessage": 1000, "notice": false } });
    let sidecar = world.launch().with("config", config).env("WEIXIN_OUTBOX_CLOSE_MS", "400").start();
    sidecar.start_account(bot);
    sidecar
}

/// A sidecar that has heard from Ann and Bob, whose messages the server does not limit.
fn heard(world: &World) -> (Sidecar, Bot) {
    unlimited(world);
    let bot = world.bot();
    let sidecar = started(world, &bot);
    world.hears(&sidecar, &bot, ANN);
    world.hears(&sidecar, &bot, BOB);
    (sidecar, bot)
}

fn unlimited(world: &World) {
    let none = ilink_simulator::LimitsPatch { quota_per_token: Some(None), ..Default::default() };
    world.control.set_limits(none);
}

/// What a muted bot sent, as the server saw it.
fn swallowed(world: &World) -> Vec<Rejected> {
    let all = world.control.rejected(&Default::default());
    all.into_iter().filter(|one| one.reason == "the bot is muted").collect()
}

fn delivery(sidecar: &Sidecar, bot: &Bot) -> Value {
    sidecar.status(bot)["delivery"].clone()
}

fn alerts(sidecar: &Sidecar, what: &str) -> usize {
    sidecar.log().iter().filter(|line| line.contains(&format!("\"msg\":\"{what}"))).count()
}

#[test]
fn what_is_taken_without_an_id_is_unconfirmed_and_final() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    assert_eq!(delivery(&sidecar, &bot), json!({ "state": "unknown", "unconfirmedInARow": 0 }));
    world.control.mute(&bot.id, true).unwrap();
    let params = json!({ "to": ANN, "text": "one", "idempotencyKey": "k" });
    let result = sidecar.call("outbound.sendText", params.clone());
    assert_eq!((text(&result, "status"), result["messageIds"].as_array().unwrap().len()), ("unconfirmed", 0));
    assert_eq!(result["clientIds"].as_array().unwrap().len(), 1);
    assert!(result["queueId"].is_null() && result["heldReason"].is_null(), "{result}");
    let counters = sidecar.status(&bot)["counters"].clone();
    assert_eq!((counters["sent"].as_u64(), counters["unconfirmed"].as_u64()), (Some(0), Some(1)));
    // Asked for again it is the same, also after a restart and once WeChat would confirm it.
    world.control.mute(&bot.id, false).unwrap();
    assert_eq!(sidecar.call("outbound.sendText", params.clone()), result);
    sidecar.kill();
    let sidecar = started(&world, &bot);
    assert_eq!(sidecar.call("outbound.sendText", params), result);
    assert_eq!(swallowed(&world).len(), 1);
    assert!(world.sent().is_empty());
    assert_eq!(sidecar.held(), 0);
}

#[test]
fn a_send_is_unconfirmed_where_one_of_its_parts_is() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    // Slowly enough that the first part has its id when the bot is muted.
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Delay(std::time::Duration::from_millis(200)));
    let long = vec!["x".repeat(3_900); 3].join("\n\n");
    let ask = sidecar.ask("outbound.sendText", json!({ "to": ANN, "text": long }));
    world.wait_for_sent(1);
    world.control.mute(&bot.id, true).unwrap();
    let result = sidecar.result(ask);
    let confirmed = result["messageIds"].as_array().unwrap().len();
    assert_eq!((text(&result, "status"), result["parts"].as_u64()), ("unconfirmed", Some(3)), "{confirmed} had an id");
    assert!((1..3).contains(&confirmed), "{result}");
    assert_eq!(world.sent().len() + swallowed(&world).len(), 3);
}

#[test]
fn a_muted_bot_is_told_of_once_and_its_recovery_once_over_restarts() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    assert_eq!(text(&sidecar.send(ANN, "before"), "status"), "sent");
    assert_eq!(delivery(&sidecar, &bot)["state"], "ok");
    world.control.mute(&bot.id, true).unwrap();
    sidecar.send(ANN, "m1");
    sidecar.send(ANN, "m2");
    assert_eq!(delivery(&sidecar, &bot)["state"], "ok", "twice may be an accident");
    sidecar.send(BOB, "m3");
    let now = sidecar.wait("a notification", |seen| {
        seen.statuses.iter().rev().find(|status| status["delivery"]["state"] == "unconfirmed").cloned()
    });
    assert_eq!(now["delivery"]["unconfirmedInARow"], 3);
    assert!(now["delivery"]["sinceMs"].as_i64() >= now["delivery"]["lastConfirmedAtMs"].as_i64(), "{now}");
    until("the alert", || alerts(&sidecar, "ALERT:") == 1);
    for n in 4..8 {
        assert_eq!(text(&sidecar.send(ANN, &format!("m{n}")), "status"), "unconfirmed");
    }
    assert_eq!(alerts(&sidecar, "ALERT:"), 1, "once");
    sidecar.kill();

    // The whole day through: what was said is not said again.
    let sidecar = started(&world, &bot);
    assert_eq!(delivery(&sidecar, &bot)["unconfirmedInARow"], 7);
    assert_eq!(text(&sidecar.send(BOB, "m8"), "status"), "unconfirmed");
    assert_eq!(alerts(&sidecar, "ALERT"), 0);
    let status = run(world.state.path(), world.url(), &["status"], "").exits(1);
    assert!(status.stdout.contains("NO: the last 8 were not"), "{}", status.stdout);

    world.control.mute(&bot.id, false).unwrap();
    assert_eq!(text(&sidecar.send(ANN, "after"), "status"), "sent");
    until("the end of the alert", || alerts(&sidecar, "ALERT OVER:") == 1);
    let now = delivery(&sidecar, &bot);
    assert_eq!((now["state"].as_str(), now["unconfirmedInARow"].as_u64()), (Some("ok"), Some(0)));
    assert!(now["sinceMs"].is_null(), "{now}");
    sidecar.send(ANN, "and on");
    assert_eq!((alerts(&sidecar, "ALERT OVER:"), alerts(&sidecar, "ALERT:")), (1, 0));

    assert_eq!(world.texts(), ["before", "after", "and on"], "nothing that was swallowed came later");
    let all = swallowed(&world);
    let texts: Vec<&str> = all.iter().filter_map(|one| one.text.as_deref()).collect();
    assert_eq!(texts, ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"], "each was sent once");
}

#[test]
fn killed_at_any_moment_a_muted_bot_sends_nothing_twice_and_calls_nothing_sent() {
    let world = World::new();
    let (mut sidecar, bot) = heard(&world);
    world.control.mute(&bot.id, true).unwrap();
    let mut random = common::Random::seeded();
    for n in 0..12 {
        let params = json!({ "to": ANN, "text": format!("m{n}"), "idempotencyKey": format!("k{n}") });
        sidecar.ask("outbound.sendText", params.clone());
        std::thread::sleep(std::time::Duration::from_micros(random.below(8_000)));
        sidecar.kill();
        sidecar = started(&world, &bot);
        let result = sidecar.call("outbound.sendText", params);
        assert_eq!(text(&result, "status"), "unconfirmed", "{result}");
    }
    let mut ids: Vec<String> = swallowed(&world).into_iter().filter_map(|one| one.client_id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), count), (12, 12), "each reached the server once under one id");
    assert!(world.sent().is_empty());
}

#[test]
fn a_retry_that_gets_no_id_is_unconfirmed_and_says_nothing_of_the_bot() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    world.control.mute(&bot.id, true).unwrap();
    for n in 0..6 {
        world.fault(Endpoint::SendMessage, FaultKind::DropAnswer, 1);
        assert_eq!(text(&sidecar.send(if n % 2 == 0 { ANN } else { BOB }, "x"), "status"), "unconfirmed");
    }
    assert_eq!(delivery(&sidecar, &bot)["state"], "unknown", "perhaps the first try had an id that got lost");
}

#[test]
fn a_held_message_that_is_not_confirmed_says_so_when_it_ends() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot);
    let held = sidecar.send(ANN, "later");
    assert_eq!(text(&held, "status"), "held");
    world.control.mute(&bot.id, true).unwrap();
    world.writes(&bot, ANN, "hello");
    let update = sidecar.wait("its end", |seen| seen.updates.first().cloned());
    assert_eq!((&update["queueId"], text(&update, "status")), (&held["queueId"], "unconfirmed"));
    assert!(update["messageIds"].is_null(), "{update}");
}

#[test]
fn unconfirmed_sends_count_against_what_wechat_allows() {
    let world = World::new();
    let bot = world.bot();
    let config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "quotaPerMessage": 2, "notice": false } });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ANN);
    world.control.mute(&bot.id, true).unwrap();
    let statuses: Vec<String> = (0..3).map(|_| text(&sidecar.send(ANN, "x"), "status").to_owned()).collect();
    assert_eq!(statuses, ["unconfirmed", "unconfirmed", "held"]);
}

#[test]
fn answers_that_come_at_once_make_one_alert_each_time() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    let people: Vec<String> = (0..6).map(|n| format!("p{n}@im.wechat")).collect();
    people.iter().for_each(|person| world.hears(&sidecar, &bot, person));
    for round in 1..=6 {
        world.control.mute(&bot.id, true).unwrap();
        let ask = |to: &String| sidecar.ask("outbound.sendText", json!({ "to": to, "text": "x" }));
        let asked: Vec<_> = people.iter().map(ask).collect();
        asked.into_iter().for_each(|ask| assert_eq!(text(&sidecar.result(ask), "status"), "unconfirmed"));
        until("the alert", || alerts(&sidecar, "ALERT:") == round);
        world.control.mute(&bot.id, false).unwrap();
        assert_eq!(text(&sidecar.send(ANN, "y"), "status"), "sent");
        until("its end", || alerts(&sidecar, "ALERT OVER:") == round);
        assert_eq!(alerts(&sidecar, "ALERT:"), round, "once");
        people.iter().for_each(|person| world.hears(&sidecar, &bot, person));
        world.hears(&sidecar, &bot, ANN);
    }
    let last = sidecar.wait("the last status", |seen| seen.statuses.last().cloned());
    assert_eq!(last["delivery"]["state"], "ok", "{last}");
}

#[test]
fn what_happened_while_no_gateway_ran_is_told_at_the_start() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    world.control.mute(&bot.id, true).unwrap();
    sidecar.kill();
    for n in 0..5 {
        run(world.state.path(), world.url(), &["send", "--to", ANN, &format!("m{n}")], "").exits(6);
    }
    let sidecar = started(&world, &bot);
    until("the alert", || alerts(&sidecar, "ALERT:") == 1);
    sidecar.until_state(&bot, "polling");
    assert!(
        sidecar.seen().statuses.iter().all(|status| status["delivery"]["state"] == "unconfirmed"),
        "{:?}",
        sidecar.seen().statuses
    );
}

#[test]
fn another_process_that_sends_makes_the_gateway_see_it() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    world.control.mute(&bot.id, true).unwrap();
    let send = |to: &str| run(world.state.path(), world.url(), &["send", "--to", to, "from a script"], "");
    for to in [ANN, BOB, ANN] {
        let sent = send(to).exits(6);
        assert!(
            sent.stdout.contains("unconfirmed") && sent.stdout.contains("sending it again would not help"),
            "{sent:?}"
        );
    }
    until("the gateway's sidecar to notice", || alerts(&sidecar, "ALERT:") == 1);
    let json = run(world.state.path(), world.url(), &["--json", "send", "--to", ANN, "x"], "").exits(6).json();
    assert_eq!(json["status"], "unconfirmed");
}

#[test]
fn doctor_collects_what_a_report_needs_and_no_secret() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    let confirmed = sidecar.send(ANN, "the secret text");
    world.control.mute(&bot.id, true).unwrap();
    for _ in 0..5 {
        sidecar.send(ANN, "another secret text");
    }
    let file = world.state.path().join("report.json");
    let ran = run(world.state.path(), world.url(), &["doctor", "--report", file.to_str().unwrap()], "").exits(1);
    assert!(ran.stdout.contains("took the last 5 messages and confirmed none"), "{}", ran.stdout);
    let content = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout));
    for secret in ["secret", &bot.token, ANN, &bot.user] {
        assert!(!content.contains(secret), "{secret} in {content}");
    }
    let report: Value = serde_json::from_str(&content).unwrap();
    let account = &report["accounts"][0];
    assert_eq!((account["botId"].as_str(), &account["delivery"]["state"]), (Some(&*bot.id), &json!("unconfirmed")));
    assert_eq!(account["declares"]["channelVersion"], "2.4.9");
    let messages = report["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 6);
    assert_eq!((&messages[5]["messageId"], &messages[5]["state"]), (&confirmed["messageIds"][0], &json!("sent")));
    assert!(messages[..5].iter().all(|one| one["state"] == "unconfirmed" && one["answeredAtMs"].is_i64()), "{content}");
    assert_private(&file);
    let again = run(world.state.path(), world.url(), &["doctor", "--report", file.to_str().unwrap()], "").exits(1);
    assert!(again.stdout.contains("name a file that is not there yet"), "{}", again.stdout);
}

#[test]
fn progress_that_wechat_drops_says_nothing_of_the_bot() {
    let world = World::new();
    let (sidecar, bot) = heard(&world);
    world.control.mute(&bot.id, true).unwrap();
    for n in 0..8 {
        let params =
            json!({ "to": if n % 2 == 0 { ANN } else { BOB }, "runId": "r", "phase": "start", "toolName": "t" });
        assert_eq!(text(&sidecar.call("outbound.sendProgress", params), "status"), "unconfirmed");
    }
    assert_eq!(delivery(&sidecar, &bot)["state"], "unknown");
}
