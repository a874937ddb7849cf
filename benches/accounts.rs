//! Memory and processor time of many accounts that wait for messages: one sidecar polls for all of them, against
//! `simulate` in a process of its own that holds each poll for its 35 seconds.
//!
//! The clock covers whole poll cycles, so that every account ends a poll and begins the next exactly once a cycle,
//! wherever the window lies. The floor is this program started again as a bare client: the same HTTP client with the
//! same number of long polls and nothing else, against a server of its own, in the same window.
//!
//! Options: `--seconds N` (at least so long, in whole cycles; default one), `--large` (10,000 accounts as well),
//! `--binary PATH`, `--json`. Linux only: it reads `/proc`.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
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
    raise_open_files();
    let seconds: u64 = common::value("--seconds", CYCLE.as_secs());
    let cycles = seconds.div_ceil(CYCLE.as_secs()).max(1);
    // Together, in one window: all of them do almost nothing.
    let mut setups = vec![Setup::start(1), Setup::start(1_000)];
    if common::flag("--large") {
        setups.push(Setup::start(10_000));
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

/// Ten thousand accounts need more than twenty thousand open files: a connection and a lock each. The children inherit
/// the limit; where it may not be raised beyond the hard one, that has to do.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let enough = Some(100_000);
    let hard = getrlimit(Resource::Nofile).maximum;
    if hard.is_some_and(|hard| hard < 100_000)
        && setrlimit(Resource::Nofile, Rlimit { current: enough, maximum: enough }).is_ok()
    {
        return;
    }
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
}

#[cfg(not(unix))]
fn raise_open_files() {}

/// A sidecar and a bare client with the same number of accounts, and the servers of both.
struct Setup {
    count: usize,
    sidecar: Gateway,
    bare: Piped,
    servers: [Simulate; 2],
    started_in: Duration,
    _state: tempfile::TempDir,
}

impl Setup {
    fn start(count: usize) -> Setup {
        let servers = [(); 2].map(|()| Simulate::start(count));
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
        Setup { count, sidecar, bare, servers, started_in, _state: state }
    }

    fn pids(&self) -> [u32; 2] {
        [self.sidecar.pid(), self.bare.child.id()]
    }

    fn cpu_seconds(&self) -> [f64; 2] {
        self.pids().map(|pid| common::cpu_seconds(pid).expect("the process runs"))
    }

    fn stop(self) {
        let Setup { sidecar, bare, servers, .. } = self;
        sidecar.stop();
        bare.stop();
        servers.into_iter().for_each(|server| server.process.stop());
    }
}

/// The simulator in a process of its own, with its bots.
struct Simulate {
    process: Piped,
    url: String,
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
        let simulate = Simulate { process, url };
        for n in 1..=bots {
            let bot = json!({ "botId": common::bot_id(n), "token": common::token(n) });
            simulate.ask("POST", "/_sim/bots", &bot.to_string());
        }
        simulate
    }

    /// Returns when `count` polls are held.
    fn wait_for_polls(&self, count: usize) {
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

    /// One request of the control API on a connection of its own.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let host = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).expect("the simulator listens");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        answer
    }
}

/// A child process that ends when its stdin does, or by SIGTERM.
struct Piped {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Piped {
    fn start(mut command: Command) -> Piped {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the child starts");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Piped { child, stdin, stdout }
    }

    fn stop(self) {
        let Piped { mut child, stdin, .. } = self;
        drop(stdin);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The floor: long polls with the sidecar's HTTP client, and nothing else.
mod bare {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::common;

    /// Holds `count` long polls at `url`, until it is killed.
    pub fn run(url: &str, count: usize) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let client = client();
            for n in 1..=count {
                tokio::spawn(poll(client.clone(), format!("{url}/ilink/bot/getupdates"), common::token(n)));
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
            let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!(answer["ret"], 0, "{answer}");
            cursor = answer["get_updates_buf"].as_str().unwrap_or_default().to_owned();
        }
    }

    /// The client as the sidecar makes it, without certificates: the server is on loopback and speaks plain HTTP.
    fn client() -> reqwest::Client {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
    }
}
