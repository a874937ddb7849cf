//! A quoted message is told with its content: inline, by its id, or a part of it; also after a restart, and also when it
//! is not known any more.

mod common;

use std::fs;

use common::{Bot, Sidecar, World, text};
use ilink_simulator::{Content, Media, Quote};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";

fn next(sidecar: &Sidecar) -> Value {
    let count = sidecar.seen().deliveries.len();
    let message = sidecar.deliveries(count + 1)[count].clone();
    sidecar.ack([&message]);
    message
}

/// Ann quotes; what the gateway is told of it.
fn quote(world: &World, sidecar: &Sidecar, bot: &Bot, quote: Quote) -> Value {
    world.quotes(bot, ANN, "what about this?", quote);
    next(sidecar)["quote"].clone()
}

fn id(message: &Value) -> u64 {
    text(message, "messageId").parse().unwrap()
}

#[test]
fn texts_of_both_sides_and_their_files_are_found_by_id_also_after_a_kill() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.sends(
        &bot,
        ANN,
        vec![
            Content::Text { text: "look".into() },
            Content::File { media: Media::bytes("content"), file_name: "notes.txt".into(), md5: None, len: None },
        ],
    );
    let hers = id(&next(&sidecar));
    let sent = sidecar.send(ANN, "the answer");
    let ours: u64 = sent["messageIds"][0].as_str().unwrap().parse().unwrap();
    let path = world.state.path().join("plan.txt");
    fs::write(&path, "our plan").unwrap();
    let sent = sidecar.call("outbound.sendMedia", json!({ "to": ANN, "path": path }));
    let our_file: u64 = sent["messageIds"][0].as_str().unwrap().parse().unwrap();
    fs::remove_file(&path).unwrap();
    common::until("the file to be kept", || {
        let folder = world.state.channel().join("media").join(&bot.account).join(our_file.to_string());
        fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
    });
    sidecar.kill();

    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let found = quote(&world, &sidecar, &bot, Quote::of(hers));
    assert_eq!((text(&found, "text"), &found["resolved"], &found["fromBot"]), ("look", &json!(true), &json!(false)));
    let media = &found["media"];
    assert_eq!((text(media, "type"), text(media, "fileName")), ("file", "notes.txt"));
    assert_eq!(fs::read_to_string(text(media, "path")).unwrap(), "content");
    let found = quote(&world, &sidecar, &bot, Quote::of(ours));
    assert_eq!((text(&found, "text"), &found["fromBot"]), ("the answer", &json!(true)));
    assert_eq!(text(&found, "messageId"), ours.to_string());
    let found = quote(&world, &sidecar, &bot, Quote::of(our_file));
    assert_eq!(fs::read_to_string(text(&found["media"], "path")).unwrap(), "our plan");
}

#[test]
fn an_inline_quote_needs_no_memory() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let found = quote(&world, &sidecar, &bot, Quote::inline(json!({ "type": 1, "text_item": { "text": "quoted" } })));
    assert_eq!((text(&found, "text"), &found["resolved"]), ("quoted", &json!(true)));
}

#[test]
fn the_selected_part_is_told_whichever_way_the_phone_counts() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "甲 one two. one two. one two. 乙");
    let hers = id(&next(&sidecar));
    let md5 = |text: &str| Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (selected, end) in [("one two.", 1), ("one two. one two.", 1)] {
        let partial =
            json!({ "start": "one", "end": "two.", "startindex": 1, "endindex": end, "quotemd5": md5(selected) });
        let found = quote(&world, &sidecar, &bot, Quote::of(hers).part(partial));
        assert_eq!(text(&found, "selectedText"), selected);
        assert!(text(&found, "text").starts_with('甲'));
    }
    let partial = json!({ "start": "one", "end": "two.", "startindex": 1, "endindex": 1, "quotemd5": md5("other") });
    let found = quote(&world, &sidecar, &bot, Quote::of(hers).part(partial));
    assert!(found["selectedText"].is_null() && found["resolved"] == true, "{found}");
}

#[test]
fn what_is_not_known_any_more_is_said_to_be_unresolved() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.launch().with("config", json!({ "quoteCache": { "enabled": false } })).start();
    sidecar.start_account(&bot);
    world.writes(&bot, ANN, "forgotten at once");
    let hers = id(&next(&sidecar));
    let found = quote(&world, &sidecar, &bot, Quote::of(hers));
    assert_eq!((text(&found, "messageId"), &found["resolved"]), (hers.to_string().as_str(), &json!(false)));
    let titled = Quote { title: Some("Ann: forgotten…".into()), ..Quote::of(12345) };
    let found = quote(&world, &sidecar, &bot, titled);
    assert_eq!((text(&found, "text"), &found["resolved"]), ("Ann: forgotten…", &json!(false)));
}

#[test]
fn a_quote_expires_with_the_texts_and_settings_take_effect_at_once() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, ANN, "fleeting");
    let hers = id(&next(&sidecar));
    let configure = |cache: Value| sidecar.call("config.set", json!({ "config": { "quoteCache": cache } }));
    for (cache, resolved) in [
        (json!({ "retentionDays": 0 }), false),
        (json!({ "retentionDays": 1 }), true),
        (json!({ "enabled": false }), false),
    ] {
        configure(cache);
        let found = quote(&world, &sidecar, &bot, Quote::of(hers));
        assert_eq!((&found["resolved"], found["text"].is_null()), (&json!(resolved), !resolved));
    }
}

#[test]
fn nobody_reads_another_persons_messages_by_quoting_them() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.writes(&bot, "bob@im.wechat", "bob's secret");
    let his = id(&next(&sidecar));
    let found = quote(&world, &sidecar, &bot, Quote::of(his));
    assert_eq!(found["resolved"], false, "{found}");
    assert!(found["text"].is_null());
}
