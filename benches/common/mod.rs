//! What the benchmarks share. Each of them uses a part of it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `args` | the few options of a benchmark |
//! | `client` | the sidecar's HTTP client with nothing behind it |
//! | `gateway` | the sidecar as a child process, driven over its stdin and stdout |
//! | `server` | an iLink server that answers exactly when it is told to |
//! | `state` | a state directory with accounts, as the official plugin writes it |
//! | `process` | memory and processor time of a process |
//! | `samples` | percentiles |
//! | `report` | figures beside their floors and aims, as a table and as JSON |

#![allow(dead_code, unused_imports)]

mod args;
mod client;
mod gateway;
mod process;
mod report;
mod samples;
mod server;
mod state;

pub use args::{binary, flag, value};
pub use client::bare_client;
pub use gateway::Gateway;
pub use process::{Memory, cpu_seconds};
pub use report::{Aim, Report};
pub use samples::Samples;
pub use server::{Poll, Server};
pub use state::{account_id, bot_id, token, write_accounts};
