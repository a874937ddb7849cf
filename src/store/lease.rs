//! Who polls an account. The lock itself is a file lock; the row says whose it is.

use rusqlite::{OptionalExtension, params};

use super::{Durability, Store, StoreError, now_ms};
use crate::contract::AccountId;

/// The process that polls an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOwner {
    /// Its process id.
    pub pid: u32,
    /// Its start time, in the system's own units.
    pub started: i64,
    /// Which boot of the machine it belongs to.
    pub boot_id: String,
    /// The gateway's process id.
    pub gateway_pid: u32,
    /// Its version.
    pub version: String,
}

impl Store {
    /// Writes down who has taken the lease.
    pub async fn set_lease(&self, account: &AccountId, owner: LeaseOwner) -> Result<(), StoreError> {
        let account = account.clone();
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "INSERT OR REPLACE INTO lease (account_id, pid, started, boot_id, gateway_pid, version, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                account.as_str(),
                owner.pid,
                owner.started,
                owner.boot_id,
                owner.gateway_pid,
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
            db.prepare_cached("SELECT pid, started, boot_id, gateway_pid, version FROM lease WHERE account_id = ?1")?
                .query_row([account.as_str()], |row| {
                    Ok(LeaseOwner {
                        pid: row.get(0)?,
                        started: row.get(1)?,
                        boot_id: row.get(2)?,
                        gateway_pid: row.get(3)?,
                        version: row.get(4)?,
                    })
                })
                .optional()
        })
        .await
    }
}
