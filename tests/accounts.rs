//! Accounts have names, and can be taken along to another machine.

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Bot, State, World, assert_private, run, text};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const PASSPHRASE: &str = "correct horse battery staple";

/// What `accounts.list` says of each account: id and label.
fn listed(list: &Value) -> Vec<(String, Option<String>)> {
    let accounts = list["accounts"].as_array().unwrap();
    let pair = |a: &Value| (text(a, "accountId").to_owned(), a["label"].as_str().map(str::to_owned));
    accounts.iter().map(pair).collect()
}

#[test]
fn an_account_is_found_by_its_name_wherever_it_is_named() {
    let world = World::new();
    let (work, home) = (world.bot(), world.bot());
    let mut accounts = json!({});
    accounts[&work.account] = json!({ "name": "Work" });
    accounts[&home.id] = json!({ "name": "家" });
    let config = json!({ "accounts": accounts, "outbox": { "perMinute": 6000, "burst": 100 } });
    let sidecar = world.launch().with("config", config.clone()).start();
    sidecar.call("account.start", json!({ "accountId": "work" }));
    sidecar.call("account.start", json!({ "accountId": " 家 " }));
    world.hears(&sidecar, &work, ANN);
    world.hears(&sidecar, &home, ANN);
    for (name, bot) in [("Work", &work), ("家", &home), (work.account.as_str(), &work), (home.id.as_str(), &home)] {
        let sent = sidecar.call("outbound.sendText", json!({ "to": ANN, "text": "x", "accountId": name }));
        assert_eq!(sent["status"], "sent");
        assert_eq!(world.sent().last().unwrap().bot_id, bot.id, "{name}");
        let status = sidecar.call("status.get", json!({ "accountId": name }));
        assert_eq!(text(&status["accounts"][0], "accountId"), bot.account);
        assert_eq!(sidecar.call("outbound.budget", json!({ "to": ANN, "accountId": name }))["limit"], 10);
        sidecar.call("outbound.sendTyping", json!({ "to": ANN, "active": true, "accountId": name }));
    }
    sidecar.call("account.stop", json!({ "accountId": "WORK" }));
    assert_eq!(sidecar.status(&work)["state"], "stopped");
    assert_eq!(sidecar.status(&home)["state"], "polling");

    // Two of a name are nobody's; the ids still work.
    accounts[&home.id]["name"] = "work".into();
    sidecar.call("config.set", json!({ "config": { "accounts": accounts } }));
    let error = sidecar.refused("account.start", json!({ "accountId": "work" }));
    assert_eq!(error["data"]["kind"], "account_ambiguous");
    assert!(
        text(&error, "message").contains(&work.account) && text(&error, "message").contains(&home.account),
        "{error}"
    );
    sidecar.call("account.start", json!({ "accountId": work.account }));
    let error = sidecar.refused("account.start", json!({ "accountId": "nobody" }));
    assert_eq!(error["data"]["kind"], "account_not_found");

    // The command line reads the names where OpenClaw keeps them.
    world.state.write("openclaw.json", json!({ "channels": { "openclaw-weixin": config } }).to_string());
    let sent = run(world.state.path(), world.url(), &["send", "--account", "work", "--to", ANN, "from the shell"], "");
    assert_eq!(sent.exits(0).stdout.trim(), "sent (1 message)");
    assert_eq!(world.sent().last().unwrap().bot_id, work.id);
}

#[test]
fn people_who_have_written_are_listed_the_last_one_first() {
    let world = World::new();
    let (work, home) = (world.bot(), world.bot());
    let mut accounts = json!({});
    accounts[&work.account] = json!({ "name": "work" });
    let sidecar = world.launch().with("config", json!({ "accounts": accounts })).start();
    assert_eq!(sidecar.call("peers.list", json!({}))["peers"], json!([]));
    for bot in [&work, &home] {
        sidecar.call("account.start", json!({ "accountId": bot.account }));
    }
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    for (bot, peer) in [(&work, "Bob%@im.wechat"), (&work, ANN), (&home, "bobby@im.wechat"), (&work, "Bob%@im.wechat")]
    {
        world.hears(&sidecar, bot, peer);
        // The order is that of milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let people = |params: Value| -> Vec<(String, String)> {
        let listed = sidecar.call("peers.list", params);
        let pair = |peer: &Value| (text(peer, "accountId").to_owned(), text(peer, "id").to_owned());
        listed["peers"].as_array().unwrap().iter().map(pair).collect()
    };
    let of = |bot: &Bot, peer: &str| (bot.account.clone(), peer.to_owned());
    let (bob, ann, bobby) = (of(&work, "Bob%@im.wechat"), of(&work, ANN), of(&home, "bobby@im.wechat"));
    assert_eq!(people(json!({})), [bob.clone(), bobby.clone(), ann.clone()]);
    assert_eq!(people(json!({ "accountId": "Work" })), [bob.clone(), ann.clone()]);
    assert_eq!(people(json!({ "query": " bob" })), [bob.clone(), bobby]);
    assert_eq!(people(json!({ "query": "%" })), std::slice::from_ref(&bob), "no wildcard");
    assert_eq!(people(json!({ "limit": 1 })), [bob]);
    assert_eq!(people(json!({ "limit": 0, "accountId": "" })), []);
    let last = sidecar.call("peers.list", json!({ "limit": 1 }))["peers"][0]["lastInboundAtMs"].as_i64().unwrap();
    assert!((began..began + 600_000).contains(&last), "{last} after {began}");
    let error = sidecar.refused("peers.list", json!({ "accountId": "nobody" }));
    assert_eq!(error["data"]["kind"], "account_not_found");

    // Beside a gateway, from a shell.
    let listed = run(world.state.path(), world.url(), &["peers", "--query", "ann"], "").exits(0);
    assert!(listed.stdout.contains(ANN) && listed.stdout.contains("just now"), "{}", listed.stdout);
    let nobody = run(world.state.path(), world.url(), &["peers", "--query", "zoe"], "").exits(0);
    assert_eq!(nobody.stdout.trim(), "nobody whose id contains \"zoe\" has written");
}

#[test]
fn an_id_is_an_id_whatever_somebody_else_is_called() {
    let world = World::new();
    let (one, two) = (world.bot(), world.bot());
    let mut accounts = json!({});
    accounts[&two.account] = json!({ "name": one.account });
    let sidecar = world.launch().with("config", json!({ "accounts": accounts })).start();
    let status = sidecar.call("status.get", json!({ "accountId": one.account }));
    assert_eq!(text(&status["accounts"][0], "accountId"), one.account);
}

#[test]
fn a_name_that_only_looks_like_an_id_is_none() {
    let world = World::new();
    let (work, other) = (world.bot_named("work"), world.bot());
    for id in ["work-x", "default"] {
        world.state.write(&format!("openclaw-weixin/accounts/{id}.json"), r#"{"token":"t"}"#);
    }
    world
        .state
        .write("openclaw-weixin/accounts.json", json!(["work-x", "default", work.account, other.account]).to_string());
    let mut accounts = json!({});
    accounts[&other.account] = json!({ "name": "Work X" });
    let sidecar = world.launch().with("config", json!({ "accounts": accounts })).start();
    for name in ["work!x", "工作", "work x!"] {
        let error = sidecar.refused("accounts.remove", json!({ "accountId": name }));
        assert_eq!(error["data"]["kind"], "account_not_found", "{error}");
    }
    let named = |name: &str| {
        text(&sidecar.call("status.get", json!({ "accountId": name }))["accounts"][0], "accountId").to_owned()
    };
    assert_eq!(named("work x"), other.account, "not `work-x`");
    assert_eq!(named(" Work-X "), "work-x");
    assert_eq!(named("Work@im.bot"), work.account);
}

#[test]
fn of_several_bots_of_one_person_in_an_archive_the_newest_is_left() {
    let (here, there) = (World::new(), World::new());
    let person = |world: &World, name: &str, saved: &str| {
        let bot = world.bot_named(name);
        let file = format!("openclaw-weixin/accounts/{}.json", bot.account);
        let mut account = world.state.json(&file);
        account["userId"] = "ann@im.wechat".into();
        account["savedAt"] = saved.into();
        world.state.write(&file, account.to_string());
        bot
    };
    let old = person(&here, "a", "2025-01-01T00:00:00.000Z");
    person(&there, "b", "2025-02-01T00:00:00.000Z");
    person(&there, "a", "2025-03-01T00:00:00.000Z");
    let archive = there.sidecar().call("accounts.export", json!({ "passphrase": PASSPHRASE }))["archive"].clone();
    let sidecar = here.sidecar();
    let result = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!(result["imported"], json!([old.account]), "{result}");
    assert_eq!(listed(&sidecar.call("accounts.list", json!({}))), [(old.account.clone(), None)]);
}

#[test]
fn exported_credentials_work_on_another_machine() {
    let world = World::new();
    let (one, two) = (world.bot(), world.bot());
    let sidecar = world.sidecar();
    let params = json!({ "accountIds": [one.id], "passphrase": PASSPHRASE });
    let only = sidecar.call("accounts.export", params);
    assert_eq!(only["accountIds"], json!([one.account]));
    let all = sidecar.call("accounts.export", json!({ "passphrase": PASSPHRASE }));
    assert_eq!(all["accountIds"], json!([one.account, two.account]));
    let archive = text(&all, "archive").to_owned();
    let raw = STANDARD.decode(&archive).unwrap();
    assert!(raw.starts_with(b"age-encryption.org/v1\n-> scrypt "), "what `age -d` reads");
    assert!(!String::from_utf8_lossy(&raw).contains(&one.token));
    drop(sidecar);

    let there = State::new();
    let sidecar = common::Launch::new(there.path(), world.url()).start();
    let wrong = sidecar.refused("accounts.import", json!({ "archive": archive, "passphrase": "wrong" }));
    assert_eq!(wrong["data"]["kind"], "invalid_params");
    assert!(text(&wrong, "message").contains("passphrase") && !text(&wrong, "message").contains(&one.token), "{wrong}");
    for bad in ["", "%%", "aGVsbG8="] {
        let error = sidecar.refused("accounts.import", json!({ "archive": bad, "passphrase": PASSPHRASE }));
        assert_eq!(error["data"]["kind"], "invalid_params", "{error}");
    }
    assert!(listed(&sidecar.call("accounts.list", json!({}))).is_empty(), "nothing half done");
    let imported = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!((&imported["imported"], &imported["kept"]), (&json!([one.account, two.account]), &json!([])));
    sidecar.start_account(&one);
    world.hears(&sidecar, &one, ANN);
    assert_eq!(sidecar.send(ANN, "from the other machine")["status"], "sent");
    // Once more: what is here is as new.
    let again = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!((&again["imported"], &again["kept"]), (&json!([]), &json!([one.account, two.account])));
}

#[test]
fn an_import_never_takes_the_place_of_a_newer_login() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.sidecar();
    let archive = sidecar.call("accounts.export", json!({ "passphrase": PASSPHRASE }))["archive"].clone();
    let file = format!("openclaw-weixin/accounts/{}.json", bot.account);
    let mut newer = world.state.json(&file);
    newer["token"] = "newer".into();
    newer["savedAt"] = "2026-06-01T00:00:00.000Z".into();
    world.state.write(&file, newer.to_string());
    let result = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!(result["kept"], json!([bot.account]));
    assert_eq!(world.state.json(&file)["token"], "newer");
    // An older one is replaced, and unknown keys of the archive come along.
    newer["savedAt"] = "2025-06-01T00:00:00.000Z".into();
    world.state.write(&file, newer.to_string());
    let result = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!(result["imported"], json!([bot.account]));
    assert_eq!(world.state.json(&file)["token"], bot.token.as_str());
    // Another account of the same person that is newer stays, too: WeChat lets them have one that works.
    let other = json!({ "token": "t", "userId": bot.user, "savedAt": "2026-07-01T00:00:00.000Z" });
    world.state.write("openclaw-weixin/accounts/other.json", other.to_string());
    world.state.write("openclaw-weixin/accounts.json", r#"["other"]"#);
    std::fs::remove_file(world.state.path().join(&file)).unwrap();
    let result = sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    assert_eq!(result["kept"], json!([bot.account]));
    assert_eq!(world.state.index(), ["other"]);
}

#[test]
fn a_running_account_goes_on_with_the_login_that_was_imported() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let archive = sidecar.call("accounts.export", json!({ "passphrase": PASSPHRASE }))["archive"].clone();
    let file = format!("openclaw-weixin/accounts/{}.json", bot.account);
    let mut stale = world.state.json(&file);
    stale["token"] = "stale".into();
    stale["savedAt"] = "2025-01-01T00:00:00.000Z".into();
    // As every program writes it that does not want half a file to be read.
    world.state.write(&format!("{file}.tmp"), stale.to_string());
    std::fs::rename(world.state.path().join(format!("{file}.tmp")), world.state.path().join(&file)).unwrap();
    sidecar.until_state(&bot, "paused");
    sidecar.call("accounts.import", json!({ "archive": archive, "passphrase": PASSPHRASE }));
    sidecar.until_state(&bot, "polling");
    world.hears(&sidecar, &bot, ANN);
}

#[test]
fn the_command_line_exports_to_a_private_file_and_imports_it() {
    let world = World::new();
    let bot = world.bot();
    let file = world.state.path().join("bots.age");
    let path = file.to_str().unwrap();
    let refused = run(world.state.path(), world.url(), &["accounts", "export", "nobody", "-o", path], "x\n");
    assert!(refused.exits(1).stderr.contains("there is no account nobody"), "and no file is left");
    assert!(!file.exists());
    let blank = run(world.state.path(), world.url(), &["accounts", "export", "-o", path], "\n").exits(2);
    assert!(blank.stderr.contains("passphrase is empty") && !file.exists(), "{blank:?}");
    let exported =
        run(world.state.path(), world.url(), &["accounts", "export", "--out", path], "open sesame\n").exits(0);
    assert!(exported.stdout.contains(&bot.account) && !exported.stdout.contains("sesame"), "{exported:?}");
    assert_private(&file);
    let again = run(world.state.path(), world.url(), &["accounts", "export", "-o", path], "open sesame\n").exits(2);
    assert!(again.stderr.contains("cannot be written"), "what is there is not overwritten: {again:?}");

    let there = State::new();
    let wrong = run(there.path(), world.url(), &["accounts", "import", path], "wrong\n").exits(2);
    assert!(wrong.stderr.contains("passphrase"), "{wrong:?}");
    let gone = run(there.path(), world.url(), &["accounts", "import", "/nowhere.age"], "x\n").exits(2);
    assert!(gone.stderr.contains("/nowhere.age cannot be read"), "{gone:?}");
    let imported = run(there.path(), world.url(), &["--json", "accounts", "import", path], "open sesame\n").exits(0);
    assert_eq!(imported.json()["imported"], json!([bot.account]));
    assert_eq!(run(there.path(), world.url(), &["status", "--probe"], "").exits(0).stdout.lines().count(), 2);
}
