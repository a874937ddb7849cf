//! What became of a send.

use super::media::UploadError;
use crate::contract::MAX_CHUNKS;
use crate::store::{HoldReason, OutboundRow, SendState, StoreError};
use ilink::IlinkError;

/// Why a send failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// There is nothing to send.
    #[error("text: nothing is left to send (it is blank, or holds only what WeChat cannot show)")]
    Empty,
    /// It would be more wire messages than a text may become.
    #[error(
        "text: {parts} WeChat messages would be needed for it, and {MAX_CHUNKS} is the most; send it as a file, or in parts"
    )]
    TooLong {
        /// How many wire messages it would be.
        parts: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// iLink refused it for good.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
    /// Its file did not get to the media host.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// It was refused, given up or cancelled before.
    #[error("this message was not sent: {0}")]
    Ended(String),
}

/// What became of a send that did not fail.
#[derive(Debug)]
pub enum Sent {
    /// The server took all of it; the row's state says whether it confirmed all of it.
    Taken(OutboundRow),
    /// It is kept, and sent by itself when it can be. As long as the guard lives nobody is told how it ended: first the caller
    /// learns that it is held.
    Held(OutboundRow, HoldReason, Unanswered),
    /// It was an extra, and there is no room for it now.
    Dropped,
}

impl Sent {
    /// What became of a send that waits no more, by its row.
    pub(super) fn of_ended(row: OutboundRow) -> Result<Sent, SendError> {
        match row.state {
            SendState::Sent | SendState::Unconfirmed => Ok(Sent::Taken(row)),
            _ => Err(SendError::Ended(row.error.unwrap_or_else(|| "it was cancelled".to_owned()))),
        }
    }
}

/// A send whose caller has no answer yet. What is to be told of its end waits until the last of these is dropped.
pub struct Unanswered {
    passed_on: Option<Box<dyn FnOnce() + Send>>,
}

impl Unanswered {
    /// Calls `passed_on` when it is dropped, which must not block.
    pub(super) fn new(passed_on: impl FnOnce() + Send + 'static) -> Unanswered {
        Unanswered { passed_on: Some(Box::new(passed_on)) }
    }

    /// Of a send whose conversation has ended, by the end of the process or by a defect.
    pub(super) fn without_conversation() -> Unanswered {
        Unanswered { passed_on: None }
    }
}

impl std::fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unanswered")
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(passed_on) = self.passed_on.take() {
            passed_on();
        }
    }
}
