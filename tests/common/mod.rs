//! What the whole-binary tests share: a simulated WeChat, a state directory, and the real binary as a child process
//! with the test as its gateway.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `world` | the simulator in this process, a state directory, both together |
//! | `sidecar` | `serve` as a child: requests, what it says, how it ends |
//! | `hub` | `hub` as a child: requests with a token, WebSockets |
//! | `files` | files that people send and are sent |
//! | `cli` | the other commands, run to their end |
//! | `gateways` | gateways that are killed or suspended, and forged rows of leases |
//! | `writes`, `clock` | a database that turns read-only in the middle; a clock that jumps |
//! | `preload` | a C library before all others, for these two |
//! | `mounts` | read-only and full disks, in a mount namespace of the child's own |
//! | `namespaces` | a container with a gateway as pid 1, with all, some or none of `/proc` |
//! | `random` | choices that can be played again |
//! | `canned` | a server that says the same to everybody |
//! | `tap` | a wire between sidecar and simulator that can be listened to |
//!
//! Nothing here waits for a time: every wait is for a condition, and [`DEADLINE`] only says when to give up.

// Each test file is a program of its own and uses its own part of this.
#![allow(dead_code, unused_imports)]

mod canned;
mod cli;
mod clock;
pub mod files;
#[cfg(target_os = "linux")]
pub mod gateways;
pub mod hub;
mod mounts;
#[cfg(target_os = "linux")]
pub mod namespaces;
mod preload;
mod random;
mod sidecar;
mod tap;
mod world;
mod writes;

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

pub use canned::Canned;
pub use cli::{Ran, command, run, run_to_end};
pub use clock::JumpingClock;
pub use mounts::{OwnMounts, skip};
pub use random::Random;
#[cfg(unix)]
pub use sidecar::pid;
pub use sidecar::{Launch, Seen, Sidecar};
pub use tap::Tap;
pub use world::{Bot, State, World};
pub use writes::ReadOnlySwitch;

/// When a test gives up on a condition.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// What the contract allows a sidecar to take for its end.
pub const EXIT: Duration = Duration::from_secs(5);

/// Names another build of the binary, which is tested instead of Cargo's; or a command that becomes it by `exec`.
const OTHER_BUILD: &str = "OPENCLAW_WEIXIN_TEST_BINARY";

/// The binary that is tested.
pub fn binary() -> OsString {
    std::env::var_os(OTHER_BUILD).unwrap_or_else(|| env!("CARGO_BIN_EXE_openclaw-weixin-sidecar").into())
}

/// Leaves a command nothing of this process's environment but the search path and what the system itself needs.
pub fn clean(command: &mut Command) {
    command.env_clear();
    // Without SystemRoot no Windows program finds its libraries. The last two are for the emulator that runs them on Linux.
    for name in ["PATH", "SystemRoot", "WINEPREFIX", "WINEDEBUG"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
}

/// Whether that is the one that Cargo built for this test: a debug build, dynamically linked.
pub fn is_cargos_build() -> bool {
    std::env::var_os(OTHER_BUILD).is_none()
}

/// Waits until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `check` holds.
#[track_caller]
pub fn until(what: &str, mut check: impl FnMut() -> bool) {
    eventually(what, || check().then_some(()));
}

/// That nobody else may read a file; on Windows its folder sees to that.
#[track_caller]
pub fn assert_private(file: &std::path::Path) {
    let metadata = std::fs::metadata(file).expect("the file is there");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600, "{}", file.display());
    assert!(metadata.is_file());
}

/// The text of a field that must be there.
#[track_caller]
pub fn text<'a>(value: &'a serde_json::Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {value}"))
}

/// A field of a process's `/proc/<pid>/status` in bytes, such as `VmRSS`.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field is there");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}
