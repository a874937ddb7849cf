//! Media files on this machine: where they are kept and for how long, what they are, what they may be called.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `library` | the directory: a folder a message, a spool for what is to be sent, cleaning |
//! | `space` | how much room received files may take |
//! | `mime` | what a file is, by its content |
//! | `voice` | WeChat's voice messages |
//! | `sound` | WAV, MP3 and Ogg/Opus, for those that are sent (feature `silk`) |
//! | `name` | file names that people gave, made safe |
//! | `thumbnail` | small versions of pictures |

mod library;
mod mime;
mod name;
#[cfg(feature = "silk")]
mod sound;
mod space;
mod thumbnail;
pub mod voice;

pub use library::{Keep, Library, Stored};
pub use mime::{Kind, extension_of, kind_of, mime_of, voice_mime};
pub use name::safe_name;
pub use space::{Bounds, NoSpace, Reserved, Space};
pub use thumbnail::{Thumbnail, thumbnail};
