//! macOS: libproc tells who a process is, kqueue when it ends.
//!
//! Nothing is ever ended here. The system signals processes by number only, so that between the last look and the signal
//! the number could become another process's; and it does not tell who holds a file lock.

use std::ffi::{CStr, c_int, c_void};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent_timespec, kqueue};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getppid, getrlimit, setrlimit};

/// A watch on the process that had a number when it was made, whatever becomes of the number.
#[derive(Debug)]
pub struct Handle {
    queue: OwnedFd,
    /// The event comes once.
    ended: AtomicBool,
}

/// Why there is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandle {
    /// Nobody has this number, or somebody who has ended.
    NoProcess,
    /// The system does not give one; there may be a process.
    Refused,
}

impl Handle {
    /// Of the process that has this number now.
    pub fn open(pid: u32) -> Result<Handle, NoHandle> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(NoHandle::Refused)?;
        let queue = kqueue().map_err(|_| NoHandle::Refused)?;
        let filter = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
        let watch = [Event::new(filter, EventFlags::ADD, std::ptr::null_mut())];
        let mut no_room: [MaybeUninit<Event>; 0] = [];
        // SAFETY: the change names no file descriptor that could be closed under it.
        match unsafe { kevent_timespec(&queue, &watch, &mut no_room[..], Some(&NOW)) } {
            Ok(_) => Ok(Handle { queue, ended: AtomicBool::new(false) }),
            Err(Errno::SRCH) => Err(NoHandle::NoProcess),
            Err(_) => Err(NoHandle::Refused),
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end; returns whether it came in time.
    pub fn wait(&self, at_most: Duration) -> bool {
        if self.ended.load(Ordering::Relaxed) {
            return true;
        }
        let time = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
        let mut room = [MaybeUninit::<Event>::uninit(); 1];
        // SAFETY: no change is made.
        match unsafe { kevent_timespec(&self.queue, &[], &mut room[..], Some(&time)) } {
            Ok((events, _)) if !events.is_empty() => {
                self.ended.store(true, Ordering::Relaxed);
                true
            }
            Ok(_) | Err(Errno::INTR) => false,
            Err(_) => {
                std::thread::sleep(at_most);
                false
            }
        }
    }

    /// Not done.
    pub fn terminate(&self) -> bool {
        false
    }

    /// Not done.
    pub fn kill(&self) -> bool {
        false
    }
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// `None` for a process of another user, too.
fn info(pid: u32) -> Option<libc::proc_bsdinfo> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = size_of::<libc::proc_bsdinfo>() as c_int;
    let into = info.as_mut_ptr().cast::<c_void>();
    // SAFETY: `into` has room for `size` bytes, and any bytes are a valid `proc_bsdinfo`.
    let (got, info) = unsafe {
        let got = libc::proc_pidinfo(c_int::try_from(pid).ok()?, libc::PROC_PIDTBSDINFO, 0, into, size);
        (got, info.assume_init())
    };
    (got == size && info.pbi_pid == pid).then_some(info)
}

/// Microseconds since 1970.
pub fn start_time(pid: u32) -> Option<i64> {
    let info = info(pid)?;
    i64::try_from(info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec).ok()
}

/// The parent of any process.
pub fn parent_of(pid: u32) -> Option<u32> {
    info(pid).map(|info| info.pbi_ppid)
}

/// The own parent.
pub fn parent_pid() -> u32 {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32)
}

/// The system's id of this boot.
pub fn boot_id() -> Option<String> {
    let mut text = [0_u8; 64];
    let mut size = text.len();
    // SAFETY: `text` has room for `size` bytes, and nothing is set.
    let failed = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    (failed == 0 && !text.is_empty()).then(|| text.to_owned())
}

/// Device, inode and file name of the executable.
pub fn program(pid: u32) -> Option<String> {
    let mut path = [0_u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: `path` has room for as many bytes as are told.
    let length = unsafe { libc::proc_pidpath(c_int::try_from(pid).ok()?, path.as_mut_ptr().cast(), path.len() as u32) };
    let path = std::str::from_utf8(path.get(..usize::try_from(length).ok()?)?).ok()?;
    let path = PathBuf::from(path);
    let file = fs::metadata(&path).ok()?;
    Some(format!("{}:{}:{}", file.dev(), file.ino(), path.file_name()?.to_string_lossy()))
}

/// Not told.
pub fn holds_lock(_pid: u32, _file: &Path) -> Option<bool> {
    None
}

/// Not told.
pub fn resident_bytes() -> Option<u64> {
    None
}

/// What is free on a path's disk for this user, in bytes.
pub fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Not asked for here: a copy is made.
pub fn share_content(_original: &std::fs::File, _copy: &std::fs::File) -> bool {
    false
}

/// Raises the soft limit to the hard one.
pub fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// Every terminal understands escape sequences.
pub fn enable_escapes() -> bool {
    true
}
