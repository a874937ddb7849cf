//! The simulated CDN: where media are uploaded, kept encrypted, and downloaded.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `cipher` | AES-128-ECB from a reader to a writer, whatever their size |
//! | `spool` | the temporary files, and the directory that goes with the simulator |
//! | `store` | what was announced, what was uploaded, and under which parameters |
//! | `transfer` | `upload` and `download`, the two requests a CDN knows |
//! | `body` | a file as the body of an answer, at full speed or at a crawl |
//!
//! Invariants: the CDN never sees a key in a request; no content is ever in memory as a whole.

pub(super) mod body;
pub(super) mod cipher;
mod spool;
mod store;
mod transfer;

pub(super) use spool::SpoolFile;
pub use store::Upload;
pub(super) use store::{Cdn, Manner, Object, download_url, upload_url};
pub(super) use transfer::drain;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::world::World;

/// The path under which the CDN lives on the simulator's port.
pub(super) const PREFIX: &str = "/c2c";

/// The header in which a CDN says why it refuses.
pub(super) const ERROR_HEADER: &str = "x-error-message";

/// The routes of the CDN.
pub(super) fn router() -> Router<Arc<World>> {
    Router::new().route("/c2c/upload", post(transfer::upload)).route("/c2c/download", get(transfer::download))
}
