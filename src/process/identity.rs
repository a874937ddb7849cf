//! Who a process is, beyond its reusable number, and whether it still is.

use super::protected;
use super::system::{self, Handle, NoHandle};

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its process id.
    pub pid: u32,
    /// Its start time in the system's own units; 0 where the system does not tell.
    pub started: i64,
    /// Where the two numbers above mean something: the boot of the machine, and on Linux the pid and time namespaces.
    /// Empty where the system does not tell.
    pub boot_id: String,
    /// Its executable, as `device:inode:file name`; empty where the system does not tell.
    pub program: String,
}

/// The gateway that a sidecar serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its process id; 0 where the system does not tell, and for a command without a gateway.
    pub pid: u32,
    /// Its start time; 0 where it is not known, and then nobody can ever say that it is gone.
    pub started: i64,
}

/// How a process that was known by number and start time is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is there, suspended or not.
    Lives,
    /// It is not: its number is free, or somebody else's, or a dead process's that nobody has asked after.
    Gone,
    /// The system does not tell.
    Unknown,
}

pub fn this_process() -> Identity {
    let pid = std::process::id();
    Identity {
        pid,
        started: system::start_time(pid).unwrap_or(0),
        boot_id: system::boot_id().unwrap_or_default(),
        program: system::program(pid).unwrap_or_default(),
    }
}

impl Gateway {
    /// A command at a terminal has none.
    pub const NONE: Gateway = Gateway { pid: 0, started: 0 };

    /// The gateway of this process: the one that the gateway itself names, else the parent.
    ///
    /// A process is taken for the gateway with its start time only if it is an ancestor of this one. One that is not
    /// (another namespace, a shell in between that has ended) is written down without: it can never be called gone.
    pub fn of_this_process(told: Option<u32>) -> Gateway {
        let parent = system::parent_pid();
        match told {
            Some(pid) if pid != parent && !protected::is_ancestor(pid) => Gateway { pid, started: 0 },
            _ => {
                let pid = told.unwrap_or(parent);
                Gateway { pid, started: system::start_time(pid).unwrap_or(0) }
            }
        }
    }

    /// Whether it is still there.
    pub fn standing(self) -> Liveness {
        standing(self.pid, self.started)
    }
}

/// How the process is that had this number and start time, in this process's own `boot_id`.
pub fn standing(pid: u32, started: i64) -> Liveness {
    if pid == 0 || started == 0 {
        return Liveness::Unknown;
    }
    let handle = match Handle::open(pid) {
        Err(NoHandle::NoProcess) => return Liveness::Gone,
        Err(NoHandle::Refused) => None,
        Ok(handle) => Some(handle),
    };
    let now = system::start_time(pid);
    if handle.is_some_and(|handle| handle.has_ended()) {
        return Liveness::Gone;
    }
    match now {
        Some(now) if now == started => Liveness::Lives,
        Some(_) => Liveness::Gone,
        None => Liveness::Unknown,
    }
}

/// Whether the process that had this number and start time, in this process's own `boot_id`, may still be there. In doubt
/// it is.
pub fn may_live(pid: u32, started: i64) -> bool {
    match Handle::open(pid) {
        Err(NoHandle::NoProcess) => false,
        _ if started == 0 => true,
        _ => standing(pid, started) != Liveness::Gone,
    }
}

/// The file name in a [`Identity::program`].
pub fn file_name(program: &str) -> Option<&str> {
    program.splitn(3, ':').nth(2).filter(|name| !name.is_empty())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_reused_number_is_another() {
        let me = this_process();
        assert!(me.started > 0 && !me.boot_id.is_empty() && file_name(&me.program).is_some(), "{me:?}");
        assert_eq!(standing(me.pid, me.started), Liveness::Lives);
        assert_eq!(standing(me.pid, me.started + 1), Liveness::Gone);
        assert!(may_live(me.pid, me.started) && may_live(me.pid, 0) && !may_live(me.pid, me.started + 1));
    }

    #[test]
    fn a_dead_child_is_gone_before_and_after_somebody_asks_after_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, started) = (child.id(), system::start_time(child.id()).unwrap());
        assert_eq!(standing(pid, started), Liveness::Lives);
        child.kill().unwrap();
        while standing(pid, started) == Liveness::Lives {
            std::thread::yield_now();
        }
        assert_eq!(standing(pid, started), Liveness::Gone, "a zombie is not alive");
        child.wait().unwrap();
        assert_eq!(standing(pid, started), Liveness::Gone);
    }

    #[test]
    fn the_gateway_is_the_parent_or_an_ancestor_and_anything_else_is_never_gone() {
        let parent = Gateway::of_this_process(None);
        assert_eq!((parent.pid, parent.standing()), (system::parent_pid(), Liveness::Lives));
        assert_eq!(Gateway::of_this_process(Some(parent.pid)), parent);
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let told = Gateway::of_this_process(Some(stranger.id()));
        assert_eq!(told, Gateway { pid: stranger.id(), started: 0 });
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert_eq!(told.standing(), Liveness::Unknown);
        assert_eq!(Gateway::NONE.standing(), Liveness::Unknown);
    }
}
