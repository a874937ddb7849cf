//! A wire between sidecar and simulator that can be listened to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Passes everything on to a host and keeps what the sidecar said.
pub struct Tap {
    url: String,
    heard: Arc<Mutex<String>>,
}

impl Tap {
    /// A tap on `host` (`127.0.0.1:port`).
    pub fn on(host: &str) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard: Arc<Mutex<String>> = Arc::default();
        let (host, keep) = (host.to_owned(), heard.clone());
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&host) else { continue };
                let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let keep = keep.clone();
                std::thread::spawn(move || pass(client, server, |text| keep.lock().unwrap().push_str(&text)));
                std::thread::spawn(move || pass(server_too, client_too, |_| {}));
            }
        });
        Tap { url, heard }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything that the sidecar said so far.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, hear: impl Fn(String)) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        hear(String::from_utf8_lossy(&buffer[..n]).into_owned());
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
