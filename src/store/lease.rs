//! Who polls an account. The lock itself is a file lock; the row says whose it is, and whether it is asked to yield.

use rusqlite::{OptionalExtension, params};

use super::{Durability, Store, StoreError, now_ms};
use crate::account_id::AccountId;

/// The process that polls an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOwner {
    /// Its process id.
    pub pid: u32,
    /// Its start time, in the system's own units.
    pub started: i64,
    /// Which boot of the machine, and which namespaces, it belongs to.
    pub boot_id: String,
    pub program: String,
    /// The gateway's process id.
    pub gateway_pid: u32,
    /// The gateway's start time; 0 where it is not known.
    pub gateway_started: i64,
    pub version: String,
}

impl Store {
    /// Writes down who has taken the lease. Nobody has asked for it yet.
    pub async fn set_lease(&self, account: &AccountId, owner: LeaseOwner) -> Result<(), StoreError> {
        let account = account.clone();
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "INSERT OR REPLACE INTO lease
                 (account_id, pid, started, boot_id, program, gateway_pid, gateway_started, version, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                account.as_str(),
                owner.pid,
                owner.started,
                owner.boot_id,
                owner.program,
                owner.gateway_pid,
                owner.gateway_started,
                owner.version,
                now_ms()
            ])
            .map(|_| ())
        })
        .await
    }

    /// Who last took the lease.
    pub async fn lease(&self, account: &AccountId) -> Result<Option<LeaseOwner>, StoreError> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT pid, started, boot_id, program, gateway_pid, gateway_started, version
                 FROM lease WHERE account_id = ?1",
            )?
            .query_row([account.as_str()], |row| {
                Ok(LeaseOwner {
                    pid: row.get(0)?,
                    started: row.get(1)?,
                    boot_id: row.get(2)?,
                    program: row.get(3)?,
                    gateway_pid: row.get(4)?,
                    gateway_started: row.get(5)?,
                    version: row.get(6)?,
                })
            })
            .optional()
        })
        .await
    }

    /// Asks `owner` to yield the lease. Returns whether the lease is still its.
    pub async fn ask_for_lease(&self, account: &AccountId, owner: &LeaseOwner, by: u32) -> Result<bool, StoreError> {
        let (account, LeaseOwner { pid, started, boot_id, .. }) = (account.clone(), owner.clone());
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "UPDATE lease SET wanted_by = ?5 WHERE account_id = ?1 AND pid = ?2 AND started = ?3 AND boot_id = ?4",
            )?
            .execute(params![account.as_str(), pid, started, boot_id, by])
            .map(|changed| changed > 0)
        })
        .await
    }

    /// Whether the owner has refused to yield the lease.
    pub async fn lease_refused(&self, account: &AccountId) -> Result<bool, StoreError> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT 1 FROM lease WHERE account_id = ?1 AND wanted_by = 0")?.exists([account.as_str()])
        })
        .await
    }

    /// The process that asks for any lease of the process with this number, start time and boot.
    pub async fn lease_wanted(&self, pid: u32, started: i64, boot_id: &str) -> Result<Option<u32>, StoreError> {
        let boot_id = boot_id.to_owned();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT wanted_by FROM lease WHERE wanted_by > 0 AND pid = ?1 AND started = ?2 AND boot_id = ?3 LIMIT 1",
            )?
            .query_row(params![pid, started, boot_id], |row| row.get(0))
            .optional()
        })
        .await
    }

    /// Refuses everybody who asks for a lease of the process with this number, start time and boot.
    pub async fn refuse_leases(&self, pid: u32, started: i64, boot_id: &str) -> Result<(), StoreError> {
        let boot_id = boot_id.to_owned();
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "UPDATE lease SET wanted_by = 0 WHERE wanted_by > 0 AND pid = ?1 AND started = ?2 AND boot_id = ?3",
            )?
            .execute(params![pid, started, boot_id])
            .map(|_| ())
        })
        .await
    }
}
