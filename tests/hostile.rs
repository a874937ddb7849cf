//! What strangers can put into a message, and what a server can put into an answer: nobody else waits for it, nothing grows with
//! it, and nothing is lost.

mod common;

use std::fs;
use std::time::Duration;

use common::files::{bytes, content_of, file, image, received};
use common::{Bot, Canned, Launch, Sidecar, World, eventually, text};
use ilink_simulator::{Content, Damage, Endpoint, FaultKind, Media};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const MIB: usize = 1024 * 1024;

fn raw(message: Value) -> Box<RawValue> {
    to_raw_value(&message).unwrap()
}

/// A text as the server says it, with more ids than the simulator gives.
fn wire(id: u64, from: &str, text: &str) -> Box<RawValue> {
    let item = json!({ "type": 1, "text_item": { "text": text } });
    raw(json!({ "message_id": id, "from_user_id": from, "message_type": 1, "item_list": [item] }))
}

#[cfg(target_os = "linux")]
#[test]
fn long_messages_that_nobody_takes_wait_on_disk_and_not_in_memory() {
    let world = World::with(ilink_simulator::SimulatorConfig { max_batch: 100, ..Default::default() });
    let (sidecar, bot) = world.polling();
    world.hears(&sidecar, &bot, ANN);
    let before = common::memory(sidecar.pid(), "VmRSS");
    let long = "長".repeat(7_000);
    // The whole window, and as much again for each of those who write.
    let count = 3_000;
    let messages: Vec<_> = (1..=count).map(|n| wire(n, &format!("person{}@im.wechat", n % 200), &long)).collect();
    world.control.push_raw(&bot.id, messages).unwrap();
    common::until("everything to be taken in", || world.state.count("SELECT COUNT(*) FROM inbox") == count as i64);
    let grown = common::memory(sidecar.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 48 * MIB as u64, "{count} messages of 21 kB took {} MiB", grown / MIB as u64);
    let all = sidecar.ack_all(count as usize + 1);
    assert!(all[1..].iter().all(|message| text(message, "text") == long));
}

#[test]
fn a_book_is_cut_where_the_contract_says_and_is_there_as_a_file() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    // Nine bytes of the line for each character.
    let book = "\u{1}長".repeat(700_000);
    let message = received(&world, &sidecar, &bot, vec![Content::Text { text: book.clone() }]);
    assert!(message.to_string().len() < 8 * MIB);
    assert_eq!((&message["truncated"], &message["parts"][0]["truncated"]), (&json!(true), &json!(true)));
    let told = text(&message["parts"][0], "text");
    assert_eq!(told.chars().count(), 256 * 1024);
    assert!(book.starts_with(told));
    let whole = message["parts"].as_array().unwrap().last().unwrap();
    assert_eq!((text(whole, "type"), text(whole, "mime")), ("file", "text/plain"));
    assert!(content_of(whole) == book.as_bytes());
    let next = received(&world, &sidecar, &bot, vec![Content::Text { text: "next".to_owned() }]);
    assert_eq!((text(&next, "text"), next.get("truncated")), ("next", None));
}

#[cfg(target_os = "linux")]
#[test]
fn a_message_of_a_million_items_is_one_of_256_parts_and_costs_no_memory() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.hears(&sidecar, &bot, ANN);
    let before = common::memory(sidecar.pid(), "VmRSS");
    let said = json!({ "type": 1, "text_item": { "text": "the last word" } });
    // Three megabytes on the wire.
    let mut items = vec![json!({}); 1_000_000];
    items.push(said);
    world
        .control
        .push_raw(&bot.id, vec![raw(json!({ "message_id": 5, "from_user_id": ANN, "item_list": items }))])
        .unwrap();
    let message = sidecar.deliveries(2)[1].clone();
    let parts = message["parts"].as_array().unwrap();
    assert_eq!((parts.len(), &message["truncated"]), (256, &json!(true)));
    let whole = String::from_utf8(content_of(&parts[255])).unwrap();
    assert!(
        whole.contains("the last word") && whole.contains("999745 items more"),
        "{}",
        &whole[..whole.len().min(200)]
    );
    sidecar.ack([&message]);
    let grown = common::memory(sidecar.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 48 * MIB as u64, "it took {} MiB", grown / MIB as u64);
}

#[test]
fn an_answer_larger_than_the_memory_it_may_take_brings_all_its_messages() {
    let world = World::new();
    let bot = world.bot();
    let long = "x".repeat(400_000);
    let count = 100;
    let messages = (1..=count).map(|n| wire(n, &format!("person{}@im.wechat", n % 7), &long)).collect();
    world.control.push_raw(&bot.id, messages).unwrap();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let all = sidecar.ack_all(count as usize);
    assert!(all.iter().all(|message| text(message, "text").len() == 256 * 1024));
    world.hears(&sidecar, &bot, ANN);
    assert_eq!(sidecar.status(&bot)["counters"]["received"], count + 1, "the cursor moved with it");
}

#[test]
fn an_answer_that_stops_in_the_middle_is_asked_for_again() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.fault(Endpoint::GetUpdates, FaultKind::Truncate, 1);
    world.writes(&bot, ANN, "hello");
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "hello");
}

#[test]
fn an_answer_that_drips_is_given_up_and_asked_for_again() {
    let slowly = Canned::slow("getupdates", Duration::from_millis(50), |path| match path {
        path if path.contains("getupdates") => format!(r#"{{"ret":0,"msgs":[{}]}}"#, wire(77, ANN, &"x".repeat(MIB))),
        _ => String::new(),
    });
    let world = World::new();
    let bot = world.bot();
    world.state.add_account(&bot, slowly.url());
    let sidecar = Launch::new(world.state.path(), slowly.url()).env("WEIXIN_STALLED_MS", "1000").start();
    sidecar.start_account(&bot);
    let told = sidecar.until_state(&bot, "backoff");
    assert!(text(&told, "lastError").contains("comes too slowly"), "{told}");
    eventually("another poll", || (slowly.asked() > 1).then_some(()));
}

#[test]
fn slow_pictures_of_strangers_delay_no_text_of_others_and_none_is_lost_at_the_back() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let other = world.bot();
    sidecar.start_account(&other);
    // Each of these takes four seconds; twice as many as are fetched at once.
    let slow = || image(Media::bytes(bytes(40_000)).damaged(Damage::Slow { bytes_per_second: 10_000 }));
    for n in 0..16 {
        world.sends(&bot, &format!("stranger{n}@im.wechat"), (0..4).map(|_| slow()).collect());
    }
    sidecar.until_received(&bot, 16);
    world.writes(&other, ANN, "to another account");
    world.writes(&bot, ANN, "to the same one");
    let first = sidecar.deliveries(2);
    let mut said: Vec<&str> = first.iter().map(|message| text(message, "text")).collect();
    said.sort();
    assert_eq!(said, ["to another account", "to the same one"], "a picture came before a text that waits for none");
    let all = sidecar.ack_all(18);
    for message in &all[2..] {
        assert!(message["parts"].as_array().unwrap().iter().all(|part| part["error"].is_null()), "{message}");
    }
}

/// A sidecar that keeps two mebibytes of files for an account, and files of one at most.
fn of_two_mebibytes(world: &World) -> (Sidecar, Bot) {
    let bot = world.bot();
    let config = json!({ "mediaMaxMb": 1, "quoteCache": { "maxMediaBytesPerAccount": 2 * MIB } });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    (sidecar, bot)
}

#[test]
fn what_strangers_send_takes_no_more_room_than_an_account_has() {
    let world = World::new();
    let (sidecar, bot) = of_two_mebibytes(&world);
    for n in 0..6 {
        world.sends(&bot, &format!("stranger{n}@im.wechat"), vec![file("a.bin", Media::bytes(bytes(MIB - 1)))]);
    }
    let all = sidecar.deliveries(6);
    let (came, refused): (Vec<_>, Vec<_>) = all.iter().partition(|message| message["parts"][0]["error"].is_null());
    assert_eq!((came.len(), refused.len()), (2, 4));
    for message in refused {
        let error = text(&message["parts"][0], "error");
        assert!(error.contains("more than 2 MiB"), "{error}");
    }
    let used = |dir: &std::path::Path| -> u64 {
        let folders = fs::read_dir(dir).unwrap().flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        folders.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let dir = world.state.channel().join("media").join(&bot.account);
    assert!(used(&dir) <= 2 * MIB as u64);
    // Taken over: their room is there for others.
    sidecar.ack(&all);
    let next = received(&world, &sidecar, &bot, vec![file("b.bin", Media::bytes(bytes(MIB - 1)))]);
    assert!(next["parts"][0]["error"].is_null(), "{next}");
    assert!(used(&dir) <= 2 * MIB as u64);
}

#[test]
fn a_file_that_takes_most_of_the_room_may_break_off_and_come_again() {
    let world = World::new();
    let (sidecar, bot) = of_two_mebibytes(&world);
    world.fault(Endpoint::CdnDownload, FaultKind::Truncate, 2);
    let message = received(&world, &sidecar, &bot, vec![file("a.bin", Media::bytes(bytes(MIB - 100_000)))]);
    assert!(content_of(&message["parts"][0]) == bytes(MIB - 100_000), "{message}");
}

fn deferring(world: &World) -> (Sidecar, Bot) {
    let bot = world.bot();
    let sidecar = world.launch().with("deferMedia", true).start();
    sidecar.start_account(&bot);
    (sidecar, bot)
}

#[test]
fn nothing_is_fetched_before_the_gateway_asks_where_it_says_that_it_will() {
    let world = World::new();
    let (sidecar, bot) = deferring(&world);
    let picture = image(Media::bytes(bytes(50_000)));
    let said = Content::Text { text: "look".to_owned() };
    world.sends(&bot, ANN, vec![picture, said]);
    let message = sidecar.deliveries(1)[0].clone();
    assert_eq!((&message["deferMedia"], &message["parts"][0]["path"]), (&json!(true), &Value::Null));
    assert_eq!(text(&message, "text"), "look");
    assert!(!world.state.channel().join("media").join(&bot.account).exists(), "something was fetched");
    let id = json!({ "deliveryId": message["deliveryId"] });
    let whole = sidecar.call("inbound.fetchMedia", id.clone());
    assert!(content_of(&whole["parts"][0]) == bytes(50_000));
    assert_eq!(text(&whole, "text"), "look");
    let again = sidecar.call("inbound.fetchMedia", id.clone());
    assert_eq!(again, whole, "what is here is not fetched again");
    sidecar.ack([&message]);
    let error = sidecar.refused("inbound.fetchMedia", id);
    assert_eq!(error["data"]["kind"], "invalid_params");
    assert!(text(&error, "message").contains("was acked"), "{error}");
    world.writes(&bot, ANN, "no files");
    assert_eq!(sidecar.deliveries(2)[1].get("deferMedia"), None);
}

#[test]
fn a_deferred_file_is_fetched_after_a_restart_too() {
    let world = World::new();
    let (sidecar, bot) = deferring(&world);
    world.sends(&bot, ANN, vec![file("a.txt", Media::bytes(bytes(5_000)))]);
    let id = text(&sidecar.deliveries(1)[0], "deliveryId").to_owned();
    sidecar.kill();
    let sidecar = world.launch().with("deferMedia", true).start();
    // The account need not even run.
    let whole = sidecar.call("inbound.fetchMedia", json!({ "deliveryId": id }));
    assert!(content_of(&whole["parts"][0]) == bytes(5_000));
    sidecar.start_account(&bot);
    assert_eq!(text(&sidecar.deliveries(1)[0], "deliveryId"), id);
}

#[test]
fn a_cursor_of_twenty_megabytes_is_not_kept_and_stops_nothing() {
    let cursor = "c".repeat(20 * MIB);
    let hosted = Canned::new("getupdates", move |path| match path {
        path if path.contains("getupdates") => {
            let message = wire(77, ANN, "hello");
            format!(r#"{{"ret":0,"msgs":[{message}],"get_updates_buf":"{cursor}"}}"#)
        }
        _ => String::new(),
    });
    let world = World::new();
    let bot = world.bot();
    world.state.add_account(&bot, hosted.url());
    let sidecar = Launch::new(world.state.path(), hosted.url()).start();
    sidecar.start_account(&bot);
    assert_eq!(text(&sidecar.deliveries(1)[0], "text"), "hello");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.state.count("SELECT length(cursor) FROM account"), 0);
    assert_eq!(world.state.count("SELECT count(*) FROM inbox"), 1, "it came again, and is known");
    assert!(hosted.asked() < 8, "{} polls in a hot loop", hosted.asked());
}
