//! The sidecar as a child process, driven over its stdin and stdout.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::args::binary;

/// A gateway's end of a running sidecar.
pub struct Gateway {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    id: u64,
}

impl Gateway {
    /// Starts a sidecar that polls `server`, and initializes it with `state` as its state directory.
    pub fn start(server: &str, state: &Path) -> Gateway {
        let mut gateway = Gateway::spawn(server);
        let answer = gateway.initialize(state);
        assert!(answer.contains("\"protocolVersion\":1"), "{answer}");
        gateway
    }

    /// Starts a sidecar and asks nothing of it.
    pub fn spawn(server: &str) -> Gateway {
        let mut child = Command::new(binary())
            .env("WEIXIN_ILINK_BASE_URL", server)
            .env("OPENCLAW_WEIXIN_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sidecar starts");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::with_capacity(64 * 1024, child.stdout.take().unwrap());
        Gateway { child, stdin, stdout, id: 0 }
    }

    /// Asks for `initialize`; returns the answer's line.
    pub fn initialize(&mut self, state: &Path) -> String {
        let host = json!({ "name": "bench", "version": "1" });
        self.send("initialize", &json!({ "protocolVersion": 1, "host": host, "stateDir": state }));
        self.line()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a request; returns its id.
    pub fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        self.write(format!("{request}\n").as_bytes());
        self.id
    }

    /// Writes lines as they are.
    pub fn write(&mut self, lines: &[u8]) {
        self.stdin.write_all(lines).expect("the sidecar reads");
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.read_line(&mut line);
        line
    }

    /// Puts the next line into `line`, which keeps its memory.
    pub fn read_line(&mut self, line: &mut String) {
        line.clear();
        let read = self.stdout.read_line(line).expect("the sidecar writes");
        assert!(read > 0, "the sidecar has ended");
    }

    /// Passes over lines up to the answer of request `id`.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.line()).expect("a line is JSON");
            if line["id"] == id {
                assert!(line["error"].is_null(), "{line}");
                return line["result"].clone();
            }
        }
    }

    /// Asks and waits for the answer; what else comes is passed over.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// Starts accounts and returns when all of them poll; the answers and the states come in any order.
    pub fn start_accounts(&mut self, ids: &[String]) {
        for ids in ids.chunks(256) {
            for id in ids {
                self.send("account.start", &json!({ "accountId": id }));
            }
            let (mut answers, mut polling) = (0, 0);
            while answers < ids.len() || polling < ids.len() {
                let line = self.line();
                assert!(!line.contains("\"error\":") && !line.contains("\"backoff\""), "{line}");
                answers += usize::from(line.contains("\"result\":"));
                polling += usize::from(line.contains("\"polling\""));
            }
        }
    }

    /// Its two ends, for a reader and a writer of their own.
    pub fn ends(&mut self) -> (&mut ChildStdin, &mut BufReader<ChildStdout>) {
        (&mut self.stdin, &mut self.stdout)
    }

    /// Ends the sidecar as a gateway does that goes away.
    pub fn stop(self) {
        let Gateway { mut child, stdin, stdout, .. } = self;
        drop(stdin);
        drop(stdout);
        child.wait().expect("the sidecar ends");
    }
}
