//! JSON-RPC 2.0 over stdin and stdout, a line each.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `frame` | lines from a byte stream, the oversized ones skipped |
//! | `outgoing` | the only way to stdout: one thread, nothing interleaved, nothing unbounded |
//! | `call` | a request as it came, and the answers to what is none |
//! | `register` | methods with typed parameters on jsonrpsee's `RpcModule` |
//! | `answered` | what must not happen before a request is answered |
//! | `server` | the loop: read, run concurrently, answer |

mod answered;
mod call;
mod frame;
mod outgoing;
mod register;
mod server;

pub use answered::until_answered;
pub use frame::{Frame, Frames};
pub use outgoing::{Lines, Outgoing, lines, stdout_writer};
pub use register::register;
pub use server::{End, Server};
