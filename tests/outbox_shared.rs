//! One outbox, several who use it: the same send asked for twice, several processes, processes of other containers. Nothing
//! is doubled, nothing is left, nobody waits for nothing.

mod common;

use std::time::{Duration, Instant};

use common::{Bot, Sidecar, World, run, until};
use ilink_simulator::{Endpoint, FaultKind, LimitsPatch};
use serde_json::{Value, json};

const ALICE: &str = "alice@im.wechat";

/// A pace that tests need not wait for.
fn fast() -> Value {
    json!({ "outbox": { "perMinute": 6000, "burst": 100, "notice": false } })
}

fn start(world: &World, bot: &Bot) -> Sidecar {
    let sidecar = world.launch().with("config", fast()).env("WEIXIN_OUTBOX_CLOSE_MS", "400").start();
    sidecar.start_account(bot);
    sidecar
}

#[test]
fn the_same_key_is_the_same_message_also_while_it_is_held_and_from_another_process() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    let params = json!({ "to": ALICE, "text": "one", "idempotencyKey": "k" });
    let first = sidecar.call("outbound.sendText", params.clone());
    let again = sidecar.call("outbound.sendText", params.clone());
    assert_eq!(first["clientIds"], again["clientIds"]);
    assert_eq!(first["queueId"], again["queueId"]);
    let args = ["send", "--to", ALICE, "--idempotency-key", "k", "--json", "one"];
    let other = run(world.state.path(), world.url(), &args, "").exits(0).json();
    assert_eq!(first["clientIds"], other["clientIds"]);
    world.hears(&sidecar, &bot, ALICE);
    world.wait_for_sent(1);
    assert_eq!(sidecar.call("outbound.sendText", params)["status"], "sent");
    assert_eq!(world.texts(), ["one"]);
}

#[test]
fn whoever_asks_again_in_the_moment_of_the_answer_is_answered_at_once() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world
        .launch()
        .with("config", json!({ "outbox": { "perMinute": 60_000, "burst": 10_000, "quotaPerMessage": 10_000 } }));
    let sidecar = sidecar.start();
    sidecar.start_account(&bot);
    world.control.set_limits(LimitsPatch { quota_per_token: Some(None), ..LimitsPatch::default() });
    world.hears(&sidecar, &bot, ALICE);
    for n in 0..200 {
        let params = json!({ "to": ALICE, "text": format!("m{n}"), "idempotencyKey": n.to_string() });
        let began = Instant::now();
        let asked: Vec<u64> = (0..8).map(|_| sidecar.ask("outbound.sendText", params.clone())).collect();
        asked.iter().for_each(|id| assert_eq!(sidecar.result(*id)["status"], "sent"));
        assert!(began.elapsed() < Duration::from_secs(15), "round {n}: it waited for nothing");
    }
    assert_eq!(world.texts(), (0..200).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

#[test]
fn what_a_short_lived_process_could_not_finish_the_one_that_polls_sends() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = start(&world, &bot);
    world.hears(&sidecar, &bot, ALICE);
    let other = world.launch().with("config", fast()).start();
    world.fault(Endpoint::SendMessage, FaultKind::Delay(Duration::from_secs(20)), 1);
    other.ask("outbound.sendText", json!({ "to": ALICE, "text": "one" }));
    until("the request", || world.requests(&bot, Endpoint::SendMessage) > 0);
    other.kill();
    world.wait_for_sent(1);
    until("the outbox to be empty", || sidecar.held() == 0);
    assert_eq!(world.texts(), ["one"]);
}

#[test]
fn two_processes_keep_the_quota_together() {
    let world = World::new();
    let bot = world.bot();
    let one = start(&world, &bot);
    world.hears(&one, &bot, ALICE);
    let two = world.launch().with("config", fast()).start();
    let params = |n: usize| json!({ "to": ALICE, "text": format!("m{n}") });
    let asked: Vec<(u64, u64)> = (0..10)
        .map(|n| (one.ask("outbound.sendText", params(n)), two.ask("outbound.sendText", params(n + 100))))
        .collect();
    let results: Vec<Value> = asked.iter().flat_map(|(a, b)| [one.result(*a), two.result(*b)]).collect();
    let sent = results.iter().filter(|result| result["status"] == "sent").count();
    assert_eq!((sent, world.sent().len()), (10, 10));
    assert!(world.control.rejected(&Default::default()).is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_claim_from_another_container_or_boot_is_waited_for_although_its_number_is_free_here() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ALICE);
    world.lasting_fault(Endpoint::SendMessage, FaultKind::Status(503));
    sidecar.ask("outbound.sendText", json!({ "to": ALICE, "text": "one" }));
    until("the request", || world.requests(&bot, Endpoint::SendMessage) > 0);
    sidecar.kill();
    world.control.clear_faults();
    // The numbers are those of the process that was just killed; only the boot tells that they are another's.
    let claim: String = world.state.sql().query_row("SELECT claimed_by FROM outbound", [], |row| row.get(0)).unwrap();
    let (numbers, boot_id) = claim.rsplit_once(" pid:").expect("a claim names its pid namespace");
    let elsewhere = format!("{numbers} elsewhere pid:{boot_id}");
    let claim_it = |until: i64| {
        let sql = world.state.sql();
        sql.execute("UPDATE outbound SET claimed_by = ?1, claimed_until = ?2", rusqlite::params![elsewhere, until])
            .unwrap();
    };
    claim_it(i64::MAX);
    let before = world.requests(&bot, Endpoint::SendMessage);
    let sidecar = world.sidecar();
    let asked = sidecar.ask("outbound.sendText", json!({ "to": ALICE, "text": "two" }));
    until("a look at the claim", || sidecar.log().iter().any(|line| line.contains("another process sends")));
    assert_eq!(world.requests(&bot, Endpoint::SendMessage), before, "what is another's is not sent");
    claim_it(0);
    assert_eq!(sidecar.result(asked)["status"], "sent");
    assert_eq!(world.texts(), ["one", "two"], "a claim that has run out is taken over");
}
