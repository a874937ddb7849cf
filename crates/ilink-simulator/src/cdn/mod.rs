//! The simulated CDN: where media are kept, encrypted. Its two requests are `cdn_http`.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `cipher` | AES-128-ECB from a reader to a writer, whatever their size |
//! | `spool` | the temporary files, and the directory that goes with the simulator |
//! | `store` | what was announced, what was uploaded, and under which parameters |
//! | `body` | a file as the body of an answer, at full speed or at a crawl |
//!
//! Invariants: the CDN never sees a key in a request; no content is ever in memory as a whole.

pub(super) mod body;
pub(super) mod cipher;
mod spool;
mod store;

pub(super) use spool::SpoolFile;
pub use store::Upload;
pub(super) use store::{Cdn, Manner, Object, PREFIX, download_url, upload_url};
