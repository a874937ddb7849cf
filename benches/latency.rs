//! From the server's answer to the line on stdout, the message committed before it.
//!
//! The clock starts when the server writes its answer to a held `getupdates`, and stops when the gateway has read the
//! whole `inbound.message` line. One message at a time on an otherwise idle process: each one is acked, and the next
//! poll is waited for, before the next message.
//!
//! The floors are taken in the same round: the same answer to a bare long poll with the same HTTP client (answer
//! written, body parsed), a line through a pipe to a waiting reader, and a bare SQLite commit of the same row.
//!
//! Options: `--messages N` (2000), `--binary PATH`, `--json`.

mod common;
#[path = "common/sqlite.rs"]
mod sqlite;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Aim, Gateway, Poll, Report, Samples, Server};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use sqlite::Bare;

/// Rounds before the clock counts: caches, branch predictors and connections are warm in a process that runs for days.
const WARM_UP: u64 = 100;

fn main() {
    let messages: u64 = common::value("--messages", 2000);
    let dir = tempfile::tempdir().unwrap();
    let mut sidecar = Sidecar::start(dir.path());
    let mut poll = BarePoll::start();
    let mut pipe = BarePipe::start();
    let mut normal = Bare::create(dir.path(), "NORMAL");
    let mut full = Bare::create(dir.path(), "FULL");

    let mut delivered = Samples::default();
    let mut acked = Samples::default();
    let [mut polled, mut piped, mut normally, mut fully] =
        [const { Vec::new() }; 4].map(|_: Vec<f64>| Samples::default());
    for n in 0..WARM_UP + messages {
        let wire = Server::message(n, n % 50, "When does the museum open on Sunday, and is there a guided tour?");
        let answer = Server::answer(std::slice::from_ref(&wire), &format!("cursor-{n}"));
        let (delivery, ack) = sidecar.round(&answer);
        let a_poll = poll.round(&answer);
        let a_pipe = pipe.round(&wire);
        let row = [(format!("person{}@im.wechat", n % 50), wire)];
        let commit = |bare: &mut Bare| {
            let began = Instant::now();
            let rows = bare.insert(&row, &format!("cursor-{n}"));
            let took = began.elapsed();
            bare.delete(rows);
            took
        };
        let (a_normal, a_full) = (commit(&mut normal), commit(&mut full));
        if n >= WARM_UP {
            delivered.add(delivery);
            acked.add(ack);
            polled.add(a_poll);
            piped.add(a_pipe);
            normally.add(a_normal);
            fully.add(a_full);
        }
        // Not in step with anything, and long enough for every thread to fall asleep.
        std::thread::sleep(Duration::from_micros(500 + n * 7919 % 1000));
    }
    sidecar.gateway.stop();

    let mut report = Report::new(format!("latency: the server's answer to the line on stdout ({messages} messages)"));
    for (name, percent, aim) in [("p50", 50.0, 1.0), ("p99", 99.0, 5.0)] {
        let figure = delivered.percentile(percent);
        let of = |samples: &Samples| samples.percentile(percent);
        let sum = of(&polled) + of(&normally) + of(&piped);
        report.figure(name, "ms", figure, Some(Aim::AtMost(aim)), ("poll + commit + pipe", sum));
        report.figure("", "ms", figure, None, ("bare long poll", of(&polled)));
        report.figure("", "ms", figure, None, ("bare commit (NORMAL)", of(&normally)));
        report.figure("", "ms", figure, None, ("bare commit (FULL)", of(&fully)));
        report.figure("", "ms", figure, None, ("line through a pipe", of(&piped)));
    }
    report.note("smallest", "ms", delivered.min());
    report.note("largest", "ms", delivered.max());
    report.note("ack p50, request to answer", "ms", acked.median());
    report.note("ack p99", "ms", acked.percentile(99.0));
    report.print();
}

struct Sidecar {
    gateway: Gateway,
    server: Server,
    waiting: Poll,
    line: String,
}

impl Sidecar {
    fn start(dir: &Path) -> Sidecar {
        let server = Server::start();
        let state = dir.join("state");
        common::write_accounts(&state, 1);
        let mut gateway = Gateway::start(&server.url, &state);
        gateway.start_accounts(&[common::account_id(1)]);
        let waiting = server.polls.recv().unwrap();
        Sidecar { gateway, server, waiting, line: String::new() }
    }

    /// Lets one message through. Returns how long it took to come, and how long its ack took.
    fn round(&mut self, answer: &[u8]) -> (Duration, Duration) {
        // The poll's thread hands the request over while the client is still on its way to sleep.
        std::thread::sleep(Duration::from_millis(1));
        let (poll, line) = (&mut self.waiting, &mut self.line);
        let began = poll.reply(answer);
        self.gateway.read_line(line);
        let delivery = began.elapsed();
        let id = line.split("\"deliveryId\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let ack = json!({ "deliveryIds": [id.expect("a delivery")] });
        let began = Instant::now();
        let id = self.gateway.send("inbound.ack", &ack);
        self.gateway.answer(id);
        let ack = began.elapsed();
        self.waiting = self.server.polls.recv().unwrap();
        (delivery, ack)
    }
}

#[derive(Deserialize)]
struct Answer {
    msgs: Vec<Box<RawValue>>,
    get_updates_buf: String,
}

/// The same HTTP client on a runtime like the sidecar's, and nothing behind it.
struct BarePoll {
    server: Server,
    parsed: Receiver<Instant>,
    waiting: Poll,
}

impl BarePoll {
    fn start() -> BarePoll {
        let server = Server::start();
        let url = format!("{}/ilink/bot/getupdates", server.url);
        let (tell, parsed) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let polling = runtime.spawn(async move {
                let client = common::bare_client();
                let mut cursor = String::new();
                loop {
                    let body = json!({ "get_updates_buf": cursor });
                    let request = client.post(&url).timeout(Duration::from_secs(37)).json(&body);
                    let Ok(response) = request.send().await else { return };
                    let Ok(body) = response.bytes().await else { return };
                    let answer: Answer = serde_json::from_slice(&body).expect("the answer is JSON");
                    let at = Instant::now();
                    assert_eq!(answer.msgs.len(), 1);
                    cursor = answer.get_updates_buf;
                    if tell.send(at).is_err() {
                        return;
                    }
                }
            });
            runtime.block_on(polling)
        });
        let waiting = server.polls.recv().unwrap();
        BarePoll { server, parsed, waiting }
    }

    fn round(&mut self, answer: &[u8]) -> Duration {
        std::thread::sleep(Duration::from_millis(1));
        let began = self.waiting.reply(answer);
        let took = self.parsed.recv().unwrap() - began;
        self.waiting = self.server.polls.recv().unwrap();
        took
    }
}

/// Two threads and a pipe: what reading a line from another thread costs.
struct BarePipe {
    output: std::io::PipeWriter,
    read: Receiver<Instant>,
}

impl BarePipe {
    fn start() -> BarePipe {
        let (input, output) = std::io::pipe().unwrap();
        let (tell, read) = channel();
        std::thread::spawn(move || {
            let mut input = BufReader::with_capacity(64 * 1024, input);
            let mut line = String::new();
            while input.read_line(&mut line).is_ok_and(|read| read > 0) && tell.send(Instant::now()).is_ok() {
                line.clear();
            }
        });
        BarePipe { output, read }
    }

    fn round(&mut self, line: &str) -> Duration {
        let line = format!("{line}\n");
        std::thread::sleep(Duration::from_millis(1));
        let began = Instant::now();
        self.output.write_all(line.as_bytes()).unwrap();
        self.read.recv().unwrap() - began
    }
}
