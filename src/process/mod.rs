//! The operating system, as far as this program touches it: itself, its parent, and a stale copy of itself.
//!
//! **The only signal of this program is sent from here**, by [`end_stale`], and only where [`decide`] says so. Nothing in
//! the tree starts a process. `tests/process_safety.rs` reads the source to see that it stays so.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `beneath` | opening a file that lies in a folder, and no other one |
//! | `clock` | whether the machine slept |
//! | `identity` | who a process is, and whether it still is |
//! | `protected` | the processes that are never signalled: this one, its ancestors, the gateway's service |
//! | `parent` | noticing that the gateway is gone |
//! | `takeover` | when a stale owner of a lease may be ended, and ending it |
//! | `linux`, `macos`, `windows`, `other` | the same small interface for each system |

mod beneath;
pub mod clock;
mod identity;
mod parent;
mod protected;
mod takeover;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
#[path = "other.rs"]
mod system;

pub use beneath::open_beneath;
pub use identity::{Gateway, Identity, Liveness, may_live, this_process};
pub use parent::{gateway_gone, parent_gone};
pub use protected::remember_ancestors;
pub use takeover::{Facts, KeepReason, Kinship, Recorded, Request, Verdict, decide, end_stale, facts};

/// This process's resident memory in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    system::resident_bytes().unwrap_or(0)
}

/// What this user may still write to the disk that a path is on, in bytes; `None` where the system does not tell.
pub fn free_bytes(path: &std::path::Path) -> Option<u64> {
    // What is not there yet will be on its parent's disk.
    path.ancestors().find_map(system::free_bytes)
}

/// Gives `copy`, an empty file, the content of `original` on the same blocks of the disk. `false`: the file system cannot.
pub fn share_content(original: &std::fs::File, copy: &std::fs::File) -> bool {
    system::share_content(original, copy)
}

/// Makes the terminal understand escape sequences, where it has to be told. `false`: it does not.
pub fn enable_escapes() -> bool {
    system::enable_escapes()
}

/// Allows as many open files as the system lets this user have: each account holds a connection and a lock.
pub fn raise_open_files() {
    system::raise_open_files();
}
