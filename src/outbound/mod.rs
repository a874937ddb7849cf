//! From the gateway to WeChat: the outbox and typing.
//!
//! A send is on disk, with the client id of every wire message, before its first request; the server shows a repeated
//! client id only once, so whatever is in doubt is simply sent again. What cannot be sent now is held, in order, and sent
//! by itself when it can be.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `outbox` | accepting sends, waiting for them, cancelling them |
//! | `conversations` | the conversations that run, one task for each with something to do |
//! | `conversation` | that task: it owns what is sent next, and who waits for it |
//! | `desk` | answers who waits, by what becomes of the sends |
//! | `callers` | who waits, and who has to learn first that a send is held |
//! | `sending` | what it does: the next wire message, an upload, a hold, a retry |
//! | `outcome` | what became of a send |
//! | `core` | what all conversations share |
//! | `recovery` | whose turn it is to try a recovery for a bot |
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

mod callers;
mod chunk;
mod claim;
mod context;
mod conversation;
mod conversations;
mod core;
mod desk;
mod fence;
mod maintenance;
mod markdown;
mod media;
mod notice;
mod outbox;
mod outcome;
mod overflow;
mod peer_locks;
mod progress;
mod recovery;
mod sending;
mod source;
mod typing;

pub use chunk::chunk;
pub use context::{Answered, NotReady, OutboxContext, OutboxSettings, Ready};
pub use core::{queue_id, row_of};
pub use markdown::for_wechat;
pub use media::{ForeignItem, ItemKind, MediaPart, REUSE_MS, Thumb, UploadError, discard, files_of};
pub use outbox::{Accepted, Content, Outbox, SendRequest, WireItem};
pub use outcome::{SendError, Sent};
pub use peer_locks::PeerLocks;
pub use progress::{Progress, Shown, ToolEnd};
pub use source::{SourceError, Spooled, measure, spool};
pub use typing::Typing;

#[doc(hidden)]
pub(crate) mod fuzzing {
    pub use super::markdown::pass as markdown_pass;
}
