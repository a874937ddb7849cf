//! The types of the channel contract, version 1: what goes over stdin and stdout.
//!
//! Nothing here runs. From these types the JSON Schema and the OpenRPC document under `docs/` are generated
//! (`tests/contract_documents.rs` fails on drift), and from the schema the TypeScript types of the npm shim.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `config` | [`Config`], the value of `channels.openclaw-weixin` |
//! | `requests` | parameters and results of every method |
//! | `notifications` | what the sidecar says by itself |
//! | `error` | error codes, kinds and their data |
//! | `methods` | the table of methods and notifications, for the documents |

mod config;
mod error;
mod methods;
mod notifications;
mod requests;

pub use crate::account_id::AccountId;
pub use config::*;
pub use error::*;
pub use methods::*;
pub use notifications::*;
pub use requests::*;

/// The version of the contract that this build speaks.
pub const PROTOCOL_VERSION: u32 = 1;
/// The channel's id, also the plugin's id and the configuration key.
pub const CHANNEL_ID: &str = "openclaw-weixin";
/// Other names a person may use for the channel.
pub const CHANNEL_ALIASES: [&str; 2] = ["weixin", "wechat"];
/// The longest line on stdin that is read, and on stdout that is written, in bytes without its newline.
pub const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;
/// The most characters (Unicode scalar values) that a received message says in its texts; more is cut, and all of it in a file.
pub const MAX_TEXT_CHARS: usize = 256 * 1024;
/// The most parts of a received message.
pub const MAX_PARTS: usize = 256;
/// The most wire messages that a sent text may become.
pub const MAX_CHUNKS: usize = 100;
/// The most characters (Unicode scalar values) one text message carries; longer texts are split.
pub const TEXT_CHUNK_LIMIT: usize = 4_000;
/// The default largest media file, in bytes, as in the official plugin.
pub const DEFAULT_MEDIA_MAX_BYTES: u64 = 100 * 1024 * 1024;
/// `host:port`-less default API host.
pub const DEFAULT_BASE_URL: &str = "https://ilinkai.weixin.qq.com";
/// The default media host.
pub const DEFAULT_CDN_BASE_URL: &str = "https://novac2c.cdn.weixin.qq.com/c2c";
