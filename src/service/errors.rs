//! Every room's errors, and reasons to hold a send, as the contract's.

use crate::accounts::{ArchiveError, FilesError};
use crate::contract::{AccountId, ContractError, ErrorKind, HeldReason, IlinkAnswer, NetworkCause};
use crate::lease::LeaseError;
use crate::login::LoginError;
use crate::outbound::{SendError, SourceError, UploadError};
use crate::store::{HoldReason, StoreError};
use ilink::cdn::CdnError;
use ilink::{IlinkError, Reach, Refusal};

impl From<StoreError> for ContractError {
    fn from(error: StoreError) -> Self {
        let retryable = error.is_retryable();
        let mut made = ContractError::new(ErrorKind::StoreFailed, error.to_string());
        made.data.retryable = retryable;
        made
    }
}

impl From<FilesError> for ContractError {
    fn from(error: FilesError) -> Self {
        let kind = match error {
            FilesError::Damaged { .. } => ErrorKind::AccountNotConfigured,
            FilesError::Unreadable { .. } | FilesError::Unwritable { .. } => ErrorKind::StoreFailed,
        };
        ContractError::new(kind, error.to_string())
    }
}

impl From<ArchiveError> for ContractError {
    fn from(error: ArchiveError) -> Self {
        let kind = match error {
            ArchiveError::NoPassphrase | ArchiveError::Closed(_) | ArchiveError::Foreign(_) => ErrorKind::InvalidParams,
            ArchiveError::Unmade(_) => ErrorKind::Internal,
        };
        ContractError::new(kind, error.to_string())
    }
}

impl From<LeaseError> for ContractError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Held => ContractError::new(ErrorKind::AccountLocked, error.to_string()).retryable(),
            LeaseError::Unusable { .. } => ContractError::new(ErrorKind::StoreFailed, error.to_string()),
            LeaseError::Store(error) => error.into(),
            LeaseError::Broken(_) => ContractError::new(ErrorKind::Internal, error.to_string()),
        }
    }
}

impl From<IlinkError> for ContractError {
    fn from(error: IlinkError) -> Self {
        let transient = error.is_transient();
        let kind = match &error {
            _ if error.is_stale_token() => ErrorKind::SessionExpired,
            _ if error.limit().is_some() => ErrorKind::IlinkThrottled,
            IlinkError::Network { .. } => ErrorKind::Network,
            IlinkError::BadAddress { .. } => ErrorKind::InvalidParams,
            IlinkError::Http { .. } | IlinkError::Refused { .. } | IlinkError::Malformed { .. } => {
                ErrorKind::IlinkRejected
            }
        };
        let advice = match error.refusal() {
            Some(refusal) => refusal.advice(),
            // HTTP 429 says the same.
            None if kind == ErrorKind::IlinkThrottled => Refusal::Throttled.advice(),
            None => "",
        };
        let semicolon = if advice.is_empty() { "" } else { "; " };
        let mut made = ContractError::new(kind, format!("{error}{semicolon}{advice}"));
        made.data.retryable = transient;
        match error {
            IlinkError::Network { reach, .. } => made.data.cause = Some(cause(reach)),
            IlinkError::Http { status, .. } => {
                made.data.ilink = Some(IlinkAnswer { http_status: Some(status), ..IlinkAnswer::default() });
            }
            IlinkError::Refused { ret, errcode, errmsg, .. } => {
                made.data.ilink = Some(IlinkAnswer { ret, errcode, errmsg, http_status: None });
            }
            IlinkError::Malformed { .. } | IlinkError::BadAddress { .. } => {}
        }
        made
    }
}

impl From<LoginError> for ContractError {
    fn from(error: LoginError) -> Self {
        let message = error.to_string();
        match error {
            LoginError::NotFound(_) => ContractError::new(ErrorKind::LoginNotFound, message),
            LoginError::NoCodeWanted(_) => ContractError::new(ErrorKind::LoginFailed, message),
            LoginError::TooMany => ContractError::new(ErrorKind::LoginFailed, message).retryable(),
            LoginError::Unusable(_) => ContractError::new(ErrorKind::LoginFailed, message),
            LoginError::Ilink(error) => {
                let mut made = ContractError::from(error);
                made.message = message;
                made
            }
        }
    }
}

impl From<HoldReason> for HeldReason {
    fn from(reason: HoldReason) -> HeldReason {
        match reason {
            HoldReason::Quota => HeldReason::Quota,
            HoldReason::Throttled => HeldReason::Throttled,
            HoldReason::NoContext => HeldReason::NoContext,
            HoldReason::ContextExpired => HeldReason::ContextExpired,
            HoldReason::SessionExpired => HeldReason::SessionExpired,
            HoldReason::Offline => HeldReason::Offline,
        }
    }
}

impl From<SendError> for ContractError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Empty | SendError::TooLong { .. } => {
                ContractError::new(ErrorKind::InvalidParams, format!("params.{error}"))
            }
            SendError::Store(error) => error.into(),
            SendError::Ilink(error) | SendError::Upload(UploadError::Ilink(error)) => error.into(),
            SendError::Upload(UploadError::Cdn(error)) => error.into(),
            SendError::Ended(_) => ContractError::new(ErrorKind::IlinkRejected, error.to_string()),
        }
    }
}

impl From<CdnError> for ContractError {
    fn from(error: CdnError) -> Self {
        let message = error.to_string();
        let kind = match &error {
            CdnError::Denied(_) => ErrorKind::MediaDenied,
            CdnError::TooLarge { .. } => ErrorKind::MediaTooLarge,
            CdnError::Http { .. } | CdnError::Answer(_) => ErrorKind::IlinkRejected,
            CdnError::Network { .. } | CdnError::Stalled { .. } => ErrorKind::Network,
            CdnError::NoSource
            | CdnError::Key(_)
            | CdnError::Ciphertext
            | CdnError::NoSpace(_)
            | CdnError::File { .. }
            | CdnError::Changed { .. }
            | CdnError::TimedOut { .. } => ErrorKind::MediaUnreadable,
        };
        let mut made = ContractError::new(kind, message);
        made.data.retryable = error.is_transient();
        match error {
            CdnError::Network { reach, .. } => made.data.cause = Some(cause(reach)),
            CdnError::Http { status, code } => {
                made.data.ilink =
                    Some(IlinkAnswer { http_status: Some(status), errcode: code, ..IlinkAnswer::default() });
            }
            _ => {}
        }
        made
    }
}

impl From<SourceError> for ContractError {
    fn from(error: SourceError) -> Self {
        let kind = match error {
            SourceError::Denied(_) => ErrorKind::MediaDenied,
            SourceError::TooLarge { .. } => ErrorKind::MediaTooLarge,
            SourceError::Unreadable { .. } => ErrorKind::MediaUnreadable,
        };
        ContractError::new(kind, error.to_string())
    }
}

fn cause(reach: Reach) -> NetworkCause {
    match reach {
        Reach::Dns => NetworkCause::Dns,
        Reach::Tcp => NetworkCause::Tcp,
        Reach::Tls => NetworkCause::Tls,
        Reach::Timeout => NetworkCause::Timeout,
    }
}

/// No account of that id.
pub fn not_found(id: &AccountId) -> ContractError {
    let message = format!("there is no account {id}; log in to add one, or see accounts.list");
    ContractError::new(ErrorKind::AccountNotFound, message).account(id)
}

/// An account without credentials.
pub fn not_configured(id: &AccountId) -> ContractError {
    let message =
        format!("account {id} has no credentials; log in (openclaw channels login --channel openclaw-weixin)");
    ContractError::new(ErrorKind::AccountNotConfigured, message).account(id)
}
