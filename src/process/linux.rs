//! Linux: procfs and resource limits.

use std::fs;

use rustix::process::{Resource, Rlimit, getppid, getrlimit, setrlimit};

/// Field 22 of `/proc/<pid>/stat`: clock ticks since boot (proc_pid_stat(5)).
pub fn start_time(pid: u32) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses and spaces too: count from behind it.
    let behind = stat.rsplit_once(')')?.1;
    behind.split_whitespace().nth(19)?.parse().ok()
}

/// Its number is free, or somebody else's, unless procfs cannot be read at all.
pub fn may_live(pid: u32, started: i64) -> bool {
    match start_time(pid) {
        Some(now) => started == 0 || now == started,
        None => start_time(std::process::id()).is_none(),
    }
}

/// The kernel's id of this boot.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The parent, 0 if it is in another namespace.
pub fn parent_pid() -> u32 {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32)
}

/// Field 2 of `/proc/self/statm`, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Raises the soft limit to the hard one.
pub fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })
    {
        tracing::debug!(%error, "the limit of open files was not raised");
    }
}
