//! A file that is a wire message: what is known of it from the first moment to the last, and its way to the media host.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;

use super::source::Spooled;
use ilink::cdn::{Cdn, CdnError, MediaKey, UploadTarget, Uploaded, cipher_len};
use ilink::{
    Ilink, IlinkError, OutgoingItem, OutgoingMedia, OutgoingThumb, Session, ThumbRequest, UploadAnswer, UploadKey,
    UploadRequest,
};

/// How long a file that was uploaded for somebody is sent to them again without another upload.
pub const REUSE_MS: i64 = 60 * 60 * 1000;

/// How WeChat shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    Image,
    Video,
    File,
    /// A voice bubble.
    Voice,
}

impl ItemKind {
    /// Its number in `getuploadurl`.
    fn media_type(self) -> i64 {
        match self {
            ItemKind::Image => 1,
            ItemKind::Video => 2,
            ItemKind::File => 3,
            ItemKind::Voice => 4,
        }
    }

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            ItemKind::Image => "image",
            ItemKind::Video => "video",
            ItemKind::File => "file",
            ItemKind::Voice => "voice",
        }
    }
}

/// A file that is to be sent, as its row in the outbox describes it.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPart {
    /// How WeChat shows it.
    pub kind: ItemKind,
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
    pub duration_ms: Option<u64>,
    /// Of a picture.
    pub thumb: Option<Thumb>,
    /// It says what its part and all those behind it say, and takes their place once it is at the media host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// Where it is at the media host, once it is there.
    pub uploaded: Option<Uploaded>,
}

/// A small version of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumb {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Where it is.
    #[serde(flatten)]
    pub place: ThumbPlace,
}

/// Where a thumbnail is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThumbPlace {
    /// In the row: a JPEG, in base64.
    Here(String),
    /// At the media host.
    Uploaded(Uploaded),
}

impl Thumb {
    /// Of a JPEG.
    pub fn new(jpeg: &[u8], width: u32, height: u32) -> Thumb {
        Thumb { width, height, place: ThumbPlace::Here(STANDARD.encode(jpeg)) }
    }
}

/// An item of another iLink client that is no text, as its row in the outbox describes it: it goes out as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignItem {
    /// As it goes over the wire.
    pub item: Value,
}

impl ForeignItem {
    /// From the outbox's row; `None` where it describes a file of ours.
    pub fn from_json(json: &str) -> Option<ForeignItem> {
        serde_json::from_str(json).ok()
    }

    /// For the outbox's row.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
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
    /// A file in the spool.
    pub fn new(spooled: Spooled, kind: ItemKind, name: String, mime: String) -> MediaPart {
        let Spooled { file, size, md5, .. } = spooled;
        MediaPart { kind, file, name, mime, size, md5, duration_ms: None, thumb: None, rest: false, uploaded: None }
    }

    /// From the outbox's row.
    pub fn from_json(json: &str) -> Option<MediaPart> {
        serde_json::from_str(json).ok()
    }

    /// For the outbox's row.
    pub fn to_json(&self) -> String {
        // Strings and numbers only.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Brings it to the media host, with its thumbnail if both sides have one. The picture does not fail with that.
    pub async fn upload(
        mut self,
        ilink: &Ilink,
        session: &Session,
        cdn: &Cdn,
        to: &str,
    ) -> Result<MediaPart, UploadError> {
        let (key, filekey) = (MediaKey::random(), format!("{:032x}", rand::random::<u128>()));
        let thumb = self.thumb.take();
        let jpeg = thumb.as_ref().and_then(|thumb| match &thumb.place {
            ThumbPlace::Here(jpeg) => STANDARD.decode(jpeg).ok(),
            ThumbPlace::Uploaded(_) => None,
        });
        let mut answer = self.announce(ilink, session, &key, &filekey, to, jpeg.as_deref()).await;
        if jpeg.is_some()
            && let Err(error @ (IlinkError::Refused { .. } | IlinkError::Http { .. })) = &answer
            && !(error.is_stale_token() || error.limit().is_some() || error.is_transient())
        {
            tracing::warn!(%error, "a picture is announced again, without its thumbnail");
            answer = self.announce(ilink, session, &key, &filekey, to, None).await;
        }
        let answer = answer?;
        let target = target(answer.upload_full_url, answer.upload_param, &filekey).ok_or_else(|| {
            let detail = "it names no place for the file".to_owned();
            IlinkError::Malformed { endpoint: "getuploadurl", detail }
        })?;
        let thumb_target = self::target(answer.thumb_upload_full_url, answer.thumb_upload_param, &filekey);
        if let (Some(thumb), Some(jpeg), Some(target)) = (thumb, jpeg, thumb_target) {
            match cdn.upload_bytes(&target, &key, &jpeg).await {
                Ok(uploaded) => self.thumb = Some(Thumb { place: ThumbPlace::Uploaded(uploaded), ..thumb }),
                Err(error) => tracing::warn!(%error, "a picture is sent without its thumbnail"),
            }
        }
        self.uploaded = Some(cdn.upload(&target, &key, &self.file, self.size).await?);
        Ok(self)
    }

    /// Asks where it goes, and where its thumbnail goes.
    async fn announce(
        &self,
        ilink: &Ilink,
        session: &Session,
        key: &MediaKey,
        filekey: &str,
        to: &str,
        thumb: Option<&[u8]>,
    ) -> Result<UploadAnswer, IlinkError> {
        let hex_key = key.to_hex();
        let digest = thumb.map(|jpeg| hex::encode(Md5::digest(jpeg)));
        let thumb = thumb.zip(digest.as_deref()).map(|(jpeg, digest)| ThumbRequest {
            thumb_rawsize: jpeg.len() as u64,
            thumb_rawfilemd5: digest,
            thumb_filesize: cipher_len(jpeg.len() as u64),
        });
        let request = UploadRequest {
            filekey,
            media_type: self.kind.media_type(),
            to_user_id: to,
            rawsize: self.size,
            rawfilemd5: &self.md5,
            filesize: cipher_len(self.size),
            no_need_thumb: thumb.is_none(),
            thumb,
            aeskey: UploadKey(&hex_key),
        };
        ilink.get_upload_url(session, &request).await
    }

    /// The item that shows it, once it is uploaded.
    pub fn item<'a>(&'a self, uploaded: &'a Uploaded) -> OutgoingItem<'a> {
        let media = outgoing(uploaded);
        match self.kind {
            ItemKind::Image => {
                let thumb = self.thumb.as_ref().and_then(|thumb| match &thumb.place {
                    ThumbPlace::Uploaded(place) => {
                        Some(OutgoingThumb { media: outgoing(place), width: thumb.width, height: thumb.height })
                    }
                    ThumbPlace::Here(_) => None,
                });
                OutgoingItem::Image { media, thumb }
            }
            ItemKind::Video => OutgoingItem::Video(media),
            ItemKind::File => OutgoingItem::File { media, name: &self.name, len: self.size },
            ItemKind::Voice => OutgoingItem::Voice { media, playtime: self.duration_ms.unwrap_or(0) },
        }
    }
}

/// Where an answer of `getuploadurl` says that something goes; `None` where it names no place.
fn target(full_url: Option<String>, upload_param: Option<String>, filekey: &str) -> Option<UploadTarget> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (full_url, upload_param) = (filled(full_url), filled(upload_param));
    (full_url.is_some() || upload_param.is_some()).then(|| UploadTarget {
        full_url,
        upload_param: upload_param.unwrap_or_default(),
        filekey: filekey.to_owned(),
    })
}

fn outgoing(uploaded: &Uploaded) -> OutgoingMedia<'_> {
    OutgoingMedia { query_param: &uploaded.query_param, aes_key: &uploaded.aes_key, cipher_size: uploaded.cipher_size }
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
