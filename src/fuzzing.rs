//! What the targets in `fuzz/` reach into: names, and nothing else.

use std::sync::Arc;

use futures_util::FutureExt as _;

pub use crate::inbound::fuzzing::selected;
pub use crate::outbound::fuzzing::markdown_pass;
pub use crate::rpc::{Frame, Server};
pub use ilink::fuzzing::{read_qr_code, read_qr_status, read_updates};
pub use ilink::redirected_address as redirected;
pub use ilink::{Messages, PartialText};

/// The answer to a line by a server whose methods never wait.
pub fn answer<C: Send + Sync + 'static>(server: &Arc<Server<C>>, frame: Frame) -> Option<String> {
    server.answer(frame).now_or_never().expect("the methods do not wait").0
}
