//! A file that is a wire message: what is known of it from the first moment to the last, and its way to the media host.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cdn::{Cdn, CdnError, MediaKey, UploadTarget, Uploaded, cipher_len};
use crate::ilink::{Ilink, IlinkError, OutgoingItem, OutgoingMedia, Session, UploadKey, UploadRequest};

/// How long a file that was uploaded for somebody is sent to them again without another upload.
pub const REUSE_MS: i64 = 60 * 60 * 1000;

/// How WeChat shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A video.
    Video,
    /// A file.
    File,
    /// A voice bubble.
    Voice,
}

impl MediaKind {
    /// Its number in `getuploadurl`.
    fn media_type(self) -> i64 {
        match self {
            MediaKind::Image => 1,
            MediaKind::Video => 2,
            MediaKind::File => 3,
            MediaKind::Voice => 4,
        }
    }

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
            MediaKind::File => "file",
            MediaKind::Voice => "voice",
        }
    }
}

/// A file that is to be sent, as its row in the outbox describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPart {
    /// How WeChat shows it.
    pub kind: MediaKind,
    /// The copy in the spool.
    pub file: PathBuf,
    /// What people see.
    pub name: String,
    /// By its content.
    pub mime: String,
    /// In bytes.
    pub size: u64,
    /// In hex.
    pub md5: String,
    /// Of a voice message, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Where it is at the media host, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<Uploaded>,
}

/// Why a file did not get to the media host.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UploadError {
    /// iLink did not say where it goes.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
    /// The media host did not take it, or the file is not what it was.
    #[error(transparent)]
    Cdn(#[from] CdnError),
}

impl MediaPart {
    /// From the outbox's row.
    pub fn from_json(json: &str) -> Option<MediaPart> {
        serde_json::from_str(json).ok()
    }

    /// For the outbox's row.
    pub fn to_json(&self) -> String {
        // Strings and numbers only.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Brings it to the media host.
    pub async fn upload(self, ilink: &Ilink, session: &Session, cdn: &Cdn, to: &str) -> Result<Uploaded, UploadError> {
        let (key, filekey) = (MediaKey::random(), format!("{:032x}", rand::random::<u128>()));
        let hex = key.to_hex();
        let request = UploadRequest {
            filekey: &filekey,
            media_type: self.kind.media_type(),
            to_user_id: to,
            rawsize: self.size,
            rawfilemd5: &self.md5,
            filesize: cipher_len(self.size),
            no_need_thumb: true,
            aeskey: UploadKey(&hex),
        };
        let answer = ilink.get_upload_url(session, &request).await?;
        let full_url = answer.upload_full_url.filter(|url| !url.is_empty());
        let upload_param = answer.upload_param.unwrap_or_default();
        if full_url.is_none() && upload_param.is_empty() {
            let detail = "it names no place for the file".to_owned();
            return Err(IlinkError::Malformed { endpoint: "getuploadurl", detail }.into());
        }
        let target = UploadTarget { full_url, upload_param, filekey };
        Ok(cdn.upload(&target, &key, &self.file, self.size, &self.md5).await?)
    }

    /// The item that shows it, once it is uploaded.
    pub fn item<'a>(&'a self, uploaded: &'a Uploaded) -> OutgoingItem<'a> {
        let media = OutgoingMedia {
            query_param: &uploaded.query_param,
            aes_key: &uploaded.aes_key,
            cipher_size: uploaded.cipher_size,
        };
        match self.kind {
            MediaKind::Image => OutgoingItem::Image(media),
            MediaKind::Video => OutgoingItem::Video(media),
            MediaKind::File => OutgoingItem::File { media, name: &self.name, len: self.size },
            MediaKind::Voice => OutgoingItem::Voice { media, playtime: self.duration_ms.unwrap_or(0) },
        }
    }
}

/// The files of these rows.
pub fn files_of<'a>(rows: impl IntoIterator<Item = &'a str>) -> Vec<PathBuf> {
    rows.into_iter().filter_map(MediaPart::from_json).map(|part| part.file).collect()
}

/// Removes a spooled file; that it is gone already is fine.
pub fn discard(file: &Path) {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %file.display(), %error, "a file that was sent could not be removed");
    }
}
