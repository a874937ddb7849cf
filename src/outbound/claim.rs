//! Who is at a send. Several processes share the outbox, those of other containers too, and the machine may have been
//! started anew since a row was written.

use crate::process::{self, Identity};

/// This process, as it names itself in claims.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// Where its numbers mean something; empty where the system does not tell.
    boot_id: String,
    text: String,
}

impl Claimant {
    /// A name that no other process has.
    pub fn this_process() -> Claimant {
        Claimant::of(&process::this_process())
    }

    fn of(process: &Identity) -> Claimant {
        let Identity { pid, started, boot_id, .. } = process;
        // Where neither start times nor boots are told, two containers may have the same numbers.
        let text = format!("{pid} {started} {:016x} {boot_id}", rand::random::<u64>());
        Claimant { boot_id: boot_id.clone(), text }
    }

    pub fn name(&self) -> &str {
        &self.text
    }

    /// Whether the process of that name is no more. Of one that belongs to another boot or to other namespaces that cannot
    /// be known: its claim runs out by itself.
    pub fn is_gone(&self, name: &str) -> bool {
        let mut fields = name.splitn(4, ' ');
        let mut number = || fields.next().and_then(|field| field.parse::<i64>().ok());
        let (Some(pid), Some(started)) = (number().and_then(|pid| u32::try_from(pid).ok()), number()) else {
            return false;
        };
        let boot_id = fields.nth(1).unwrap_or_default();
        !boot_id.is_empty() && boot_id == self.boot_id && !process::may_live(pid, started)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A process that has ended, and was asked after.
    fn dead() -> Identity {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        Identity { pid, started: 1, ..process::this_process() }
    }

    #[test]
    fn a_dead_process_and_one_whose_number_another_one_has_are_gone() {
        let me = Claimant::this_process();
        assert!(!me.is_gone(me.name()));
        assert!(me.is_gone(Claimant::of(&dead()).name()));
        let before = Identity { started: 1, ..process::this_process() };
        assert!(me.is_gone(Claimant::of(&before).name()), "the number is this process's, the start time is not");
    }

    #[test]
    fn who_belongs_to_another_boot_or_container_may_live_whatever_has_its_number_here() {
        let me = Claimant::this_process();
        for boot_id in ["", "another boot", &format!("{} other", me.boot_id)] {
            let elsewhere = Identity { boot_id: boot_id.to_owned(), ..dead() };
            assert!(!me.is_gone(Claimant::of(&elsewhere).name()), "{boot_id:?}");
        }
    }

    #[test]
    fn where_the_system_tells_nothing_nobody_is_gone_and_nobody_has_the_same_name() {
        let untold = Identity { pid: 7, started: 0, boot_id: String::new(), program: String::new() };
        let (one, two) = (Claimant::of(&untold), Claimant::of(&untold));
        assert_ne!(one.name(), two.name());
        assert!(!one.is_gone(two.name()));
    }

    #[test]
    fn a_name_that_cannot_be_read_is_nobodys_who_is_gone() {
        let me = Claimant::this_process();
        for name in ["", "7", "7:12", "x 1 0 b", "-1 1 0 b", "99999999999 1 0 b"] {
            assert!(!me.is_gone(name), "{name:?}");
        }
    }
}
