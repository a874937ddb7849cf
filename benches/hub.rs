//! The hub beside the sidecar on stdin and stdout, in one run: messages a second through the iLink façade and on a WebSocket, the time
//! from the server's answer until a client has a message, and what an idle connection costs.
//!
//! On stdio and on the WebSocket all deliveries that came with one read are acked with one request; the façade acks by its cursor.
//!
//! Options: `--messages N` (20000), `--people N` (500), `--runs N` (5), `--rounds N` (500), `--connections N` (1000), `--binary PATH`, `--json`.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Aim, Gateway, Poll, Report, Samples, Server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Messages in one answer of the server.
const ANSWER: usize = 500;
/// Rounds before the clock counts.
const WARM_UP: u64 = 50;

fn main() {
    let messages: usize = common::value("--messages", 20_000);
    let people: usize = common::value("--people", 500);
    let runs: usize = common::value("--runs", 5);
    let rounds: u64 = common::value("--rounds", 500);
    let connections: usize = common::value("--connections", 1_000);
    let wires: Vec<String> = (0..messages)
        .map(|n| Server::message(n as u64, (n % people) as u64, &format!("message {n} of {messages}")))
        .collect();
    let mut speeds = [(); 3].map(|()| Samples::default());
    for _ in 0..runs {
        for (front, speed) in Front::ALL.into_iter().zip(&mut speeds) {
            let dir = tempfile::tempdir().unwrap();
            speed.push(messages as f64 / burst(front, dir.path(), &wires).as_secs_f64());
        }
    }
    let mut times = [(); 3].map(|()| Samples::default());
    for (front, time) in Front::ALL.into_iter().zip(&mut times) {
        let dir = tempfile::tempdir().unwrap();
        latency(front, dir.path(), rounds, time);
    }
    let mut report =
        Report::new(format!("hub: {messages} messages from {people} people, delivered and acked ({runs} runs)"));
    let stdio = speeds[0].median();
    report.figure("stdio, median", "/s", stdio, None, ("", stdio));
    for (front, speed) in Front::ALL.into_iter().zip(&speeds).skip(1) {
        let aim = Some(Aim::AtLeast(0.8 * stdio));
        report.figure(&format!("{}, median", front.name()), "/s", speed.median(), aim, ("stdio", stdio));
    }
    let stdio = times[0].median();
    report.note("stdio, answer to line, p50", "µs", stdio);
    for (front, time) in Front::ALL.into_iter().zip(&times).skip(1) {
        report.note(&format!("{}, added to that, p50", front.name()), "µs", time.median() - stdio);
    }
    if let Some(kib) = idle(connections) {
        report.note(&format!("memory of an idle connection, of {connections}"), "KiB", kib);
    }
    report.print();
}

/// How a gateway or a backend gets its messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    Stdio,
    Facade,
    WebSocket,
}

impl Front {
    const ALL: [Front; 3] = [Front::Stdio, Front::Facade, Front::WebSocket];

    fn name(self) -> &'static str {
        match self {
            Front::Stdio => "stdio",
            Front::Facade => "façade",
            Front::WebSocket => "WebSocket",
        }
    }
}

/// A hub with one backend.
struct Hub {
    child: Child,
    address: String,
    token: String,
}

impl Hub {
    fn start(server: &str, state: &Path) -> Hub {
        std::fs::create_dir_all(state.join("openclaw-weixin")).unwrap();
        std::fs::write(state.join("openclaw-weixin/hub.toml"), "[backends.bench]\naccess = \"open\"\n").unwrap();
        let command = |args: &[&str]| {
            let mut command = Command::new(common::binary());
            command.args(args).env("WEIXIN_ILINK_BASE_URL", server).env("OPENCLAW_STATE_DIR", state);
            command.env("OPENCLAW_WEIXIN_LOG", "error");
            command
        };
        let made = command(&["hub", "token", "create", "--backend", "bench", "--json"]).output().unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).expect("a token");
        let mut hub = command(&["hub", "--listen", "127.0.0.1:0", "--json"]);
        let mut child = hub.stdout(Stdio::piped()).spawn().expect("the hub starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("an address");
        let address = said["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Hub { child, address, token: made["token"].as_str().unwrap().to_owned() }
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = tungstenite::http::Request::builder()
            .uri(format!("ws://{}/ws", self.address))
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let (mut socket, _) = tungstenite::client(request, stream).expect("a WebSocket");
        let host = json!({ "name": "bench", "version": "1" });
        let params = json!({ "protocolVersion": 1, "host": host });
        let ask = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        socket.send(Message::Text(ask.to_string().into())).unwrap();
        socket
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A client of the façade on one connection.
struct Facade {
    stream: BufReader<TcpStream>,
    head: String,
    cursor: String,
}

impl Facade {
    fn new(hub: &Hub) -> Facade {
        let stream = TcpStream::connect(&hub.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "POST /ilink/bot/getupdates HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
            hub.address, hub.token
        );
        Facade { stream: BufReader::with_capacity(1 << 20, stream), head, cursor: String::new() }
    }

    /// How many messages a poll brings.
    fn poll(&mut self) -> usize {
        let body = format!(r#"{{"get_updates_buf":"{}"}}"#, self.cursor);
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            let header = line.to_ascii_lowercase();
            length = header.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap());
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let (_, rest) = body.rsplit_once(r#""get_updates_buf":""#).expect("a cursor");
        self.cursor = rest.split('"').next().unwrap().to_owned();
        body.matches(r#""message_id":"#).count()
    }
}

/// Reads what came on a WebSocket, and acks it with one request. Returns how many messages that were.
fn take(socket: &mut WebSocket<TcpStream>, requests: &mut usize) -> usize {
    let mut ids = Vec::new();
    loop {
        if let Message::Text(text) = socket.read().expect("the hub writes")
            && let Some(id) = delivery_id(&text)
        {
            ids.push(format!("\"{id}\""));
        }
        // What is here already goes with it.
        socket.get_ref().set_nonblocking(true).unwrap();
        let more = socket.get_ref().peek(&mut [0]).is_ok();
        socket.get_ref().set_nonblocking(false).unwrap();
        if !more {
            break;
        }
    }
    if !ids.is_empty() {
        *requests += 1;
        socket.send(Message::Text(ack(*requests, &ids).into())).unwrap();
    }
    ids.len()
}

fn delivery_id(line: &str) -> Option<&str> {
    line.strip_prefix(r#"{"jsonrpc":"2.0","method":"inbound.message","params":{"deliveryId":""#)?.split('"').next()
}

/// Where a backend's messages come out, whatever the front.
enum Backend {
    Stdio(Gateway),
    Facade(Hub, Facade),
    WebSocket(Hub, Box<WebSocket<TcpStream>>),
}

impl Backend {
    fn start(front: Front, url: &str, state: &Path) -> Backend {
        common::write_accounts(state, 1);
        match front {
            Front::Stdio => {
                let mut gateway = Gateway::start(url, state);
                gateway.send("account.start", &json!({ "accountId": common::account_id(1) }));
                Backend::Stdio(gateway)
            }
            Front::Facade => {
                let hub = Hub::start(url, state);
                let client = Facade::new(&hub);
                Backend::Facade(hub, client)
            }
            Front::WebSocket => {
                let hub = Hub::start(url, state);
                let socket = hub.connect();
                Backend::WebSocket(hub, Box::new(socket))
            }
        }
    }

    /// Waits for messages, and acks them. How many those were.
    fn take(&mut self, requests: &mut usize) -> usize {
        match self {
            Backend::Stdio(gateway) => take_lines(gateway, requests),
            Backend::Facade(_, client) => client.poll(),
            Backend::WebSocket(_, socket) => take(socket, requests),
        }
    }

    fn stop(self) {
        match self {
            Backend::Stdio(gateway) => gateway.stop(),
            Backend::Facade(hub, _) | Backend::WebSocket(hub, _) => hub.stop(),
        }
    }
}

/// Reads what came on stdout, and acks it with one request.
fn take_lines(gateway: &mut Gateway, requests: &mut usize) -> usize {
    let (stdin, stdout) = gateway.ends();
    let (mut ids, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("the sidecar writes") > 0, "the sidecar has ended");
        ids.extend(delivery_id(&line).map(|id| format!("\"{id}\"")));
        if stdout.buffer().is_empty() {
            break;
        }
    }
    if !ids.is_empty() {
        *requests += 1;
        stdin.write_all(format!("{}\n", ack(*requests, &ids)).as_bytes()).expect("the sidecar reads");
    }
    ids.len()
}

fn ack(id: usize, ids: &[String]) -> String {
    let ids = ids.join(",");
    format!(r#"{{"jsonrpc":"2.0","id":"a{id}","method":"inbound.ack","params":{{"deliveryIds":[{ids}]}}}}"#)
}

/// Hands everything over as fast as it is asked. Returns how long the backend took from its first messages to its last.
fn burst(front: Front, state: &Path, wires: &[String]) -> Duration {
    let answers: Vec<Vec<u8>> =
        wires.chunks(ANSWER).enumerate().map(|(n, wires)| Server::answer(wires, &(n + 1).to_string())).collect();
    let Server { url, polls } = Server::start();
    let mut backend = Backend::start(front, &url, state);
    std::thread::spawn(move || {
        // The cursor is how many answers were taken in; after the last one the poll is held.
        while let Ok(mut poll) = polls.recv() {
            let taken_in = poll.cursor.parse::<usize>().unwrap_or(0);
            let Some(answer) = answers.get(taken_in) else {
                std::thread::park();
                continue;
            };
            poll.reply(answer);
        }
    });
    let mut requests = 0;
    let mut left = wires.len() - backend.take(&mut requests).min(wires.len());
    let began = Instant::now();
    while left > 0 {
        left -= backend.take(&mut requests);
    }
    let took = began.elapsed();
    backend.stop();
    took
}

/// One message at a time on an otherwise idle process.
fn latency(front: Front, state: &Path, rounds: u64, times: &mut Samples) {
    let Server { url, polls } = Server::start();
    let mut backend = Backend::start(front, &url, state);
    let mut requests = 0;
    for n in 0..WARM_UP + rounds {
        let mut poll: Poll = polls.recv().unwrap();
        // What the backend asks for is on its way by then: it waits for the message, not the message for it.
        std::thread::sleep(Duration::from_millis(2));
        let wire = Server::message(n, n % 10, "hello");
        let answer = Server::answer(&[wire], &(n + 1).to_string());
        let waiting = std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                while backend.take(&mut requests) == 0 {}
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(2));
            let at = poll.reply(&answer);
            taken.join().unwrap() - at
        });
        if n >= WARM_UP {
            times.push(waiting.as_secs_f64() * 1e6);
        }
    }
    backend.stop();
}

/// KiB that an idle connection costs.
fn idle(connections: usize) -> Option<f64> {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    common::write_accounts(dir.path(), 1);
    let hub = Hub::start(&server.url, dir.path());
    let first = hub.connect();
    let rss = || common::Memory::of(hub.child.id()).map(|memory| memory.rss);
    let before = rss()?;
    let held: Vec<_> = (0..connections)
        .map(|_| {
            let mut socket = hub.connect();
            // The answer to `initialize`: it is whole.
            socket.read().unwrap();
            socket
        })
        .collect();
    let grown = (rss()? - before) * 1024.0 / connections as f64;
    drop((held, first));
    hub.stop();
    Some(grown)
}
