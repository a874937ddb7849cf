//! The hub: the same core for many backends, over the network. Like `cli::serve` it is a front; nothing about WeChat stands here, outside
//! `facade`.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `hub` | the core with its accounts started, and everything below, put together |
//! | `config` | `hub.toml` |
//! | `tokens`, `caller` | who asks, and what they may |
//! | `table` | whose a message is: the rules alone |
//! | `router` | gives each message to a backend, on disk, and answers what people ask of the hub itself |
//! | `commands` | what they ask |
//! | `texts` | what the hub itself writes to people |
//! | `feed`, `feeds` | one backend's deliveries, and who takes them; all backends |
//! | `connections` | who is connected, and what they are told besides messages |
//! | `session` | the contract for one caller |
//! | `methods`, `admin` | the table of methods: the contract's, the hub's own |
//! | `http` | the port: who may connect, which path is whose |
//! | `ws` | the contract on a WebSocket |
//! | `facade` | an iLink server for clients that exist |
//! | `media` | files over the network |
//! | `sealed` | what clients get and bring back unchanged |
//! | `alerts` | what a person has to look after |
//! | `webhooks`, `signature` | messages and alerts, posted and signed |
//! | `console` | the page for people |
//! | `metrics` | figures for Prometheus |

mod admin;
mod alerts;
mod caller;
mod commands;
mod config;
mod connections;
mod console;
mod facade;
mod feed;
mod feeds;
mod http;
#[allow(clippy::module_inception)]
mod hub;
mod media;
mod methods;
mod metrics;
mod router;
mod sealed;
mod session;
mod signature;
mod table;
mod texts;
mod tokens;
mod webhooks;
mod ws;

pub use caller::Role;
pub use config::{HubConfig, backend_name};
pub use console::Console;
pub use http::{Listening, serve};
pub use hub::{Hub, HubOptions};
pub use texts::approved as approved_text;
pub use tokens::make as make_token;
