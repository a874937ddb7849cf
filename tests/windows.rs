//! What Windows does its own way: a sidecar whose gateway is gone, who it says that it is, and whom it leaves alone.
#![cfg(windows)]

mod common;

use common::{Bot, EXIT, World, eventually, text, until};
use rusqlite::params;
use serde_json::{Value, json};

fn account(bot: &Bot) -> Value {
    json!({ "accountId": bot.account })
}

#[test]
fn a_sidecar_ends_with_its_gateway_although_its_stdin_stays_open() {
    let world = World::new();
    let bot = world.bot();
    // The command interpreter is the gateway: the test holds the sidecar's stdin, whatever becomes of it.
    let gateway = world.launch().behind(["cmd", "/c"]).start();
    gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    let began = std::time::Instant::now();
    gateway.kill();
    until("the end of the sidecar", || gateway.seen().is_over());
    assert!(began.elapsed() < EXIT, "{:?}", began.elapsed());
    assert_eq!(world.report(&bot).notify_stop, 1, "it said good-bye");
    until("the end of its poll", || world.report(&bot).active_polls == 0);
    // And its lease with it.
    world.sidecar().start_account(&bot);
}

#[test]
fn a_sidecar_writes_itself_and_its_gateway_down() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let row = "SELECT pid, started, program, gateway_pid, gateway_started FROM lease WHERE account_id = ?1";
    let (pid, started, program, gateway, since): (u32, i64, String, u32, i64) = world
        .state
        .sql()
        .query_row(row, [&bot.account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap();
    assert_eq!((pid, gateway), (sidecar.pid(), std::process::id()));
    assert!(program.to_lowercase().ends_with("openclaw-weixin-sidecar.exe"), "{program}");
    // Tenths of microseconds since 1601, this process's before its child's.
    assert!(since > 0 && since <= started, "{since} {started}");
}

#[test]
fn an_account_that_another_one_polls_is_refused_until_that_one_is_gone() {
    let world = World::new();
    let (first, bot) = world.polling();
    world.wait_for_poll(&bot);
    let second = world.sidecar();
    let error = second.refused("account.start", account(&bot));
    assert_eq!(error["data"]["kind"], "account_locked", "{error}");
    assert!(text(&error, "message").contains(&first.pid().to_string()), "{error}");
    assert_eq!(world.report(&bot).max_active_polls, 1);
    first.kill();
    // The system lets go of a dead process's locks a moment later.
    eventually("the account", || {
        second.answer(second.ask("account.start", account(&bot))).get("result").is_some().then_some(())
    });
    world.writes(&bot, "ann@im.wechat", "hello");
    assert_eq!(text(&second.deliveries(1)[0], "text"), "hello");
}

#[test]
fn nobody_is_ended_here_even_where_everything_that_is_written_down_speaks_for_it() {
    let world = World::new();
    let (owner, bot) = world.polling();
    world.wait_for_poll(&bot);
    let mut gone = std::process::Command::new("cmd").args(["/c", "exit"]).spawn().unwrap();
    gone.wait().unwrap();
    let forged = "UPDATE lease SET gateway_pid = ?2, gateway_started = 1 WHERE account_id = ?1";
    assert_eq!(world.state.sql().execute(forged, params![bot.account, gone.id()]).unwrap(), 1);
    let error = world.sidecar().refused("account.start", account(&bot));
    // The system does not tell who holds a file lock; nor, where an ancestor's parent has ended, whom this gateway needs.
    assert!(text(&error, "message").contains("it is not certain"), "{error}");
    assert_eq!(owner.status(&bot)["state"], "polling");
}
