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
//! | `claim` | which process is at a send, and whether it still can be |
//! | `maintenance` | what other processes left behind, and what waited too long |
//! | `media` | a file that is a wire message, and its way to the media host |
//! | `source` | which files may be sent, and a copy of our own |
//! | `overflow` | the rest of an answer as a text file |
//! | `progress` | tool progress: sent where there is room, dropped where there is none |
//! | `peer_locks` | sends are accepted in the order in which they were asked for |
//! | `context` | what the outbox asks of the rest of the program |
//! | `notice` | "the rest follows when you write" |
//! | `typing` | the typing indicator, its ticket and its keep-alive |
//! | `markdown` | Markdown as WeChat shows it |
//! | `chunk`, `fence` | a long text as several messages |

mod chunk;
mod claim;
mod context;
mod fence;
mod lane;
mod maintenance;
mod markdown;
mod media;
mod notice;
mod outbox;
mod overflow;
mod peer_locks;
mod progress;
mod source;
mod typing;

pub use chunk::chunk;
pub use context::{Answered, NotReady, OutboxContext, OutboxSettings, Ready};
pub use markdown::for_wechat;
pub use media::{MediaKind, MediaPart, REUSE_MS, Thumb, UploadError, discard, files_of};
pub use outbox::{Accepted, Content, Outbox, SendError, SendRequest, Sent, queue_id};
pub use peer_locks::PeerLocks;
pub use progress::{Progress, Shown, ToolEnd};
pub use source::{SourceError, Spooled, measure, spool};
pub use typing::Typing;

#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    pub use super::markdown::pass as markdown_pass;
}
