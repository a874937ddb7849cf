//! Who polls an account: the lock, the row that says whose it is, the request to give it up, and the end of a stale owner.
//!
//! Owns: the lock files, the rows of the table `lease`, and what people are told of both. Never starts or stops an account
//! of this process: that is the account supervisor's. The rule by which another process may be ended, and the signal, stand
//! together in `process::takeover`.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `lock` | the lease itself: a file lock, which the system releases however its holder dies |
//! | `leases` | whose it is, asking for it, answering who asks, ending a stale owner |

mod leases;
mod lock;

pub use leases::{Leases, Locked, YIELD_GRACE};
pub use lock::{Lease, LeaseError};
