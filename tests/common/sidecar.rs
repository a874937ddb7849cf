//! `serve` as a child process, with the test as its gateway.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::world::Bot;
use super::{DEADLINE, eventually};

/// How a sidecar is started.
pub struct Launch {
    binary: OsString,
    state: PathBuf,
    wrapper: Vec<OsString>,
    env: Vec<(String, String)>,
    params: Value,
}

impl Launch {
    pub fn new(state: &Path, url: &str) -> Launch {
        let cdn = format!("{url}/c2c");
        let env =
            [("WEIXIN_ILINK_BASE_URL", url), ("WEIXIN_CDN_BASE_URL", cdn.as_str()), ("OPENCLAW_WEIXIN_LOG", "debug")];
        Launch {
            binary: super::binary(),
            state: state.to_owned(),
            wrapper: Vec::new(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            params: json!({ "protocolVersion": 1, "host": { "name": "test", "version": "1" }, "stateDir": state, "mediaRoots": [state] }),
        }
    }

    /// Starts another binary than the one that Cargo built.
    pub fn binary(mut self, binary: impl Into<OsString>) -> Launch {
        self.binary = binary.into();
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a parameter of `initialize`.
    pub fn with(mut self, param: &str, value: impl Into<Value>) -> Launch {
        self.params[param] = value.into();
        self
    }

    /// Starts it behind this command, which must become it by `exec`.
    pub fn behind(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Launch {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// The command that starts it, with nothing inherited but the search path.
    pub fn command(&self) -> Command {
        let mut line = self.wrapper.iter().cloned().chain([self.binary.clone(), "serve".into()]);
        let mut command = Command::new(line.next().unwrap());
        super::clean(command.args(line));
        command.env("HOME", &self.state).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process and says nothing yet.
    pub fn spawn(self) -> Sidecar {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let seen: Arc<Shared> = Arc::default();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (reading, logging) = (seen.clone(), seen.clone());
        std::thread::spawn(move || read_stdout(BufReader::new(stdout), &reading));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                logging.log.lock().unwrap().push(line);
            }
        });
        let stdin = Mutex::new(child.stdin.take());
        Sidecar { child: Mutex::new(child), stdin, shared: seen, next_id: AtomicU64::new(1), params: self.params }
    }

    /// Starts the process and initialises it.
    #[track_caller]
    pub fn start(self) -> Sidecar {
        let sidecar = self.spawn();
        sidecar.initialize();
        sidecar
    }
}

/// What a sidecar has said so far.
#[derive(Default)]
pub struct Seen {
    /// Responses by the number of their request.
    pub responses: HashMap<u64, Value>,
    /// Responses without a number, and those to batches.
    pub others: Vec<Value>,
    /// `inbound.message`.
    pub deliveries: Vec<Value>,
    /// `account.status`.
    pub statuses: Vec<Value>,
    /// `login.progress`.
    pub progress: Vec<Value>,
    /// `outbound.update`.
    pub updates: Vec<Value>,
    /// Those of messages that no response has called held by then.
    pub early_updates: Vec<Value>,
    /// Lines that are not of the protocol.
    foreign: Vec<String>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    log: Mutex<Vec<String>>,
    /// Whether the gateway has stopped reading.
    deaf: Mutex<bool>,
    hearing: Condvar,
}

fn read_stdout(mut lines: impl BufRead, shared: &Shared) {
    let mut line = String::new();
    loop {
        let deaf = shared.deaf.lock().unwrap();
        drop(shared.hearing.wait_while(deaf, |deaf| *deaf).unwrap());
        line.clear();
        let read = lines.read_line(&mut line);
        let mut seen = shared.seen.lock().unwrap();
        match read {
            Ok(n) if n > 0 => seen.take(line.trim_end_matches('\n')),
            _ => seen.ended = true,
        }
        shared.changed.notify_all();
        if seen.ended {
            return;
        }
    }
}

impl Seen {
    fn take(&mut self, line: &str) {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return self.foreign.push(line.to_owned()) };
        let params = value["params"].clone();
        match (value["method"].as_str(), value["id"].as_u64()) {
            (Some("inbound.message"), _) => self.deliveries.push(params),
            (Some("account.status"), _) => self.statuses.push(params),
            (Some("login.progress"), _) => self.progress.push(params),
            (Some("outbound.update"), _) => {
                let is_known = |answer: &Value| answer["result"]["queueId"] == params["queueId"];
                if !self.responses.values().any(is_known) {
                    self.early_updates.push(params.clone());
                }
                self.updates.push(params);
            }
            (None, Some(id)) => drop(self.responses.insert(id, value)),
            (None, None) if value.is_array() || value.get("error").is_some() || value.get("result").is_some() => {
                self.others.push(value);
            }
            _ => self.foreign.push(line.to_owned()),
        }
    }

    /// Whether its stdout has ended.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// The ids of all deliveries, in the order in which they came.
    pub fn delivery_ids(&self) -> Vec<String> {
        self.deliveries.iter().map(|message| super::text(message, "deliveryId").to_owned()).collect()
    }
}

/// A running sidecar. It is killed and reaped when it is dropped.
pub struct Sidecar {
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    shared: Arc<Shared>,
    next_id: AtomicU64,
    params: Value,
}

impl Sidecar {
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Calls `initialize`; returns its result.
    #[track_caller]
    pub fn initialize(&self) -> Value {
        self.result(self.ask_to_initialize())
    }

    /// Asks for `initialize`; returns the request's number.
    pub fn ask_to_initialize(&self) -> u64 {
        self.ask("initialize", self.params.clone())
    }

    /// Calls `initialize`, which fails; returns the error.
    #[track_caller]
    pub fn initialize_refused(&self) -> Value {
        self.refused("initialize", self.params.clone())
    }

    /// Writes bytes to its stdin.
    #[track_caller]
    pub fn write(&self, bytes: &[u8]) {
        self.try_write(bytes).expect("the sidecar reads");
    }

    /// The same where the sidecar may be gone.
    pub fn try_write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdin = self.stdin.lock().unwrap();
        let stdin = stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(bytes).and_then(|()| stdin.flush())
    }

    /// Sends a request; returns its number.
    #[track_caller]
    pub fn ask(&self, method: &str, params: Value) -> u64 {
        let (id, line) = self.request(method, params);
        self.write(line.as_bytes());
        id
    }

    /// Sends a request to a sidecar that may be gone.
    pub fn try_ask(&self, method: &str, params: Value) -> Option<u64> {
        let (id, line) = self.request(method, params);
        self.try_write(line.as_bytes()).ok().map(|()| id)
    }

    fn request(&self, method: &str, params: Value) -> (u64, String) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        (id, format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })))
    }

    /// Waits for the response to a request.
    #[track_caller]
    pub fn answer(&self, id: u64) -> Value {
        let answer = self.wait(&format!("the answer to request {id}"), |seen| seen.responses.get(&id).cloned());
        check_response(&answer);
        answer
    }

    /// Sends a request and returns its result.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.result(id)
    }

    /// The result of a request that succeeds.
    #[track_caller]
    pub fn result(&self, id: u64) -> Value {
        let mut answer = self.answer(id);
        assert!(answer.get("error").is_none(), "request {id} failed: {}", answer["error"]);
        answer["result"].take()
    }

    /// The error of a request that fails.
    #[track_caller]
    pub fn error(&self, id: u64) -> Value {
        let mut answer = self.answer(id);
        assert!(answer.get("result").is_none(), "request {id} succeeded: {answer}");
        answer["error"].take()
    }

    /// Sends a request that fails; returns its error.
    #[track_caller]
    pub fn refused(&self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.error(id)
    }

    /// The next response without a number, counted from 0.
    #[track_caller]
    pub fn other(&self, n: usize) -> Value {
        let answer = self.wait("a response without a number", |seen| seen.others.get(n).cloned());
        answer.as_array().map_or_else(|| check_response(&answer), |batch| batch.iter().for_each(check_response));
        answer
    }

    /// Waits until `look` finds something in what the sidecar said.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> T {
        let began = Instant::now();
        let mut seen = self.seen();
        loop {
            if let Some(found) = look(&seen) {
                return found;
            }
            if seen.ended || began.elapsed() > DEADLINE {
                let why = if seen.ended { "the sidecar ended" } else { "in vain" };
                drop(seen);
                panic!("waited for {what}: {why}; its log ends with\n{}", self.log_tail());
            }
            seen = self.shared.changed.wait_timeout(seen, Duration::from_millis(100)).unwrap().0;
        }
    }

    /// What it has said so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap()
    }

    /// Waits for so many deliveries; returns all.
    #[track_caller]
    pub fn deliveries(&self, count: usize) -> Vec<Value> {
        self.wait(&format!("{count} deliveries"), |seen| {
            (seen.deliveries.len() >= count).then(|| seen.deliveries.clone())
        })
    }

    /// Acks deliveries; returns how many were new.
    #[track_caller]
    pub fn ack<'a>(&self, deliveries: impl IntoIterator<Item = &'a Value>) -> u64 {
        let ids: Vec<&str> = deliveries.into_iter().map(|message| super::text(message, "deliveryId")).collect();
        self.call("inbound.ack", json!({ "deliveryIds": ids }))["acked"].as_u64().unwrap()
    }

    /// Acks everything until `count` deliveries have come; returns all.
    #[track_caller]
    pub fn ack_all(&self, count: usize) -> Vec<Value> {
        let mut acked = 0;
        while acked < count {
            let seen = self.deliveries(acked + 1);
            self.ack(&seen[acked..]);
            acked = seen.len();
        }
        self.deliveries(count)
    }

    /// Starts an account.
    #[track_caller]
    pub fn start_account(&self, bot: &Bot) {
        self.call("account.start", json!({ "accountId": bot.account }));
    }

    /// Stops an account.
    #[track_caller]
    pub fn stop_account(&self, bot: &Bot) {
        self.call("account.stop", json!({ "accountId": bot.account }));
    }

    /// Sends a text; returns the result.
    #[track_caller]
    pub fn send(&self, to: &str, text: &str) -> Value {
        self.call("outbound.sendText", json!({ "to": to, "text": text }))
    }

    /// How many messages wait to be sent.
    #[track_caller]
    pub fn held(&self) -> usize {
        self.call("outbound.queue", json!({}))["items"].as_array().unwrap().len()
    }

    /// An account's entry in `status.get`.
    #[track_caller]
    pub fn status(&self, bot: &Bot) -> Value {
        self.call("status.get", json!({ "accountId": bot.account }))["accounts"][0].take()
    }

    /// Waits until an account is in a state; returns its status.
    #[track_caller]
    pub fn until_state(&self, bot: &Bot, state: &str) -> Value {
        eventually(&format!("state {state}"), || Some(self.status(bot)).filter(|status| status["state"] == state))
    }

    /// Waits until so many messages of an account were taken in.
    #[track_caller]
    pub fn until_received(&self, bot: &Bot, count: u64) {
        eventually(&format!("{count} messages taken in"), || {
            let counters = self.status(bot)["counters"].clone();
            (counters["received"].as_u64()? + counters["duplicates"].as_u64()? >= count).then_some(())
        });
    }

    /// Stops reading its stdout.
    pub fn stop_listening(&self) {
        *self.shared.deaf.lock().unwrap() = true;
    }

    /// Reads its stdout again.
    pub fn listen(&self) {
        *self.shared.deaf.lock().unwrap() = false;
        self.shared.hearing.notify_all();
    }

    /// Closes its stdin.
    pub fn close_stdin(&self) {
        *self.stdin.lock().unwrap() = None;
    }

    /// Takes its stdin away without closing it.
    pub fn take_stdin(&self) -> ChildStdin {
        self.stdin.lock().unwrap().take().expect("stdin is open")
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal).expect("the process runs");
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().expect("the process runs");
        child.wait().unwrap();
    }

    /// Waits for its end; it must come in time.
    #[track_caller]
    pub fn exit(&self, within: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < within, "it still runs after {within:?}; its log ends with\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything on its stderr so far.
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        log[log.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = child.kill();
        let _ = child.wait();
        self.listen();
        if !std::thread::panicking() {
            let foreign = std::mem::take(&mut self.seen().foreign);
            assert!(foreign.is_empty(), "stdout is for the protocol alone: {foreign:?}");
        }
    }
}

/// A response has either a result or an error, and an error has a code, a text, a kind, and says whether to retry.
#[track_caller]
fn check_response(response: &Value) {
    assert_eq!(response["jsonrpc"], "2.0", "{response}");
    let error = response.get("error");
    assert!(error.is_some() != response.get("result").is_some(), "{response}");
    if let Some(error) = error {
        assert!(error["code"].is_i64() && error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert!(error["data"]["kind"].is_string() && error["data"]["retryable"].is_boolean(), "{error}");
    }
}

/// A process id as the system's calls want it.
#[cfg(unix)]
pub fn pid(number: u32) -> Pid {
    Pid::from_raw(number as i32).expect("a process id is positive")
}
