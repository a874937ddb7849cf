//! One WeChat, several backends: whose a message is, what each of them sees, and that nothing of that depends on who is there.

mod common;

use common::hub::{Hub, command, token};
use common::{World, eventually, text, until};
use ilink_simulator::Quote;
use serde_json::json;

/// The last of what people read.
fn last_read(world: &World) -> String {
    world.texts().pop().unwrap_or_default()
}

#[test]
fn a_message_goes_to_whoever_was_chosen_and_a_quote_to_who_wrote_it_also_after_a_restart() {
    let world = World::new();
    let bot = world.bot();
    let (one, two) = (token(&world, "one", &[]), token(&world, "two", &[]));
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "first");
    hub.gets(&one, "first");
    let sent = hub.call(&one, "outbound.sendText", json!({ "to": bot.user, "text": "of one" }));
    let of_one: u64 = sent["messageIds"][0].as_str().unwrap().parse().unwrap();

    world.writes(&bot, &bot.user, "/agents");
    until("the list", || last_read(&world).contains("- one (current)"));
    assert!(last_read(&world).contains("- two"), "{}", last_read(&world));
    world.writes(&bot, &bot.user, "/use TWO");
    until("the choice", || last_read(&world).contains("two"));
    world.writes(&bot, &bot.user, "second");
    hub.gets(&two, "second");
    hub.kill();

    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "third");
    hub.gets(&two, "third");
    world.quotes(&bot, &bot.user, "about that", Quote::of(of_one));
    hub.gets(&one, "about that");
    world.writes(&bot, &bot.user, "fourth");
    hub.gets(&two, "fourth");
    world.writes(&bot, &bot.user, "/use nobody");
    until("the refusal", || last_read(&world).contains("nobody"));
    assert!(hub.pull(&one).is_empty() && hub.pull(&two).is_empty(), "a command is nobody's message");
}

#[test]
fn who_is_away_keeps_their_messages_and_keeps_nobody_waiting() {
    let world = World::new();
    let bot = world.bot();
    world.state.write(
        "openclaw-weixin/hub.toml",
        format!("[backends.away]\naccess = \"open\"\n[backends.here]\naccess = \"open\"\n[accounts.{}.people]\n\"ann@im.wechat\" = \"away\"", bot.account),
    );
    let (here, away) = (token(&world, "here", &[]), token(&world, "away", &[]));
    let hub = Hub::start(&world);
    let mut connection = hub.connect(&here);
    // More than any window has room for.
    for n in 0..200 {
        world.writes(&bot, "ann@im.wechat", &format!("for away {n}"));
    }
    world.writes(&bot, "bob@im.wechat", "for here");
    assert_eq!(connection.takes(), "for here");
    until("all of them", || world.state.count("SELECT COUNT(*) FROM inbox WHERE backend = 'away'") == 200);
    hub.kill();
    let hub = Hub::start(&world);
    let mut connection = hub.connect(&away);
    let taken: Vec<String> = (0..200).map(|_| connection.takes()).collect();
    assert_eq!(taken, (0..200).map(|n| format!("for away {n}")).collect::<Vec<_>>(), "in order");
}

#[test]
fn what_a_connection_leaves_comes_to_the_next_one_and_is_over_once_acked() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let mut first = hub.connect(&one);
    world.writes(&bot, &bot.user, "hello");
    let message = first.next("inbound.message");
    assert_eq!((message["text"].as_str(), message["attempt"].as_u64()), (Some("hello"), Some(1)));
    until("the attempt is counted", || world.state.count("SELECT attempt FROM inbox") == 1);
    drop(first);
    let mut second = hub.connect(&one);
    let again = second.next("inbound.message");
    assert_eq!(again["deliveryId"], message["deliveryId"]);
    assert_eq!(again["attempt"], 2);
    assert_eq!(second.call("inbound.ack", json!({ "deliveryIds": [again["deliveryId"]] }))["acked"], 1);
    let sent = second.call("outbound.sendText", json!({ "to": bot.user, "text": "answer" }));
    assert_eq!(sent["status"], "sent");
    drop(second);
    hub.kill();
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "next");
    assert_eq!(hub.connect(&one).takes(), "next", "what was acked does not come again");
}

#[test]
fn what_was_pulled_comes_again_when_its_lease_is_over() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "hello");
    let pull = |params| hub.call(&one, "inbound.pull", params)["messages"].as_array().unwrap().clone();
    let first = pull(json!({ "waitMs": 20_000, "leaseMs": 1_000 }));
    assert_eq!(first.len(), 1);
    assert!(pull(json!({ "waitMs": 100 })).is_empty(), "it is leased");
    let again = pull(json!({ "waitMs": 20_000 }));
    assert_eq!(again[0]["deliveryId"], first[0]["deliveryId"]);
    assert_eq!(again[0]["attempt"], 2);
}

#[test]
fn a_backend_sees_its_accounts_its_conversations_and_nothing_else() {
    let world = World::new();
    let (mine, theirs) = (world.bot_named("mine"), world.bot_named("theirs"));
    world.state.write("openclaw-weixin/hub.toml", "[backends.two]\naccess = \"open\"");
    let one = token(&world, "one", &["--account", &mine.account]);
    let two = token(&world, "two", &["--account", &theirs.account]);
    let hub = Hub::start(&world);
    world.writes(&theirs, "ann@im.wechat", "secret");
    hub.gets(&two, "secret");
    let accounts = hub.call(&one, "accounts.list", json!({}));
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(accounts["accounts"][0]["accountId"], mine.account.as_str());
    assert_eq!(hub.call(&one, "status.get", json!({}))["accounts"].as_array().unwrap().len(), 1);
    assert!(hub.call(&one, "peers.list", json!({}))["peers"].as_array().unwrap().is_empty());
    let to_ann = |more: serde_json::Value| {
        let mut params = json!({ "to": "ann@im.wechat", "text": "x" });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    // Not its account; and where it is its account, not its conversation.
    let error = hub.refused(&one, "outbound.sendText", to_ann(json!({ "accountId": theirs.account })));
    assert_eq!(error["data"]["kind"], "account_not_found", "{error}");
    let error = hub.refused(&one, "outbound.sendText", to_ann(json!({})));
    assert_eq!(error["data"]["kind"], "forbidden", "{error}");
    let held = hub.call(&two, "outbound.sendText", to_ann(json!({ "idempotencyKey": "k" })));
    assert_eq!(held["status"], "sent");
    for (method, params) in [
        ("config.set", json!({ "config": {} })),
        ("accounts.remove", json!({ "accountId": mine.account })),
        ("accounts.export", json!({ "passphrase": "a long enough one" })),
        ("login.start", json!({})),
        ("hub.overview", json!({})),
        ("hub.tokens.create", json!({ "backend": "x" })),
        ("hub.trace", json!({ "accountId": mine.account, "peer": "x" })),
    ] {
        assert_eq!(hub.refused(&one, method, params)["data"]["kind"], "forbidden", "{method}");
    }
    let delivery = format!("{}:1", theirs.account);
    for method in ["inbound.nack", "inbound.release", "inbound.fetchMedia"] {
        let error = hub.refused(&one, method, json!({ "deliveryId": delivery }));
        assert_eq!(error["data"]["kind"], "account_not_found", "{method}");
    }
}

#[test]
fn a_revoked_token_ends_its_connection_and_every_later_request() {
    let world = World::new();
    world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let mut connection = hub.connect(&one);
    let id = command(&world, &["hub", "token", "list", "--json"]).exits(0).json()["tokens"][0]["id"].clone();
    command(&world, &["hub", "token", "revoke", id.as_str().unwrap()]).exits(0);
    let why = connection.ends();
    assert!(why.contains("revoked"), "{why}");
    assert_eq!(hub.request("POST", "/rpc", |request| request.bearer_auth(&one).body("{}")).status, 401);
    assert!(hub.open(&one).is_err());
}

#[test]
fn a_stranger_gets_a_code_once_and_is_let_in_by_it() {
    let world = World::new();
    let bot = world.bot();
    world.state.write("openclaw-weixin/hub.toml", "locale = \"zh-CN\"\n[backends.one]\naccess = \"pairing\"");
    let (one, admin) = (token(&world, "one", &[]), token(&world, "console", &["--role", "admin"]));
    let hub = Hub::start(&world);
    world.writes(&bot, "ann@im.wechat", "let me in");
    let told = eventually("the code", || world.texts().into_iter().find(|text| text.contains("配对码")));
    world.writes(&bot, "ann@im.wechat", "please");
    until("both dropped", || world.state.count("SELECT COUNT(*) FROM inbox") == 0);
    let waiting = hub.call(&admin, "hub.approvals", json!({}))["waiting"].clone();
    let code = text(&waiting[0], "code");
    assert!(told.contains(code), "{told}");
    assert_eq!(world.texts().iter().filter(|text| text.contains("配对码")).count(), 1);
    assert!(hub.pull(&one).is_empty());
    command(&world, &["hub", "approve", "WRONGCOD"]).exits(2);
    command(&world, &["hub", "approve", code]).exits(0);
    until("the welcome", || last_read(&world).contains("批准"));
    world.writes(&bot, "ann@im.wechat", "thank you");
    hub.gets(&one, "thank you");
    assert!(hub.call(&admin, "hub.approvals", json!({}))["waiting"].as_array().unwrap().is_empty());
}

#[test]
fn an_account_without_a_backend_keeps_its_messages_until_there_is_one() {
    let world = World::new();
    let bot = world.bot();
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "early");
    until("it is kept", || world.state.count("SELECT COUNT(*) FROM inbox WHERE backend IS NULL") == 1);
    let one = token(&world, "one", &[]);
    until("the token is known", || hub.request("POST", "/rpc", |r| r.bearer_auth(&one).body("{}")).status == 200);
    hub.gets(&one, "early");
}

#[test]
fn a_wrong_file_is_refused_at_the_start_and_changes_nothing_later() {
    let world = World::new();
    let bot = world.bot();
    world.state.write("openclaw-weixin/hub.toml", "enroll = true");
    let ran = command(&world, &["hub", "--listen", "127.0.0.1:0"]).exits(2);
    assert!(ran.stderr.contains("hub.toml") && ran.stderr.contains("enroll"), "{}", ran.stderr);
    world.state.write("openclaw-weixin/hub.toml", "[backends.one]\naccess = \"owner\"");
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    world.state.write("openclaw-weixin/hub.toml", "[backends.one]\naccess = \"everybody\"");
    until("it says so", || hub.log().contains("what was in force before stays"));
    world.state.write("openclaw-weixin/hub.toml", "[backends.one]\naccess = \"open\"\n");
    until("it is taken over", || hub.log().contains("taken over"));
    eventually("a stranger's message", || {
        world.writes(&bot, "ann@im.wechat", "hello");
        hub.pull(&one).pop()
    });
}

#[test]
fn what_one_connection_stops_or_shuts_down_leaves_the_others_and_is_answered() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let (mut first, mut second) = (hub.connect(&one), hub.connect(&one));
    first.call("account.stop", json!({ "accountId": bot.account }));
    for text in ["a", "b", "c"] {
        world.writes(&bot, &bot.user, text);
        assert_eq!(second.takes(), text);
    }
    first.call("account.start", json!({ "accountId": bot.account }));
    assert_eq!(second.call("shutdown", json!({})), json!({}));
    second.ends();
    world.writes(&bot, &bot.user, "d");
    assert_eq!(first.takes(), "d");
}
