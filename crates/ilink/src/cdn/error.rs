//! What can go wrong with a media file.

use std::path::PathBuf;

use crate::Reach;

/// Why a media file was not fetched or not sent. Its texts go to the gateway: no secrets, no addresses with parameters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CdnError {
    /// The message names no place to fetch it from.
    #[error("the message does not say where the media is")]
    NoSource,
    /// The key is none.
    #[error(transparent)]
    Key(#[from] super::KeyError),
    /// The address is not one that may be asked.
    #[error("the media address is refused: {0}")]
    Denied(String),
    /// It is larger than allowed.
    #[error("the media is larger than the limit of {limit} bytes (mediaMaxMb)")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The host answered with an error.
    #[error("the media host answered HTTP {status}{}", code.map(|code| format!(" (code {code})")).unwrap_or_default())]
    Http {
        /// The status.
        status: u16,
        /// Its `x-error-code`. Its words are in the log only: whoever runs the host chose them.
        code: Option<i64>,
    },
    /// The host was not reached, or the connection broke.
    #[error("the media host cannot be reached: {detail}")]
    Network {
        /// How far it came.
        reach: Reach,
        /// What the system said.
        detail: String,
    },
    /// The host answered what makes no sense.
    #[error("the media host's answer makes no sense: {0}")]
    Answer(String),
    /// There is no room for it here.
    #[error("{0}")]
    NoSpace(String),
    /// It did not decrypt.
    #[error("the media is damaged, or its key is wrong")]
    Ciphertext,
    /// A file of ours, or of the gateway's, could not be read or written.
    #[error("{path} cannot be read or written ({cause}); see that the disk has room and that this user may use it")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// It is not the file any more that was to be sent.
    #[error("{path} was changed while it was being sent; send it again")]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// Nothing moved any more.
    #[error("nothing moved between here and the media host for {seconds} s")]
    Stalled {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It took too long.
    #[error("the media took longer than {seconds} s")]
    TimedOut {
        /// The deadline.
        seconds: u64,
    },
}

impl CdnError {
    /// Whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            CdnError::Http { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            CdnError::Network { .. } | CdnError::Answer(_) | CdnError::Stalled { .. } => true,
            _ => false,
        }
    }

    /// From the HTTP client; what it was asked for is left out, it may hold keys.
    pub(super) fn from_reqwest(error: reqwest::Error) -> CdnError {
        match crate::IlinkError::from_reqwest("cdn", error) {
            crate::IlinkError::Network { reach, detail, .. } => CdnError::Network { reach, detail },
            other => CdnError::Answer(other.to_string()),
        }
    }

    pub(super) fn stalled(time: std::time::Duration) -> CdnError {
        CdnError::Stalled { seconds: time.as_secs() }
    }

    pub(super) fn file(path: &std::path::Path, cause: impl ToString) -> CdnError {
        CdnError::File { path: path.to_owned(), cause: cause.to_string() }
    }
}
