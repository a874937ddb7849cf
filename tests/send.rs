//! A text on its way: how it looks, how it is cut, from which account it goes.

mod common;

use std::time::Duration;

use common::{Bot, Sidecar, World, eventually, run, text, until};
use ilink_simulator::{Endpoint, FaultKind};
use serde_json::json;

const ANN: &str = "ann@im.wechat";

/// A sidecar that has heard from Ann on each of these bots.
fn heard_from_ann(world: &World, bots: &[&Bot]) -> Sidecar {
    let config = json!({ "outbox": { "perMinute": 6000, "burst": 100 } });
    let sidecar = world.launch().with("config", config).start();
    for (n, bot) in bots.iter().enumerate() {
        sidecar.start_account(bot);
        world.writes(bot, ANN, "hello");
        let all = sidecar.deliveries(n + 1);
        sidecar.ack(&all[n..]);
    }
    sidecar
}

#[test]
fn a_text_arrives_as_wechat_shows_it_with_the_persons_context() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let params = json!({ "to": ANN, "text": "# Hi\n**bold** ![pic](x.png)\n##### small", "runId": "run-7" });
    let result = sidecar.call("outbound.sendText", params);
    assert_eq!((result["status"].as_str(), result["parts"].as_u64()), (Some("sent"), Some(1)));
    let sent = &world.sent()[0];
    assert_eq!(sent.text.as_deref(), Some("# Hi\n**bold** \nsmall"));
    assert_eq!(sent.run_id.as_deref(), Some("run-7"));
    assert!(sent.context_token.is_some());
    assert_eq!(result["clientIds"][0], sent.client_id.as_str());
    assert_eq!(result["messageIds"][0], sent.message_id.as_str());
}

#[test]
fn a_long_text_is_cut_at_4000_characters_in_order() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let paragraphs: Vec<String> = (0..6).map(|n| format!("{n}{}", "字".repeat(1_990))).collect();
    let result = sidecar.send(ANN, &paragraphs.join("\n\n"));
    assert_eq!(result["parts"], 3);
    let texts: Vec<String> = world.sent().iter().map(|sent| sent.text.clone().unwrap()).collect();
    assert_eq!(texts.join("\n\n"), paragraphs.join("\n\n"));
    assert!(texts.iter().all(|text| text.chars().count() <= 4_000));
}

#[test]
fn a_text_of_more_than_a_hundred_messages_is_refused_whole() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let error = sidecar.refused("outbound.sendText", json!({ "to": ANN, "text": "word ".repeat(100 * 800 + 1) }));
    assert_eq!(error["data"]["kind"], "invalid_params");
    assert!(text(&error, "message").contains("101"), "{error}");
    assert_eq!((world.sent().len(), world.state.count("SELECT count(*) FROM outbound")), (0, 0));
}

#[test]
fn blank_texts_and_missing_people_are_refused_by_name() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    for (params, field) in [
        (json!({ "to": ANN, "text": " \n" }), "text"),
        (json!({ "to": ANN, "text": "![only a picture](x.png)" }), "text"),
        (json!({ "to": " ", "text": "x" }), "to"),
        (json!({ "text": "x" }), "to"),
    ] {
        let error = sidecar.refused("outbound.sendText", params);
        assert_eq!(error["code"], -32602, "{error}");
        assert!(text(&error, "message").contains(field), "{error}");
    }
}

#[test]
fn the_account_is_the_only_one_or_the_one_that_knows_the_person() {
    let world = World::new();
    let nobody = world.sidecar();
    let error = nobody.refused("outbound.sendText", json!({ "to": ANN, "text": "x" }));
    assert_eq!(error["data"]["kind"], "account_not_configured");
    drop(nobody);

    let one = world.bot();
    let sidecar = heard_from_ann(&world, &[&one]);
    sidecar.send(ANN, "from the only one");
    let two = world.bot();
    sidecar.send(ANN, "from the one that knows her");
    assert!(world.sent().iter().all(|sent| sent.bot_id == one.id));
    let error = sidecar.refused("outbound.sendText", json!({ "to": "bob@im.wechat", "text": "x" }));
    assert_eq!((error["code"].as_i64(), error["data"]["kind"].as_str()), (Some(-32012), Some("account_ambiguous")));
    for bot in [&one, &two] {
        assert!(text(&error, "message").contains(&bot.account), "{error}");
    }
    let unknown = sidecar.refused("outbound.sendText", json!({ "to": ANN, "text": "x", "accountId": "nobody" }));
    assert_eq!(unknown["data"]["kind"], "account_not_found");
}

#[test]
fn another_process_sends_with_the_same_context() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    run(world.state.path(), world.url(), &["send", "--to", ANN, "from the command line"], "").exits(0);
    sidecar.send(ANN, "from the gateway");
    let sent = world.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].context_token, sent[1].context_token);
}

#[test]
fn a_server_in_trouble_is_tried_again_with_the_same_client_id() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    for kind in [FaultKind::Status(502), FaultKind::Reset] {
        world.fault(Endpoint::SendMessage, kind, 1);
    }
    let result = sidecar.send(ANN, "one");
    assert_eq!(result["status"], "sent");
    assert_eq!(world.requests(&bot, Endpoint::SendMessage), 3);
    assert_eq!(result["clientIds"][0], world.sent()[0].client_id.as_str());
}

#[test]
fn a_finished_send_is_remembered_by_its_key_over_a_restart() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let params = json!({ "to": ANN, "text": "one", "idempotencyKey": "k" });
    let first = sidecar.call("outbound.sendText", params.clone());
    sidecar.kill();
    let sidecar = world.sidecar();
    assert_eq!(sidecar.call("outbound.sendText", params), first);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn a_key_that_is_asked_for_again_with_another_account_is_answered_when_its_send_is() {
    let world = World::new();
    let (one, two) = (world.bot(), world.bot());
    let sidecar = heard_from_ann(&world, &[&one, &two]);
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Delay(Duration::from_millis(1_500)));
    let send = |bot: &Bot| json!({ "accountId": bot.account, "to": ANN, "text": "one", "idempotencyKey": "k" });
    let first = sidecar.ask("outbound.sendText", send(&one));
    until("the request", || world.requests(&one, Endpoint::SendMessage) == 1);
    let again = sidecar.ask("outbound.sendText", send(&two));
    let result = sidecar.result(first);
    let answered = std::time::Instant::now();
    assert_eq!(sidecar.result(again), result);
    // One that waits in the wrong conversation is answered when it has waited for fifteen seconds.
    assert!(answered.elapsed() < Duration::from_secs(8), "{:?}", answered.elapsed());
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn a_send_killed_between_its_parts_is_finished_after_the_restart_and_no_part_comes_twice() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let texts: Vec<String> = (0..4).map(|n| format!("{n}{}", "字".repeat(3_990))).collect();
    let params = json!({ "to": ANN, "text": texts.join("\n\n"), "idempotencyKey": "long" });
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Delay(Duration::from_millis(300)));
    sidecar.ask("outbound.sendText", params.clone());
    let before = world.wait_for_sent(2).len();
    sidecar.kill();
    assert!(before < texts.len(), "it was killed too late");
    world.control.clear_faults();

    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    world.wait_for_sent(texts.len());
    // The same key is the same send: its answer names what arrived.
    let result = sidecar.call("outbound.sendText", params);
    let sent = world.sent();
    assert_eq!(sent.iter().map(|sent| sent.text.clone().unwrap()).collect::<Vec<_>>(), texts);
    let client_ids: Vec<&str> = sent.iter().map(|sent| sent.client_id.as_str()).collect();
    assert_eq!(result["clientIds"], json!(client_ids));
}

#[test]
fn typing_is_shown_and_ended_and_is_never_an_error() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    let typing =
        |active: bool| sidecar.call("outbound.sendTyping", json!({ "to": ANN, "active": active }))["sent"].clone();
    assert_eq!(typing(true), true);
    assert_eq!(typing(false), true);
    let shown: Vec<i64> = world.report(&bot).typing.iter().map(|typing| typing.status as i64).collect();
    assert_eq!(shown, [1, 2]);
    // The ticket is asked for once.
    assert_eq!(world.requests(&bot, Endpoint::GetConfig), 1);
    world.lasting_fault(Endpoint::SendTyping, FaultKind::Status(500));
    assert_eq!(typing(true), false);
}

#[test]
fn typing_is_repeated_while_it_lasts() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = heard_from_ann(&world, &[&bot]);
    sidecar.call("outbound.sendTyping", json!({ "to": ANN, "active": true }));
    eventually("a repetition", || (world.report(&bot).typing.len() >= 2).then_some(()));
}
