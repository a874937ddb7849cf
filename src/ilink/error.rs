//! What can go wrong with a request, sorted by what a caller can do about it.

use std::error::Error as _;
use std::io;

use super::types::{STALE_TOKEN, THROTTLED, Verdict};

/// How far a request got before the network failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host's name was not resolved.
    Dns,
    /// No connection was made, or it broke.
    Tcp,
    /// The TLS handshake failed.
    Tls,
    /// There was no answer in time.
    Timeout,
}

impl Reach {
    /// What a person is told.
    pub fn describe(self) -> &'static str {
        match self {
            Reach::Dns => "the host's name was not resolved; check the DNS settings and the network",
            Reach::Tcp => "the connection was refused or broke; check the network, a proxy or a firewall",
            Reach::Tls => "the TLS handshake failed; check the clock, the certificates and a TLS-inspecting proxy",
            Reach::Timeout => "there was no answer in time",
        }
    }
}

/// Why a request to iLink failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IlinkError {
    /// The host was not reached, or did not answer in time. The request may have been carried out.
    #[error("{endpoint}: {} ({detail})", .reach.describe())]
    Network {
        /// The endpoint's name.
        endpoint: &'static str,
        /// How far it got.
        reach: Reach,
        /// What the HTTP client said, without the URL.
        detail: String,
    },
    /// The host answered with an HTTP error.
    #[error("{endpoint}: the server answered HTTP {status}")]
    Http {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The status.
        status: u16,
    },
    /// iLink refused.
    #[error("{endpoint}: WeChat refused: ret={} errcode={} {}", opt(.ret), opt(.errcode), .errmsg.as_deref().unwrap_or(""))]
    Refused {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The answer's `ret`.
        ret: Option<i64>,
        /// The answer's `errcode`.
        errcode: Option<i64>,
        /// The answer's `errmsg`.
        errmsg: Option<String>,
    },
    /// The answer is not what the protocol says.
    #[error("{endpoint}: the server's answer cannot be read ({detail})")]
    Malformed {
        /// The endpoint's name.
        endpoint: &'static str,
        /// What is wrong with it, without its content.
        detail: String,
    },
    /// The request could not be made: a bad address in the configuration.
    #[error("{endpoint}: the address {url} cannot be used ({detail}); check baseUrl")]
    BadAddress {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
}

fn opt(n: &Option<i64>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

impl IlinkError {
    /// Whether the account needs a new login.
    pub fn is_stale_token(&self) -> bool {
        matches!(self, IlinkError::Refused { ret, errcode, .. }
            if *ret == Some(STALE_TOKEN) || *errcode == Some(STALE_TOKEN))
    }

    /// Whether the send limits were met.
    pub fn is_throttled(&self) -> bool {
        matches!(self, IlinkError::Refused { ret, errcode, .. }
            if *ret == Some(THROTTLED) || *errcode == Some(THROTTLED))
            || matches!(self, IlinkError::Http { status: 429, .. })
    }

    /// Whether the same request may succeed in a moment: the network, a 5xx, a garbled answer.
    pub fn is_transient(&self) -> bool {
        match self {
            IlinkError::Network { .. } | IlinkError::Malformed { .. } => true,
            IlinkError::Http { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }

    pub(super) fn from_verdict(endpoint: &'static str, verdict: Verdict) -> Option<IlinkError> {
        let ok = verdict.ret.unwrap_or(0) == 0 && verdict.errcode.unwrap_or(0) == 0;
        (!ok).then_some(IlinkError::Refused {
            endpoint,
            ret: verdict.ret,
            errcode: verdict.errcode,
            errmsg: verdict.errmsg.filter(|m| !m.is_empty()),
        })
    }

    pub(crate) fn from_reqwest(endpoint: &'static str, error: reqwest::Error) -> IlinkError {
        let error = error.without_url();
        if error.is_builder() {
            return IlinkError::BadAddress { endpoint, url: String::new(), detail: error.to_string() };
        }
        let mut reach = if error.is_timeout() { Reach::Timeout } else { Reach::Tcp };
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail = cause.to_string();
            if reach != Reach::Timeout {
                if detail.contains("dns error") {
                    reach = Reach::Dns;
                } else if is_tls(cause) {
                    reach = Reach::Tls;
                }
            }
            source = cause.source();
        }
        IlinkError::Network { endpoint, reach, detail }
    }
}

/// Whether a cause is a TLS error. It travels inside an `io::Error` between the libraries, or inside several.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    if cause.is::<rustls::Error>() {
        return true;
    }
    let Some(error) = cause.downcast_ref::<io::Error>() else { return false };
    // A server that hangs up on the handshake leaves no error of the TLS library, only these words.
    error.get_ref().is_some_and(|inner| is_tls(inner)) || error.to_string().contains("tls handshake")
}
