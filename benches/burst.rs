//! A burst: many messages from many people, delivered and acked.
//!
//! The server hands everything over as fast as it is asked, 500 messages an answer. The gateway acks each delivery with
//! a request of its own; in a second run all deliveries that came with one read are acked with one request. The figure
//! counts from the first delivery until the last ack is answered; the one beside it from the server's first answer.
//!
//! The floor is bare SQLite: the same rows inserted and deleted in transactions of 64, the size of the window.
//!
//! Options: `--messages N` (20000), `--people N` (500), `--runs N` (5), `--binary PATH`, `--json`.

mod common;
#[path = "common/sqlite.rs"]
mod sqlite;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::{Aim, Gateway, Poll, Report, Samples, Server};
use sqlite::Bare;

/// Messages in one answer of the server; what the simulator puts into one.
const ANSWER: usize = 500;
/// Deliveries in flight at most: rows that a transaction of the floor has.
const WINDOW: usize = 64;

fn main() {
    let messages: usize = common::value("--messages", 20_000);
    let people: usize = common::value("--people", 500);
    let runs: usize = common::value("--runs", 5);
    let wires: Vec<String> = (0..messages)
        .map(|n| Server::message(n as u64, (n % people) as u64, &format!("message {n} of {messages}")))
        .collect();
    let mut bare = Samples::default();
    let [mut each, mut read] = [(); 2].map(|()| Figures::default());
    for _ in 0..runs {
        let dir = tempfile::tempdir().unwrap();
        bare.push(messages as f64 / floor(dir.path(), &wires, people).as_secs_f64());
        each.add(messages, &burst(&dir.path().join("each"), &wires, false));
        read.add(messages, &burst(&dir.path().join("read"), &wires, true));
    }
    let mut report =
        Report::new(format!("burst: {messages} messages from {people} people, delivered and acked ({runs} runs)"));
    let aim = Some(Aim::AtLeast(20_000.0));
    let floor = |value| ("bare insert + delete", value);
    for (name, figures) in [("an ack each", &each), ("an ack a read", &read)] {
        let Figures { delivered, answered, cpu } = figures;
        report.figure(&format!("{name}, median"), "/s", delivered.median(), aim, floor(bare.median()));
        report.figure("  best", "/s", delivered.max(), None, floor(bare.max()));
        report.figure("  from the server's answer, median", "/s", answered.median(), None, floor(bare.median()));
        if !cpu.is_empty() {
            report.note("  processor time a message, median", "µs", cpu.median());
        }
    }
    report.print();
}

/// What bursts of one kind came to: messages a second, and the sidecar's processor time a message.
#[derive(Default)]
struct Figures {
    delivered: Samples,
    answered: Samples,
    cpu: Samples,
}

impl Figures {
    fn add(&mut self, messages: usize, took: &Took) {
        let messages = messages as f64;
        self.delivered.push(messages / took.since_delivery.as_secs_f64());
        self.answered.push(messages / took.since_answer.as_secs_f64());
        if let Some(cpu) = took.cpu {
            self.cpu.push(cpu / messages * 1e6);
        }
    }
}

/// What one burst took until its last ack was answered.
struct Took {
    /// From the first delivery.
    since_delivery: Duration,
    /// From the server's first answer.
    since_answer: Duration,
    /// Seconds of the sidecar's processor time, its start included.
    cpu: Option<f64>,
}

fn burst(state: &Path, wires: &[String], one_ack_a_read: bool) -> Took {
    let answers: Vec<Vec<u8>> =
        wires.chunks(ANSWER).enumerate().map(|(n, wires)| Server::answer(wires, &(n + 1).to_string())).collect();
    let Server { url, polls } = Server::start();
    common::write_accounts(state, 1);
    let mut gateway = Gateway::start(&url, state);
    gateway.start_accounts(&[common::account_id(1)]);
    let mut first: Poll = polls.recv().unwrap();

    let (tell, told) = channel();
    let server = std::thread::spawn(move || {
        tell.send(first.reply(&answers[0])).unwrap();
        // The cursor is how many answers were taken in; after the last one the poll is held.
        while let Ok(mut poll) = polls.recv() {
            match answers.get(poll.cursor.parse::<usize>().unwrap()) {
                Some(answer) => {
                    poll.reply(answer);
                }
                None => return poll,
            }
        }
        panic!("the server has ended");
    });
    let (first_delivery, last_ack) = deliver(&mut gateway, wires.len(), one_ack_a_read);
    let first_answer = told.recv().unwrap();
    let cpu = common::cpu_seconds(gateway.pid());
    let held = server.join().unwrap();
    gateway.stop();
    drop(held);
    Took { since_delivery: last_ack - first_delivery, since_answer: last_ack - first_answer, cpu }
}

/// Acks every delivery. Returns when the first one came and when the last ack was answered.
fn deliver(gateway: &mut Gateway, count: usize, one_ack_a_read: bool) -> (Instant, Instant) {
    let (stdin, stdout) = gateway.ends();
    let stdout = stdout.get_mut();
    let mut buffer = vec![0; 256 * 1024];
    let mut filled = 0;
    let (mut acked, mut requests, mut answered) = (0, 0, 0);
    let mut began = None;
    let mut ids = Vec::new();
    while acked < count || answered < requests {
        let read = stdout.read(&mut buffer[filled..]).expect("the sidecar writes");
        assert!(read > 0, "the sidecar has ended");
        began.get_or_insert_with(Instant::now);
        filled += read;
        let Some(end) = buffer[..filled].iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in buffer[..end].split(|byte| *byte == b'\n') {
            // Lines of the sidecar begin with these members; a parser here would be what is measured.
            let Some(id) = delivery_id(line) else {
                assert!(line.starts_with(br#"{"jsonrpc":"2.0","id":"#), "{}", String::from_utf8_lossy(line));
                answered += 1;
                continue;
            };
            acked += 1;
            if one_ack_a_read {
                ids.push(format!("\"{id}\""));
            } else {
                requests += 1;
                write_ack(stdin, requests, &format!("\"{id}\""));
            }
        }
        if !ids.is_empty() {
            requests += 1;
            write_ack(stdin, requests, &ids.join(","));
            ids.clear();
        }
        buffer.copy_within(end + 1..filled, 0);
        filled -= end + 1;
    }
    (began.unwrap(), Instant::now())
}

fn delivery_id(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(br#"{"jsonrpc":"2.0","method":"inbound.message","params":{"deliveryId":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    str::from_utf8(&rest[..end]).ok()
}

fn write_ack(stdin: &mut std::process::ChildStdin, id: usize, ids: &str) {
    let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"inbound.ack","params":{{"deliveryIds":[{ids}]}}}}"#);
    stdin.write_all(format!("{line}\n").as_bytes()).expect("the sidecar reads");
}

/// The same rows through bare SQLite.
fn floor(dir: &Path, wires: &[String], people: usize) -> Duration {
    let mut bare = Bare::create(dir, "NORMAL");
    let rows: Vec<(String, String)> =
        wires.iter().enumerate().map(|(n, wire)| (format!("person{}@im.wechat", n % people), wire.clone())).collect();
    let began = Instant::now();
    for (n, rows) in rows.chunks(WINDOW).enumerate() {
        let rows = bare.insert(rows, &n.to_string());
        bare.delete(rows);
    }
    began.elapsed()
}
