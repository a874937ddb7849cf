//! When a stale owner of a lease may be ended, and ending it.
//!
//! A sidecar ends with its gateway. One that cannot (suspended, stuck in the kernel, its pipe held open) may still hold
//! the lease of an account, and nobody would receive that account's messages any more. It may be ended, but only if
//! *everything* speaks for it: [`decide`] is the whole rule, and reads top to bottom. Any doubt leaves the process alone.

use std::path::Path;
use std::time::{Duration, Instant};

use super::identity::{Gateway, Identity, Liveness, file_name, standing, this_process};
use super::protected::ProtectedProcesses;
use super::system::{self, Handle, NoHandle};

/// How long a process may take to end by itself after SIGTERM; the contract gives a sidecar five seconds.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// How long the system may take to end it.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile whether this is still to be done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The owner of a lease, as it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Who holds the lease.
    pub owner: Identity,
    /// Whom it serves.
    pub gateway: Gateway,
}

/// What became of the request to the owner to give the lease up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// It was not asked.
    NotMade,
    /// It answered that its gateway lives.
    Refused,
    /// It did nothing at all, for longer than a healthy one needs to see the request and to end.
    Ignored,
}

/// How a process is related to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// It is this process, an ancestor of it, the gateway or its service, or an ancestor of those.
    Protected,
    /// None of them.
    Stranger,
    /// Not all of them could be read.
    Unknown,
}

/// Everything that the decision is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the owner wrote itself down in this boot and in these namespaces; elsewhere its numbers mean others.
    pub same_system: Option<bool>,
    /// Whether the process with the recorded number and start time is there.
    pub owner: Liveness,
    /// Whether it runs this program: the executable that it recorded, and that is this one's file, or an older file of
    /// the same name.
    pub same_program: Option<bool>,
    /// Whether it holds the lock of the lease, as the system says.
    pub holds_lock: Option<bool>,
    /// Whether the gateway that it recorded is there.
    pub gateway: Liveness,
    /// How it is related to this process.
    pub kinship: Kinship,
    /// Whether it was asked to yield.
    pub request: Request,
}

/// What is to be done about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything speaks for a stale one, but it was not asked yet.
    Ask,
    End,
    /// Leave it alone.
    Leave(KeepReason),
}

/// Why the owner is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepReason {
    /// Not written down here and now.
    #[error("it belongs to another container, namespace or boot")]
    OtherSystem,
    /// Its number is free or reused.
    #[error("the process that was written down is gone, and another one holds the lock")]
    OwnerGone,
    /// The system does not tell.
    #[error("the system does not tell which process that is")]
    OwnerUnclear,
    /// The row names a process that does not hold the lock, or the system does not tell.
    #[error("it is not certain that it holds the lock")]
    LockUnclear,
    /// It is this process, an ancestor, the gateway or its service.
    #[error("it belongs to this gateway's own processes")]
    Protected,
    /// It might be.
    #[error("it is not certain that it does not belong to this gateway's own processes")]
    ProtectionUnclear,
    /// Another executable, or the system does not tell.
    #[error("it is not certain that it is a copy of this program")]
    OtherProgram,
    /// Its gateway is there.
    #[error("its gateway is running")]
    GatewayLives,
    /// The system does not tell.
    #[error("it is not certain that its gateway is gone")]
    GatewayUnclear,
    #[error("it answers, and keeps the account")]
    Answers,
    /// It was told to end, and is still there.
    #[error("it could not be ended")]
    Survived,
    /// This process does not want the account any more.
    #[error("the account was stopped meanwhile")]
    Withdrawn,
}

/// The rule. A process is ended only if nothing on this list speaks against it.
pub fn decide(facts: &Facts) -> Verdict {
    // Its numbers mean something here.
    if facts.same_system != Some(true) {
        return Verdict::Leave(KeepReason::OtherSystem);
    }
    // It is the very process that was written down, not another one with its number.
    match facts.owner {
        Liveness::Lives => {}
        Liveness::Gone => return Verdict::Leave(KeepReason::OwnerGone),
        Liveness::Unknown => return Verdict::Leave(KeepReason::OwnerUnclear),
    }
    // Nobody needs it any more. A gateway that lives comes first: it is what a person most likely has to know.
    if facts.gateway == Liveness::Lives {
        return Verdict::Leave(KeepReason::GatewayLives);
    }
    // Nobody whom this gateway needs.
    match facts.kinship {
        Kinship::Stranger => {}
        Kinship::Protected => return Verdict::Leave(KeepReason::Protected),
        Kinship::Unknown => return Verdict::Leave(KeepReason::ProtectionUnclear),
    }
    // A sidecar, and the one whose lease this is.
    if facts.same_program != Some(true) {
        return Verdict::Leave(KeepReason::OtherProgram);
    }
    if facts.holds_lock != Some(true) {
        return Verdict::Leave(KeepReason::LockUnclear);
    }
    if facts.gateway != Liveness::Gone {
        return Verdict::Leave(KeepReason::GatewayUnclear);
    }
    // It does not go by itself.
    match facts.request {
        Request::NotMade => Verdict::Ask,
        Request::Refused => Verdict::Leave(KeepReason::Answers),
        Request::Ignored => Verdict::End,
    }
}

/// Finds the facts about the owner of the lease whose lock is `lock`. `told`: the gateway of this process. Blocks for as
/// long as some reads of procfs take.
pub fn facts(recorded: &Recorded, lock: &Path, told: Gateway, request: Request) -> Facts {
    let Identity { pid, started, boot_id, program } = &recorded.owner;
    let me = this_process();
    let kinship = match ProtectedProcesses::now(told.pid).contains(*pid) {
        Some(true) => Kinship::Protected,
        Some(false) => Kinship::Stranger,
        None => Kinship::Unknown,
    };
    Facts {
        same_system: (!me.boot_id.is_empty() && !boot_id.is_empty()).then(|| me.boot_id == *boot_id),
        owner: standing(*pid, *started),
        same_program: system::program(*pid).map(|found| same_program(&found, program, &me.program)),
        holds_lock: system::holds_lock(*pid, lock),
        gateway: recorded.gateway.standing(),
        kinship,
        request,
    }
}

/// Whether `found` is what the owner recorded, and this program: its file, or, behind an update, one of its name.
fn same_program(found: &str, recorded: &str, mine: &str) -> bool {
    found == recorded && !mine.is_empty() && (found == mine || file_name(found) == file_name(mine))
}

/// Ends the owner of a lease, if [`decide`] says so: SIGTERM, and SIGKILL where that does not help. Every condition is
/// verified before each of them. Blocks for up to seven seconds. `wanted`: whether this is still to be done.
///
/// `Ok`: it is gone, and with it its lock.
pub fn end_stale(
    recorded: &Recorded,
    lock: &Path,
    told: Gateway,
    request: Request,
    wanted: impl Fn() -> bool,
) -> Result<(), KeepReason> {
    // First the handle, then the facts. They are read by number; as long as the process of the handle has not ended, its
    // number is nobody else's, so they are the facts of that process, which alone the handle can reach.
    let handle = match Handle::open(recorded.owner.pid) {
        Ok(handle) => handle,
        Err(NoHandle::NoProcess) => return Ok(()),
        Err(NoHandle::Refused) => return Err(KeepReason::OwnerUnclear),
    };
    type Step = (&'static str, fn(&Handle) -> bool, Duration);
    let steps: [Step; 2] = [("SIGTERM", Handle::terminate, TERM_GRACE), ("SIGKILL", Handle::kill, KILL_GRACE)];
    for (name, signal, grace) in steps {
        let verdict = decide(&facts(recorded, lock, told, request));
        if handle.has_ended() {
            return Ok(());
        }
        match verdict {
            Verdict::End if wanted() => {}
            Verdict::End => return Err(KeepReason::Withdrawn),
            Verdict::Leave(doubt) => return Err(doubt),
            Verdict::Ask => return Err(KeepReason::Answers),
        }
        tracing::warn!(pid = recorded.owner.pid, signal = name, "ending a stale sidecar whose gateway is gone");
        let until = Instant::now() + grace;
        let mut left = if signal(&handle) { grace } else { Duration::ZERO };
        while !handle.wait(left.min(LOOK_EVERY)) && !left.is_zero() {
            if !wanted() {
                return Err(KeepReason::Withdrawn);
            }
            left = until.saturating_duration_since(Instant::now());
        }
        if handle.has_ended() {
            return Ok(());
        }
    }
    Err(KeepReason::Survived)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything speaks for the end.
    const STALE: Facts = Facts {
        same_system: Some(true),
        owner: Liveness::Lives,
        same_program: Some(true),
        holds_lock: Some(true),
        gateway: Liveness::Gone,
        kinship: Kinship::Stranger,
        request: Request::Ignored,
    };

    #[test]
    fn of_all_combinations_of_facts_one_ends_a_process_and_one_asks_it() {
        let told = [Some(true), Some(false), None];
        let standings = [Liveness::Lives, Liveness::Gone, Liveness::Unknown];
        let mut verdicts = Vec::new();
        for same_system in told {
            for owner in standings {
                for same_program in told {
                    for holds_lock in told {
                        for gateway in standings {
                            for kinship in [Kinship::Protected, Kinship::Stranger, Kinship::Unknown] {
                                for request in [Request::NotMade, Request::Refused, Request::Ignored] {
                                    let facts = Facts {
                                        same_system,
                                        owner,
                                        same_program,
                                        holds_lock,
                                        gateway,
                                        kinship,
                                        request,
                                    };
                                    verdicts.push((facts, decide(&facts)));
                                }
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(verdicts.len(), 3_usize.pow(7));
        verdicts.retain(|(_, verdict)| !matches!(verdict, Verdict::Leave(_)));
        let asked = Facts { request: Request::NotMade, ..STALE };
        assert_eq!(verdicts, [(asked, Verdict::Ask), (STALE, Verdict::End)]);
    }

    #[test]
    fn the_same_program_is_this_file_or_an_older_one_of_its_name_as_it_was_recorded() {
        let mine = "7:100:sidecar";
        assert!(same_program(mine, mine, mine));
        assert!(same_program("7:99:sidecar", "7:99:sidecar", mine), "the file was replaced by an update");
        assert!(!same_program("7:99:sidecar", "7:98:sidecar", mine), "another process of that name");
        assert!(!same_program("7:99:node", "7:99:node", mine));
        assert!(!same_program(mine, "", mine));
        assert!(!same_program("7:99:sidecar", "7:99:sidecar", ""));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_does_not_hold_the_lock_is_left_alone_although_it_was_written_down() {
        let lock = tempfile::NamedTempFile::new().unwrap();
        let me = this_process();
        let mut child = std::process::Command::new("/proc/self/exe").arg("--list").spawn().unwrap();
        let owner = Identity { pid: child.id(), started: system::start_time(child.id()).unwrap(), ..me };
        let recorded = Recorded { owner, gateway: Gateway { pid: child.id(), started: 1 } };
        let found = facts(&recorded, lock.path(), Gateway::NONE, Request::Ignored);
        assert_ne!(found.holds_lock, Some(true));
        let ended = end_stale(&recorded, lock.path(), Gateway::NONE, Request::Ignored, || true);
        assert!(child.wait().unwrap().success(), "{ended:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_and_its_parent_are_kin_in_every_row() {
        let lock = tempfile::NamedTempFile::new().unwrap();
        lock.as_file().lock().unwrap();
        let owner = this_process();
        let parent = Gateway::of_this_process(None);
        let recorded = Recorded { owner: owner.clone(), gateway: Gateway { started: 1, ..parent } };
        let expected = Facts { kinship: Kinship::Protected, ..STALE };
        assert_eq!(facts(&recorded, lock.path(), Gateway::NONE, Request::Ignored), expected);
        assert_eq!(
            end_stale(&recorded, lock.path(), Gateway::NONE, Request::Ignored, || true),
            Err(KeepReason::Protected),
            "even this process itself, with everything else against it"
        );
        let of_parent = Recorded { owner: Identity { pid: parent.pid, started: parent.started, ..owner }, ..recorded };
        let ended = end_stale(&of_parent, lock.path(), Gateway::NONE, Request::Ignored, || true);
        assert_eq!(ended, Err(KeepReason::Protected));
    }
}
