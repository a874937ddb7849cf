//! The command line, as a person and as a script use it.

mod common;

use common::{Canned, Ran, World, command, run, run_to_end, text};
use ilink_simulator::SimulatorConfig;
use serde_json::json;

const ANN: &str = "ann@im.wechat";

fn on(world: &World, args: &[&str]) -> Ran {
    run(world.state.path(), world.url(), args, "")
}

#[test]
fn a_login_shows_a_code_its_link_and_the_account() {
    let world = World::with(SimulatorConfig { auto_login: true, ..SimulatorConfig::default() });
    let ran = on(&world, &["login"]).exits(0);
    assert!(ran.stdout.contains('█') && ran.stdout.contains("http://"), "{ran:?}");
    assert!(ran.stdout.contains("bot1-im-bot"), "{ran:?}");
    let ran = on(&world, &["login", "--json", "--label", "second"]).exits(0);
    assert_eq!(text(&ran.json(), "accountId"), "bot2-im-bot");
    let accounts = on(&world, &["accounts", "--json"]).exits(0).json();
    assert_eq!(accounts["accounts"][1]["label"], "second");
}

#[test]
fn a_login_that_nobody_finishes_ends_with_what_to_do() {
    let world = World::new();
    let ran = on(&world, &["login", "--timeout", "1"]).exits(1);
    assert!(ran.stderr.contains("start it again"), "{ran:?}");
}

#[test]
fn accounts_are_listed_and_removed() {
    let world = World::new();
    assert!(on(&world, &["accounts"]).exits(0).stdout.contains("login"));
    let bot = world.bot();
    let listed = on(&world, &["accounts", "list"]).exits(0).stdout;
    assert!(listed.contains(&bot.account) && listed.contains("ready") && listed.contains(&bot.user), "{listed}");
    on(&world, &["accounts", "remove", &bot.account]).exits(0);
    assert!(on(&world, &["accounts", "remove", &bot.account]).exits(1).stdout.contains("no account"));
}

#[test]
fn texts_and_files_are_sent_from_arguments_and_stdin_or_held_and_said_to_be() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let held = on(&world, &["send", "--to", ANN, "too early"]).exits(0).stdout;
    assert!(held.contains("held as q1") && held.contains("outbox"), "{held}");
    let waits = on(&world, &["outbox"]).exits(0).stdout;
    assert!(waits.contains("q1") && waits.contains("too early") && waits.contains("first message"), "{waits}");
    on(&world, &["outbox", "cancel", "q1"]).exits(0);
    on(&world, &["outbox", "cancel", "q1"]).exits(1);
    assert!(on(&world, &["outbox"]).exits(0).stdout.contains("nothing waits"));

    world.writes(&bot, ANN, "hello");
    sidecar.ack(&sidecar.deliveries(1));
    assert_eq!(on(&world, &["send", "--to", ANN, "one", "--json"]).exits(0).json()["status"], "sent");
    let file = world.state.path().join("notes.txt");
    std::fs::write(&file, "notes").unwrap();
    assert_eq!(
        on(&world, &["send", "--to", ANN, "--file", file.to_str().unwrap()]).exits(0).stdout.trim(),
        "sent (1 message)"
    );
    assert_eq!(world.control.sent_bytes(world.sent().last().unwrap()).unwrap(), b"notes");
    let args = ["send", "--to", ANN, "--account", &bot.account, "-"];
    run(world.state.path(), world.url(), &args, "two\n").exits(0);
    let texts: Vec<String> = world.sent().iter().filter_map(|sent| sent.text.clone()).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn a_file_can_be_named_by_its_url() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.hears(&sidecar, &bot, ANN);
    let host = Canned::new("notes", |_| "the notes".to_owned());
    let url = format!("{}/notes.txt", host.url());
    let mut send = command(world.state.path(), world.url(), &["send", "--to", ANN, "--file", &url]);
    send.env("WEIXIN_MEDIA_ALLOWED_HOSTS", host.url().trim_start_matches("http://"));
    let ran = run_to_end(send, "").exits(0);
    assert_eq!((ran.stdout.trim(), &*ran.stderr), ("sent (1 message)", ""), "no progress where nobody sees it");
    assert_eq!(world.control.sent_bytes(world.sent().last().unwrap()).unwrap(), b"the notes");
    let refused = on(&world, &["send", "--to", ANN, "--file", "http://127.0.0.1:9/x"]).exits(1).stderr;
    assert!(refused.contains("127.0.0.1"), "{refused}");
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_a_transfer_shows_how_far_it_is_and_leaves_the_answer_alone() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.hears(&sidecar, &bot, ANN);
    let file = world.state.path().join("large.bin");
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    for json in [false, true] {
        let mut args = vec!["send", "--to", ANN, "--file", file.to_str().unwrap()];
        args.extend(json.then_some("--json"));
        let send = command(world.state.path(), world.url(), &args);
        let mut terminal = std::process::Command::new("script");
        terminal.args(["--quiet", "--return", "--command"]).arg(format!("exec {send:?}")).arg("/dev/null");
        terminal.env("SHELL", "/bin/sh");
        let ran = run_to_end(terminal, "").exits(0);
        assert_eq!(ran.stdout.contains("uploading: 0.0 of 3.0 MiB (0 %)"), !json, "{ran:?}");
        let answer = ran.stdout.rsplit('\u{1b}').next().unwrap().trim_start_matches("[K").trim();
        match json {
            true => assert!(answer.starts_with('{'), "{ran:?}"),
            false => assert_eq!(answer, "sent (1 message)", "{ran:?}"),
        }
    }
}

#[test]
fn the_exit_code_says_what_kind_of_failure_it_was() {
    let mut world = World::new();
    on(&world, &["send", "--to", ANN, "x"]).exits(3);
    on(&world, &["send", "--to", ANN]).exits(2);
    on(&world, &["send", "--to", ANN, "--file", "/nowhere"]).exits(3);
    on(&world, &["no-such-command"]).exits(2);
    world.end();
    on(&world, &["login"]).exits(4);
    world.state.write("a file", "");
    let below_a_file = world.state.path().join("a file").join("state");
    let ran = on(&world, &["accounts", "--state-dir", below_a_file.to_str().unwrap()]).exits(5);
    assert!(ran.stderr.contains("OPENCLAW_STATE_DIR"), "{ran:?}");
}

#[test]
fn status_says_who_polls_and_what_waits() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    sidecar.send(ANN, "waits");
    let status = on(&world, &["status", "--probe", "--json"]).exits(0).json();
    let account = &status["accounts"][0];
    assert_eq!((text(account, "accountId"), account["polled"].as_bool()), (bot.account.as_str(), Some(true)));
    assert_eq!(account["pid"], sidecar.pid());
    assert_eq!((&account["outbox"]["held"], &account["probe"]["ok"]), (&json!(1), &json!(true)));
    sidecar.kill();
    assert!(on(&world, &["status"]).exits(0).stdout.contains("nobody"));
    world.control.expire(&bot.id).unwrap();
    on(&world, &["status", "--probe"]).exits(1);
}

#[test]
fn the_doctor_names_what_is_wrong() {
    let world = World::new();
    let ran = on(&world, &["doctor"]).exits(1);
    assert!(ran.stdout.contains("FAIL accounts") && ran.stdout.contains("login"), "{ran:?}");
    let bot = world.bot();
    let ran = on(&world, &["doctor"]).exits(0);
    assert!(ran.stdout.lines().all(|line| line.starts_with("ok")), "{ran:?}");
    world.control.expire(&bot.id).unwrap();
    let report = on(&world, &["doctor", "--json"]).exits(1).json();
    let failed: Vec<&str> =
        report["checks"].as_array().unwrap().iter().filter(|c| c["ok"] == false).map(|c| text(c, "name")).collect();
    assert_eq!(failed, [format!("account {}", bot.account)]);
    on(&world, &["doctor", "--offline"]).exits(0);
}

#[test]
fn every_command_explains_itself() {
    let world = World::new();
    let help = on(&world, &["--help"]).exits(0).stdout;
    for command in ["serve", "hub", "login", "accounts", "send", "peers", "outbox", "status", "doctor", "simulate"] {
        assert!(help.contains(command), "{command} is not in {help}");
        assert!(on(&world, &[command, "--help"]).exits(0).stdout.contains("Usage:"), "{command}");
    }
    assert!(help.contains("Exit codes") && help.contains("OPENCLAW_STATE_DIR"));
    let version = on(&world, &["--version"]).exits(0).stdout;
    assert_eq!(version.trim(), format!("openclaw-weixin-sidecar {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn shells_complete_every_command_and_each_has_a_manual_page() {
    let world = World::new();
    let help = on(&world, &["--help"]).exits(0).stdout;
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.contains(&"send") && commands.contains(&"man"), "{help}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = on(&world, &["completion", shell]).exits(0).stdout;
        for command in &commands {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        assert!(script.contains("idempotency-key"), "{shell} does not know options");
    }
    assert!(on(&world, &["man"]).exits(0).stdout.contains("openclaw\\-weixin\\-sidecar"));
    for command in &commands {
        let page = on(&world, &["man", command]).exits(0).stdout;
        assert!(page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    assert!(on(&world, &["man", "accounts", "export"]).exits(0).stdout.contains("accounts\\-export"));
    assert!(on(&world, &["man", "nonsense"]).exits(2).stderr.contains("no command nonsense"));
    assert!(on(&world, &["completion", "tcsh"]).exits(2).stderr.contains("powershell"));
}
