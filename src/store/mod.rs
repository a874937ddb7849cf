//! The database: everything that moves (cursors, inbox, ids already seen, context tokens, sends).
//!
//! One writer thread owns the connection that writes. Jobs that arrive while a commit runs share the next one, so
//! a burst costs a few commits, not one each. A second thread answers reads and folds the write-ahead log back.
//!
//! Durability: every commit survives the death of the process. A power cut may undo the last commits of the
//! receiving side; because the cursor is in the same transaction as its messages, the server then hands them over
//! again. Jobs of the sending side ask for [`Durability::Disk`] and survive a power cut as well.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `open` | opening, migrations, what happens to a damaged database |
//! | `schema` | the tables |
//! | `threads` | the writer and the reader |
//! | `accounts`, `inbox`, `seen`, `peers`, `outbox`, `quota`, `lease` | typed queries, one file a subject |
//! | `hub` | whose a message is, tokens, choices and approvals of the hub |
//! | `hold` | why a send is held, as its row says it |
//! | `learned` | how many messages WeChat allows a bot, as its refusals tell |
//! | `delivery` | whether what a bot sends is confirmed, and when its polls were answered |

mod accounts;
mod delivery;
mod hold;
mod hub;
mod inbox;
mod learned;
mod lease;
mod open;
mod outbox;
mod peers;
mod quota;
mod schema;
mod seen;
mod threads;

pub use accounts::AccountRow;
pub use delivery::{Confirmations, Standing};
pub use hold::HoldReason;
pub use hub::{AccessRow, Asked, Queued, RouteContext, RoutedRow, TokenRow, TraceRow};
pub use inbox::{Fetched, Ingested, NewMessage, Pending};
pub use lease::LeaseOwner;
pub use open::{OpenReport, StoreError, check};
pub use outbox::{Answer, Head, Held, NewPart, NewSend, OutboundPart, OutboundRow, SendState, Taken};
pub use peers::PeerRow;
pub use quota::{Allowance, QuotaLimits, Refused, SendDecision};
pub use seen::Quoted;
pub use threads::{Durability, Store};

/// The number that stands for an account in every other table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountNo(pub i64);

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
