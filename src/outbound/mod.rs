//! From the gateway to WeChat: texts and typing.
//!
//! A send is on disk, with the client id of every wire message, before its first request; the server shows a repeated
//! client id only once, so whatever is in doubt is simply sent again.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `text` | a text, from the request to the last confirmed wire message |
//! | `lanes` | one send at a time in a conversation |
//! | `typing` | the typing indicator, its ticket and its keep-alive |
//! | `markdown` | Markdown as WeChat shows it |
//! | `chunk`, `fence` | a long text as several messages |

mod chunk;
mod fence;
mod lanes;
mod markdown;
mod text;
mod typing;

pub use chunk::chunk;
pub use markdown::for_wechat;
pub use text::{SendError, TextRequest, Texts};
pub use typing::Typing;
