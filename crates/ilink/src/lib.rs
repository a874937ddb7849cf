//! iLink, WeChat's interface for bots: endpoints, types, error classes, media. It knows no gateway and keeps nothing.
//!
//! Facts come from the official plugin's published source (`@tencent-weixin/openclaw-weixin` on npm), and from what its users
//! and those of other clients report. `examples/echo.rs` is a whole bot.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `client` | one HTTP client for all accounts, one method an endpoint |
//! | `poll` | the long poll, and answers to it of any size |
//! | `address` | addresses of hosts: as they may be shown, and as a server may name them |
//! | `agent` | what a client declares: the protocol's version and its `bot_agent` |
//! | `guard` | addresses that nobody outside may make the sidecar talk to |
//! | `hosts` | the addresses behind a host's name, the good ones first |
//! | `tls` | what is trusted, and how connections are secured |
//! | `error` | what can go wrong, sorted |
//! | `lenient` | numbers that may come as text |
//! | `secret` | tokens that show nothing |
//! | `types` | what comes over the wire |
//! | `outgoing` | messages and uploads, as they go out |
//! | [`cdn`] | files at the media host, encrypted |

mod address;
mod agent;
pub mod cdn;
mod client;
mod error;
mod guard;
mod hosts;
mod lenient;
mod outgoing;
mod poll;
mod secret;
mod tls;
mod types;

pub use address::{assigned as assigned_address, redirected as redirected_address, shown as shown_address};
pub use agent::{NoVersion, ProtocolVersion, bot_agent};
pub use client::{Endpoint, Ilink, Session};
pub use error::{IlinkError, Limit, Reach, Refusal};
pub use guard::{Found, NotPublic, PublicOnly, is_listed, is_public, public_only};
pub use hosts::Hosts;
pub use lenient::{Items, MOST_ITEMS, without_half_characters};
pub use outgoing::*;
pub use poll::{Batches, Messages, Updates};
pub use secret::{BotToken, ContextToken};
pub use tls::config as tls_config;
pub use types::*;

#[doc(hidden)]
pub mod fuzzing {
    use super::IlinkError;
    use super::client::read_answer;
    use super::poll::Updates;
    use super::types::{QrAnswer, QrStatus, QrStatusAnswer};

    pub fn read_updates(body: &[u8]) -> Result<Updates, IlinkError> {
        read_answer("getupdates", body)
    }

    pub fn read_qr_code(body: &[u8]) -> Result<QrAnswer, IlinkError> {
        read_answer("get_bot_qrcode", body)
    }

    pub fn read_qr_status(body: &[u8]) -> Result<QrStatus, IlinkError> {
        read_answer::<QrStatusAnswer>("get_qrcode_status", body).map(QrStatus::from)
    }
}
