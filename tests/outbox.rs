//! What is sent arrives once, or is known not to have arrived: the sidecar stops before WeChat's limits, keeps what does
//! not fit, and sends it by itself when it can.

mod common;

use std::time::Duration;

use common::{Bot, OwnMounts, ReadOnlySwitch, Sidecar, World, eventually, run, skip, text, until};
use ilink_simulator::{Endpoint, FaultKind, LimitsPatch, LoginStep};
use serde_json::{Value, json};

const ALICE: &str = "alice@im.wechat";
const BOB: &str = "bob@im.wechat";

/// A pace that tests need not wait for.
fn fast() -> Value {
    json!({ "outbox": { "perMinute": 6000, "burst": 100, "notice": false } })
}

fn start(world: &World, bot: &Bot) -> Sidecar {
    let sidecar = world.launch().with("config", fast()).env("WEIXIN_OUTBOX_CLOSE_MS", "400").start();
    sidecar.start_account(bot);
    sidecar
}

fn send_many(sidecar: &Sidecar, to: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| sidecar.send(to, &format!("m{n}"))).collect()
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("m{n}")).collect()
}

#[test]
fn the_quota_is_never_exceeded_and_the_rest_follows_in_order_over_restarts() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    let results = send_many(&sidecar, ALICE, 25);
    let statuses: Vec<&str> = results.iter().map(|result| text(result, "status")).collect();
    assert_eq!(statuses, [["sent"; 10].as_slice(), ["held"; 15].as_slice()].concat());
    assert!(results[10..].iter().all(|result| result["heldReason"] == "quota" && result["queueId"].is_string()));
    assert_eq!(world.texts(), numbered(0, 10));
    assert_eq!(sidecar.held(), 15);
    assert_eq!(sidecar.status(&bot)["outbox"]["held"], 15);
    sidecar.kill();

    let sidecar = start(&world, &bot);
    assert_eq!(sidecar.held(), 15);
    world.hears(&sidecar, &bot, ALICE);
    world.wait_for_sent(20);
    // A newer answer waits behind the older ones.
    let newer = sidecar.send(ALICE, "m25");
    assert_eq!(newer["heldReason"], "quota");
    assert_eq!(world.texts(), numbered(0, 20));
    sidecar.kill();

    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.wait_for_sent(26);
    assert_eq!(world.texts(), numbered(0, 26));
    until("the outbox to be empty", || sidecar.held() == 0);
    let updates = sidecar.wait("six updates", |seen| (seen.updates.len() >= 6).then(|| seen.updates.clone()));
    assert!(updates.iter().all(|update| update["status"] == "sent"), "{updates:?}");
    assert_eq!(updates.iter().map(|update| text(update, "text")).collect::<Vec<_>>(), numbered(20, 26));
    assert!(world.control.rejected(&Default::default()).is_empty(), "no -2 was ever seen");
}

#[test]
fn the_last_allowed_message_says_that_the_rest_follows() {
    let world = World::new();
    let bot = world.bot();
    let config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "quotaPerMessage": 2 } });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    for n in 0..3 {
        assert_eq!(sidecar.send(ALICE, &format!("m{n}"))["heldReason"], "no_context");
    }
    world.hears(&sidecar, &bot, ALICE);
    world.wait_for_sent(2);
    let texts = world.texts();
    assert_eq!(texts[0], "m0");
    assert!(texts[1].starts_with("m1\n\n") && texts[1].contains("Write anything"), "{texts:?}");
}

#[test]
fn a_reply_of_many_parts_stays_together() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    send_many(&sidecar, ALICE, 9);
    let long = vec!["x".repeat(3_900); 3].join("\n\n");
    let result = sidecar.send(ALICE, &long);
    assert_eq!((result["status"].as_str(), result["parts"].as_u64()), (Some("held"), Some(3)));
    sidecar.send(ALICE, "behind it");
    assert_eq!(world.sent().len(), 10, "the first part took the last free place");
    world.hears(&sidecar, &bot, ALICE);
    let sent = world.wait_for_sent(13);
    assert_eq!(world.texts()[12], "behind it");
    assert_eq!(result["clientIds"][2], sent[11].client_id.as_str());
}

#[test]
fn nobody_waits_for_somebody_elses_held_messages() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    assert_eq!(sidecar.send(ALICE, "waits")["status"], "held");
    world.hears(&sidecar, &bot, BOB);
    assert_eq!(sidecar.send(BOB, "goes")["status"], "sent");
}

#[test]
fn an_old_context_is_held_until_the_person_writes() {
    let world = World::new();
    let bot = world.bot();
    world.control.set_limits(LimitsPatch { quota_per_token: Some(None), ..LimitsPatch::default() });
    let config =
        json!({ "outbox": { "perMinute": 6000, "burst": 100, "contextTtlHours": 0.0001, "quotaPerMessage": 1000 } });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    // 0.36 s later the context is too old.
    let result =
        eventually("an expired context", || Some(sidecar.send(ALICE, "x")).filter(|result| result["status"] == "held"));
    assert_eq!(result["heldReason"], "context_expired", "{:?}", world.control.rejected(&Default::default()));
    let before = world.sent().len();
    world.hears(&sidecar, &bot, ALICE);
    world.wait_for_sent(before + 1);
}

#[test]
fn a_throttled_bot_is_asked_once_per_interval_and_recovers_by_itself() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -2, errmsg: Some("rate limited".into()) }, 3);
    let result = sidecar.send(ALICE, "one");
    assert_eq!((result["status"].as_str(), result["heldReason"].as_str()), (Some("held"), Some("throttled")));
    for n in 0..5 {
        assert_eq!(sidecar.send(ALICE, &format!("more {n}"))["heldReason"], "throttled");
    }
    world.wait_for_sent(6);
    assert_eq!(world.texts()[0], "one");
    let report = world.report(&bot);
    let tries: Vec<i64> = report
        .requests
        .iter()
        .filter(|r| r.endpoint == Endpoint::SendMessage)
        .map(|r| i64::try_from(r.at_ms).unwrap())
        .collect();
    assert_eq!(tries.len(), 3 + 6, "three refusals, and every message once");
    // Closed for 400 ms, then twice as long each time; the clocks of two threads may differ by a little.
    for (gap, at_least) in tries.windows(2).zip([390, 790, 1590]) {
        assert!(gap[1] - gap[0] >= at_least, "{tries:?}");
    }
}

#[test]
fn the_persons_next_message_opens_a_throttled_conversation_at_once() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.launch().with("config", fast()).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -2, errmsg: None }, 1);
    assert_eq!(sidecar.send(ALICE, "one")["heldReason"], "throttled");
    world.hears(&sidecar, &bot, ALICE);
    // The interval is a minute: only the message can have opened it.
    world.wait_for_sent(1);
    assert_eq!(world.texts(), ["one"]);
}

#[test]
fn the_servers_burst_limit_is_never_met_with_the_default_pace() {
    let world = World::new();
    let bot = world.bot();
    let limits = LimitsPatch { burst: Some(Some(3)), burst_window_ms: Some(Some(1_000)), ..LimitsPatch::default() };
    world.control.set_limits(limits);
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    let asked: Vec<u64> =
        (0..5).map(|n| sidecar.ask("outbound.sendText", json!({ "to": ALICE, "text": format!("m{n}") }))).collect();
    for id in asked {
        assert_eq!(sidecar.result(id)["status"], "sent");
    }
    assert_eq!(world.texts(), numbered(0, 5));
    assert!(world.control.rejected(&Default::default()).is_empty());
}

#[test]
fn a_stale_login_holds_everything_until_the_next_login() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.control.expire(&bot.id).unwrap();
    assert_eq!(sidecar.send(ALICE, "one")["heldReason"], "session_expired");
    assert_eq!(sidecar.send(ALICE, "two")["heldReason"], "session_expired");
    assert!(world.requests(&bot, Endpoint::SendMessage) <= 1, "a stale token is not tried again");
    sidecar.until_state(&bot, "paused");
    // The person logs in again, in another process.
    std::thread::scope(|scope| {
        let login = scope.spawn(|| run(world.state.path(), world.url(), &["login"], "").exits(0));
        let confirm = LoginStep::Confirm { user_id: Some(bot.user.clone()), bot_id: Some(bot.id.clone()) };
        until("the login", || world.control.login("latest", LoginStep::Scan).is_ok());
        world.control.login("latest", confirm).unwrap();
        login.join().unwrap();
    });
    assert_eq!(world.wait_for_sent(2).len(), 2);
    sidecar.until_state(&bot, "polling");
}

#[test]
fn without_a_network_a_message_is_held_and_sent_when_it_is_back() {
    let mut world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.end();
    let result = sidecar.send(ALICE, "one");
    assert_eq!((result["status"].as_str(), result["heldReason"].as_str()), (Some("held"), Some("offline")));
    assert_eq!(sidecar.held(), 1);
}

#[test]
fn a_network_that_swallows_everything_is_called_offline() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Silence);
    let held = send_many(&sidecar, ALICE, 2);
    assert!(held.iter().all(|held| held["heldReason"] == "offline"), "{held:?}");
}

// Only where a folder can be put in a file's place in one step: one that is missing for a moment is a login that is gone.
#[cfg(unix)]
#[test]
fn an_account_file_that_cannot_be_read_for_a_moment_says_nothing_of_the_login() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    assert_eq!(sidecar.send(ALICE, "m0")["heldReason"], "no_context");
    let file = world.state.path().join(format!("openclaw-weixin/accounts/{}.json", bot.account));
    let (aside, link) = (file.with_extension("aside"), file.with_extension("link"));
    std::fs::copy(&file, &aside).unwrap();
    std::os::unix::fs::symlink(world.state.path(), &link).unwrap();
    std::fs::rename(&link, &file).unwrap();
    world.writes(&bot, ALICE, "hello");
    until("the lane to have tried", || sidecar.log().iter().any(|line| line.contains("trying again")));
    let waiting = sidecar.call("outbound.queue", json!({}))["items"].clone();
    assert_ne!(waiting[0]["reason"], "session_expired", "{waiting}");
    std::fs::rename(&aside, &file).unwrap();
    world.wait_for_sent(1);
}

#[test]
fn an_upload_that_cannot_be_written_down_at_once_is_not_made_again() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.state.write("media/report.txt", "figures");
    let path = world.state.path().join("media/report.txt");
    world.fault(Endpoint::CdnUpload, FaultKind::Delay(Duration::from_millis(500)), 1);
    let ask = sidecar.ask("outbound.sendMedia", json!({ "to": ALICE, "path": path }));
    until("the upload", || world.requests(&bot, Endpoint::GetUploadUrl) == 1);
    let outside = world.state.sql();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Longer than SQLite waits for somebody else's transaction.
    std::thread::sleep(Duration::from_secs(7));
    outside.execute_batch("COMMIT").unwrap();
    assert_eq!(sidecar.result(ask)["status"], "sent");
    assert_eq!(world.requests(&bot, Endpoint::GetUploadUrl), 1);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn nobody_hears_of_the_end_of_a_held_message_before_they_hear_that_it_is_held() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    let mut random = common::Random::seeded();
    let mut asked = Vec::new();
    for n in 0..60 {
        let person = format!("p{n}@im.wechat");
        asked.push(sidecar.ask("outbound.sendText", json!({ "to": person, "text": "x" })));
        match n % 10 {
            // On a busy machine all the others may have written before their send was looked at.
            0 => until("its hold", || sidecar.held() > 0),
            _ => std::thread::sleep(Duration::from_micros(random.below(1_500))),
        }
        world.writes(&bot, &person, "hello");
    }
    let results: Vec<Value> = asked.into_iter().map(|ask| sidecar.result(ask)).collect();
    let held: Vec<&str> = results.iter().filter_map(|result| result["queueId"].as_str()).collect();
    assert!(!held.is_empty(), "{results:?}");
    world.wait_for_sent(60);
    let ended = sidecar.wait("their ends", |seen| (seen.updates.len() == held.len()).then(|| seen.updates.clone()));
    for id in &held {
        assert_eq!(ended.iter().filter(|update| update["queueId"] == *id).count(), 1, "{id}");
    }
    assert_eq!(sidecar.seen().early_updates, Vec::<Value>::new());
}

#[test]
fn an_answer_that_was_lost_does_not_double_the_message() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.fault(Endpoint::SendMessage, FaultKind::DropAnswer, 2);
    assert_eq!(sidecar.send(ALICE, "one")["status"], "sent");
    assert_eq!(world.texts(), ["one"]);
}

#[test]
fn what_ilink_refuses_for_good_is_an_error() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -99, errmsg: Some("no".into()) }, 1);
    let error = sidecar.refused("outbound.sendText", json!({ "to": ALICE, "text": "one", "idempotencyKey": "k" }));
    assert_eq!(error["data"]["kind"], "ilink_rejected");
    assert_eq!(error["data"]["ilink"]["ret"], -99);
    // The same send is not tried again, and is no success either.
    let error = sidecar.refused("outbound.sendText", json!({ "to": ALICE, "text": "one", "idempotencyKey": "k" }));
    assert_eq!(error["data"]["kind"], "ilink_rejected");
    assert_eq!(sidecar.send(ALICE, "two")["status"], "sent");
}

#[test]
fn a_held_message_can_be_listed_and_cancelled() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    let result = sidecar.send(ALICE, "a text to be given up");
    let queue_id = text(&result, "queueId").to_owned();
    let items = sidecar.call("outbound.queue", json!({ "to": ALICE }))["items"].clone();
    assert_eq!(items[0]["queueId"], queue_id.as_str());
    assert_eq!(items[0]["reason"], "no_context");
    assert_eq!(items[0]["preview"], "a text to be given up");
    assert_eq!(sidecar.call("outbound.queue", json!({ "to": BOB }))["items"], json!([]));
    assert_eq!(sidecar.call("outbound.cancel", json!({ "queueId": queue_id }))["cancelled"], true);
    assert_eq!(sidecar.call("outbound.cancel", json!({ "queueId": queue_id }))["cancelled"], false);
    let update = sidecar.wait("an update", |seen| seen.updates.first().cloned());
    assert_eq!((text(&update, "queueId"), text(&update, "status")), (queue_id.as_str(), "cancelled"));
    world.hears(&sidecar, &bot, ALICE);
    assert_eq!(sidecar.send(ALICE, "after")["status"], "sent");
    assert_eq!(world.texts(), ["after"]);
}

#[test]
fn too_many_and_too_old_messages_are_given_up_and_said_to_be() {
    let world = World::new();
    let bot = world.bot();
    let config = json!({ "outbox": { "maxHeldPerConversation": 2 } });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    let first = sidecar.send(ALICE, "m0");
    for n in 1..4 {
        sidecar.send(ALICE, &format!("m{n}"));
    }
    let updates = sidecar.wait("two updates", |seen| (seen.updates.len() >= 2).then(|| seen.updates.clone()));
    assert!(updates.iter().all(|update| update["status"] == "expired"), "{updates:?}");
    assert_eq!((&updates[0]["queueId"], text(&updates[0], "text")), (&first["queueId"], "m0"));
    assert_eq!(sidecar.held(), 2);
}

#[test]
fn a_shutdown_in_the_middle_of_a_wait_keeps_the_message() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    world.fault(Endpoint::SendMessage, FaultKind::Delay(Duration::from_secs(20)), 1);
    sidecar.ask("outbound.sendText", json!({ "to": ALICE, "text": "one" }));
    until("the request", || world.requests(&bot, Endpoint::SendMessage) > 0);
    sidecar.call("shutdown", json!({}));
    assert!(sidecar.exit(common::EXIT).success());
    let sidecar = start(&world, &bot);
    world.wait_for_sent(1);
    until("the outbox to be empty", || sidecar.held() == 0);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_keeps_what_was_accepted_and_refuses_the_rest_clearly() {
    let mounts = match OwnMounts::allowed() {
        Ok(mounts) => mounts,
        Err(why) => return skip("sends on a disk that fills up", &why),
    };
    let world = World::new();
    let bot: Bot = world.control.create_bot(Default::default()).unwrap().into();
    let launch = world.launch().with("config", fast());
    let sidecar = launch.behind(mounts.small_disk(world.state.path(), 4096)).start();
    let inside = |file: &str| OwnMounts::inside(sidecar.pid(), &world.state.path().join(file));
    world.state.add_account_in(&inside("openclaw-weixin"), &bot, world.url());
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    send_many(&sidecar, ALICE, 12);

    let filler = inside("filler");
    std::fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    // Small writes fit into pages that are there already; until one needs another page.
    let mut accepted = 12;
    let long = "x".repeat(3_900);
    let error = eventually("a refusal", || {
        let answer = sidecar
            .answer(sidecar.ask("outbound.sendText", json!({ "to": ALICE, "text": format!("m{accepted}{long}") })));
        accepted += usize::from(answer.get("error").is_none());
        answer.get("error").cloned()
    });
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")), "{error}");
    assert!(text(&error, "message").contains("free some space"), "{error}");
    assert_eq!(error["data"]["retryable"], true, "{error}");
    assert_eq!(world.texts(), numbered(0, 10), "nothing is sent that cannot be counted");

    std::fs::remove_file(filler).unwrap();
    world.hears(&sidecar, &bot, ALICE);
    let expected = accepted.min(20);
    world.wait_for_sent(expected);
    let starts: Vec<String> = world.texts().iter().map(|text| text.trim_end_matches('x').to_owned()).collect();
    assert_eq!(starts, numbered(0, expected));
    until("the rest to be held", || sidecar.held() == accepted - expected);
}

#[test]
fn a_database_that_turns_read_only_in_the_middle_keeps_what_was_accepted_and_refuses_the_rest_clearly() {
    let switch = match ReadOnlySwitch::new() {
        Ok(switch) => switch,
        Err(why) => return skip("a database that turns read-only", &why),
    };
    let world = World::new();
    let bot = world.bot();
    let mut launch = world.launch().with("config", fast());
    for (name, value) in switch.environment() {
        launch = launch.env(name, value.to_str().unwrap());
    }
    let sidecar = launch.start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    send_many(&sidecar, ALICE, 12);

    switch.turn(true);
    let error = sidecar.refused("outbound.sendText", json!({ "to": ALICE, "text": "never accepted" }));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")), "{error}");
    let message = text(&error, "message");
    assert!(message.contains(world.state.database().to_str().unwrap()) && message.contains("writable"), "{message}");
    // What comes in is not acknowledged to the server either: it comes again.
    world.writes(&bot, ALICE, "while it cannot be written");
    let status = sidecar.until_state(&bot, "backoff");
    assert!(text(&status, "lastError").contains("writable"), "{status}");
    assert_eq!(world.texts(), numbered(0, 10));
    assert_eq!(sidecar.held(), 2, "what was accepted can still be seen");

    switch.turn(false);
    world.wait_for_sent(12);
    assert_eq!(world.texts(), numbered(0, 12));
    assert_eq!(text(&sidecar.deliveries(2)[1], "text"), "while it cannot be written");
    assert_eq!(text(&sidecar.send(ALICE, "m12"), "status"), "sent");
    assert_eq!(world.texts(), numbered(0, 13));
}
