//! Systems other than Linux: what the standard library tells.

/// Not told.
pub fn start_time(_pid: u32) -> Option<i64> {
    None
}

/// Not told: it may.
pub fn may_live(_pid: u32, _started: i64) -> bool {
    true
}

/// Not told.
pub fn boot_id() -> String {
    String::new()
}

/// The parent.
#[cfg(unix)]
pub fn parent_pid() -> u32 {
    std::os::unix::process::parent_id()
}

/// Not told: Windows keeps no parent that could be trusted.
#[cfg(not(unix))]
pub fn parent_pid() -> u32 {
    0
}

/// Not told.
pub fn resident_bytes() -> Option<u64> {
    None
}

/// Raises the soft limit to the hard one.
#[cfg(unix)]
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// There is no such limit.
#[cfg(not(unix))]
pub fn raise_open_files() {}
