//! A poll that nobody answers is found out, a machine that slept polls at once, and a stale login says what happened.

mod common;

use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Bot, JumpingClock, Sidecar, World, eventually, run, skip, text, until};
use ilink_simulator::{Endpoint, Fault, FaultKind, LoginStep, SimulatorConfig};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";

/// A WeChat that ends empty polls after a second.
fn quick() -> World {
    World::with(SimulatorConfig { strict: true, long_poll: Duration::from_secs(1), ..SimulatorConfig::default() })
}

fn silence(world: &World, bot: &Bot) {
    world.control.add_fault(Fault::new(Endpoint::GetUpdates, FaultKind::Silence).for_bot(&bot.id));
    world.control.release(&bot.id).unwrap();
}

/// Waits until polls are answered, so that the client knows how long this server holds them.
fn answered(sidecar: &Sidecar, bot: &Bot) -> i64 {
    eventually("an answered poll", || sidecar.status(bot)["lastPollAtMs"].as_i64())
}

#[test]
fn two_polls_without_an_answer_are_a_back_off_and_an_answer_ends_it() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    answered(&sidecar, &bot);
    silence(&world, &bot);
    let stuck = sidecar.until_state(&bot, "backoff");
    assert!(text(&stuck, "lastError").contains("2 polls in a row were not answered"), "{stuck}");
    let last = stuck["lastPollAtMs"].as_i64().unwrap();
    assert!(stuck["pausedUntilMs"].as_i64().unwrap() > last + 3_000, "an unanswered poll is none: {stuck}");
    world.writes(&bot, ANN, "in between");
    world.control.clear_faults();
    assert_eq!(sidecar.deliveries(1)[0]["text"], "in between");
    let well = sidecar.until_state(&bot, "polling");
    assert!(well["lastError"].is_null() && well["lastPollAtMs"].as_i64().unwrap() > last, "{well}");
}

#[test]
fn only_polls_that_nobody_answers_one_after_the_other_are_a_dead_connection() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    answered(&sidecar, &bot);
    let once = |kind| world.control.add_fault(Fault::new(Endpoint::GetUpdates, kind).for_bot(&bot.id).times(1));
    let polls = || world.requests(&bot, Endpoint::GetUpdates);
    let before = polls();
    once(FaultKind::Silence);
    world.control.release(&bot.id).unwrap();
    until("a poll that nobody answers", || polls() > before);
    once(FaultKind::Status(502));
    let refused = sidecar.until_state(&bot, "backoff");
    assert!(text(&refused, "lastError").contains("502"), "{refused}");
    let before = polls();
    once(FaultKind::Silence);
    until("another one, and the one behind it", || polls() >= before + 2);
    world.writes(&bot, ANN, "hello");
    sidecar.deliveries(1);
    let errors = |seen: &common::Seen| -> Vec<String> {
        seen.statuses.iter().filter_map(|status| status["lastError"].as_str().map(str::to_owned)).collect()
    };
    assert!(errors(&sidecar.seen()).iter().all(|error| error.contains("502")), "{:?}", errors(&sidecar.seen()));
}

#[test]
fn a_server_that_holds_polls_for_longer_than_it_says_is_not_dead() {
    let config = SimulatorConfig { strict: true, long_poll: Duration::from_secs(5), ..SimulatorConfig::default() };
    let world = World::with(config);
    let bot = world.bot();
    let sidecar = world.launch().env("WEIXIN_FIRST_HOLD_MS", "1000").start();
    sidecar.start_account(&bot);
    sidecar.until_state(&bot, "backoff");
    answered(&sidecar, &bot);
    sidecar.until_state(&bot, "polling");
    world.writes(&bot, ANN, "hello");
    assert_eq!(sidecar.deliveries(1)[0]["text"], "hello");
}

#[test]
fn an_account_that_nobody_answers_stays_in_back_off_however_long_its_polls_are_open() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    answered(&sidecar, &bot);
    silence(&world, &bot);
    world.lasting_fault(Endpoint::NotifyStart, FaultKind::Silence);
    sidecar.until_state(&bot, "backoff");
    // Two more polls, each open for three seconds, which counted as contact once.
    eventually("four silent polls", || {
        let error = sidecar.status(&bot)["lastError"].as_str().map(str::to_owned).unwrap_or_default();
        assert_ne!(sidecar.status(&bot)["state"], "polling");
        error.starts_with("4 polls").then_some(())
    });
}

#[test]
fn a_dead_poll_of_one_account_leaves_the_others_alone() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    let other = world.bot();
    sidecar.start_account(&other);
    answered(&sidecar, &bot);
    answered(&sidecar, &other);
    silence(&world, &bot);
    sidecar.until_state(&bot, "backoff");
    world.writes(&other, ANN, "hello");
    assert_eq!(sidecar.deliveries(1)[0]["accountId"], other.account.as_str());
    assert_eq!(sidecar.status(&other)["state"], "polling");
    // What is sent needs no poll.
    sidecar.ack(&sidecar.deliveries(1));
    assert_eq!(sidecar.send(ANN, "back")["status"], "sent");
}

/// macOS has no second address on loopback.
#[test]
#[cfg(not(target_os = "macos"))]
fn another_address_of_the_host_is_tried_and_the_silent_one_avoided() {
    let world = quick();
    let port = world.host().split(':').nth(1).unwrap().to_owned();
    // An address that takes connections and never says a word.
    let mute = TcpListener::bind(format!("127.0.0.2:{port}")).unwrap();
    let (seen, connections) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut connection in mute.incoming().flatten() {
            let _ = connection.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = connection.read(&mut [0; 1024]);
            open.push(connection);
            let _ = seen.send(Instant::now());
        }
    });
    let bot = world.bot();
    let sidecar = world
        .launch()
        .env("WEIXIN_ILINK_BASE_URL", &format!("http://ilink.test:{port}"))
        .env("WEIXIN_HOST_ADDRESSES", "ilink.test=127.0.0.2,127.0.0.1")
        // Before the first answer a poll may take 37 s.
        .env("WEIXIN_FIRST_HOLD_MS", "1000")
        .start();
    sidecar.start_account(&bot);
    let stuck = sidecar.until_state(&bot, "backoff");
    assert!(text(&stuck, "lastError").contains("were not answered"), "{stuck}");
    world.writes(&bot, ANN, "hello");
    assert_eq!(sidecar.deliveries(1)[0]["text"], "hello");
    let bad = connections.try_iter().count();
    sidecar.stop_account(&bot);
    sidecar.start_account(&bot);
    world.writes(&bot, ANN, "again");
    sidecar.ack(&sidecar.deliveries(1));
    sidecar.deliveries(2);
    assert_eq!(connections.try_iter().count(), 0, "after {bad} connections the bad address was asked again");
}

#[test]
fn a_machine_that_slept_polls_anew_at_once() {
    let clock = match JumpingClock::new() {
        Ok(clock) => clock,
        Err(why) => return skip("a_machine_that_slept_polls_anew_at_once", &why),
    };
    let world = World::new();
    let bot = world.bot();
    let mut launch = world.launch();
    for (name, value) in clock.environment() {
        launch = launch.env(name, value.to_str().unwrap());
    }
    let sidecar = launch.start();
    sidecar.start_account(&bot);
    world.wait_for_poll(&bot);
    let polls = world.report(&bot).polls;
    clock.ahead(Duration::from_secs(8 * 3600));
    let began = Instant::now();
    until("a new poll", || world.report(&bot).polls > polls);
    assert!(began.elapsed() < Duration::from_secs(25), "the poll before is held for 34 s");
    until("the log to say so", || sidecar.log().iter().any(|line| line.contains("the machine slept")));
    world.writes(&bot, ANN, "good morning");
    assert_eq!(sidecar.deliveries(1)[0]["text"], "good morning");
}

#[test]
fn a_status_comes_at_the_interval_that_was_asked_for() {
    let world = quick();
    let bot = world.bot();
    let sidecar = world.launch().with("statusIntervalMs", 1_000).start();
    sidecar.start_account(&bot);
    let times = |sidecar: &Sidecar| -> Vec<i64> {
        let seen = sidecar.seen();
        seen.statuses.iter().filter(|s| s["state"] == "polling").filter_map(|s| s["lastPollAtMs"].as_i64()).collect()
    };
    until("four tellings of answered polls", || times(&sidecar).len() >= 4);
    let times = times(&sidecar);
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]) && times[0] < times[3], "{times:?}");

    let quiet = world.launch().start();
    let other = world.bot();
    quiet.start_account(&other);
    quiet.until_state(&other, "polling");
    assert!(quiet.seen().statuses.len() <= 2, "only changes");
}

#[test]
fn a_status_that_is_told_says_what_a_status_that_is_asked_for_says() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    sidecar.send(ANN, "to nobody who wrote");
    world.hears(&sidecar, &bot, ANN);
    sidecar.send("bob@im.wechat", "waits");
    sidecar.kill();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let asked = sidecar.until_state(&bot, "polling");
    // Of those that wait to be written only the newest is.
    let told = sidecar.wait("the status", |seen| {
        seen.statuses.iter().any(|status| status["state"] == "polling").then(|| seen.statuses.clone())
    });
    for told in told {
        for field in ["outbox", "inbox", "delivery", "budget"] {
            assert_eq!(told[field], asked[field], "{field} of {told}");
        }
    }
    assert_eq!((&asked["outbox"]["held"], &asked["delivery"]["state"]), (&json!(1), &json!("ok")), "{asked}");
}

fn paused(sidecar: &Sidecar, bot: &Bot) -> Value {
    let status = sidecar.until_state(bot, "paused");
    assert_eq!(status["pausedReason"], "stale");
    status
}

#[test]
fn a_login_that_worked_a_moment_ago_was_taken_over() {
    let world = quick();
    let (sidecar, bot) = world.polling();
    answered(&sidecar, &bot);
    world.control.take_over(&bot.id).unwrap();
    let status = paused(&sidecar, &bot);
    assert_eq!(status["probableCause"], "taken_over");
    assert!(text(&status, "lastError").contains("taken over by another login"), "{status}");
    let told = sidecar.wait("a notification", |seen| seen.statuses.iter().find(|s| s["state"] == "paused").cloned());
    assert_eq!((&told["pausedReason"], &told["probableCause"]), (&json!("stale"), &json!("taken_over")));
    // It was taken over while nobody looked, a moment after it worked: the database knows.
    sidecar.kill();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    assert_eq!(paused(&sidecar, &bot)["probableCause"], "taken_over");

    // A new login ends it, and what was said of it.
    let login = sidecar.call("login.start", json!({}));
    let confirm = LoginStep::Confirm { user_id: Some(bot.user.clone()), bot_id: Some(bot.id.clone()) };
    world.control.login("latest", confirm).unwrap();
    sidecar.call("login.wait", json!({ "sessionKey": login["sessionKey"] }));
    let well = sidecar.until_state(&bot, "polling");
    assert!(well["pausedReason"].is_null() && well["probableCause"].is_null(), "{well}");
}

#[test]
fn a_login_that_has_not_worked_for_long_has_expired() {
    let world = quick();
    let bot = world.bot();
    world.control.expire(&bot.id).unwrap();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let status = paused(&sidecar, &bot);
    assert_eq!(status["probableCause"], "expired");
    assert!(text(&status, "lastError").contains("it has expired; log in again"), "{status}");
    sidecar.kill();

    // It worked two hours ago.
    let sql = "UPDATE account SET poll_answered_at = (unixepoch() - 7200) * 1000";
    world.state.sql().execute(sql, []).unwrap();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    assert_eq!(paused(&sidecar, &bot)["probableCause"], "expired");
}

#[test]
fn a_newer_login_of_the_same_person_beside_it_took_it_over() {
    let world = quick();
    let (old, new) = (world.bot(), world.bot());
    world.control.expire(&old.id).unwrap();
    for (bot, saved) in [(&old, "2026-01-01T00:00:00.000Z"), (&new, "2026-02-01T00:00:00.000Z")] {
        let file = json!({ "token": bot.token, "savedAt": saved, "baseUrl": world.url(), "userId": "same@im.wechat" });
        std::fs::write(world.state.account_file(&format!("{}.json", bot.account)), file.to_string()).unwrap();
    }
    let sidecar = world.sidecar();
    sidecar.start_account(&old);
    assert_eq!(paused(&sidecar, &old)["probableCause"], "taken_over");
    let doctor = run(world.state.path(), world.url(), &["doctor"], "").exits(1);
    assert!(doctor.stdout.contains("log in again"), "{}", doctor.stdout);
}
