//! The hub as an iLink server: a cursor acks what is before it, a client id is one message, and files pass as they are.

mod common;

use common::hub::{Answer, Hub, token};
use common::{Bot, World, eventually, files, until};
use ilink_simulator::{LimitsPatch, LoginStep, Media};
use serde_json::{Value, json};

fn polled(hub: &Hub, token: &str, cursor: &str) -> Value {
    let answer = hub.ilink(token, "getupdates", json!({ "get_updates_buf": cursor }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn texts(polled: &Value) -> Vec<&str> {
    polled["msgs"].as_array().unwrap().iter().filter_map(|m| m["item_list"][0]["text_item"]["text"].as_str()).collect()
}

fn send(hub: &Hub, token: &str, bot: &Bot, client_id: &str, items: Value) -> Answer {
    let message = json!({
        "from_user_id": "",
        "to_user_id": bot.user,
        "client_id": client_id,
        "message_type": 2,
        "message_state": 2,
        "item_list": items,
    });
    hub.ilink(token, "sendmessage", json!({ "msg": message, "base_info": {} }))
}

fn text_item(text: &str) -> Value {
    json!([{ "type": 1, "text_item": { "text": text } }])
}

#[test]
fn a_cursor_acks_what_is_before_it_and_a_lost_one_brings_again_only_what_was_not_acked() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "a");
    let first = polled(&hub, &one, "");
    assert_eq!(texts(&first), ["a"]);
    world.writes(&bot, &bot.user, "b");
    until("both wait", || world.state.count("SELECT COUNT(*) FROM inbox WHERE backend = 'one'") == 2);
    assert_eq!(texts(&polled(&hub, &one, "")), ["a", "b"], "nothing was acked");
    let cursor = first["get_updates_buf"].as_str().unwrap();
    assert_eq!(texts(&polled(&hub, &one, cursor)), ["b"]);
    hub.kill();
    let hub = Hub::start(&world);
    assert_eq!(texts(&polled(&hub, &one, "")), ["b"], "a client that lost its cursor does not get what it acked");
    assert_eq!(texts(&polled(&hub, &one, "another server's")), ["b"]);
}

#[test]
fn a_client_id_is_one_message_whatever_is_killed() {
    let world = World::new();
    let bot = world.bot();
    let (one, two) = (token(&world, "one", &[]), token(&world, "two", &[]));
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "hello");
    hub.gets(&one, "hello");
    let first = send(&hub, &one, &bot, "c1", text_item("**as** it is <b>")).json();
    assert_eq!(first["ret"], 0);
    assert_eq!(send(&hub, &one, &bot, "c1", text_item("**as** it is <b>")).json(), first);
    hub.kill();
    let hub = Hub::start(&world);
    assert_eq!(send(&hub, &one, &bot, "c1", text_item("**as** it is <b>")).json(), first);
    assert_eq!(world.texts(), ["**as** it is <b>"], "not a sign of it is changed, and it is there once");
    // The id of another backend is another message. This one was given none of this person's.
    let refused = send(&hub, &two, &bot, "c1", text_item("x")).json();
    assert_ne!(refused["ret"], 0, "{refused}");
    assert!(refused["errmsg"].as_str().unwrap().contains("not this backend's"), "{refused}");
}

#[test]
fn what_cannot_be_sent_now_is_the_hubs_to_send() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    world.control.set_limits(LimitsPatch { quota_per_token: Some(Some(10)), ..LimitsPatch::default() });
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "hello");
    hub.gets(&one, "hello");
    let answers: Vec<Value> =
        (0..12).map(|n| send(&hub, &one, &bot, &format!("c{n}"), text_item(&n.to_string())).json()).collect();
    assert!(answers.iter().all(|answer| answer["ret"] == 0), "{answers:?}");
    assert_eq!(world.sent().len(), 10);
    let held = answers[11]["message_id"].as_u64().unwrap();
    assert!(held > 9_000_000_000_000_000_000 && held < i64::MAX as u64, "{held}");
    assert_eq!(send(&hub, &one, &bot, "c11", text_item("11")).json()["message_id"].as_u64(), Some(held), "asked again");
    world.writes(&bot, &bot.user, "more");
    let sent = world.wait_for_sent(12);
    assert_eq!(sent.last().unwrap().text.as_deref(), Some("11"));
}

#[test]
fn files_pass_both_ways_as_they_are() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let content = files::bytes(100_000);
    world.sends(&bot, &bot.user, vec![files::file("a.bin", Media::bytes(content.clone()))]);
    let got = polled(&hub, &one, "");
    let media = &got["msgs"][0]["item_list"][0]["file_item"]["media"];
    let url = media["full_url"].as_str().unwrap();
    assert!(url.starts_with(&hub.url), "{url}");
    // Without a token, as clients do; sealed is what lets in.
    let fetched = hub.request("GET", url.trim_start_matches(&hub.url), |request| request);
    assert_eq!((fetched.status, fetched.body.len()), (200, (100_000 / 16 + 1) * 16));
    let param = media["encrypt_query_param"].as_str().unwrap();
    let forged = format!("/c2c/download?encrypted_query_param={}x", &param[..param.len() - 1]);
    assert_eq!(hub.request("GET", &forged, |request| request).status, 404);

    // A client that passes on what it got, and one that brings a file of its own.
    let item = json!([got["msgs"][0]["item_list"][0].clone()]);
    assert_eq!(send(&hub, &one, &bot, "c1", item).json()["ret"], 0);
    let sent = world.wait_for_sent(1);
    assert_eq!(world.control.sent_bytes(&sent[0]).unwrap(), content);
    let asked = json!({
        "filekey": "00112233445566778899aabbccddeeff", "media_type": 3, "to_user_id": bot.user, "rawsize": 10,
        "rawfilemd5": "781e5e245d69b566979b86e28d23f2c7", "filesize": 16, "no_need_thumb": true,
        "aeskey": "00112233445566778899aabbccddeeff",
    });
    let place = hub.ilink(&one, "getuploadurl", asked).json();
    let url = place["upload_full_url"].as_str().unwrap();
    assert!(url.starts_with(&hub.url), "{place}");
    // "0123456789" under that key.
    let ciphertext = hex::decode("065ceb1674ab0bff974780851aac2ca5").unwrap();
    let put = hub.request("POST", url.trim_start_matches(&hub.url), |request| request.body(ciphertext.clone()));
    assert_eq!(put.status, 200, "{:?}", put.headers);
    assert!(put.headers.contains_key("x-encrypted-param"));
    let huge = hub.request("POST", url.trim_start_matches(&hub.url), |request| request.body(vec![0; 101 << 20]));
    assert_eq!(huge.status, 413);
}

#[test]
fn a_token_that_is_none_is_told_so_in_a_way_that_no_client_logs_in_anew_for() {
    let world = World::new();
    world.bot();
    let hub = Hub::start(&world);
    let answer = hub.ilink("wxhub_0", "getupdates", json!({}));
    assert_eq!(answer.status, 401);
    assert_ne!(answer.json()["errcode"], -14, "some clients then ask WeChat itself, hundreds of times a second");
    let refused = hub.request("POST", "/ilink/bot/get_bot_qrcode", |request| request.body("{}"));
    assert!(refused.text().contains("enrol"), "{}", refused.text());
}

#[test]
fn what_names_no_account_is_of_the_one_that_the_person_wrote_to_last() {
    let world = World::new();
    let bots = ["a", "b"].map(|name| world.bot_named(name));
    world.state.write("openclaw-weixin/hub.toml", "[backends.one]\naccess = \"open\"");
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    for bot in [&bots[0], &bots[1], &bots[0]] {
        world.writes(bot, "ann@im.wechat", "hello");
        hub.gets(&one, "hello");
        let before = world.report(bot).typing.len();
        let typing = json!({ "ilink_user_id": "ann@im.wechat", "typing_ticket": "x", "status": 1 });
        assert_eq!(hub.ilink(&one, "sendtyping", typing).json()["ret"], 0);
        until("it types", || world.report(bot).typing.len() > before);
    }
}

#[test]
fn a_client_may_log_in_where_that_is_allowed_and_learns_of_no_other_login() {
    let world = World::new();
    let bot = world.bot();
    world.state.write("openclaw-weixin/hub.toml", "enrol = true");
    let admin = token(&world, "console", &["--role", "admin"]);
    let hub = Hub::start(&world);
    let status = |key: &str| {
        let path = format!("/ilink/bot/get_qrcode_status?qrcode={key}");
        hub.request("GET", &path, |request| request).json()
    };
    let theirs = hub.call(&admin, "login.start", json!({ "accountId": bot.account, "force": true }));
    let key = theirs["sessionKey"].as_str().unwrap();
    assert_eq!(status(key)["status"], "expired", "an admin's login is nobody's without a token");
    hub.call(&admin, "login.cancel", json!({ "sessionKey": key }));

    let shown = hub.request("POST", "/ilink/bot/get_bot_qrcode", |request| request.body("{}")).json();
    let key = shown["qrcode"].as_str().unwrap();
    assert!(shown["qrcode_img_content"].as_str().unwrap().starts_with("http"), "{shown}");
    world.control.login("latest", LoginStep::Scan).unwrap();
    until("the scan", || status(key)["status"] == "scaned");
    let who = LoginStep::Confirm { bot_id: Some("new@im.bot".into()), user_id: Some("eve@im.wechat".into()) };
    world.control.login("latest", who).unwrap();
    let confirmed = eventually("the token", || Some(status(key)).filter(|answer| answer["status"] == "confirmed"));
    let given = confirmed["bot_token"].as_str().unwrap();
    assert!(given.starts_with("wxhub_") && confirmed["baseurl"] == hub.url.as_str(), "{confirmed}");
    assert_eq!(status(key)["status"], "expired", "it is given once");
    let accounts = hub.call(given, "accounts.list", json!({}));
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1, "{accounts}");
    assert_eq!(accounts["accounts"][0]["accountId"], "new-im-bot");
}
