//! The operating system, as far as this program touches it: its own size, its limits, its parent.
//!
//! Nothing here sends a signal or starts a process.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `linux`, `other` | the same small interface for each system |
//! | `parent` | noticing that the gateway is gone |

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod parent;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

pub use parent::parent_gone;

/// Who a process is, beyond its reusable number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its process id.
    pub pid: u32,
    /// Its start time in the system's own units; 0 where the system does not tell.
    pub started: i64,
    /// Which boot of the machine it belongs to; empty where the system does not tell.
    pub boot_id: String,
}

/// This process.
pub fn this_process() -> Identity {
    let pid = std::process::id();
    Identity { pid, started: system::start_time(pid).unwrap_or(0), boot_id: system::boot_id() }
}

/// The parent's process id; 0 where the system does not tell.
pub fn parent_pid() -> u32 {
    system::parent_pid()
}

/// Whether the process that had this number and start time may still be there. In doubt it is.
pub fn may_live(pid: u32, started: i64) -> bool {
    system::may_live(pid, started)
}

/// This process's resident memory in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    system::resident_bytes().unwrap_or(0)
}

/// Allows as many open files as the system lets this user have: each account holds a connection and a lock.
pub fn raise_open_files() {
    system::raise_open_files();
}
