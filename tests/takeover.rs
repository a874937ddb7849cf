//! An account is never lost to a sidecar that is of no use any more, and never taken from one that is.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::gateways::{Served, copy, locked, name_in_lease, program, runs, stale, start_time, state};
use common::{Bot, EXIT, World, eventually, text, until};
use rustix::process::Signal;
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";

fn account(bot: &Bot) -> Value {
    json!({ "accountId": bot.account })
}

/// One poller, now and at every time before.
#[track_caller]
fn check_one_poller(world: &World, bot: &Bot) {
    until("a poll", || world.report(bot).active_polls == 1);
    assert_eq!(world.report(bot).max_active_polls, 1);
}

#[test]
fn a_suspended_sidecar_whose_gateway_is_gone_is_ended_and_one_poller_remains() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    let next = world.sidecar();
    let start = next.ask("account.start", account(&bot));
    // Nobody waits for a takeover but who asked for it.
    let asked = Instant::now();
    next.call("accounts.list", json!({}));
    next.call("status.get", json!({}));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(runs(stale.pid), "it was not asked first");
    assert_eq!(next.result(start), json!({}));
    assert!(!runs(stale.pid));
    world.writes(&bot, ANN, "hello");
    assert_eq!(text(&next.deliveries(1)[0], "text"), "hello");
    until("one poll", || world.report(&bot).active_polls == 1);
    next.wait("the state", |seen| seen.statuses.iter().find(|status| status["state"] == "polling").cloned());
    assert!(next.seen().statuses.iter().all(|status| status["state"] != "superseded"), "it was never without it");
}

#[test]
fn a_stale_sidecar_whose_program_an_update_has_replaced_is_ended_too() {
    let world = World::new();
    let bot = world.bot();
    let older = world.state.path().join("openclaw-weixin-sidecar");
    copy(Path::new(&common::binary()), &older);
    let launch = world.launch().env("OLDER", older.to_str().unwrap());
    let gateway = ["sh", "-c", "exec 3<&0; shift; \"$OLDER\" \"$@\" <&3 3<&- & wait", "gateway"];
    let stale = Served::behind(launch, gateway);
    stale.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    std::fs::remove_file(&older).unwrap();
    stale.make_stale();
    world.sidecar().start_account(&bot);
    assert!(!runs(stale.pid));
}

#[test]
fn a_takeover_ends_with_the_stop_of_the_account() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    let next = world.sidecar();
    let start = next.ask("account.start", account(&bot));
    until("the request", || world.state.count("SELECT count(*) FROM lease WHERE wanted_by > 0") == 1);
    next.stop_account(&bot);
    let error = next.error(start);
    assert!(locked(&error).contains("stopped"), "{error}");
    assert!(runs(stale.pid));
    assert_eq!(next.status(&bot)["state"], "stopped");
}

#[test]
fn whoever_starts_an_account_no_takeover_starts_it_again_after_its_stop() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    let next = world.sidecar();
    let takeover = next.ask("account.start", account(&bot));
    until("the request", || world.state.count("SELECT count(*) FROM lease WHERE wanted_by > 0") == 1);
    rustix::process::kill_process(common::pid(stale.pid), Signal::KILL).unwrap();
    // Sooner than the takeover looks again, most likely.
    while next.answer(next.ask("account.start", account(&bot))).get("error").is_some() {}
    next.stop_account(&bot);
    // It has come to an end, and to which one does not matter.
    next.answer(takeover);
    let starts = || next.log().iter().filter(|line| line.contains("\"state\":\"Starting\"")).count();
    assert_eq!(starts(), 1, "{:#?}", next.log());
    assert_eq!(next.status(&bot)["state"], "stopped");
}

#[test]
fn a_suspended_sidecar_whose_gateway_is_suspended_too_is_left_alone_and_that_is_known_at_once() {
    let world = World::new();
    let bot = world.bot();
    let owner = Served::start(world.launch());
    owner.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    for signal in [Signal::STOP, Signal::CONT] {
        owner.signal(Signal::STOP);
        owner.gateway.signal(signal);
        let next = world.sidecar();
        let asked = Instant::now();
        let error = next.refused("account.start", account(&bot));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        let message = locked(&error);
        for pid in [owner.pid, owner.gateway.pid()] {
            assert!(message.contains(&pid.to_string()), "{message}");
        }
        assert_eq!(error["data"]["retryable"], true);
    }
    assert_eq!(state(owner.pid), Some('T'));
    owner.signal(Signal::CONT);
    check_one_poller(&world, &bot);
}

#[test]
fn a_sidecar_that_waits_takes_over_when_the_other_becomes_a_stale_one() {
    let world = World::new();
    let bot = world.bot();
    let owner = Served::start(world.launch());
    owner.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    let next = world.sidecar();
    locked(&next.refused("account.start", account(&bot)));
    owner.make_stale();
    next.until_state(&bot, "polling");
    assert!(!runs(owner.pid));
    check_one_poller(&world, &bot);
}

#[test]
fn of_two_gateways_one_polls_and_the_other_says_why_not_and_takes_over_when_the_first_ends() {
    let world = World::new();
    let (one, bot) = world.polling();
    let two = world.sidecar();
    let other = world.bot();
    let error = two.refused("account.start", account(&bot));
    assert!(locked(&error).contains(&format!("pid {}", one.pid())), "{error}");
    assert!(text(&two.until_state(&bot, "superseded"), "lastError").contains(&format!("pid {}", one.pid())));
    // An account of its own is not concerned.
    two.start_account(&other);
    world.writes(&bot, ANN, "to the first");
    one.ack(&one.deliveries(1));

    one.close_stdin();
    one.exit(EXIT);
    let ended = Instant::now();
    two.until_state(&bot, "polling");
    assert!(ended.elapsed() < Duration::from_secs(5), "{:?}", ended.elapsed());
    world.writes(&bot, ANN, "to the second");
    assert_eq!(text(&two.deliveries(1)[0], "text"), "to the second");
    check_one_poller(&world, &bot);
    // And back.
    let three = world.sidecar();
    assert!(locked(&three.refused("account.start", account(&bot))).contains(&format!("pid {}", two.pid())));
    two.kill();
    three.until_state(&bot, "polling");
    check_one_poller(&world, &bot);
}

#[test]
fn a_locked_account_that_was_stopped_does_not_start_by_itself() {
    let world = World::new();
    let (one, bot) = world.polling();
    let (two, three) = (world.sidecar(), world.sidecar());
    for waiting in [&two, &three] {
        locked(&waiting.refused("account.start", account(&bot)));
    }
    two.stop_account(&bot);
    assert_eq!(two.status(&bot)["state"], "stopped");
    one.kill();
    // The third one shows that the time for it has come.
    three.until_state(&bot, "polling");
    assert_eq!(two.status(&bot)["state"], "stopped");
    check_one_poller(&world, &bot);
}

#[test]
fn an_account_that_is_removed_while_it_waits_is_not_waited_for() {
    let world = World::new();
    let (one, bot) = world.polling();
    let two = world.sidecar();
    locked(&two.refused("account.start", account(&bot)));
    two.call("accounts.remove", account(&bot));
    one.kill();
    let again = world.sidecar();
    assert_eq!(again.refused("account.start", account(&bot))["data"]["kind"], "account_not_found");
    assert!(two.call("accounts.list", json!({}))["accounts"].as_array().unwrap().is_empty());
}

#[test]
fn a_healthy_owner_refuses_a_request_although_the_asker_took_its_gateway_for_gone() {
    let world = World::new();
    let (one, bot) = world.polling();
    // Its gateway, this test, is another one in the row: the asker is misled, the owner knows better.
    world.state.sql().execute("UPDATE lease SET gateway_started = 1", []).unwrap();
    let two = world.sidecar();
    let error = two.refused("account.start", account(&bot));
    let message = locked(&error);
    assert!(message.contains(&one.pid().to_string()) && message.contains("it answers"), "{message}");
    assert!(runs(one.pid()));
    check_one_poller(&world, &bot);
}

#[test]
fn an_owner_that_is_asked_and_whose_gateway_is_gone_yields_by_itself() {
    let world = World::new();
    let bot = world.bot();
    let owner = Served::start(world.launch());
    owner.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    owner.make_stale();
    let next = world.sidecar();
    let start = next.ask("account.start", account(&bot));
    until("the request", || world.state.count("SELECT count(*) FROM lease WHERE wanted_by > 0") == 1);
    owner.signal(Signal::CONT);
    assert_eq!(next.result(start), json!({}));
    until("its end", || !runs(owner.pid));
    check_one_poller(&world, &bot);
    let log = eventually("the log", || Some(next.log()).filter(|log| !log.is_empty()));
    assert!(!log.iter().any(|line| line.contains("SIGTERM")), "it went by itself");
}

#[test]
fn a_row_that_names_another_copy_of_this_program_ends_neither() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    // A healthy sidecar of another state directory, with a gateway of its own.
    let other = World::new();
    let bystander = Served::start(other.launch());
    name_in_lease(&world.state, &bot.account, bystander.pid);
    let next = world.sidecar();
    let error = next.refused("account.start", account(&bot));
    assert!(locked(&error).contains("not certain that it holds the lock"), "{error}");
    assert!(runs(bystander.pid) && runs(stale.pid));
    // As soon as the row is true again, the stale one goes.
    world
        .state
        .sql()
        .execute(
            "UPDATE lease SET pid = ?1, started = ?2, program = ?3",
            rusqlite::params![stale.pid, start_time(stale.pid), program(stale.pid)],
        )
        .unwrap();
    next.start_account(&bot);
    assert!(runs(bystander.pid) && !runs(stale.pid));
}
