//! What can go wrong, as the gateway sees it: a code, a kind, and data that a program can act on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Why a request failed. Each kind has one JSON-RPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The line is not JSON.
    ParseError,
    /// The line is JSON but no request, or it is longer than `limits.maxLineBytes`.
    InvalidRequest,
    /// There is no such method.
    MethodNotFound,
    /// The parameters do not fit; the message names the field.
    InvalidParams,
    /// A defect of the sidecar.
    Internal,
    /// `initialize` has not been answered yet.
    NotInitialized,
    /// Only over the network: the token may not do that.
    Forbidden,
    /// No account of that id is known.
    AccountNotFound,
    /// The account has no credentials: log in first.
    AccountNotConfigured,
    /// Several accounts fit; the message names them.
    AccountAmbiguous,
    /// WeChat no longer accepts the account's token: log in again.
    SessionExpired,
    /// Another live process polls this account; the message names its pid.
    AccountLocked,
    /// iLink refused the request.
    IlinkRejected,
    /// iLink refused because of its send limits.
    IlinkThrottled,
    /// The host was not reached, or did not answer in time.
    Network,
    /// The file is larger than `limits.mediaMaxBytes`.
    MediaTooLarge,
    /// The path is outside the allowed roots, or the URL is refused by policy.
    MediaDenied,
    /// The file cannot be read.
    MediaUnreadable,
    /// The QR login failed.
    LoginFailed,
    /// There is no login of that `sessionKey`.
    LoginNotFound,
    /// The state directory or its database cannot be used; the message says what was kept, and where.
    StoreFailed,
}

impl ErrorKind {
    /// Every kind, in the order of the contract's table.
    pub const ALL: [ErrorKind; 21] = [
        ErrorKind::ParseError,
        ErrorKind::InvalidRequest,
        ErrorKind::MethodNotFound,
        ErrorKind::InvalidParams,
        ErrorKind::Internal,
        ErrorKind::NotInitialized,
        ErrorKind::Forbidden,
        ErrorKind::AccountNotFound,
        ErrorKind::AccountNotConfigured,
        ErrorKind::AccountAmbiguous,
        ErrorKind::SessionExpired,
        ErrorKind::AccountLocked,
        ErrorKind::IlinkRejected,
        ErrorKind::IlinkThrottled,
        ErrorKind::Network,
        ErrorKind::MediaTooLarge,
        ErrorKind::MediaDenied,
        ErrorKind::MediaUnreadable,
        ErrorKind::LoginFailed,
        ErrorKind::LoginNotFound,
        ErrorKind::StoreFailed,
    ];

    /// The JSON-RPC error code of this kind.
    pub fn code(self) -> i32 {
        match self {
            ErrorKind::ParseError => -32700,
            ErrorKind::InvalidRequest => -32600,
            ErrorKind::MethodNotFound => -32601,
            ErrorKind::InvalidParams => -32602,
            ErrorKind::Internal => -32603,
            ErrorKind::NotInitialized => -32002,
            ErrorKind::Forbidden => -32003,
            ErrorKind::AccountNotFound => -32010,
            ErrorKind::AccountNotConfigured => -32011,
            ErrorKind::AccountAmbiguous => -32012,
            ErrorKind::SessionExpired => -32013,
            ErrorKind::AccountLocked => -32014,
            ErrorKind::IlinkRejected => -32020,
            ErrorKind::IlinkThrottled => -32021,
            ErrorKind::Network => -32022,
            ErrorKind::MediaTooLarge => -32030,
            ErrorKind::MediaDenied => -32031,
            ErrorKind::MediaUnreadable => -32032,
            ErrorKind::LoginFailed => -32040,
            ErrorKind::LoginNotFound => -32041,
            ErrorKind::StoreFailed => -32050,
        }
    }
}

/// What iLink answered, where it answered.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IlinkAnswer {
    /// The answer's `ret`.
    pub ret: Option<i64>,
    /// The answer's `errcode`.
    pub errcode: Option<i64>,
    /// The answer's `errmsg`.
    pub errmsg: Option<String>,
    /// The HTTP status, where it was not 200.
    pub http_status: Option<u16>,
}

/// How far a request got before the network failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkCause {
    /// The host's name was not resolved.
    Dns,
    /// No connection was made, or it broke.
    Tcp,
    /// The TLS handshake failed.
    Tls,
    /// There was no answer in time.
    Timeout,
}

/// `error.data` of every error response.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// Why it failed.
    pub kind: ErrorKind,
    /// Whether the same request may succeed later without anybody doing anything.
    pub retryable: bool,
    /// The account it is about.
    pub account_id: Option<String>,
    /// When to try again at the earliest, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
    /// What iLink answered.
    pub ilink: Option<IlinkAnswer>,
    /// With kind `network`: how far it got.
    pub cause: Option<NetworkCause>,
}

/// An error as it goes over the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ContractError {
    /// What happened and what to do, for a person.
    pub message: String,
    /// The same for a program.
    pub data: Box<ErrorData>,
}

impl ContractError {
    /// An error of `kind` that does not pass by itself.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ContractError {
        ContractError {
            message: message.into(),
            data: Box::new(ErrorData {
                kind,
                retryable: false,
                account_id: None,
                retry_after_ms: None,
                ilink: None,
                cause: None,
            }),
        }
    }

    /// Says that the same request may succeed later.
    pub fn retryable(mut self) -> ContractError {
        self.data.retryable = true;
        self
    }

    /// Names the account it is about.
    pub fn account(mut self, id: &super::AccountId) -> ContractError {
        self.data.account_id = Some(id.to_string());
        self
    }

    /// The JSON-RPC code.
    pub fn code(&self) -> i32 {
        self.data.kind.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let mut codes: Vec<i32> = ErrorKind::ALL.iter().map(|k| k.code()).collect();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }
}
