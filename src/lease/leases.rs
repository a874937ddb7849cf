//! The leases of one state directory, as this process sees them.

use std::time::Duration;

use super::lock::{Lease, LeaseError};
use crate::account_id::AccountId;
use crate::accounts::StateDir;
use crate::process::{self, Gateway, Identity, KeepReason, Liveness, Recorded, Request, Verdict};
use crate::store::{LeaseOwner, Store, StoreError};

/// How long an owner that was asked may take to see it and to end.
pub const YIELD_GRACE: Duration = Duration::from_secs(4);

/// The leases. Clones share them.
#[derive(Clone)]
pub struct Leases {
    store: Store,
    state: StateDir,
    /// Whom this process serves.
    gateway: Gateway,
    me: Identity,
    /// This program's version, for whoever finds the lease taken.
    version: &'static str,
}

/// An account that another process polls, and why that is left as it is. `Display` is for a person.
#[derive(Clone, Debug)]
pub struct Locked {
    pub id: AccountId,
    /// Who polls it.
    pub owner: LeaseOwner,
    /// Why it is not ended.
    pub reason: KeepReason,
}

impl Leases {
    /// The leases whose locks are in `state` and whose rows are in `store`, for a process that serves `gateway`.
    pub fn new(store: Store, state: StateDir, gateway: Gateway, version: &'static str) -> Leases {
        Leases { store, state, gateway, me: process::this_process(), version }
    }

    /// Takes the lease of `id`, if nobody has it.
    pub async fn take(&self, id: &AccountId) -> Result<Lease, LeaseError> {
        let (state, id) = (self.state.clone(), id.clone());
        blocking(move || Lease::take(&state, &id)).await?
    }

    /// Writes down that this process has taken the lease of `id`.
    pub async fn record(&self, id: &AccountId) -> Result<(), StoreError> {
        let Identity { pid, started, boot_id, program } = self.me.clone();
        let Gateway { pid: gateway_pid, started: gateway_started } = self.gateway;
        let version = self.version.to_owned();
        let owner = LeaseOwner { pid, started, boot_id, program, gateway_pid, gateway_started, version };
        self.store.set_lease(id, owner).await
    }

    /// Who last took the lease of `id`.
    pub async fn owner(&self, id: &AccountId) -> Result<Option<LeaseOwner>, StoreError> {
        self.store.lease(id).await
    }

    /// Whether a process has the lease of `id`. That cannot be asked, only tried: a lease that is taken here is given back at
    /// once.
    pub async fn is_held(&self, id: &AccountId) -> bool {
        matches!(self.take(id).await, Err(LeaseError::Held))
    }

    /// What may be done about the owner of a lease that was not asked yet.
    pub async fn assess(&self, id: &AccountId, owner: &LeaseOwner) -> Result<Verdict, LeaseError> {
        let (recorded, gateway, lock) = (recorded(owner), self.gateway, Lease::path(&self.state, id));
        blocking(move || process::decide(&process::facts(&recorded, &lock, gateway, Request::NotMade))).await
    }

    /// Asks a stale owner to yield. Returns whether the lease is still its; it has [`YIELD_GRACE`] then.
    pub async fn ask(&self, id: &AccountId, owner: &LeaseOwner) -> Result<bool, StoreError> {
        tracing::warn!(account = %id, pid = owner.pid, "a sidecar without a gateway holds the account; asking it to yield");
        match self.store.ask_for_lease(id, owner, std::process::id()).await {
            // Nobody can write: most likely it was suspended in the middle of a transaction. It has had its time.
            Err(StoreError::Busy { .. }) => Ok(true),
            asked => asked,
        }
    }

    /// Ends a stale owner that was asked and did not yield. Takes up to seven seconds. `wanted`: whether this is still to be
    /// done. `Ok`: it has gone, and with it its lock.
    pub async fn end_owner(
        &self,
        id: &AccountId,
        owner: &LeaseOwner,
        wanted: impl Fn() -> bool + Send + 'static,
    ) -> Result<Result<(), KeepReason>, LeaseError> {
        let request = if self.store.lease_refused(id).await? { Request::Refused } else { Request::Ignored };
        let (recorded, gateway, lock) = (recorded(owner), self.gateway, Lease::path(&self.state, id));
        blocking(move || process::end_stale(&recorded, &lock, gateway, request, wanted)).await
    }

    /// Answers those who ask for a lease of this process: refuses where its gateway lives. Returns whether this process is
    /// to end, because its gateway is gone.
    pub async fn answer_requests(&self) -> Result<bool, StoreError> {
        let me = &self.me;
        let Some(by) = self.store.lease_wanted(me.pid, me.started, &me.boot_id).await? else { return Ok(false) };
        if self.gateway.standing() == Liveness::Gone {
            tracing::warn!(by, "another sidecar asks for an account, and the gateway is gone; ending");
            return Ok(true);
        }
        tracing::info!(by, "another sidecar asks for an account; the gateway lives, so it is kept");
        self.store.refuse_leases(me.pid, me.started, &me.boot_id).await?;
        Ok(false)
    }

    /// Returns when the gateway of this process is gone.
    pub async fn gateway_gone(&self) {
        process::gateway_gone(self.gateway).await;
        tracing::info!(pid = self.gateway.pid, "the gateway is gone; ending");
    }
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, reason) = (&self.id, self.reason);
        let LeaseOwner { pid, version, gateway_pid, .. } = &self.owner;
        write!(f, "account {id} is polled by another process (pid {pid}, version {version}")?;
        match reason {
            KeepReason::GatewayLives => write!(
                f,
                ", of the gateway with pid {gateway_pid}); stop that gateway, or use another account; the account starts by \
                 itself when it is free"
            ),
            KeepReason::Answers | KeepReason::GatewayUnclear | KeepReason::Survived => write!(
                f,
                "); {reason}; stop the gateway that it belongs to (pid {gateway_pid}), or end process {pid} if no gateway \
                 uses it any more; the account starts by itself when it is free"
            ),
            KeepReason::Withdrawn => write!(f, "); {reason}"),
            // Not that very process for certain: nobody should be told to end it.
            _ => write!(
                f,
                ", as was written down; {reason}, so it is left alone); stop the other gateway that uses this state \
                 directory, or see which process has the account's file in openclaw-weixin/locks open; the account starts \
                 by itself when it is free"
            ),
        }
    }
}

fn recorded(owner: &LeaseOwner) -> Recorded {
    let LeaseOwner { pid, started, boot_id, program, gateway_pid, gateway_started, version: _ } = owner.clone();
    Recorded {
        owner: Identity { pid, started, boot_id, program },
        gateway: Gateway { pid: gateway_pid, started: gateway_started },
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LeaseError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LeaseError::Broken(error.to_string()))
}
