//! The rooms put together: what a gateway (or a person at a terminal) can ask of the sidecar.
//!
//! The rooms know nothing of each other's callers; here one becomes the other.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `sidecar` | everything that lives as long as the process: opened once, closed once |
//! | `settings` | the configuration, with the environment and the account files over it |
//! | `accounts` | list, start, stop, renew, remove |
//! | `archive` | credentials that are taken along |
//! | `takeover` | an account whose lease another process holds |
//! | `login` | logins, and what a finished one changes |
//! | `deliveries` | what a gateway does with a delivery |
//! | `send` | texts and typing: which account, which session |
//! | `housekeeping` | old media and texts are removed |
//! | `send_media` | files and tool progress: what may be sent, and as what |
//! | `wake` | every account polls anew when the machine slept |
//! | `clients` | the client, the settings and the sessions, for whoever sends |
//! | `status` | how everything is |
//! | `methods` | the contract's methods on all this |
//! | `errors` | every room's errors as the contract's |

mod accounts;
mod archive;
mod clients;
mod deliveries;
mod errors;
mod housekeeping;
mod login;
mod methods;
mod send;
mod send_media;
mod settings;
mod sidecar;
mod status;
mod takeover;
mod wake;

pub use methods::{Host, module};
pub use settings::Settings;
pub use sidecar::{Open, Sidecar};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// This program's name.
pub const NAME: &str = env!("CARGO_PKG_NAME");
