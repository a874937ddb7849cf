//! The processes that are never signalled, whatever else speaks for it: this one, every ancestor of it, the gateway's
//! service (`OPENCLAW_GATEWAY_SERVICE_PID`) and the gateway that introduced itself, with every ancestor of those.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::system;

/// More generations than this are a mistake in reading them.
const GENERATIONS: usize = 1_000;

/// The ancestors at the start: a gateway that was re-parented away meanwhile is still one.
static AT_START: OnceLock<ProtectedProcesses> = OnceLock::new();

/// A set of processes, perhaps with some that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectedProcesses {
    pids: BTreeSet<u32>,
    /// Somebody in the line could not be read: anybody may belong to it.
    unread: bool,
}

impl ProtectedProcesses {
    /// Everybody who is not to be touched. `gateway`: what the gateway said of itself, 0 for nothing.
    pub fn now(gateway: u32) -> ProtectedProcesses {
        let mut protected = remember_ancestors().clone();
        protected.climb(std::process::id(), parent_of);
        if gateway != 0 {
            protected.climb(gateway, parent_of);
        }
        match std::env::var("OPENCLAW_GATEWAY_SERVICE_PID") {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => match text.trim().parse() {
                Ok(pid) if pid > 0 => protected.climb(pid, parent_of),
                _ => protected.unread = true,
            },
            Err(std::env::VarError::NotPresent) => {}
            Err(std::env::VarError::NotUnicode(_)) => protected.unread = true,
        }
        protected
    }

    /// Whether `pid` is one of them; `None`: perhaps.
    pub fn contains(&self, pid: u32) -> Option<bool> {
        match self.pids.contains(&pid) {
            true => Some(true),
            false if self.unread => None,
            false => Some(false),
        }
    }

    /// Adds `pid` and its ancestors up to the top. Pid 1 is always among them: in a container it often is the gateway.
    fn climb(&mut self, pid: u32, parent_of: impl Fn(u32) -> Option<u32>) {
        self.pids.insert(1);
        let mut at = pid;
        for _ in 0..GENERATIONS {
            self.pids.insert(at);
            if at == 1 {
                // The top, read or not: it has no parent, or one in another namespace.
                return;
            }
            match parent_of(at) {
                // A parent without a number here is outside this namespace: no number could hit it or those above it.
                Some(0) => return,
                Some(parent) if parent == at => break,
                Some(parent) => at = parent,
                None => break,
            }
        }
        self.unread = true;
    }
}

/// Writes down who the ancestors are now; the first call in a process counts.
pub fn remember_ancestors() -> &'static ProtectedProcesses {
    AT_START.get_or_init(|| {
        let mut protected = ProtectedProcesses::default();
        protected.climb(std::process::id(), parent_of);
        protected
    })
}

/// Whether `pid` is, for certain and now, an ancestor of this process.
pub fn is_ancestor(pid: u32) -> bool {
    let mut protected = ProtectedProcesses::default();
    protected.climb(std::process::id(), parent_of);
    // Pid 1 is in the set whether it was reached or not.
    pid != std::process::id() && protected.pids.contains(&pid) && (pid != 1 || !protected.unread)
}

fn parent_of(pid: u32) -> Option<u32> {
    // The own parent is known without reading anything.
    if pid == std::process::id() { Some(system::parent_pid()) } else { system::parent_of(pid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climbed(pid: u32, parents: &[(u32, u32)]) -> ProtectedProcesses {
        let mut protected = ProtectedProcesses::default();
        protected.climb(pid, |pid| parents.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent));
        protected
    }

    #[test]
    fn the_whole_line_is_kin_and_nobody_else() {
        let protected = climbed(40, &[(40, 30), (30, 20), (20, 1), (1, 0), (50, 30)]);
        for pid in [40, 30, 20, 1] {
            assert_eq!(protected.contains(pid), Some(true), "{pid}");
        }
        assert_eq!(protected.contains(50), Some(false));
    }

    #[test]
    fn somebody_who_cannot_be_read_may_be_anybody() {
        let protected = climbed(40, &[(40, 30)]);
        assert_eq!(protected.contains(30), Some(true));
        assert_eq!(protected.contains(1), Some(true));
        assert_eq!(protected.contains(50), None);
        assert_eq!(climbed(40, &[(40, 1)]).contains(50), Some(false), "the top need not be read");
    }

    #[test]
    fn a_parent_in_another_namespace_is_the_top_and_a_circle_is_a_mistake() {
        assert_eq!(climbed(7, &[(7, 0)]).contains(8), Some(false));
        assert_eq!(climbed(7, &[(7, 0)]).contains(1), Some(true));
        assert_eq!(climbed(7, &[(7, 6), (6, 7)]).contains(8), None);
        assert_eq!(climbed(7, &[(7, 7)]).contains(8), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_ancestors_of_this_process_are_read_up_to_the_top() {
        let protected = ProtectedProcesses::now(0);
        assert_eq!(protected.contains(std::process::id()), Some(true));
        assert_eq!(protected.contains(system::parent_pid()), Some(true));
        assert!(is_ancestor(system::parent_pid()) && !is_ancestor(std::process::id()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(protected.contains(child.id()), Some(false));
        assert_eq!(ProtectedProcesses::now(child.id()).contains(child.id()), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
