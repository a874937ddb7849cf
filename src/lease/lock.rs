//! One process polls an account.
//!
//! The lease is an OS file lock: the system releases it when its holder dies, however it dies. A row beside it says who
//! holds it; the row alone proves nothing.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use crate::account_id::AccountId;
use crate::accounts::StateDir;
use crate::private;
use crate::store::StoreError;

/// Why the lease was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another live process holds it.
    #[error("another process polls this account")]
    Held,
    /// The lock file cannot be made.
    #[error("the lock file {path} cannot be used ({cause}); check the state directory's owner and mode")]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Whose it is could not be read, or written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect of the sidecar.
    #[error("who polls this account could not be found out ({0}); this is a defect of the sidecar, please report it")]
    Broken(String),
}

/// The right to poll an account; ends when it is dropped.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// The file whose lock is the lease of `id`.
    pub fn path(state: &StateDir, id: &AccountId) -> PathBuf {
        Self::dir(state).join(format!("{id}.lock"))
    }

    fn dir(state: &StateDir) -> PathBuf {
        state.channel().join("locks")
    }

    /// Takes the lease of `id`, if nobody has it. Blocks only as long as a file takes to open.
    pub fn take(state: &StateDir, id: &AccountId) -> Result<Lease, LeaseError> {
        let (dir, path) = (Self::dir(state), Self::path(state, id));
        let unusable = |cause: std::io::Error| LeaseError::Unusable { path: path.clone(), cause: cause.to_string() };
        private::make_dir(&dir).map_err(unusable)?;
        let file = private::lock_file(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Lease { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LeaseError::Held),
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_the_lease_and_dropping_it_frees_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::resolve(Some(dir.path())).unwrap();
        let id = AccountId::normalize("b1");
        let lease = Lease::take(&state, &id).unwrap();
        assert!(matches!(Lease::take(&state, &id), Err(LeaseError::Held)));
        Lease::take(&state, &AccountId::normalize("b2")).unwrap();
        drop(lease);
        Lease::take(&state, &id).unwrap();
    }
}
