//! Gateways that can be killed or suspended with a sidecar of their own, and rows in which a sidecar wrote itself down.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::params;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{Bot, Launch, Sidecar, State, World, pid, until};

/// A shell as the gateway: it starts the sidecar and waits for it. The test holds the other end of the sidecar's stdin.
pub const SHELL: [&str; 4] = ["sh", "-c", "exec 3<&0; \"$@\" <&3 3<&- & wait", "gateway"];

/// A sidecar whose gateway is a process of its own. Both are killed when it is dropped.
pub struct Served {
    /// What the gateway and the sidecar say; its pid is the gateway's.
    pub gateway: Sidecar,
    /// The sidecar.
    pub pid: u32,
}

impl Served {
    /// Starts a gateway with its sidecar.
    #[track_caller]
    pub fn start(launch: Launch) -> Served {
        Served::behind(launch, SHELL)
    }

    /// The same with another gateway, which must not become the sidecar.
    #[track_caller]
    pub fn behind<'a>(launch: Launch, gateway: impl IntoIterator<Item = &'a str>) -> Served {
        let gateway = launch.behind(gateway).spawn();
        gateway.initialize();
        // Its own word is not taken for it: in another namespace it has another number. It starts nothing itself.
        let pid = descendants(gateway.pid()).into_iter().find(|pid| children(*pid).is_empty());
        Served { pid: pid.expect("a sidecar below the gateway"), gateway }
    }

    /// Sends the sidecar a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid), signal).expect("the sidecar runs");
    }

    /// Suspends the sidecar, then kills its gateway: a stale sidecar that cannot yield.
    #[track_caller]
    pub fn make_stale(&self) {
        self.signal(Signal::STOP);
        until("the suspension", || state(self.pid) == Some('T'));
        self.gateway.kill();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.pid), Signal::KILL);
    }
}

/// A process's state in `/proc/<pid>/stat`; `None`: there is none.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim().chars().next()
}

/// Whether a process runs, suspended or not.
pub fn runs(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// A process's start time, as the sidecar writes it down.
#[track_caller]
pub fn start_time(pid: u32) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

/// A process's executable, as the sidecar writes it down.
#[track_caller]
pub fn program(pid: u32) -> String {
    use std::os::unix::fs::MetadataExt;
    let link = format!("/proc/{pid}/exe");
    let file = std::fs::metadata(&link).unwrap();
    let path = std::fs::read_link(&link).unwrap();
    format!("{}:{}:{}", file.dev(), file.ino(), path.file_name().unwrap().to_str().unwrap())
}

/// A process and all its ancestors.
pub fn ancestry(pid: u32) -> Vec<u32> {
    let up = |pid: &u32| parent(*pid).filter(|parent| *parent != 0);
    std::iter::successors(Some(pid), up).collect()
}

/// A process's parent; `None`: it is gone.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|child| parent(*child) == Some(pid)).collect()
}

/// All processes below one.
pub fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// Writes another process into the row of an account's lease, with its true start time and executable, and says that its
/// gateway is gone: everything a row can say speaks for ending it.
#[track_caller]
pub fn name_in_lease(state: &State, account: &str, pid: u32) {
    let forged = state.sql().execute(
        "UPDATE lease SET pid = ?2, started = ?3, program = ?4, gateway_pid = ?5, gateway_started = 1 WHERE account_id = ?1",
        params![account, pid, start_time(pid), program(pid), pid],
    );
    assert_eq!(forged.unwrap(), 1);
}

/// A process of a name of its own, killed when it is dropped.
pub struct Named(std::process::Child);

impl Named {
    /// A long sleep called `name`.
    pub fn sleeps(dir: &Path, name: &str) -> Named {
        Named::sleeps_with(dir, name, Stdio::null())
    }

    /// The same; it alone holds the port of `listener`.
    pub fn listens(dir: &Path, name: &str, listener: TcpListener) -> Named {
        Named::sleeps_with(dir, name, OwnedFd::from(listener).into())
    }

    fn sleeps_with(dir: &Path, name: &str, stdin: Stdio) -> Named {
        let path = dir.join(name);
        copy(Path::new("/bin/sleep"), &path);
        Named(Command::new(&path).arg("1000").stdin(stdin).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies a program, by a process of its own: no child of this one may have the copy open for writing when it is started.
#[track_caller]
pub fn copy(program: &Path, to: &Path) {
    assert!(Command::new("cp").arg(program).arg(to).status().unwrap().success());
}

/// The kind of an error and its text.
#[track_caller]
pub fn locked(error: &Value) -> &str {
    assert_eq!(error["data"]["kind"], "account_locked", "{error}");
    super::text(error, "message")
}

/// A sidecar that is truly stale and polls an account, suspended so that it cannot yield.
pub fn stale(world: &World) -> (Served, Bot) {
    let bot = world.bot();
    let stale = Served::start(world.launch());
    stale.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    stale.make_stale();
    (stale, bot)
}
