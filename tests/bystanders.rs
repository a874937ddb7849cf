//! Whatever a sidecar does with itself and with a stale copy of itself, nobody else notices: not the gateway on its port, not
//! the line above, not another sidecar.
#![cfg(target_os = "linux")]

mod common;

use std::net::{TcpListener, TcpStream};

use common::gateways::{Named, ancestry, name_in_lease, runs, stale, start_time};
use common::{EXIT, Launch, Sidecar, World};
use rustix::process::Signal;
use serde_json::json;

/// A process called `openclaw-gateway` that listens on the gateway's port, and everybody above this test.
struct Bystanders {
    gateway: Named,
    port: u16,
    known: Vec<(u32, i64)>,
}

impl Bystanders {
    fn new(world: &World) -> Bystanders {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gateway = Named::listens(world.state.path(), "openclaw-gateway", listener);
        let line = ancestry(std::process::id());
        assert!(line.len() > 1, "{line:?}");
        let known = line.into_iter().chain([gateway.pid()]).map(|pid| (pid, start_time(pid))).collect();
        Bystanders { gateway, port, known }
    }

    /// A sidecar that could know the port, as one below a gateway does.
    fn launch(&self, world: &World) -> Launch {
        world.launch().env("OPENCLAW_GATEWAY_PORT", &self.port.to_string())
    }

    #[track_caller]
    fn are_well(&self, after: &str) {
        for (pid, started) in &self.known {
            assert!(runs(*pid) && start_time(*pid) == *started, "{pid} after {after}");
        }
        TcpStream::connect(("127.0.0.1", self.port)).unwrap_or_else(|error| panic!("the port after {after}: {error}"));
    }
}

#[test]
fn the_gateway_on_its_port_and_the_line_above_survive_every_start_takeover_and_stop() {
    let world = World::new();
    let all = Bystanders::new(&world);
    let bot = world.bot();
    type End = fn(&Sidecar);
    let ends: [(&str, End); 5] = [
        ("shutdown", |sidecar| drop(sidecar.call("shutdown", json!({})))),
        ("the end of stdin", Sidecar::close_stdin),
        ("SIGTERM", |sidecar| sidecar.signal(Signal::TERM)),
        ("SIGINT", |sidecar| sidecar.signal(Signal::INT)),
        ("SIGKILL", |sidecar| sidecar.signal(Signal::KILL)),
    ];
    for (name, end) in ends {
        let sidecar = all.launch(&world).start();
        sidecar.start_account(&bot);
        all.are_well("a start");
        sidecar.stop_account(&bot);
        sidecar.start_account(&bot);
        all.are_well("a stop of the account");
        end(&sidecar);
        sidecar.exit(EXIT);
        all.are_well(name);
    }

    let (old, of_old) = stale(&world);
    let sidecar = all.launch(&world).start();
    // First the row names the gateway, then the one who is stale indeed.
    let row = world.state.sql().query_row(
        "SELECT pid, started, program, gateway_pid, gateway_started FROM lease WHERE account_id = ?1",
        [&of_old.account],
        |row| {
            Ok((
                row.get::<_, u32>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, u32>(3)?,
                row.get::<_, i64>(4)?,
            ))
        },
    );
    let (pid, started, program, gateway_pid, gateway_started) = row.unwrap();
    name_in_lease(&world.state, &of_old.account, all.gateway.pid());
    let refused = sidecar.refused("account.start", json!({ "accountId": of_old.account }));
    assert_eq!(refused["data"]["kind"], "account_locked", "{refused}");
    all.are_well("a takeover that was refused");
    let sql = "UPDATE lease SET pid = ?1, started = ?2, program = ?3, gateway_pid = ?4, gateway_started = ?5 WHERE account_id = ?6";
    let row = rusqlite::params![pid, started, program, gateway_pid, gateway_started, of_old.account];
    assert_eq!(world.state.sql().execute(sql, row).unwrap(), 1);
    sidecar.start_account(&of_old);
    assert!(!runs(old.pid));
    all.are_well("a takeover");
    sidecar.call("shutdown", json!({}));
    sidecar.exit(EXIT);
    all.are_well("the end of the one that took over");
}
