//! Memory and processor time of many accounts that wait for messages: one sidecar polls for all of them, against
//! `simulate` in a process of its own that holds each poll for its 35 seconds.
//!
//! The clock covers whole poll cycles, so that every account ends a poll and begins the next exactly once a cycle,
//! wherever the window lies. The floor is this program started again as a bare client: the same HTTP client with the
//! same number of long polls and nothing else, against a server of its own, in the same window.
//!
//! Options: `--seconds N` (at least so long, in whole cycles; default one), `--large` (10,000 accounts as well, or
//! as many as the limit of open files allows), `--accounts N` (another number than that), `--binary PATH`, `--json`. Linux only: it reads `/proc`.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Aim, Gateway, Memory, Report};
use serde_json::{Value, json};

/// How long a poll is held: 35 s less the second that the simulator answers early.
const CYCLE: Duration = Duration::from_secs(34);
/// What a start leaves behind must be over: the state that a poll shows after 3 s, and the greetings of the accounts.
const SETTLE: Duration = Duration::from_secs(4);
/// The hidden mode: a bare client.
const BARE: &str = "--bare-polls";

fn main() {
    if common::flag(BARE) {
        return bare::run(&common::value(BARE, String::new()), common::value("--count", 0));
    }
    if !cfg!(target_os = "linux") {
        println!("accounts: this benchmark reads /proc");
        return;
    }
    let seconds: u64 = common::value("--seconds", CYCLE.as_secs());
    let cycles = seconds.div_ceil(CYCLE.as_secs()).max(1);
    // Together, in one window: all of them do almost nothing.
    let mut setups = vec![Setup::start(1), Setup::start(1_000)];
    if common::flag("--large") {
        setups.push(Setup::start(common::value("--accounts", large())));
    }
    std::thread::sleep(SETTLE);
    let before: Vec<[f64; 2]> = setups.iter().map(Setup::cpu_seconds).collect();
    let began = Instant::now();
    std::thread::sleep(CYCLE * cycles as u32);
    let window = began.elapsed();
    let after: Vec<[f64; 2]> = setups.iter().map(Setup::cpu_seconds).collect();

    let mut report = Report::new(format!("accounts: polling against a server that holds ({} s)", window.as_secs()));
    for ((setup, before), after) in setups.iter().zip(before).zip(after) {
        let share = |n: usize| (after[n] - before[n]) / window.as_secs_f64() * 100.0;
        let [sidecar, bare] = setup.pids().map(|pid| Memory::of(pid).expect("the process runs"));
        let thousands = setup.count as f64 / 1000.0;
        let (rss_aim, cpu_aim) = match setup.count {
            1 => (12.0, None),
            _ => (64.0 * thousands, Some(Aim::AtMost(thousands))),
        };
        let accounts = match setup.count {
            1 => "1 account".to_owned(),
            n => format!("{n} accounts"),
        };
        let aim = Some(Aim::AtMost(rss_aim));
        report.figure(&format!("{accounts}, RSS"), "MiB", sidecar.rss, aim, ("bare client", bare.rss));
        report.figure("  of it anonymous", "MiB", sidecar.anonymous, None, ("bare client", bare.anonymous));
        report.figure("  highest so far", "MiB", sidecar.peak, None, ("bare client", bare.peak));
        if setup.count > 1 {
            report.figure(&format!("{accounts}, CPU"), "% of a core", share(0), cpu_aim, ("bare client", share(1)));
        } else {
            report.note(&format!("{accounts}, CPU"), "% of a core", share(0));
        }
        report.note("  from the first account.start to all polling", "s", setup.started_in.as_secs_f64());
    }
    report.print();
    setups.into_iter().for_each(Setup::stop);
}

/// How many accounts `--large` means: ten thousand, or as many as this user may have open files for. An account takes a
/// connection and a lock, and a second connection for the greeting at its start.
#[cfg(unix)]
fn large() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = Some(40_000);
    let hard = getrlimit(Resource::Nofile).maximum;
    let most = match hard {
        // Root may have more; the children inherit it.
        Some(hard) if hard < 40_000 => match setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: wanted }) {
            Ok(()) => wanted,
            Err(_) => Some(hard),
        },
        other => other,
    };
    most.map_or(10_000, |most| (most.saturating_sub(500) / 3).min(10_000) as usize)
}

#[cfg(not(unix))]
fn large() -> usize {
    10_000
}

/// A sidecar and a bare client with the same number of accounts, and the servers of both.
struct Setup {
    count: usize,
    sidecar: Gateway,
    bare: Piped,
    _servers: [Simulate; 2],
    started_in: Duration,
    _state: tempfile::TempDir,
}

impl Setup {
    fn start(count: usize) -> Setup {
        let mut servers = [(); 2].map(|()| Simulate::start(count));
        let state = tempfile::tempdir().unwrap();
        common::write_accounts(state.path(), count);
        let mut sidecar = Gateway::start(&servers[0].url, state.path());
        let ids: Vec<String> = (1..=count).map(common::account_id).collect();
        let began = Instant::now();
        sidecar.start_accounts(&ids);
        servers[0].wait_for_polls(count);
        let started_in = began.elapsed();
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new(this);
        command.args([BARE, &servers[1].url, "--count", &count.to_string()]);
        let bare = Piped::start(command);
        servers[1].wait_for_polls(count);
        Setup { count, sidecar, bare, _servers: servers, started_in, _state: state }
    }

    fn pids(&self) -> [u32; 2] {
        [self.sidecar.pid(), self.bare.child.id()]
    }

    fn cpu_seconds(&self) -> [f64; 2] {
        self.pids().map(|pid| common::cpu_seconds(pid).expect("the process runs"))
    }

    /// The servers last: the sidecar takes its leave of them.
    fn stop(self) {
        self.sidecar.stop();
    }
}

/// The simulator in a process of its own, with its bots.
struct Simulate {
    _process: Piped,
    url: String,
    control: BufReader<TcpStream>,
}

impl Simulate {
    fn start(bots: usize) -> Simulate {
        let mut command = Command::new(common::binary());
        command.arg("simulate");
        let mut process = Piped::start(command);
        let mut line = String::new();
        process.stdout.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("the simulator tells its address");
        let url = told["url"].as_str().unwrap().to_owned();
        let control = TcpStream::connect(url.strip_prefix("http://").unwrap()).expect("the simulator listens");
        control.set_nodelay(true).unwrap();
        let mut simulate = Simulate { _process: process, url, control: BufReader::new(control) };
        for n in 1..=bots {
            let bot = json!({ "botId": common::bot_id(n), "token": common::token(n) });
            simulate.ask("POST", "/_sim/bots", &bot.to_string());
        }
        simulate
    }

    /// Returns when `count` polls are held.
    fn wait_for_polls(&mut self, count: usize) {
        let patience = Instant::now() + Duration::from_secs(120);
        loop {
            let state = self.ask("GET", "/_sim/state", "");
            let held = state.matches("\"activePolls\":1,").count();
            if held == count {
                return;
            }
            assert!(Instant::now() < patience, "{held} of {count} accounts poll");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// One request of the control API. All of them on one connection: a connection each would use up the ports that the
    /// polls need.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: simulator\r\ncontent-length: {length}\r\n\r\n{body}");
        self.control.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.control.read_line(&mut head).unwrap() > 0, "the simulator has ended");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut answer = vec![0; length.parse().unwrap()];
        self.control.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        answer
    }
}

/// A child process with a pipe from its stdout. It is killed when it is dropped, after a failure too.
struct Piped {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Piped {
    fn start(mut command: Command) -> Piped {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the child starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Piped { child, stdout }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The floor: long polls with the sidecar's HTTP client, and nothing else.
mod bare {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::common;

    /// Holds `count` long polls at `url`, until it is killed.
    pub fn run(url: &str, count: usize) {
        raise_open_files();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let client = common::bare_client();
            for n in 1..=count {
                tokio::spawn(poll(client.clone(), format!("{url}/ilink/bot/getupdates"), common::token(n)));
                // The system lets so many connections wait to be accepted, and drops what comes on top.
                if n % 256 == 0 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            std::future::pending::<()>().await;
        });
    }

    async fn poll(client: reqwest::Client, url: String, token: String) {
        let base_info = json!({ "channel_version": "1", "bot_agent": "bench" });
        let mut cursor = String::new();
        loop {
            let body = json!({ "get_updates_buf": cursor, "base_info": base_info });
            let request = client
                .post(&url)
                .timeout(Duration::from_secs(37))
                .bearer_auth(&token)
                .header("ilink-app-id", "bot")
                .header("ilink-app-clientversion", "1")
                .header("authorizationtype", "ilink_bot_token")
                .header("x-wechat-uin", "MTIzNDU2Nzg5")
                .json(&body);
            let Ok(answer) = request.send().await else {
                // So many connections at once: some wait too long to be accepted, and are made again.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let answer = answer.bytes().await.expect("a body");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!(answer["ret"], 0, "{answer}");
            cursor = answer["get_updates_buf"].as_str().unwrap_or_default().to_owned();
        }
    }

    #[cfg(unix)]
    fn raise_open_files() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }

    #[cfg(not(unix))]
    fn raise_open_files() {}
}
