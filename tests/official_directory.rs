//! A directory left by the official plugin works unchanged: the same accounts, no new login, the cursor continued.

mod common;

use common::{Bot, World, text, until};
use ilink_simulator::{Endpoint, NewBot};
use serde_json::json;

const ANN: &str = "ann@im.wechat";

/// A bot that the official plugin knew, with a context token of Ann's.
fn known_bot(world: &World, name: &str) -> Bot {
    let context_tokens = [(ANN.to_owned(), "kept-token".to_owned())].into();
    let new = NewBot { bot_id: Some(format!("{name}@im.bot")), context_tokens, ..NewBot::default() };
    world.control.create_bot(new).unwrap().into()
}

/// Lets the bot be read up to some message, as the official plugin would; returns its cursor there.
fn cursor_after(world: &World, bot: &Bot, messages: usize) -> String {
    for n in 0..messages {
        world.writes(bot, ANN, &format!("old {n}"));
    }
    let other = World::new();
    other.state.add_account(bot, world.url());
    let reader = other.launch().env("WEIXIN_ILINK_BASE_URL", world.url()).start();
    reader.start_account(bot);
    reader.until_received(bot, messages as u64);
    until("the cursor to move", || !world.report(bot).last_cursor.is_empty());
    world.report(bot).last_cursor
}

#[test]
fn accounts_cursor_and_context_tokens_are_taken_over_once_and_the_files_stay_as_they_were() {
    let world = World::new();
    let bot = known_bot(&world, "b1");
    let cursor = cursor_after(&world, &bot, 3);
    world.state.add_account(&bot, world.url());
    let sync = json!({ "get_updates_buf": cursor }).to_string();
    let tokens = json!({ ANN: "kept-token" }).to_string();
    world.state.write("openclaw-weixin/accounts/b1-im-bot.sync.json", &sync);
    world.state.write("openclaw-weixin/accounts/b1-im-bot.context-tokens.json", &tokens);
    let credentials = std::fs::read(world.state.account_file("b1-im-bot.json")).unwrap();
    world.writes(&bot, "bob@im.wechat", "new");

    let sidecar = world.sidecar();
    let accounts = sidecar.call("accounts.list", json!({}))["accounts"].clone();
    assert_eq!((accounts.as_array().unwrap().len(), text(&accounts[0], "accountId")), (1, "b1-im-bot"));
    // Ann has not written to this plugin yet: her token is the official plugin's, in any process.
    assert_eq!(sidecar.send(ANN, "before the start")["heldReason"], "no_context");
    sidecar.start_account(&bot);
    let came = sidecar.deliveries(1);
    assert_eq!(text(&came[0], "text"), "new", "what the official plugin had read does not come again");
    sidecar.ack(&came);
    let sent = world.wait_for_sent(1);
    assert_eq!(sent[0].context_token.as_deref(), Some("kept-token"));
    assert_eq!(world.control.state().logins.len(), 0);
    sidecar.kill();

    for (file, before) in [
        ("b1-im-bot.json", credentials.as_slice()),
        ("b1-im-bot.sync.json", sync.as_bytes()),
        ("b1-im-bot.context-tokens.json", tokens.as_bytes()),
    ] {
        assert_eq!(std::fs::read(world.state.account_file(file)).unwrap(), before, "{file}");
    }
    // The second start goes on from its own cursor, not from the official plugin's.
    let polls = world.requests(&bot, Endpoint::GetUpdates);
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    until("a poll", || world.requests(&bot, Endpoint::GetUpdates) > polls);
    assert_ne!(world.report(&bot).last_cursor, cursor);
    assert_eq!(sidecar.seen().deliveries.len(), 0);
}

#[test]
fn files_under_the_raw_bot_id_are_found() {
    let world = World::new();
    let bot = known_bot(&world, "b1");
    let cursor = cursor_after(&world, &bot, 2);
    let file = json!({ "token": bot.token, "baseUrl": world.url(), "userId": bot.user });
    world.state.write("openclaw-weixin/accounts.json", r#"["b1@im.bot"]"#);
    world.state.write("openclaw-weixin/accounts/b1@im.bot.json", file.to_string());
    world.state.write("openclaw-weixin/accounts/b1@im.bot.sync.json", json!({ "get_updates_buf": cursor }).to_string());
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    world.writes(&bot, ANN, "new");
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "new");
}

#[test]
fn the_single_account_of_the_oldest_versions_is_found() {
    let world = World::new();
    let bot = known_bot(&world, "b1");
    let cursor = cursor_after(&world, &bot, 2);
    world.state.write("credentials/openclaw-weixin/credentials.json", json!({ "token": bot.token }).to_string());
    let sessions = "agents/default/sessions/.openclaw-weixin-sync/default.json";
    world.state.write(sessions, json!({ "get_updates_buf": cursor }).to_string());
    let sidecar = world.sidecar();
    let accounts = sidecar.call("accounts.list", json!({}))["accounts"].clone();
    assert_eq!(text(&accounts[0], "accountId"), "default");
    sidecar.call("account.start", json!({ "accountId": "default" }));
    world.writes(&bot, ANN, "new");
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "new");
}
