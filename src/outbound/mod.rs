//! From the gateway to WeChat: the outbox and typing.
//!
//! A send is on disk, with the client id of every wire message, before its first request; the server shows a repeated
//! client id only once, so whatever is in doubt is simply sent again. What cannot be sent now is held, in order, and sent
//! by itself when it can be.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `outbox` | accepting, waiting, cancelling; one lane task for each conversation with something to send |
//! | `lane` | what a lane task does: take turns, send, hold |
//! | `turns` | sends are accepted in the order in which they were asked for |
//! | `backend` | what the outbox asks of the rest of the program |
//! | `notice` | "the rest follows when you write" |
//! | `typing` | the typing indicator, its ticket and its keep-alive |
//! | `markdown` | Markdown as WeChat shows it |
//! | `chunk`, `fence` | a long text as several messages |

mod backend;
mod chunk;
mod fence;
mod lane;
mod markdown;
mod notice;
mod outbox;
mod turns;
mod typing;

pub use backend::{Backend, OutboxSettings, Ready};
pub use chunk::chunk;
pub use markdown::for_wechat;
pub use outbox::{Outbox, SendError, Sent, TextRequest, queue_id};
pub use turns::Turns;
pub use typing::Typing;

#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    pub use super::markdown::pass as markdown_pass;
}
