//! A server that says the same to everybody, for what no simulator of a well-behaved server does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Answers each request with the JSON that a function gives for its path; an empty one is `{}`.
pub struct Canned {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Canned {
    /// A server on a free port of the loopback. `count` names the path whose requests are counted.
    pub fn new(count: &'static str, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Canned {
        Canned::slow(count, Duration::ZERO, answer)
    }

    /// The same, but of what answers a path that is counted a byte comes every so often.
    pub fn slow(
        count: &'static str,
        every: Duration,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let counted = asked.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (answer, counted) = (answer.clone(), counted.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(client.try_clone().unwrap());
                    let mut client = client;
                    while let Some(path) = request(&mut reader) {
                        let counts = path.contains(count);
                        counted.fetch_add(usize::from(counts), Ordering::SeqCst);
                        let body = Some(answer(&path)).filter(|body| !body.is_empty()).unwrap_or("{}".into());
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        let mut write = || {
                            client.write_all(head.as_bytes())?;
                            if !counts || every.is_zero() {
                                return client.write_all(body.as_bytes());
                            }
                            body.as_bytes().iter().try_for_each(|byte| {
                                std::thread::sleep(every);
                                client.write_all(&[*byte])
                            })
                        };
                        if write().is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Canned { url, asked }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often the path was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Reads a request; its path.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(path)
}
