//! Other systems: what the standard library tells. Nothing is known for certain here, so nothing is ever ended.

use std::path::Path;
use std::time::Duration;

/// There is none: the type cannot be made.
#[derive(Debug)]
pub enum Handle {}

/// Why there is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandle {
    /// Never said here.
    #[allow(dead_code)]
    NoProcess,
    /// There may be a process.
    Refused,
}

impl Handle {
    /// Not given.
    pub fn open(_pid: u32) -> Result<Handle, NoHandle> {
        Err(NoHandle::Refused)
    }

    /// Never called.
    pub fn has_ended(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn wait(&self, _at_most: Duration) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn terminate(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn kill(&self) -> bool {
        match *self {}
    }
}

/// Not told.
pub fn start_time(_pid: u32) -> Option<i64> {
    None
}

/// Not told.
pub fn parent_of(_pid: u32) -> Option<u32> {
    None
}

/// The own parent.
#[cfg(unix)]
pub fn parent_pid() -> u32 {
    std::os::unix::process::parent_id()
}

/// Not told.
#[cfg(not(unix))]
pub fn parent_pid() -> u32 {
    0
}

/// Not told.
pub fn boot_id() -> Option<String> {
    None
}

/// Not told.
pub fn program(_pid: u32) -> Option<String> {
    None
}

/// Not told.
pub fn holds_lock(_pid: u32, _file: &Path) -> Option<bool> {
    None
}

/// Not told.
pub fn resident_bytes() -> Option<u64> {
    None
}

/// It is not known how to ask.
pub fn free_bytes(_path: &std::path::Path) -> Option<u64> {
    None
}

/// Not asked for here: a copy is made.
pub fn share_content(_original: &std::fs::File, _copy: &std::fs::File) -> bool {
    false
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

/// Every terminal understands escape sequences.
pub fn enable_escapes() -> bool {
    true
}
