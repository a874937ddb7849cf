//! The names of the iLink endpoints, as faults and records use them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An iLink endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// The long poll for messages.
    GetUpdates,
    /// One message to a person.
    SendMessage,
    /// The typing ticket of a person.
    GetConfig,
    /// The typing indicator.
    SendTyping,
    /// A new QR code.
    #[serde(rename = "get_bot_qrcode")]
    GetBotQrcode,
    /// The long poll for what became of a QR code.
    #[serde(rename = "get_qrcode_status")]
    GetQrcodeStatus,
    /// A client starts an account.
    NotifyStart,
    /// A client stops an account.
    NotifyStop,
    /// Where to upload a file.
    GetUploadUrl,
}

impl Endpoint {
    const ALL: [Self; 9] = [
        Self::GetUpdates,
        Self::SendMessage,
        Self::GetConfig,
        Self::SendTyping,
        Self::GetBotQrcode,
        Self::GetQrcodeStatus,
        Self::NotifyStart,
        Self::NotifyStop,
        Self::GetUploadUrl,
    ];

    /// The last segment of the endpoint's path.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetUpdates => "getupdates",
            Self::SendMessage => "sendmessage",
            Self::GetConfig => "getconfig",
            Self::SendTyping => "sendtyping",
            Self::GetBotQrcode => "get_bot_qrcode",
            Self::GetQrcodeStatus => "get_qrcode_status",
            Self::NotifyStart => "notifystart",
            Self::NotifyStop => "notifystop",
            Self::GetUploadUrl => "getuploadurl",
        }
    }

    /// The endpoint of a request path; `None` for a path that iLink does not have.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/ilink/bot/")?;
        let name = rest.strip_prefix("msg/").unwrap_or(rest);
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
