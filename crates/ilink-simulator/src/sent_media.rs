//! Media that a bot sent: what the item said.

use serde::Serialize;
use serde_json::Value;

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
}
