//! An account whose lease another process holds: telling why, taking it over from a stale one, waiting for its turn.
//!
//! Whether a process may be ended is decided, and done, in `process::takeover`; here it is asked first.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::accounts::Slot;
use super::sidecar::Sidecar;
use crate::accounts::Lease;
use crate::contract::{AccountId, AccountState, ContractError, ErrorKind};
use crate::process::{self, Gateway, Identity, KeepReason, Liveness, Recorded, Request, Verdict};
use crate::store::{LeaseOwner, StoreError};

/// How often an owner looks for requests, and an account that waits for the lock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an owner that was asked may take to see it and to end.
const YIELD_GRACE: Duration = Duration::from_secs(4);
/// How often the lock is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked at whether the owner of a lease that is waited for has become a stale one.
const ASSESS_EVERY: Duration = Duration::from_secs(5);
/// How long nothing is tried after a takeover that did not succeed.
const REST: Duration = Duration::from_secs(60);

impl Sidecar {
    /// This process as the owner of a lease.
    pub(super) fn as_owner(&self) -> LeaseOwner {
        let Identity { pid, started, boot_id, program } = process::this_process();
        let Gateway { pid: gateway_pid, started: gateway_started } = self.gateway;
        let version = super::VERSION.to_owned();
        LeaseOwner { pid, started, boot_id, program, gateway_pid, gateway_started, version }
    }

    /// Goes on where an account's lock is held: takes it over from a stale owner, or says why not. From a live one it is
    /// not taken, and that is known at once; [`keep`] then starts the account when it is free.
    pub(super) async fn take_over(&self, id: &AccountId, slot: &Arc<Slot>) -> Result<(), ContractError> {
        let _one_at_a_time = slot.claim.lock().await;
        // Whoever was before this one may have been lucky.
        if let Some(done) = self.start_unless_locked(id, slot).await {
            return done;
        }
        let Some(owner) = self.store.lease(id).await? else {
            let message =
                format!("account {id} is polled by another process, which has just begun (pid unknown); try again");
            return Err(ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id));
        };
        let doubt = match self.assess(id, &owner, Request::NotMade).await? {
            Verdict::Leave(doubt) => doubt,
            Verdict::Ask | Verdict::End => match self.ask_and_end(id, slot, &owner).await? {
                Err(doubt) => doubt,
                // It is free now, unless a third one was faster.
                Ok(()) => match self.start_unless_locked(id, slot).await {
                    Some(done) => return done,
                    None => KeepReason::OwnerGone,
                },
            },
        };
        Err(self.superseded(id, slot, &owner, doubt))
    }

    /// `None`: the lease is another's.
    async fn start_unless_locked(&self, id: &AccountId, slot: &Slot) -> Option<Result<(), ContractError>> {
        match self.start_wanted(id, slot).await {
            Err(error) if error.data.kind == ErrorKind::AccountLocked => None,
            done => Some(done),
        }
    }

    /// Asks a stale owner to yield, and ends it if it does not. `Ok`: it has gone, one way or the other.
    async fn ask_and_end(
        &self,
        id: &AccountId,
        slot: &Arc<Slot>,
        owner: &LeaseOwner,
    ) -> Result<Result<(), KeepReason>, ContractError> {
        tracing::warn!(account = %id, pid = owner.pid, "a sidecar without a gateway holds the account; asking it to yield");
        match self.store.ask_for_lease(id, owner, std::process::id()).await {
            Ok(true) => {}
            Ok(false) => return Ok(Err(KeepReason::OwnerGone)),
            // Nobody can write: most likely it was suspended in the middle of a transaction. It has had its time.
            Err(StoreError::Busy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let until = Instant::now() + YIELD_GRACE;
        while Instant::now() < until {
            tokio::time::sleep(TRY_EVERY).await;
            if !slot.wanted.load(Ordering::Relaxed) {
                return Ok(Err(KeepReason::Withdrawn));
            }
            match self.start_unless_locked(id, slot).await {
                Some(Ok(())) => return Ok(Ok(())),
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        let request = if self.store.lease_refused(id).await? { Request::Refused } else { Request::Ignored };
        let (recorded, gateway, of_end) = (recorded(owner), self.gateway, slot.clone());
        let lock = Lease::path(self.files.state(), id);
        self.with_files(move |_| {
            let wanted = || of_end.wanted.load(Ordering::Relaxed);
            process::end_stale(&recorded, &lock, gateway, request, wanted)
        })
        .await
    }

    async fn assess(&self, id: &AccountId, owner: &LeaseOwner, request: Request) -> Result<Verdict, ContractError> {
        let (recorded, gateway, lock) = (recorded(owner), self.gateway, Lease::path(self.files.state(), id));
        self.with_files(move |_| process::decide(&process::facts(&recorded, &lock, gateway, request))).await
    }

    /// Says on the board, and in an error, who polls the account and what a person can do.
    fn superseded(&self, id: &AccountId, slot: &Slot, owner: &LeaseOwner, doubt: KeepReason) -> ContractError {
        let message = locked_text(id, owner, doubt);
        if slot.wanted.load(Ordering::Relaxed) {
            self.board.update(id, |entry| {
                entry.state = AccountState::Superseded;
                entry.last_error = Some(message.clone());
            });
        }
        ContractError::new(ErrorKind::AccountLocked, message).retryable().account(id)
    }

    /// Ends this process if it was asked to yield and its gateway is gone; else it keeps its accounts.
    async fn answer_requests(&self, me: &Identity) -> Result<(), StoreError> {
        let Some(by) = self.store.lease_wanted(me.pid, me.started, &me.boot_id).await? else { return Ok(()) };
        if self.gateway.standing() == Liveness::Gone {
            tracing::warn!(by, "another sidecar asks for an account, and the gateway is gone; ending");
            (self.end)();
            return Ok(());
        }
        tracing::info!(by, "another sidecar asks for an account; the gateway lives, so it is kept");
        self.store.refuse_leases(me.pid, me.started, &me.boot_id).await
    }
}

fn recorded(owner: &LeaseOwner) -> Recorded {
    let LeaseOwner { pid, started, boot_id, program, gateway_pid, gateway_started, version: _ } = owner.clone();
    Recorded {
        owner: Identity { pid, started, boot_id, program },
        gateway: Gateway { pid: gateway_pid, started: gateway_started },
    }
}

fn locked_text(id: &AccountId, owner: &LeaseOwner, doubt: KeepReason) -> String {
    let LeaseOwner { pid, version, gateway_pid, .. } = owner;
    let locked = format!("account {id} is polled by another process (pid {pid}, version {version}");
    match doubt {
        KeepReason::GatewayLives => format!(
            "{locked}, of the gateway with pid {gateway_pid}); stop that gateway, or use another account; the account \
             starts by itself when it is free"
        ),
        KeepReason::Answers | KeepReason::GatewayUnclear | KeepReason::Survived => format!(
            "{locked}); {doubt}; stop the gateway that it belongs to (pid {gateway_pid}), or end process {pid} if no \
             gateway uses it any more; the account starts by itself when it is free"
        ),
        KeepReason::Withdrawn => format!("{locked}); {doubt}"),
        // Not that very process for certain: nobody should be told to end it.
        _ => format!(
            "{locked}, as was written down; {doubt}, so it is left alone); stop the other gateway that uses this state \
             directory, or see which process has the account's file in openclaw-weixin/locks open; the account starts by \
             itself when it is free"
        ),
    }
}

/// Once a second: answers those who ask for an account of this process, and starts the accounts of this process that wait
/// for another's lease. Ends this process when its gateway is gone.
pub(super) async fn keep(sidecar: Weak<Sidecar>, gateway: Gateway, stop: CancellationToken) {
    let me = process::this_process();
    let mut next_look = HashMap::new();
    let mut gateway_gone = std::pin::pin!(process::gateway_gone(gateway));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut gateway_gone => {
                if let Some(sidecar) = sidecar.upgrade() {
                    tracing::info!(pid = gateway.pid, "the gateway is gone; ending");
                    (sidecar.end)();
                }
                return;
            }
        }
        let Some(sidecar) = sidecar.upgrade() else { return };
        let slots = sidecar.slots.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !slots.is_empty()
            && let Err(error) = sidecar.answer_requests(&me).await
        {
            tracing::debug!(%error, "requests of other sidecars could not be read");
        }
        next_look.retain(|id, _| slots.get(id).is_some_and(|slot| slot.wanted.load(Ordering::Relaxed)));
        for (id, slot) in slots {
            // Claimed: somebody is at it.
            if slot.wanted.load(Ordering::Relaxed) && slot.claim.try_lock().is_ok() {
                wait_for_turn(&sidecar, id, &slot, &mut next_look).await;
            }
        }
    }
}

/// Starts an account that waits, if its lock is free; looks now and then whether its owner has become a stale one.
async fn wait_for_turn(
    sidecar: &Arc<Sidecar>,
    id: AccountId,
    slot: &Arc<Slot>,
    next_look: &mut HashMap<AccountId, Instant>,
) {
    match sidecar.start_unless_locked(&id, slot).await {
        Some(Ok(())) => return tracing::info!(account = %id, "an account that another process polled is free; started"),
        Some(Err(error)) if matches!(error.data.kind, ErrorKind::AccountNotFound | ErrorKind::AccountNotConfigured) => {
            slot.wanted.store(false, Ordering::Relaxed);
            return sidecar.board.update(&id, |entry| {
                entry.state = AccountState::Stopped;
                entry.last_error = Some(error.message);
            });
        }
        Some(Err(error)) => return tracing::warn!(account = %id, %error, "an account that waits could not be started"),
        None => {}
    }
    let now = Instant::now();
    if next_look.get(&id).is_some_and(|at| now < *at) {
        return;
    }
    next_look.insert(id.clone(), now + ASSESS_EVERY);
    let Ok(Some(owner)) = sidecar.store.lease(&id).await else { return };
    match sidecar.assess(&id, &owner, Request::NotMade).await {
        Ok(Verdict::Leave(doubt)) => drop(sidecar.superseded(&id, slot, &owner, doubt)),
        Ok(Verdict::Ask | Verdict::End) => {
            next_look.insert(id.clone(), now + REST);
            let (sidecar, slot) = (sidecar.clone(), slot.clone());
            tokio::spawn(async move {
                if let Err(error) = sidecar.take_over(&id, &slot).await {
                    tracing::warn!(account = %id, %error, "an account was not taken over");
                }
            });
        }
        Err(error) => tracing::debug!(account = %id, %error, "the owner of an account could not be looked at"),
    }
}
