//! The only way to stdout: one thread writes whole lines in the order in which they were queued.
//!
//! The queue has no bound of its own, because everything in it has one: a response holds the permit of its request until
//! it is written, a delivery a place in the window, and of what replaces itself only the newest waits.

use std::collections::HashMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::supervise::lock;

enum Item {
    /// A line, and what is given back when it is written.
    Line(String, Option<OwnedSemaphorePermit>),
    /// The newest notification with this key.
    Latest(String),
    /// Nothing more is written.
    End,
}

impl Item {
    /// The line that it is, if it still is one, and what is given back when it is written. `None`: the end.
    fn line(self, latest: &Mutex<Latest>) -> Option<(Option<String>, Option<OwnedSemaphorePermit>)> {
        match self {
            Item::End => None,
            Item::Line(line, permit) => Some((Some(line), permit)),
            Item::Latest(key) => {
                let line = lock(latest).remove(&key);
                Some((line.and_then(|line| line()), None))
            }
        }
    }
}

/// A handle on stdout. Clones share the queue.
#[derive(Clone)]
pub struct Outgoing {
    queue: mpsc::UnboundedSender<Item>,
    latest: Arc<Mutex<Latest>>,
    window: Arc<Semaphore>,
}

/// Notifications that the next with their key replaces, each as what writes its line.
type Latest = HashMap<String, Box<dyn FnOnce() -> Option<String> + Send>>;

#[derive(Serialize)]
struct Notification<'a, T> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a T,
}

fn notification<T: Serialize>(method: &'static str, params: &T) -> Option<String> {
    serde_json::to_string(&Notification { jsonrpc: "2.0", method, params })
        .inspect_err(|error| tracing::error!(%error, method, "a notification could not be written"))
        .ok()
}

impl Outgoing {
    /// Queues a response; `permit` is given back when it is written.
    pub fn respond(&self, line: String, permit: OwnedSemaphorePermit) {
        let _ = self.queue.send(Item::Line(line, Some(permit)));
    }

    /// Queues a delivery, if there is a place for it.
    pub fn deliver<T: Serialize>(&self, method: &'static str, params: &T) -> bool {
        let Ok(permit) = self.window.clone().try_acquire_owned() else { return false };
        let Some(line) = notification(method, params) else { return false };
        self.queue.send(Item::Line(line, Some(permit))).is_ok()
    }

    /// Queues a notification of which there are few.
    pub fn notify<T: Serialize>(&self, method: &'static str, params: &T) -> bool {
        notification(method, params).is_some_and(|line| self.queue.send(Item::Line(line, None)).is_ok())
    }

    /// Ends the thread when everything queued before is written.
    pub fn finish(&self) {
        let _ = self.queue.send(Item::End);
    }

    /// Queues a notification; one with the same `key` that still waits to be written is replaced.
    pub fn notify_latest<T: Serialize + Send + 'static>(&self, key: String, method: &'static str, params: T) -> bool {
        let line = Box::new(move || notification(method, &params));
        let waiting = lock(&self.latest).insert(key.clone(), line);
        waiting.is_some() || self.queue.send(Item::Latest(key)).is_ok()
    }
}

/// Lines on their way to somebody who takes them one after the other.
pub struct Lines {
    items: mpsc::UnboundedReceiver<Item>,
    latest: Arc<Mutex<Latest>>,
    /// Of the line that was taken last: given back with the next one, when it was written.
    written: Option<OwnedSemaphorePermit>,
}

impl Lines {
    /// The next line; the one before is written by then. `None`: nothing follows.
    pub async fn next(&mut self) -> Option<String> {
        self.written = None;
        loop {
            let (line, permit) = self.items.recv().await?.line(&self.latest)?;
            self.written = permit;
            if line.is_some() {
                return line;
            }
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.items.len()
    }
}

/// Lines to somebody who takes them one after the other. `window` is how many deliveries may be unwritten.
pub fn lines(window: usize) -> (Outgoing, Lines) {
    let (queue, items) = mpsc::unbounded_channel();
    let latest: Arc<Mutex<Latest>> = Arc::default();
    let lines = Lines { items, latest: latest.clone(), written: None };
    (Outgoing { queue, latest, window: Arc::new(Semaphore::new(window)) }, lines)
}

/// Starts the thread that writes to `output`. `window` is how many deliveries may be unwritten. When the other side is
/// gone `broken` is cancelled. The receiver resolves after [`Outgoing::finish`], when everything is written.
pub fn stdout_writer(
    output: impl Write + Send + 'static,
    window: usize,
    broken: CancellationToken,
) -> io::Result<(Outgoing, tokio::sync::oneshot::Receiver<()>)> {
    let (queue, items) = mpsc::unbounded_channel();
    let (done, is_done) = tokio::sync::oneshot::channel();
    let latest: Arc<Mutex<Latest>> = Arc::default();
    let shared = latest.clone();
    std::thread::Builder::new().name("stdout".into()).spawn(move || {
        // A panic is seen as what it is: nothing is written any more.
        match catch_unwind(AssertUnwindSafe(|| write_loop(output, items, &shared))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::info!(%error, "the gateway no longer reads; ending");
                broken.cancel();
            }
            Err(_) => {
                tracing::error!("stdout was broken by a defect of the sidecar; ending");
                broken.cancel();
            }
        }
        let _ = done.send(());
    })?;
    Ok((Outgoing { queue, latest, window: Arc::new(Semaphore::new(window)) }, is_done))
}

fn write_loop(output: impl Write, mut items: mpsc::UnboundedReceiver<Item>, latest: &Mutex<Latest>) -> io::Result<()> {
    let mut output = io::BufWriter::with_capacity(64 * 1024, output);
    let mut permits = Vec::new();
    while let Some(first) = items.blocking_recv() {
        let mut next = Some(first);
        while let Some(item) = next {
            let Some((line, permit)) = item.line(latest) else { return output.flush() };
            permits.extend(permit);
            if let Some(line) = line {
                output.write_all(line.as_bytes())?;
                output.write_all(b"\n")?;
            }
            next = items.try_recv().ok();
        }
        output.flush()?;
        permits.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output with a defect.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a defect")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_writer_that_breaks_ends_the_process() {
        let broken = CancellationToken::new();
        let (outgoing, written) = stdout_writer(Broken, 1, broken.clone()).unwrap();
        outgoing.notify("login.progress", &"x".repeat(100_000));
        tokio::time::timeout(std::time::Duration::from_secs(10), broken.cancelled()).await.unwrap();
        assert!(written.await.is_ok(), "nobody waits for it");
    }
}
