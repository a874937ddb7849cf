//! An iLink server that answers exactly when it is told to, so that the moment of its answer is known.
//!
//! A thread a connection reads requests. A `getupdates` is handed to the benchmark, which writes the answer itself;
//! everything else is answered with a success at once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use serde::Deserialize;

/// A long poll that waits for its answer.
pub struct Poll {
    /// Where the client stands.
    pub cursor: String,
    stream: TcpStream,
}

impl Poll {
    /// Writes an answer made by [`Server::answer`]; returns the moment right before.
    pub fn reply(&mut self, answer: &[u8]) -> Instant {
        let at = Instant::now();
        self.stream.write_all(answer).expect("the client listens");
        at
    }
}

#[derive(Deserialize)]
struct Body {
    get_updates_buf: String,
}

/// The server. Its threads end with the process.
pub struct Server {
    /// Its address, as a base URL.
    pub url: String,
    /// Polls that wait.
    pub polls: Receiver<Poll>,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hand_over, polls) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hand_over = hand_over.clone();
                std::thread::spawn(move || serve(stream, &hand_over));
            }
        });
        Server { url, polls }
    }

    /// A whole HTTP answer with these messages.
    pub fn answer(messages: &[String], cursor: &str) -> Vec<u8> {
        let messages = messages.join(",");
        let body =
            format!(r#"{{"ret":0,"msgs":[{messages}],"get_updates_buf":"{cursor}","longpolling_timeout_ms":35000}}"#);
        http(&body)
    }

    /// A message as a phone sends it. `n` makes it unique, `person` is who writes.
    pub fn message(n: u64, person: u64, text: &str) -> String {
        let id = 7_000_000_000_000_000_000 + n;
        // Of the length that the real ones have.
        let context_token = format!("{:0>176}", n);
        format!(
            r#"{{"seq":{n},"message_id":{id},"from_user_id":"person{person}@im.wechat","to_user_id":"bench1@im.bot","client_id":"phone-{id}","create_time_ms":1760000000000,"session_id":"person{person}@im.wechat#bench1@im.bot","group_id":"","message_type":1,"message_state":2,"item_list":[{{"type":1,"create_time_ms":1760000000000,"is_completed":true,"text_item":{{"text":"{text}"}}}}],"context_token":"{context_token}"}}"#
        )
    }
}

fn http(body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn serve(stream: TcpStream, hand_over: &Sender<Poll>) {
    let _ = stream.set_nodelay(true);
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut output = stream;
    // Until the client hangs up, which is no news.
    while let Some((path, body)) = request(&mut input) {
        if path.ends_with("/getupdates") {
            let body: Body = serde_json::from_slice(&body).expect("a poll has a cursor");
            let poll = Poll { cursor: body.get_updates_buf, stream: output.try_clone().unwrap() };
            if hand_over.send(poll).is_err() {
                return;
            }
        } else if output.write_all(&http(r#"{"ret":0}"#)).is_err() {
            return;
        }
    }
}

/// The path and body of the next request.
fn request(input: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    if input.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((path, body))
}
