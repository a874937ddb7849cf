//! Media that a bot sent: what the item said, and what its receiver gets to see.

use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::cdn::cipher::{self, Key, Measured, key_of_hex};
use super::cdn::{Object, SpoolFile, Upload};
use super::control::Control;
use super::error::ControlError;
use super::ledger::Sent;

/// What an item says about its media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentMedia {
    /// What it is.
    pub kind: MediaKind,
    /// `file_item.file_name`.
    pub file_name: Option<String>,
    /// `file_item.len`: bytes of the plaintext.
    pub len: Option<u64>,
    /// `image_item.mid_size`: bytes of the ciphertext.
    pub mid_size: Option<u64>,
    /// `video_item.video_size`: bytes of the ciphertext.
    pub video_size: Option<u64>,
    /// `voice_item.playtime`, in milliseconds.
    pub playtime: Option<u64>,
    /// `voice_item.encode_type`.
    pub encode_type: Option<i64>,
    /// `media.encrypt_query_param`.
    pub encrypt_query_param: String,
    /// `media.aes_key`.
    pub aes_key: Option<String>,
    /// `image_item.aeskey`.
    pub image_aeskey: Option<String>,
    /// `media.encrypt_type`.
    pub encrypt_type: Option<i64>,
    /// `thumb_media` and what is said of it.
    pub thumb: Option<SentThumb>,
}

/// What an item says about its thumbnail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentThumb {
    /// `thumb_media.encrypt_query_param`.
    pub encrypt_query_param: String,
    /// `thumb_media.aes_key`.
    pub aes_key: String,
    /// `thumb_size`: bytes of the ciphertext.
    pub size: Option<u64>,
    /// `thumb_width`, in pixels.
    pub width: Option<u64>,
    /// `thumb_height`, in pixels.
    pub height: Option<u64>,
}

/// The kinds of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Type 2.
    Image,
    /// Type 3.
    Voice,
    /// Type 4.
    File,
    /// Type 5.
    Video,
}

impl MediaKind {
    /// The kind of an item type; `None` for what is no media.
    pub(super) fn of(item_type: u64) -> Option<Self> {
        Some(match item_type {
            2 => Self::Image,
            3 => Self::Voice,
            4 => Self::File,
            5 => Self::Video,
            _ => return None,
        })
    }

    fn field(self) -> &'static str {
        match self {
            Self::Image => "image_item",
            Self::Voice => "voice_item",
            Self::File => "file_item",
            Self::Video => "video_item",
        }
    }
}

impl SentMedia {
    /// Reads an item. `Ok(None)`: it is no media; `Err`: it is, and nobody could show it.
    pub(super) fn of_item(item: &Value) -> Result<Option<Self>, &'static str> {
        let Some(kind) = item["type"].as_u64().and_then(MediaKind::of) else {
            return Ok(None);
        };
        let body = &item[kind.field()];
        let media = &body["media"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let encrypt_query_param = text(&media["encrypt_query_param"]).filter(|parameter| !parameter.is_empty());
        let len = match &body["len"] {
            Value::Null => None,
            len => {
                let digits = len.as_str().ok_or("len is not a string")?;
                Some(digits.parse().map_err(|_| "len is not a decimal number")?)
            }
        };
        let file_name = text(&body["file_name"]);
        if kind == MediaKind::File && file_name.as_deref().is_none_or(str::is_empty) {
            return Err("a file without file_name");
        }
        Ok(Some(Self {
            kind,
            file_name,
            len,
            mid_size: body["mid_size"].as_u64(),
            video_size: body["video_size"].as_u64(),
            playtime: body["playtime"].as_u64(),
            encode_type: body["encode_type"].as_i64(),
            encrypt_query_param: encrypt_query_param.ok_or("media without encrypt_query_param")?,
            aes_key: text(&media["aes_key"]),
            image_aeskey: text(&body["aeskey"]),
            encrypt_type: media["encrypt_type"].as_i64(),
            thumb: match &body["thumb_media"] {
                Value::Null => None,
                thumb => Some(SentThumb {
                    encrypt_query_param: text(&thumb["encrypt_query_param"]).ok_or("a thumbnail without a place")?,
                    aes_key: text(&thumb["aes_key"]).ok_or("a thumbnail without a key")?,
                    size: body["thumb_size"].as_u64(),
                    width: body["thumb_width"].as_u64(),
                    height: body["thumb_height"].as_u64(),
                }),
            },
        }))
    }

    /// The key as a receiver finds it; `Ok(None)` when there is none, which only an image may have.
    fn key(&self) -> Result<Option<Key>, ControlError> {
        let wrong = |what: &str| ControlError::Content(format!("{what} is no key"));
        if let Some(hex) = self.image_aeskey.as_ref().filter(|hex| !hex.is_empty()) {
            return key_of_hex(hex.as_bytes()).map(Some).ok_or_else(|| wrong("aeskey"));
        }
        match self.aes_key.as_ref().filter(|key| !key.is_empty()) {
            Some(encoded) => key_of_base64(encoded).map(Some),
            None if self.kind == MediaKind::Image => Ok(None),
            None => Err(ControlError::Content("there is no key".into())),
        }
    }
}

/// A key as `aes_key` says it: 16 bytes, or their hex digits.
fn key_of_base64(encoded: &str) -> Result<Key, ControlError> {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let key = Key::try_from(bytes.as_slice()).ok().or_else(|| key_of_hex(&bytes));
    key.ok_or_else(|| ControlError::Content("aes_key is no key".into()))
}

/// What a receiver gets to see of sent media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentContent {
    /// Bytes of the plaintext.
    pub size: u64,
    /// MD5 of the plaintext, in hex.
    pub md5: String,
    /// Bytes of the ciphertext.
    pub ciphertext_size: u64,
    /// What was announced before the upload; `None` for what no client uploaded.
    pub announced: Option<Upload>,
}

/// Sent media in reach: what is needed to decrypt them.
struct Found {
    object: Arc<Object>,
    key: Option<Key>,
}

impl Found {
    fn write(&self, to: &mut impl Write) -> Result<SentContent, ControlError> {
        let mut from = self.object.file.open()?;
        let mut to = Measured::new(to);
        match &self.key {
            Some(key) => cipher::decrypt(key, &mut from, &mut to),
            None => io::copy(&mut from, &mut to).map(drop),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ControlError::Content(error.to_string()),
            _ => error.into(),
        })?;
        to.flush()?;
        let (size, md5) = to.finish();
        let announced = self.object.upload.as_deref().cloned();
        Ok(SentContent { size, md5, ciphertext_size: self.object.size, announced })
    }
}

/// These read and write files, so they block.
impl Control {
    /// The sent message of that number, or of that message id.
    pub fn sent_message(&self, which: &str) -> Result<Arc<Sent>, ControlError> {
        self.world.ledger.find(which).ok_or_else(|| ControlError::NoSuchSent(which.to_owned()))
    }

    /// Size and MD5 of the media of a sent message, decrypted as its receiver does it.
    pub fn sent_content(&self, sent: &Sent) -> Result<SentContent, ControlError> {
        self.found(sent)?.write(&mut io::sink())
    }

    /// The decrypted bytes themselves.
    pub fn sent_bytes(&self, sent: &Sent) -> Result<Vec<u8>, ControlError> {
        let mut bytes = Vec::new();
        self.found(sent)?.write(&mut bytes)?;
        Ok(bytes)
    }

    /// The decrypted bytes of its thumbnail, and what was announced of it.
    pub fn sent_thumb(&self, sent: &Sent) -> Result<(Vec<u8>, SentContent), ControlError> {
        let thumb = sent.media.as_ref().and_then(|media| media.thumb.as_ref());
        let thumb = thumb.ok_or(ControlError::NoMedia(sent.n))?;
        let found =
            Found { object: self.object(&thumb.encrypt_query_param)?, key: Some(key_of_base64(&thumb.aes_key)?) };
        let mut bytes = Vec::new();
        let content = found.write(&mut bytes)?;
        Ok((bytes, content))
    }

    /// Writes the decrypted bytes somewhere: the way for large ones.
    pub fn write_sent(&self, sent: &Sent, to: &mut impl Write) -> Result<SentContent, ControlError> {
        self.found(sent)?.write(to)
    }

    /// The decrypted bytes in a temporary file.
    pub(super) fn spool_sent(&self, sent: &Sent) -> Result<(SpoolFile, SentContent), ControlError> {
        let found = self.found(sent)?;
        let (spooled, mut file) = self.world.cdn.file()?;
        let content = found.write(&mut file)?;
        Ok((spooled, content))
    }

    fn found(&self, sent: &Sent) -> Result<Found, ControlError> {
        let media = sent.media.as_ref().ok_or(ControlError::NoMedia(sent.n))?;
        Ok(Found { object: self.object(&media.encrypt_query_param)?, key: media.key()? })
    }

    fn object(&self, parameter: &str) -> Result<Arc<Object>, ControlError> {
        self.world.cdn.object(parameter).ok_or_else(|| ControlError::Content("the CDN has no such file".into()))
    }
}
