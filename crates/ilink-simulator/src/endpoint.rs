//! The names of the iLink endpoints and of the CDN's, as faults and records use them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cdn::PREFIX;

/// An iLink endpoint, or one of its CDN.
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
    /// A ciphertext goes to the CDN.
    #[serde(rename = "cdn_upload")]
    CdnUpload,
    /// A ciphertext comes from the CDN.
    #[serde(rename = "cdn_download")]
    CdnDownload,
}

impl Endpoint {
    const API: [Self; 9] = [
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

    /// The last segment of the endpoint's path, after `cdn_` if it is the CDN's.
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
            Self::CdnUpload => "cdn_upload",
            Self::CdnDownload => "cdn_download",
        }
    }

    /// Whether it is the CDN's.
    pub(super) fn is_cdn(self) -> bool {
        matches!(self, Self::CdnUpload | Self::CdnDownload)
    }

    /// The endpoint of a request path; `None` for a path that iLink does not have.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path.strip_prefix(PREFIX) {
            Some("/upload") => return Some(Self::CdnUpload),
            Some("/download") => return Some(Self::CdnDownload),
            _ => {}
        }
        let rest = path.strip_prefix("/ilink/bot/")?;
        let name = rest.strip_prefix("msg/").unwrap_or(rest);
        Self::API.into_iter().find(|endpoint| endpoint.name() == name)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
