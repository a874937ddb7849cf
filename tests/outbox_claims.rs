//! A send is one process's at a time. Whose it is says a claim that means the same in every container and after a reboot.

#![cfg(target_os = "linux")]

mod common;

use common::{World, until};
use openclaw_weixin_sidecar::simulator::{Endpoint, FaultKind};
use serde_json::json;

const ALICE: &str = "alice@im.wechat";

#[test]
fn a_claim_from_another_container_or_boot_is_waited_for_although_its_number_is_free_here() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    world.writes(&bot, ALICE, "hello");
    sidecar.ack(&sidecar.deliveries(1));
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
    let texts: Vec<String> = world.sent().iter().filter_map(|sent| sent.text.clone()).collect();
    assert_eq!(texts, ["one", "two"], "a claim that has run out is taken over");
}
