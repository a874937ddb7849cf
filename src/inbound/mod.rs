//! From WeChat to the gateway: polling, the inbox, lanes.
//!
//! The order of writing is what makes it reliable: a poll's messages and its cursor are committed in one transaction,
//! only then is anything delivered, and only an ack removes it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `monitor` | the poll loop of one account |
//! | `ingest` | a polled message, ready for the inbox |
//! | `inlet` | where messages go that were taken in |
//! | `dispatcher` | who is delivered what, and when: the window and the lanes |
//! | `lane` | one conversation's backlog in memory |
//! | `normalize` | a wire message as the contract says it, and what is missing |
//! | `prepare` | what is missing: media, quotes |
//! | `quote` | the selected part of a quoted text |
//! | `delivery_id` | the name of a delivery |

mod delivery_id;
mod dispatcher;
mod ingest;
mod inlet;
mod lane;
mod monitor;
mod normalize;
mod prepare;
mod quote;

#[doc(hidden)]
pub mod fuzzing {
    //! What the fuzz targets reach into.

    pub use super::quote::selected;
}

pub use delivery_id::DeliveryId;
pub use dispatcher::{Dispatcher, Outlet, WINDOW};
pub use ingest::read_message;
pub use inlet::{Announce, Inlet};
pub use monitor::Monitor;
pub use normalize::{Draft, normalize};
pub use prepare::{Preparer, Resources};
