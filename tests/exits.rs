//! The sidecar ends when its gateway does, in time and politely; and what it says goes where it belongs.
#![cfg(unix)]

mod common;

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Bot, EXIT, Launch, Sidecar, World, eventually, text, until};
use ilink_simulator::{Endpoint, FaultKind, LoginStep};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

/// A sidecar that polls two of three accounts.
fn two_of_three() -> (World, Sidecar, [Bot; 3]) {
    let world = World::new();
    let bots = [world.bot(), world.bot(), world.bot()];
    let sidecar = world.sidecar();
    for bot in &bots[..2] {
        sidecar.start_account(bot);
        world.wait_for_poll(bot);
    }
    (world, sidecar, bots)
}

/// Every running account has said good-bye once, and no other.
#[track_caller]
fn check_farewells(world: &World, bots: &[Bot; 3]) {
    let farewells = bots.each_ref().map(|bot| world.report(bot).notify_stop);
    assert_eq!(farewells, [1, 1, 0]);
}

/// Ends a sidecar by `end`, and checks how it goes.
#[track_caller]
fn ends_by(end: impl FnOnce(&World, &Sidecar, &[Bot; 3])) {
    let (world, sidecar, bots) = two_of_three();
    end(&world, &sidecar, &bots);
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
    check_farewells(&world, &bots);
    for bot in &bots {
        until("the end of all polls", || world.report(bot).active_polls == 0);
    }
}

#[test]
fn the_end_of_stdin_ends_it() {
    ends_by(|_, sidecar, _| sidecar.close_stdin());
}

#[test]
fn shutdown_is_answered_and_ends_it() {
    ends_by(|_, sidecar, _| assert_eq!(sidecar.call("shutdown", json!({})), json!({})));
}

#[test]
fn a_shutdown_in_a_batch_and_one_as_a_notification_end_it_too() {
    ends_by(|_, sidecar, _| {
        sidecar.write(b"[{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"shutdown\"}]\n");
        assert_eq!(sidecar.other(0)[0]["result"], json!({}));
    });
    ends_by(|_, sidecar, _| sidecar.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"shutdown\"}\n"));
}

#[test]
fn sigterm_ends_it() {
    ends_by(|_, sidecar, _| sidecar.signal(Signal::TERM));
}

#[test]
fn sigint_ends_it() {
    ends_by(|_, sidecar, _| sidecar.signal(Signal::INT));
}

#[test]
fn sigterm_before_initialize_ends_it() {
    let world = World::new();
    let sidecar = world.launch().spawn();
    until("the start", || !sidecar.log().is_empty());
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
}

#[test]
fn the_end_of_stdin_ends_it_although_logins_and_sends_are_under_way() {
    ends_by(|world, sidecar, bots| {
        let login = sidecar.call("login.start", json!({}));
        let wait = sidecar.ask("login.wait", json!({ "sessionKey": login["sessionKey"] }));
        world.lasting_fault(Endpoint::SendMessage, FaultKind::Delay(Duration::from_secs(60)));
        world.writes(&bots[0], "ann@im.wechat", "hello");
        sidecar.ack(&sidecar.deliveries(1));
        let to_ann = json!({ "to": "ann@im.wechat", "text": "hello", "accountId": bots[0].account });
        sidecar.ask("outbound.sendText", to_ann);
        until("the send", || world.requests(&bots[0], Endpoint::SendMessage) == 1);
        sidecar.close_stdin();
        assert_eq!(sidecar.result(wait)["state"], "cancelled");
    });
}

#[test]
fn a_server_that_does_not_answer_the_farewell_does_not_hold_it() {
    let (world, sidecar, _bots) = two_of_three();
    world.lasting_fault(Endpoint::NotifyStop, FaultKind::Delay(Duration::from_secs(60)));
    sidecar.close_stdin();
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
}

/// A sidecar whose stdout is a pipe in the test's hands; the rest is not looked at.
fn bare(launch: &Launch) -> (std::process::Child, OwnedFd) {
    let (read, write) = std::io::pipe().unwrap();
    let mut command = launch.command();
    command.stdin(Stdio::piped()).stdout(write).stderr(Stdio::null());
    (command.spawn().unwrap(), read.into())
}

#[test]
fn a_gateway_that_closes_stdout_ends_it() {
    let world = World::new();
    let bot = world.bot();
    let (mut child, stdout) = bare(&world.launch());
    let mut stdin = child.stdin.take().unwrap();
    let host = json!({ "name": "t", "version": "1" });
    let initialize = json!({ "protocolVersion": 1, "host": host, "stateDir": world.state.path() });
    for (id, method, params) in
        [(1, "initialize", initialize), (2, "account.start", json!({ "accountId": bot.account }))]
    {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        std::io::Write::write_all(&mut stdin, format!("{request}\n").as_bytes()).unwrap();
    }
    world.wait_for_poll(&bot);
    drop(stdout);
    world.writes(&bot, "ann@im.wechat", "nobody hears it");
    let began = Instant::now();
    let status = eventually("the end", || child.try_wait().unwrap());
    assert!(began.elapsed() < EXIT);
    assert_eq!(status.code(), Some(0));
    assert_eq!(world.report(&bot).notify_stop, 1);
    // It was not delivered to anybody: it comes again.
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "nobody hears it");
}

/// Kills a process that is not a child of this one, should it still be there.
struct Orphan(u32);

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = kill_process(common::pid(self.0), Signal::KILL);
    }
}

#[test]
fn a_gateway_killed_by_sigkill_ends_it_although_its_stdin_is_held_open_by_another() {
    let world = World::new();
    let bot = world.bot();
    // The shell is the gateway that starts it; this test, which holds the other end of its stdin, lives on.
    let gateway = ["sh", "-c", "exec 3<&0; \"$@\" <&3 3<&- & wait", "sh"];
    let sidecar = world.launch().behind(gateway).spawn();
    let pid = sidecar.initialize()["sidecar"]["pid"].as_u64().unwrap() as u32;
    assert_ne!(pid, sidecar.pid());
    let _orphan = Orphan(pid);
    sidecar.start_account(&bot);
    world.wait_for_poll(&bot);

    sidecar.kill();
    let killed = Instant::now();
    sidecar.wait("the end of its stdout", |seen| seen.is_over().then_some(()));
    assert!(killed.elapsed() < EXIT, "{:?}", killed.elapsed());
    assert_eq!(world.report(&bot).notify_stop, 1);
}

#[test]
fn stderr_is_a_json_object_a_line_and_shows_no_secret_at_any_level() {
    let world = World::new();
    let levels = "trace,hyper=trace,reqwest=trace,rustls=trace,tokio=trace";
    let bot = world.bot();
    let sidecar = world.launch().env("OPENCLAW_WEIXIN_LOG", levels).start();
    let login = sidecar.call("login.start", json!({}));
    world.control.login("latest", LoginStep::Confirm { user_id: None, bot_id: None }).unwrap();
    let second = sidecar.call("login.wait", json!({ "sessionKey": login["sessionKey"] }));
    for account in [bot.account.as_str(), text(&second, "accountId")] {
        sidecar.call("account.start", json!({ "accountId": account }));
    }
    world.writes(&bot, "ann@im.wechat", "hello");
    sidecar.ack(&sidecar.deliveries(1));
    let to_ann = |text: &str| json!({ "to": "ann@im.wechat", "text": text, "accountId": bot.account });
    for kind in [FaultKind::Status(500), FaultKind::WrongJson, FaultKind::Reset] {
        world.fault(Endpoint::SendMessage, kind, 1);
    }
    sidecar.call("outbound.sendText", to_ann("hello"));
    sidecar.call("outbound.sendTyping", json!({ "to": "ann@im.wechat", "active": true, "accountId": bot.account }));
    sidecar.call("status.get", json!({ "probe": true }));
    let mut damaged = std::fs::read_to_string(world.state.account_file(&format!("{}.json", bot.account))).unwrap();
    world.control.expire(&bot.id).unwrap();
    sidecar.until_state(&bot, "paused");
    assert_eq!(sidecar.call("outbound.sendText", to_ann("hello?"))["status"], "held");
    damaged.pop();
    world.state.write(&format!("openclaw-weixin/accounts/{}.json", bot.account), damaged);
    sidecar.refused("outbound.sendText", to_ann("hello?"));
    sidecar.call("shutdown", json!({}));
    sidecar.exit(EXIT);

    let log = eventually("the last line", || {
        Some(sidecar.log()).filter(|log| log.iter().any(|line| line.contains("\"ending\"")))
    });
    let state = world.control.state();
    let mut secrets: Vec<(&str, String)> = state.bots.iter().map(|bot| ("bot token", bot.token.clone())).collect();
    secrets.extend(state.logins.iter().map(|login| ("QR code", login.qrcode.clone())));
    secrets.extend(world.sent().iter().map(|sent| ("context token", sent.context_token.clone().unwrap())));
    assert_eq!((state.bots.len(), secrets.len()), (2, 4));
    for line in &log {
        check_log(line);
        for (what, secret) in &secrets {
            assert!(!line.contains(secret.as_str()), "a {what} in the log: {line}");
        }
    }
}

#[test]
fn without_a_gateway_it_ends_at_once_and_says_nothing_on_stdout() {
    let world = World::new();
    let output = world.launch().command().stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap().lines().for_each(check_log);
}

/// What every line of stderr has.
#[track_caller]
fn check_log(line: &str) {
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(entry["ts"].is_i64() && entry["msg"].is_string() && entry["target"].is_string(), "{line}");
    assert!(["error", "warn", "info", "debug", "trace"].contains(&text(&entry, "level")), "{line}");
}

/// A sidecar that asks for a database which another process opens all the while.
fn initializing(world: &World) -> (Sidecar, u64, std::fs::File) {
    let channel = world.state.channel();
    std::fs::create_dir_all(&channel).unwrap();
    let lock = std::fs::File::create(world.state.database().with_extension("sqlite.lock")).unwrap();
    lock.lock().unwrap();
    let sidecar = world.launch().spawn();
    let asked = sidecar.ask_to_initialize();
    // What is behind it is not done before it.
    sidecar.ask("accounts.list", json!({}));
    until("it to wait", || sidecar.log().iter().any(|line| line.contains("another process is opening the database")));
    assert!(sidecar.seen().responses.is_empty());
    (sidecar, asked, lock)
}

#[test]
fn the_end_of_stdin_ends_it_also_while_it_is_initialised() {
    let world = World::new();
    let (sidecar, _, _lock) = initializing(&world);
    sidecar.close_stdin();
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
}

#[test]
fn a_signal_ends_it_also_while_it_is_initialised() {
    let world = World::new();
    let (sidecar, _, _lock) = initializing(&world);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
}

#[test]
fn a_database_that_another_process_opens_for_ever_is_not_waited_for_as_long() {
    let world = World::new();
    let (sidecar, asked, lock) = initializing(&world);
    let error = sidecar.error(asked);
    assert_eq!(
        (&error["data"]["kind"], &error["data"]["retryable"]),
        (&json!("store_failed"), &json!(true)),
        "{error}"
    );
    assert!(text(&error, "message").contains("another process has been opening it for 10 s"), "{error}");
    drop(lock);
    sidecar.initialize();
}
