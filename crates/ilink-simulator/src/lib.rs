//! An iLink backend on loopback, inside the binary: for the demo, for the tests, and for people who build a bot
//! without a phone at hand.
//!
//! It speaks the wire that `ilink` speaks, from the other side, and shares no type with it on purpose: a
//! mistake in a shared type would be invisible to every test that runs one against the other.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `config` | what a simulator is started with, and the limits that may change while it runs |
//! | `server`, `connection` | the listening socket, its life, and connections that can be cut on purpose |
//! | `run` | the `simulate` command: one line on stdout, then until a signal |
//! | `world` | everything that is shared: bots, logins, faults, records |
//! | `bot`, `mailbox`, `message` | one bot, what it has been sent and how far it has read, what a message looks like |
//! | `content`, `compose` | what a person can put into a message, and its way onto the wire |
//! | `sent_media`, `sent_content` | what a bot's media items say, and what their receiver gets to see |
//! | `login` | the life of a QR code |
//! | `quota` | context tokens, their budget and their age, and the burst penalty |
//! | `faults` | what goes wrong on demand |
//! | `ledger` | what was sent to people, and what was refused |
//! | `ilink/` | the iLink endpoints |
//! | `cdn_http`, `cdn/` | where media are uploaded and downloaded, and kept |
//! | `control`, `control_http` | the hand that plays the phone and the people, in process and over HTTP |
//! | `report` | how all this is shown |
//! | `endpoint`, `error` | what can be asked, and how the simulator itself fails |
//! | `basics` | locks, the clock, unguessable strings |
//!
//! Invariants: it binds 127.0.0.1 and nothing else; it never calls out; nothing it knows outlives the process
//! (media are in a temporary directory, which a killed process leaves behind).
//! A lock is held for bookkeeping only, never across an `await`.

mod basics;
mod bot;
mod cdn;
mod cdn_http;
mod compose;
mod config;
mod connection;
mod content;
mod control;
mod control_http;
mod endpoint;
mod error;
mod faults;
mod ilink;
mod ledger;
mod login;
mod mailbox;
mod message;
mod quota;
mod report;
mod run;
mod sent_content;
mod sent_media;
mod server;
#[cfg(test)]
mod tests;
mod world;

pub use cdn::Upload;
pub use config::{Limits, LimitsPatch, SimulatorConfig, Tokenless, Version};
pub use content::{Address, Content, Damage, KeyEncoding, Media, Quote, Source};
pub use control::{Control, NewBot};
pub use endpoint::Endpoint;
pub use error::{ControlError, SimulatorError};
pub use faults::{Fault, FaultKind};
pub use ledger::{Rejected, RejectedFilter, Sent, SentFilter};
pub use login::LoginStep;
pub use message::NewMessages;
pub use report::{BotReport, HeadersSeen, LoginReport, RequestReport, SimulatorState, TypingReport};
pub use run::run_cli;
pub use sent_content::SentContent;
pub use sent_media::{MediaKind, SentMedia, SentThumb};
pub use server::Simulator;
