//! A native WeChat channel for agent gateways: the sidecar behind the binary of the same name.
//!
//! `docs/architecture.md` maps the rooms and names what holds them together. The library is not a public API: its
//! users are the binary, the tests and the benchmarks.

pub mod account_id;
pub mod accounts;
pub mod cli;
pub mod contract;
pub mod events;
#[doc(hidden)]
pub mod fuzzing;
pub mod hub;
pub mod inbound;
pub mod lease;
pub mod login;
pub mod media;
pub mod outbound;
pub mod plain;
pub mod private;
pub mod process;
pub mod rpc;
pub mod service;
pub mod store;
pub mod supervise;
