//! A state directory that is damaged, newer, read-only or full: it is said clearly, nothing is deleted, and what still
//! works goes on working.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{OwnMounts, State, World, eventually, run, skip, text, until};
use ilink_simulator::LoginStep;
use serde_json::{Value, json};

/// The files that a damaged database was put into.
fn put_aside(state: &State) -> Vec<PathBuf> {
    let files = fs::read_dir(state.channel()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".damaged-")).collect();
    found.sort();
    found
}

/// The one warning of `initialize`.
#[track_caller]
fn warning(initialized: &Value) -> String {
    let warnings = initialized["warnings"].as_array().expect("a warning").clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings[0].as_str().unwrap().to_owned()
}

#[test]
fn a_damaged_account_file_is_named_left_alone_and_replaced_by_the_next_login() {
    let world = World::new();
    let (damaged, sound) = (world.bot(), world.bot());
    let file = world.state.account_file(&format!("{}.json", damaged.account));
    fs::write(&file, format!(r#"{{"token": "{}"#, damaged.token)).unwrap();
    let sidecar = world.sidecar();

    let accounts = sidecar.call("accounts.list", json!({}))["accounts"].clone();
    assert_eq!((&accounts[0]["configured"], &accounts[1]["configured"]), (&json!(false), &json!(true)));
    let problem = text(&accounts[0], "problem");
    assert!(problem.contains(file.to_str().unwrap()) && problem.contains("og in again"), "{problem}");
    let error = sidecar.refused("account.start", json!({ "accountId": damaged.account }));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32011), &json!("account_not_configured")), "{error}");
    assert_eq!(error["data"]["accountId"], damaged.account.as_str());
    for text in [problem, text(&error, "message")] {
        assert!(!text.contains(&damaged.token), "the content is a secret: {text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), format!(r#"{{"token": "{}"#, damaged.token), "left as it was");

    // The other account is none the worse.
    sidecar.start_account(&sound);
    world.writes(&sound, "ann@im.wechat", "hello");
    sidecar.deliveries(1);

    let login = sidecar.call("login.start", json!({ "accountId": damaged.account }));
    let confirm = LoginStep::Confirm { user_id: None, bot_id: Some(damaged.id.clone()) };
    world.control.login("latest", confirm).unwrap();
    let end = sidecar.call("login.wait", json!({ "sessionKey": login["sessionKey"] }));
    assert_eq!(end["connected"], true, "{end}");
    sidecar.start_account(&damaged);
}

#[test]
fn a_damaged_index_hides_no_account_and_the_next_login_keeps_it_aside() {
    let world = World::new();
    let bot = world.bot();
    let index = world.state.channel().join("accounts.json");
    fs::write(&index, "[\"bot1-im").unwrap();
    let sidecar = world.sidecar();
    assert_eq!(sidecar.call("accounts.list", json!({}))["accounts"][0]["accountId"], bot.account.as_str());
    sidecar.start_account(&bot);

    let login = sidecar.call("login.start", json!({}));
    world.control.login("latest", LoginStep::Confirm { user_id: None, bot_id: None }).unwrap();
    let end = sidecar.call("login.wait", json!({ "sessionKey": login["sessionKey"] }));
    assert_eq!(end["connected"], true, "{end}");
    assert_eq!(world.state.index(), [bot.account.clone(), text(&end, "accountId").to_owned()]);
    assert_eq!(fs::read_to_string(&put_aside(&world.state)[0]).unwrap(), "[\"bot1-im");
}

#[test]
fn a_database_of_garbage_is_kept_aside_byte_for_byte_and_logins_still_work() {
    for garbage in [b"this is no database".repeat(500), vec![0; 8192], b"x".repeat(400)] {
        let world = World::new();
        let bot = world.bot();
        fs::write(world.state.database(), &garbage).unwrap();
        let sidecar = world.launch().spawn();
        let warning = warning(&sidecar.initialize());
        let aside = put_aside(&world.state);
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(fs::read(&aside[0]).unwrap(), garbage);
        assert!(warning.contains(aside[0].to_str().unwrap()) && warning.contains("Logins are kept"), "{warning}");

        sidecar.start_account(&bot);
        world.writes(&bot, "ann@im.wechat", "hello");
        sidecar.ack(&[sidecar.deliveries(1).pop().unwrap()]);
        drop(sidecar);
        let initialized = world.launch().spawn().initialize();
        assert!(initialized.get("warnings").is_none(), "it is said once: {initialized}");
    }
}

#[test]
fn a_database_with_a_broken_page_is_kept_aside_with_its_log_byte_for_byte() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.control.burst(&bot.id, 20, 400).unwrap();
    sidecar.until_received(&bot, 400);
    sidecar.call("shutdown", json!({}));
    sidecar.exit(common::EXIT);
    // A second run leaves a log behind, as a crash does.
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    sidecar.deliveries(20);
    sidecar.kill();
    let mut pages = fs::read(world.state.database()).unwrap();
    assert!(pages.len() > 20 * 4096, "{}", pages.len());
    for page in pages.chunks_mut(4096).skip(3) {
        page[..64].fill(0xA5);
    }
    fs::write(world.state.database(), &pages).unwrap();
    let log = fs::read(world.state.channel().join("sidecar.sqlite-wal")).unwrap();
    assert!(!log.is_empty());

    let sidecar = world.launch().spawn();
    let warning = warning(&sidecar.initialize());
    let aside = put_aside(&world.state);
    let kept = |ending: &str| {
        let found = aside.iter().find(|path| path.to_string_lossy().ends_with(ending));
        fs::read(found.unwrap_or_else(|| panic!("nothing ends with {ending}: {aside:?}"))).unwrap()
    };
    assert!(kept("-wal") == log, "the log was changed");
    // Sorted by name the database itself comes first.
    assert!(fs::read(&aside[0]).unwrap() == pages, "the database was changed");
    assert!(warning.contains(aside[0].to_str().unwrap()), "{warning}");
    sidecar.start_account(&bot);
    // The cursor was in it: the server hands over again what it has.
    sidecar.deliveries(20);
}

#[test]
fn the_commands_warn_of_a_damaged_database_too() {
    let world = World::new();
    world.bot();
    fs::write(world.state.database(), b"this is no database".repeat(500)).unwrap();
    let ran = run(world.state.path(), world.url(), &["accounts"], "").exits(0);
    assert!(ran.stderr.contains("warning: the database was damaged"), "{ran:?}");
    assert!(ran.stdout.contains("bot1-im-bot"), "{ran:?}");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let world = World::new();
    drop(world.sidecar());
    world.state.sql().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(world.state.database()).unwrap();
    let error = world.launch().spawn().initialize_refused();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")));
    let message = text(&error, "message");
    assert!(message.contains("newer") && message.contains("99") && message.contains("update"), "{message}");
    assert_eq!(error["data"]["retryable"], false);
    assert!(fs::read(world.state.database()).unwrap() == before);
    assert!(put_aside(&world.state).is_empty());
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named_with_what_to_do() {
    let world = World::new();
    world.state.write("a-file", "");
    let impossible = world.state.path().join("a-file").join("state");
    let sidecar = world.launch().with("stateDir", impossible.to_str().unwrap()).spawn();
    let error = sidecar.initialize_refused();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")));
    let message = text(&error, "message");
    assert!(message.contains(impossible.to_str().unwrap()) && message.contains("OPENCLAW_STATE_DIR"), "{message}");
    // The gateway may choose another one without a new process.
    let host = json!({ "name": "t", "version": "1" });
    sidecar.call("initialize", json!({ "protocolVersion": 1, "host": host, "stateDir": world.state.path() }));
}

#[test]
fn a_read_only_state_directory_is_named_with_what_to_do() {
    let mounts = match OwnMounts::allowed() {
        Ok(mounts) => mounts,
        Err(why) => return skip("a read-only state directory", &why),
    };
    for used_before in [false, true] {
        let world = World::new();
        if used_before {
            world.bot();
            drop(world.sidecar());
        }
        let sidecar = world.launch().behind(mounts.read_only(world.state.path())).spawn();
        let error = sidecar.initialize_refused();
        assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")), "{error}");
        let message = text(&error, "message");
        let dir = world.state.channel();
        assert!(message.contains(dir.to_str().unwrap()) && message.contains("writable"), "{message}");
    }
}

#[test]
fn a_full_disk_at_the_start_is_said_with_what_to_do() {
    let mounts = match OwnMounts::allowed() {
        Ok(mounts) => mounts,
        Err(why) => return skip("a full disk at the start", &why),
    };
    let world = World::new();
    let sidecar = world.launch().behind(mounts.small_disk(world.state.path(), 64)).spawn();
    let error = sidecar.initialize_refused();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")), "{error}");
    let message = text(&error, "message");
    assert!(message.contains("full") && message.contains("free some space"), "{message}");
    assert_eq!(error["data"]["retryable"], true);
}

#[test]
fn what_was_accepted_before_the_disk_was_full_is_kept_and_the_rest_follows_when_there_is_space() {
    let mounts = match OwnMounts::allowed() {
        Ok(mounts) => mounts,
        Err(why) => return skip("a disk that fills up", &why),
    };
    let world = World::new();
    let bot = world.control.create_bot(Default::default()).unwrap().into();
    let sidecar = world.launch().behind(mounts.small_disk(world.state.path(), 2048)).start();
    let inside = |file: &str| OwnMounts::inside(sidecar.pid(), &world.state.path().join(file));
    world.state.add_account_in(&inside("openclaw-weixin"), &bot, world.url());
    sidecar.start_account(&bot);
    world.writes(&bot, "ann@im.wechat", "before");
    let before = sidecar.deliveries(1);

    let filler = inside("filler");
    let full = fs::write(&filler, vec![0; 4 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // More than what is left of the last page of the log.
    let long = "x".repeat(64 * 1024);
    let ids: Vec<u64> = (0..3).map(|n| world.writes(&bot, "ann@im.wechat", &format!("{n} {long}"))).collect();
    let status = sidecar.until_state(&bot, "backoff");
    let message = text(&status, "lastError");
    assert!(message.contains("full") && message.contains("free some space"), "{message}");
    let error = sidecar.refused("outbound.sendText", json!({ "to": "ann@im.wechat", "text": long }));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32050), &json!("store_failed")), "{error}");
    assert!(text(&error, "message").contains("free some space"), "{error}");
    assert_eq!(world.sent().len(), 0, "nothing is sent that is not written down");

    fs::remove_file(filler).unwrap();
    sidecar.until_state(&bot, "polling");
    until("the ack to be taken", || sidecar.ack(&before) == 1);
    let mut acked = 1;
    let all = eventually("everything", || {
        let seen = sidecar.deliveries(acked);
        sidecar.ack(&seen[acked - 1..]);
        acked = seen.len() + usize::from(seen.len() < 4);
        (seen.len() == 4).then_some(seen)
    });
    let keys: Vec<&str> = all[1..].iter().map(|message| text(message, "messageId")).collect();
    assert_eq!(keys, ids.iter().map(u64::to_string).collect::<Vec<_>>());
}
