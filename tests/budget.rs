//! What WeChat allows a bot is learned from what it refuses, is shown, and is spent on answers first.

mod common;

use common::{Bot, Sidecar, World, eventually, run, text, until};
use ilink_simulator::{Endpoint, FaultKind, LimitsPatch, Rejected, Sent};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const BOB: &str = "bob@im.wechat";

fn started(world: &World, bot: &Bot, outbox: Value) -> Sidecar {
    started_closing(world, bot, outbox, 40)
}

/// A refusal closes a conversation for so many milliseconds, and the bot for a quarter of them.
fn started_closing(world: &World, bot: &Bot, outbox: Value, close_ms: u32) -> Sidecar {
    let mut config = json!({ "outbox": { "perMinute": 600_000, "burst": 1000, "notice": false } });
    for (key, value) in outbox.as_object().unwrap() {
        config["outbox"][key] = value.clone();
    }
    let sidecar = world.launch().with("config", config).env("WEIXIN_OUTBOX_CLOSE_MS", &close_ms.to_string()).start();
    sidecar.start_account(bot);
    sidecar
}

fn allows(world: &World, quota: u32) {
    world.control.set_limits(LimitsPatch { quota_per_token: Some(Some(quota)), ..LimitsPatch::default() });
}

fn budget(sidecar: &Sidecar) -> Value {
    sidecar.call("outbound.budget", json!({ "to": ANN }))
}

fn refusals(world: &World) -> Vec<Rejected> {
    world.control.rejected(&Default::default())
}

fn status_of(result: &Value) -> &str {
    text(result, "status")
}

/// Ann writes, and the bot answers as long as it may; returns how many answers reached her.
fn fill_a_window(world: &World, sidecar: &Sidecar, bot: &Bot) -> usize {
    let before = world.sent().len();
    world.hears(sidecar, bot, ANN);
    until("what was held to leave", || sidecar.held() == 0 || budget(sidecar)["left"] == 0);
    for _ in 0..12 {
        if status_of(&sidecar.send(ANN, "x")) == "held" {
            break;
        }
    }
    world.sent().len() - before
}

#[test]
fn a_server_that_allows_four_and_later_ten_refuses_three_times_in_a_thousand_sends_at_most() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    allows(&world, 4);
    let mut sent = 0;
    while sent < 500 {
        sent += fill_a_window(&world, &sidecar, &bot);
    }
    assert_eq!(sidecar.status(&bot)["budget"], json!({ "limit": 4, "learned": true }));
    allows(&world, 10);
    while sent < 1_000 {
        sent += fill_a_window(&world, &sidecar, &bot);
    }
    let refused = refusals(&world).len();
    assert!(refused <= 3, "{refused} refusals in {sent} sends");
    let limit = sidecar.status(&bot)["budget"]["limit"].as_u64().unwrap();
    assert!(limit > 4, "confirmed sends raise it: {limit}");
}

#[test]
fn what_was_learned_is_kept_shown_and_forgotten_on_demand() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    let unknown = budget(&sidecar);
    assert_eq!((unknown["left"].as_u64(), unknown["limit"].as_u64()), (Some(0), Some(10)));
    assert!(unknown["windowEndsAtMs"].is_null(), "{unknown}");
    allows(&world, 4);
    world.hears(&sidecar, &bot, ANN);
    let fresh = budget(&sidecar);
    assert_eq!(
        (fresh["left"].as_u64(), text(&fresh, "resetsOn"), fresh["learned"].as_bool()),
        (Some(10), "inbound", Some(false))
    );
    assert!(fresh["windowEndsAtMs"].as_i64().unwrap() > 0, "{fresh}");
    let results: Vec<Value> = (0..6).map(|n| sidecar.send(ANN, &format!("m{n}"))).collect();
    let statuses: Vec<&str> = results.iter().map(status_of).collect();
    assert_eq!(statuses, ["sent", "sent", "sent", "sent", "held", "held"]);
    assert!(results[4..].iter().all(|result| result["heldReason"] == "quota"), "{results:?}");
    assert_eq!(refusals(&world).len(), 1);
    sidecar.kill();

    let sidecar = started(&world, &bot, json!({}));
    let now = budget(&sidecar);
    assert_eq!((now["left"].as_u64(), now["limit"].as_u64(), now["learned"].as_bool()), (Some(0), Some(4), Some(true)));
    world.hears(&sidecar, &bot, ANN);
    world.wait_for_sent(6);
    assert_eq!(world.texts(), ["m0", "m1", "m2", "m3", "m4", "m5"]);
    eventually("two to be left", || (budget(&sidecar)["left"] == 2).then_some(()));
    let shown = run(world.state.path(), world.url(), &["outbox", "--budget", ANN], "").exits(0);
    assert!(shown.stdout.starts_with("2 of 4 messages left, learned from refusals; "), "{}", shown.stdout);
    let status = run(world.state.path(), world.url(), &["status"], "").exits(0);
    assert!(status.stdout.contains("4 (learned)"), "{}", status.stdout);

    run(world.state.path(), world.url(), &["outbox", "reset-budget", &bot.account], "").exits(0);
    assert_eq!(budget(&sidecar)["limit"], 10);
    sidecar.call("outbound.resetBudget", json!({ "accountId": bot.account }));
    let error = sidecar.refused("outbound.resetBudget", json!({ "accountId": "nobody" }));
    assert_eq!(error["data"]["kind"], "account_not_found");
}

#[test]
fn a_code_of_its_own_for_too_many_requests_teaches_the_same() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    for n in 0..3 {
        sidecar.send(ANN, &format!("m{n}"));
    }
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -12, errmsg: Some("rate limit".into()) }, 1);
    let held = sidecar.send(ANN, "m3");
    assert_eq!((status_of(&held), text(&held, "heldReason")), ("held", "quota"));
    assert_eq!(budget(&sidecar)["limit"], 3);
}

#[test]
fn the_rest_of_a_long_answer_can_be_one_file() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 3, "overflow": "file" }));
    world.hears(&sidecar, &bot, ANN);
    let paragraphs: Vec<String> = (0..6).map(|n| format!("第{n}段{}", "字".repeat(3_900))).collect();
    let result = sidecar.send(ANN, &paragraphs.join("\n\n"));
    assert_eq!((status_of(&result), result["parts"].as_u64()), ("sent", Some(3)), "{result}");
    let sent = world.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[1].text.as_deref(), Some(paragraphs[1].as_str()));
    let file = sent[2].media.as_ref().expect("a file");
    assert_eq!(file.file_name.as_deref(), Some("rest.txt"));
    assert_eq!(rest(&world, &sent[2]), paragraphs[2..].join("\n\n"), "nothing is missing");
    assert_eq!(result["clientIds"].as_array().unwrap().len(), 3);

    // What fits is no file, and an answer behind others waits as ever.
    world.hears(&sidecar, &bot, ANN);
    assert_eq!(sidecar.send(ANN, &paragraphs[..3].join("\n\n"))["parts"], 3);
    assert!(world.sent()[3..].iter().all(|sent| sent.media.is_none()));
    assert_eq!(status_of(&sidecar.send(ANN, "one")), "held");
    assert_eq!(status_of(&sidecar.send(ANN, &paragraphs.join("\n\n"))), "held");
    world.hears(&sidecar, &bot, ANN);
    world.wait_for_sent(9);
    let after = &world.sent()[6..];
    assert_eq!(after[0].text.as_deref(), Some("one"));
    assert!(after[1].media.is_none() && after[2].media.is_some(), "{after:?}");
    until("nothing to wait", || sidecar.held() == 0);
}

#[test]
fn a_file_with_the_rest_survives_a_kill_at_any_moment() {
    let world = World::new();
    let bot = world.bot();
    let mut random = common::Random::seeded();
    let text: String = (0..5).map(|n| format!("{n}{}\n\n", "x".repeat(3_900))).collect();
    for n in 0..8 {
        let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 2, "overflow": "file" }));
        world.hears(&sidecar, &bot, ANN);
        let params = json!({ "to": ANN, "text": text, "idempotencyKey": format!("k{n}") });
        sidecar.ask("outbound.sendText", params.clone());
        std::thread::sleep(std::time::Duration::from_micros(random.below(30_000)));
        sidecar.kill();
        let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 2, "overflow": "file" }));
        let result = sidecar.call("outbound.sendText", params);
        assert_eq!((status_of(&result), result["parts"].as_u64()), ("sent", Some(2)), "{result}");
        let sent = world.sent();
        let (first, file) = (&sent[2 * n], &sent[2 * n + 1]);
        assert_eq!(sent.len(), 2 * (n + 1), "nothing twice");
        assert_eq!(format!("{}\n\n{}", first.text.as_deref().unwrap(), rest(&world, file)), text.trim_end());
        sidecar.kill();
    }
}

/// What a file that was sent says.
fn rest(world: &World, sent: &Sent) -> String {
    String::from_utf8(world.control.sent_bytes(sent).unwrap()).unwrap()
}

#[test]
fn a_message_that_may_have_arrived_is_not_made_a_file() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 2, "overflow": "file" }));
    world.hears(&sidecar, &bot, ANN);
    let text: String = (0..4).map(|n| format!("{n}{}\n\n", "x".repeat(3_900))).collect();
    world.fault(Endpoint::SendMessage, FaultKind::DropAnswer, 1);
    let result = sidecar.send(ANN, &text);
    assert_eq!((status_of(&result), result["parts"].as_u64()), ("sent", Some(2)), "{result}");
    let sent = world.sent();
    assert_eq!(format!("{}\n\n{}", sent[0].text.as_deref().unwrap(), rest(&world, &sent[1])), text.trim_end());
}

#[test]
fn the_rest_is_the_answers_own_text_and_so_is_what_a_hook_is_told() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 2, "overflow": "file" }));
    let answer =
        format!("Use <b> here. {}\n\n```\n{}```", "One long paragraph. ".repeat(300), "code <i>\n".repeat(500));
    let held = sidecar.send(ANN, &answer);
    assert_eq!(text(&held, "heldReason"), "no_context");
    world.hears(&sidecar, &bot, ANN);
    let update = sidecar.wait("an update", |seen| seen.updates.first().cloned());
    let sent = world.sent();
    let file = rest(&world, &sent[1]);
    assert!(answer.ends_with(&file) && file.contains("<i>") && file.matches("```").count() == 2, "{file}");
    assert_eq!(update["status"], "sent");
    assert!(text(&update, "text").ends_with(&file), "{update}");
}

#[test]
fn an_http_429_teaches_nothing_of_messages() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    sidecar.send(ANN, "one");
    world.fault(Endpoint::SendMessage, FaultKind::Status(429), 1);
    let held = sidecar.send(ANN, "two");
    assert_eq!((status_of(&held), text(&held, "heldReason")), ("held", "throttled"), "{held}");
    assert_eq!(budget(&sidecar)["limit"], 10);
}

#[test]
fn an_extra_never_waits() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started_closing(&world, &bot, json!({}), 60_000);
    world.hears(&sidecar, &bot, ANN);
    world.hears(&sidecar, &bot, BOB);
    // The bot is closed for everybody after a refusal for one.
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -2, errmsg: None }, 1);
    assert_eq!(status_of(&sidecar.send(BOB, "hello")), "held");
    let extra = sidecar.call("outbound.sendText", json!({ "to": ANN, "text": "by the way", "extra": true }));
    assert_eq!((status_of(&extra), extra["queueId"].is_null()), ("held", true), "{extra}");
    assert_eq!(sidecar.held(), 1, "bob's");
}

#[test]
fn an_extra_of_several_messages_leaves_one_for_the_answer_and_never_waits_for_the_network() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 4 }));
    world.hears(&sidecar, &bot, ANN);
    let extra = |text: &str| sidecar.call("outbound.sendText", json!({ "to": ANN, "text": text, "extra": true }));
    let long = (0..4).map(|n| format!("{n}{}", "x".repeat(3_900))).collect::<Vec<_>>().join("\n\n");
    assert_eq!(status_of(&extra(&long)), "held");
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Reset);
    let dropped = extra("short");
    assert_eq!((status_of(&dropped), dropped["queueId"].is_null()), ("held", true), "{dropped}");
    assert_eq!(sidecar.held(), 0);
    world.control.clear_faults();
    assert_eq!(status_of(&sidecar.send(ANN, "the answer")), "sent");
    assert_eq!(world.texts(), ["the answer"]);
}

#[test]
fn the_rest_of_an_answer_waits_as_text_where_its_file_is_refused() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 2, "overflow": "file" }));
    let paragraphs: Vec<String> = (0..4).map(|n| format!("{n}{}", "x".repeat(3_900))).collect();
    let refusals = [
        (Endpoint::GetUploadUrl, FaultKind::Ret { ret: -1, errmsg: None }),
        (Endpoint::CdnUpload, FaultKind::Refuse { status: 403, message: "no".into() }),
    ];
    for (n, (endpoint, kind)) in refusals.into_iter().enumerate() {
        world.hears(&sidecar, &bot, ANN);
        world.fault(endpoint, kind, 1);
        let held = sidecar.send(ANN, &paragraphs.join("\n\n"));
        assert_eq!((status_of(&held), text(&held, "heldReason")), ("held", "quota"), "{held}");
        world.hears(&sidecar, &bot, ANN);
        world.wait_for_sent(4 * (n + 1));
        assert_eq!(world.texts()[4 * n..], paragraphs[..], "as the messages that it was");
    }
}

#[test]
fn progress_and_extras_never_take_the_last_message() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "quotaPerMessage": 3 }));
    world.hears(&sidecar, &bot, ANN);
    let extra = || sidecar.call("outbound.sendText", json!({ "to": ANN, "text": "by the way", "extra": true }));
    let progress =
        || sidecar.call("outbound.sendProgress", json!({ "to": ANN, "runId": "r", "phase": "start", "toolName": "t" }));
    assert_eq!(status_of(&extra()), "sent");
    assert_eq!(status_of(&extra()), "sent");
    for dropped in [extra(), progress()] {
        assert_eq!((status_of(&dropped), dropped["queueId"].is_null()), ("held", true), "{dropped}");
    }
    assert_eq!(sidecar.held(), 0, "it does not wait");
    assert_eq!(status_of(&sidecar.send(ANN, "the answer")), "sent");
    assert_eq!(world.texts(), ["by the way", "by the way", "the answer"]);
}

#[test]
fn prepare_failed_is_answered_with_a_recovery_and_one_more_try() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    sidecar.send(ANN, "one");
    let (starts, tickets) = (world.report(&bot).notify_start, world.requests(&bot, Endpoint::GetConfig));
    let prepare_failed = || FaultKind::Ret { ret: -2, errmsg: Some("prepare failed".into()) };
    world.fault(Endpoint::SendMessage, prepare_failed(), 1);
    let sent = sidecar.send(ANN, "two");
    assert_eq!(status_of(&sent), "sent", "{sent}");
    assert_eq!(world.report(&bot).notify_start, starts + 1);
    assert_eq!(world.requests(&bot, Endpoint::GetConfig), tickets + 1, "a fresh ticket");
    let recovery = sidecar.status(&bot)["recovery"].clone();
    let steps = ["connections", "notify_start", "typing_ticket", "send"];
    assert_eq!(recovery["tried"], json!(steps.map(|step| json!({ "step": step, "ok": true }))));
    assert_eq!(recovery["ok"], true);
    assert_eq!(budget(&sidecar)["limit"], 10, "it says nothing of a figure");
    assert!(sidecar.log().iter().any(|line| line.contains("prepare failed: a step of the recovery")));
}

#[test]
fn two_conversations_that_are_not_prepared_share_one_recovery() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    for person in [ANN, BOB] {
        world.hears(&sidecar, &bot, person);
    }
    let starts = world.report(&bot).notify_start;
    // Both are on their way when the first is refused.
    world.fault(Endpoint::SendMessage, FaultKind::Delay(std::time::Duration::from_millis(300)), 2);
    world.fault(Endpoint::SendMessage, FaultKind::Ret { ret: -2, errmsg: Some("prepare failed".into()) }, 2);
    let asked = [ANN, BOB].map(|to| sidecar.ask("outbound.sendText", json!({ "to": to, "text": "hello" })));
    for ask in asked {
        let sent = sidecar.result(ask);
        assert_eq!(status_of(&sent), "sent", "{sent}");
    }
    assert_eq!(world.report(&bot).notify_start, starts + 1);
    assert_eq!(sidecar.status(&bot)["recovery"]["ok"], true);
}

#[test]
fn messages_that_were_on_their_way_when_the_figure_was_learned_wait_for_their_people_too() {
    let world = World::new();
    let bot = world.bot();
    allows(&world, 2);
    let sidecar = started(&world, &bot, json!({}));
    let people: Vec<String> = (0..6).map(|n| format!("p{n}@im.wechat")).collect();
    for person in &people {
        world.hears(&sidecar, &bot, person);
        sidecar.send(person, "one");
        sidecar.send(person, "two");
    }
    world.fault(Endpoint::SendMessage, FaultKind::Delay(std::time::Duration::from_millis(300)), 6);
    let ask = |to: &String| sidecar.ask("outbound.sendText", json!({ "to": to, "text": "three" }));
    let asked: Vec<_> = people.iter().map(ask).collect();
    let reasons: Vec<Value> = asked.into_iter().map(|ask| sidecar.result(ask)["heldReason"].clone()).collect();
    assert_eq!(reasons, vec![json!("quota"); 6], "none is punished for what it could not know");
    let refused = refusals(&world).len();
    world.hears(&sidecar, &bot, &people[0]);
    world.wait_for_sent(13);
    assert_eq!(refusals(&world).len(), refused, "nothing is tried while it waits");
}

#[test]
fn a_new_start_that_does_not_help_is_not_made_again_at_once() {
    let world = World::new();
    let bot = world.bot();
    let config = json!({ "outbox": { "perMinute": 600_000, "burst": 1000, "notice": false } });
    let sidecar = world.launch().with("config", config).env("WEIXIN_OUTBOX_CLOSE_MS", "16000").start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ANN);
    let starts = world.report(&bot).notify_start;
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Ret { ret: -2, errmsg: Some("prepare failed".into()) });
    let held = sidecar.send(ANN, "one");
    assert_eq!((status_of(&held), text(&held, "heldReason")), ("held", "throttled"));
    assert_eq!(world.requests(&bot, Endpoint::SendMessage), 2, "the message, and one probe");
    assert_eq!(sidecar.status(&bot)["recovery"]["ok"], false);
    world.hears(&sidecar, &bot, ANN);
    until("another try", || world.requests(&bot, Endpoint::SendMessage) >= 3);
    assert_eq!(world.report(&bot).notify_start, starts + 1, "once in an interval");
    world.control.clear_faults();
    // The refusal of that try may come after the person's next message, and closes for longer than this test waits.
    until("the message", || {
        world.hears(&sidecar, &bot, ANN);
        std::thread::sleep(std::time::Duration::from_millis(200));
        !world.sent().is_empty()
    });
}

#[test]
fn a_bracket_that_wechat_would_take_for_a_tag_hides_nothing() {
    let world = World::new();
    let bot = world.bot();
    world.control.set_limits(LimitsPatch { hide_tags: Some(Some(true)), ..LimitsPatch::default() });
    let answer = "if a<b then `Vec<T>` <b>done</b>";
    let shown = |escape: Option<bool>| {
        let mut config = json!({ "outbox": { "perMinute": 6000, "burst": 100 } });
        if let Some(escape) = escape {
            config["escapeTags"] = escape.into();
        }
        let sidecar = world.launch().with("config", config).start();
        sidecar.start_account(&bot);
        world.hears(&sidecar, &bot, ANN);
        sidecar.send(ANN, answer);
        let sent = world.sent();
        sent.last().unwrap().shown.clone().unwrap()
    };
    assert_eq!(shown(None), "if a＜b then `Vec<T>` ＜b>done＜/b>");
    assert_eq!(shown(Some(false)), "if a", "this is what it is for");
}
