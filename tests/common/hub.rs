//! `hub` as a child process, and who asks it: with a token over HTTP, on a WebSocket.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tungstenite::{Message, WebSocket};

use super::{DEADLINE, Ran, World, cli, eventually};

/// A hub that listens.
pub struct Hub {
    child: Child,
    pub url: String,
    pub console_url: String,
    /// What it wrote to its log.
    log: Arc<Mutex<String>>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs a command on the world's state.
pub fn command(world: &World, args: &[&str]) -> Ran {
    cli::run(world.state.path(), world.url(), args, "")
}

/// A new token for a backend.
#[track_caller]
pub fn token(world: &World, backend: &str, more: &[&str]) -> String {
    let args = [&["hub", "token", "create", "--json", "--backend", backend], more].concat();
    command(world, &args).exits(0).json()["token"].as_str().unwrap().to_owned()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Hub {
    /// Starts one, on a free port.
    #[track_caller]
    pub fn start(world: &World) -> Hub {
        Hub::start_with(world, &[])
    }

    #[track_caller]
    pub fn start_with(world: &World, more: &[&str]) -> Hub {
        let args = [&["hub", "--listen", "127.0.0.1:0", "--json"], more].concat();
        let mut command = cli::command(world.state.path(), world.url(), &args);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (log, mut stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let kept = log.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it does not listen: {}", log.lock().unwrap()));
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Hub { child, url: text("url"), console_url: text("consoleUrl"), log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A request as it is; `change` adds to it.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Answer {
        self.try_request(method, path, change).unwrap_or_else(|error| panic!("{path}: {error:?}\n{}", self.log()))
    }

    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> reqwest::Result<Answer> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        runtime().block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE * 2).build()?;
            let request = client.request(method.parse().unwrap(), format!("{}{path}", self.url));
            let answer = change(request).send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
        })
    }

    /// A POST to a hub that speaks TLS with this certificate (PEM).
    pub fn over_tls(&self, certificate: &[u8], path: &str, body: &str) -> Answer {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = reqwest::Certificate::from_pem(certificate).unwrap();
        runtime().block_on(async {
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
            let request = client.post(format!("{}{path}", self.url)).body(body.to_owned());
            let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()));
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Answer { status, headers, body: answer.bytes().await.unwrap().to_vec() }
        })
    }

    /// What a method answers: the whole answer.
    pub fn rpc(&self, token: &str, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.request("POST", "/rpc", |request| request.bearer_auth(token).body(body.to_string()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    #[track_caller]
    pub fn call(&self, token: &str, method: &str, params: Value) -> Value {
        let answer = self.rpc(token, method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    #[track_caller]
    pub fn refused(&self, token: &str, method: &str, params: Value) -> Value {
        let answer = self.rpc(token, method, params);
        assert!(answer["error"].is_object(), "{method}: {answer}");
        answer["error"].clone()
    }

    /// The texts that a pull brings, acked.
    pub fn pull(&self, token: &str) -> Vec<String> {
        let pulled = self.call(token, "inbound.pull", json!({ "waitMs": 0, "max": 100 }));
        let messages = pulled["messages"].as_array().unwrap();
        let ids: Vec<&Value> = messages.iter().map(|message| &message["deliveryId"]).collect();
        self.call(token, "inbound.ack", json!({ "deliveryIds": ids }));
        messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Pulls until a text comes.
    #[track_caller]
    pub fn gets(&self, token: &str, text: &str) {
        eventually(text, || self.pull(token).contains(&text.to_owned()).then_some(()));
    }

    /// An endpoint of iLink.
    pub fn ilink(&self, token: &str, endpoint: &str, body: Value) -> Answer {
        self.request("POST", &format!("/ilink/bot/{endpoint}"), |request| {
            request.bearer_auth(token).body(body.to_string())
        })
    }

    /// A connection on which messages come.
    #[track_caller]
    pub fn connect(&self, token: &str) -> Connection {
        let mut connection = self.open(token).unwrap();
        let host = json!({ "name": "test", "version": "1" });
        connection.call("initialize", json!({ "protocolVersion": 1, "host": host }));
        connection
    }

    /// A connection that has said nothing yet.
    pub fn open(&self, token: &str) -> Result<Connection, String> {
        let address = self.url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let request = tungstenite::http::Request::builder()
            .uri(format!("ws://{address}/ws"))
            .header("host", address)
            .header("authorization", format!("Bearer {token}"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let mut shaken = tungstenite::client(request, stream);
        loop {
            match shaken {
                Ok((socket, _)) => return Ok(Connection { socket, next: 0, seen: Vec::new() }),
                Err(tungstenite::HandshakeError::Interrupted(middle)) => shaken = middle.handshake(),
                Err(tungstenite::HandshakeError::Failure(error)) => return Err(error.to_string()),
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A WebSocket.
pub struct Connection {
    pub socket: WebSocket<TcpStream>,
    next: u64,
    /// Notifications that came while something else was waited for.
    seen: Vec<Value>,
}

impl Connection {
    /// What comes next; `None`: nothing now. Panics when the connection is over.
    fn read(&mut self) -> Option<Value> {
        self.try_read().unwrap_or_else(|why| panic!("the connection is over: {why}"))
    }

    fn try_read(&mut self) -> Result<Option<Value>, String> {
        match self.socket.read() {
            Ok(Message::Text(text)) => Ok(Some(serde_json::from_str(&text).unwrap())),
            Ok(Message::Close(frame)) => Err(format!("{frame:?}")),
            Ok(_) => Ok(None),
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits until the connection is over, and says why.
    #[track_caller]
    pub fn ends(&mut self) -> String {
        eventually("the end of the connection", || self.try_read().err())
    }

    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.socket.send(Message::Text(request.to_string().into())).unwrap();
        let answer = eventually(method, || {
            let line = self.read()?;
            if line["id"] == id {
                return Some(line);
            }
            self.seen.push(line);
            None
        });
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The next notification of this name.
    #[track_caller]
    pub fn next(&mut self, method: &str) -> Value {
        eventually(method, || {
            if let Some(at) = self.seen.iter().position(|line| line["method"] == method) {
                return Some(self.seen.remove(at)["params"].clone());
            }
            if let Some(line) = self.read() {
                self.seen.push(line);
            }
            None
        })
    }

    /// The next message, acked; its text.
    #[track_caller]
    pub fn takes(&mut self) -> String {
        let message = self.next("inbound.message");
        self.call("inbound.ack", json!({ "deliveryIds": [message["deliveryId"]] }));
        message["text"].as_str().unwrap().to_owned()
    }
}
