//! Linux: procfs tells who a process is; a pidfd keeps what is done from hitting another one.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getppid, getrlimit, pidfd_open, pidfd_send_signal, setrlimit,
    test_kill_process,
};

/// A process, whatever becomes of its number.
#[derive(Debug)]
pub struct Handle(OwnedFd);

/// Why there is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHandle {
    /// Nobody has this number.
    NoProcess,
    /// The system does not give one; there may be a process.
    Refused,
}

impl Handle {
    /// Of the process that has this number now, dead or alive.
    pub fn open(pid: u32) -> Result<Handle, NoHandle> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(NoHandle::Refused)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Handle(fd)),
            Err(Errno::SRCH) => Err(NoHandle::NoProcess),
            // Before Linux 5.3, and where a sandbox does not know the call, the question can still be asked.
            Err(_) if test_kill_process(pid) == Err(Errno::SRCH) => Err(NoHandle::NoProcess),
            Err(_) => Err(NoHandle::Refused),
        }
    }

    /// Whether the process has ended, asked after or not.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end; returns whether it came in time.
    pub fn wait(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(_) => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    return false;
                }
            }
        }
    }

    /// Asks it to end (`SIGTERM`). It cannot reach any other process.
    pub fn terminate(&self) -> bool {
        pidfd_send_signal(&self.0, Signal::TERM).is_ok()
    }

    /// Ends it (`SIGKILL`), suspended or not. It cannot reach any other process.
    pub fn kill(&self) -> bool {
        pidfd_send_signal(&self.0, Signal::KILL).is_ok()
    }
}

/// Whether `/proc` is there and speaks of the pid namespace that this process lives in. One that was mounted for another
/// namespace gives the numbers of other processes.
fn procfs() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| {
        let me = std::process::id().to_string();
        let itself = fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == me.as_str());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // One number for each namespace from that of the mount to that of the process; absent before Linux 4.1.
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        itself && numbers.is_none_or(|numbers| numbers.trim() == me)
    })
}

struct Stat {
    parent: u32,
    started: i64,
}

/// Fields 4 and 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
fn stat(pid: u32) -> Option<Stat> {
    if !procfs() {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses and spaces too: count from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

/// Clock ticks since boot.
pub fn start_time(pid: u32) -> Option<i64> {
    stat(pid).map(|stat| stat.started)
}

/// The parent of any process, 0 if it is in another namespace.
pub fn parent_of(pid: u32) -> Option<u32> {
    stat(pid).map(|stat| stat.parent)
}

/// The own parent, 0 if it is in another namespace.
pub fn parent_pid() -> u32 {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32)
}

/// The kernel's id of this boot, and the namespaces that pids and start times belong to.
pub fn boot_id() -> Option<String> {
    if !procfs() {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let pids = fs::read_link("/proc/self/ns/pid").ok()?;
    // Absent before Linux 5.6.
    let time = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(format!("{} {} {}", boot.trim(), pids.display(), time.display()).trim_end().to_owned())
}

/// Device, inode and file name of the executable; it may have been replaced or deleted since.
pub fn program(pid: u32) -> Option<String> {
    if !procfs() {
        return None;
    }
    let link = format!("/proc/{pid}/exe");
    let file = fs::metadata(&link).ok()?;
    let path = fs::read_link(&link).ok()?;
    let name = path.file_name()?.to_string_lossy();
    Some(format!("{}:{}:{}", file.dev(), file.ino(), name.strip_suffix(" (deleted)").unwrap_or(&name)))
}

/// Whether the process holds a lock on the file, as the kernel says (`lock:` in proc_pid_fdinfo(5)).
pub fn holds_lock(pid: u32, file: &Path) -> Option<bool> {
    if !procfs() {
        return None;
    }
    let file = fs::metadata(file).ok()?;
    for fd in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let fd = fd.ok()?.file_name().into_string().ok()?;
        // Closed meanwhile, or without a file.
        let Ok(open) = fs::metadata(format!("/proc/{pid}/fd/{fd}")) else { continue };
        if (open.dev(), open.ino()) != (file.dev(), file.ino()) {
            continue;
        }
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
        if info.lines().any(|line| line.starts_with("lock:")) {
            return Some(true);
        }
    }
    Some(false)
}

/// Field 2 of `/proc/self/statm`, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// What is free on a path's disk for this user, in bytes.
pub fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Btrfs, XFS and a few others can.
pub fn share_content(original: &std::fs::File, copy: &std::fs::File) -> bool {
    rustix::fs::ioctl_ficlone(copy, original).is_ok()
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

/// Every terminal understands escape sequences.
pub fn enable_escapes() -> bool {
    true
}
