//! The rooms put together: what a gateway (or a person at a terminal) can ask of the sidecar.
//!
//! The rooms know nothing of each other's callers; here one becomes the other.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `sidecar` | what lives as long as the process: opened once, closed once |
//! | `methods` | the contract's methods on all this |
//! | `account_supervisor` | list, start, stop, renew, take over, remove: one state for each account |
//! | `account_watches` | what it has to notice: changed files, free leases, a machine that slept |
//! | `directory` | which account somebody means |
//! | `logins` | logins, and what a finished one changes |
//! | `archives` | credentials that are taken along |
//! | `deliveries` | what a gateway does with a delivery |
//! | `sender` | texts, typing, budget, what waits |
//! | `send_media` | files and tool progress: what may be sent, and as what |
//! | `send_context` | what the outbox asks of the rest |
//! | `status` | how everything is, when it is asked |
//! | `status_feed` | how accounts are, on its way to the gateway |
//! | `clients` | the client, the settings and the sessions, for whoever asks WeChat |
//! | `settings` | the configuration, with the environment and the account files over it |
//! | `housekeeping` | old media and texts are removed |
//! | `errors` | every room's errors as the contract's |

mod account_supervisor;
mod account_watches;
mod archives;
mod clients;
mod deliveries;
mod directory;
mod errors;
mod housekeeping;
mod logins;
mod methods;
mod send_context;
mod send_media;
mod sender;
mod settings;
mod sidecar;
mod status;
mod status_feed;

pub use clients::TransferWatch;
pub use deliveries::Deliveries;
pub use methods::{Host, NACK, NACK_AT_MOST, check_version, delivery, initialized, module};
pub use sender::{Origin, WireSend};
pub use settings::Settings;
pub use sidecar::{Intake, MakeInlet, Open, Sidecar};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// This program's name.
pub const NAME: &str = env!("CARGO_PKG_NAME");
