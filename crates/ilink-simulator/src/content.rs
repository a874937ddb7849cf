//! What a person can put into a message: the items in their order, media with every way to go wrong, and a quote.
//! How it looks on the wire is in `compose`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One item. As JSON it is tagged by `type`, in snake case, with fields in camel case.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Content {
    /// A text.
    Text {
        /// It.
        text: String,
    },
    /// An image.
    Image {
        /// Its bytes.
        media: Media,
        /// The size it says; by default that of the undamaged ciphertext.
        #[serde(default)]
        mid_size: Option<u64>,
    },
    /// A voice message.
    Voice {
        /// Its bytes.
        media: Media,
        /// 6 is SILK, the default.
        #[serde(default)]
        encode_type: Option<i64>,
        /// Its length in milliseconds.
        #[serde(default)]
        playtime: Option<u64>,
        /// Its transcript.
        #[serde(default)]
        text: Option<String>,
    },
    /// A file.
    File {
        /// Its bytes.
        media: Media,
        /// Its name, however strange.
        file_name: String,
        /// The MD5 it says; by default the true one, in hex.
        #[serde(default)]
        md5: Option<String>,
        /// The size it says, as the text that the wire has; by default the true one.
        #[serde(default)]
        len: Option<String>,
    },
    /// A video.
    Video {
        /// Its bytes.
        media: Media,
        /// Its length in seconds.
        #[serde(default)]
        play_length: Option<u64>,
        /// The size it says; by default that of the undamaged ciphertext.
        #[serde(default)]
        video_size: Option<u64>,
    },
    /// An item of a type that a client does not know.
    Unknown {
        /// The type.
        number: i64,
    },
    /// An item as it is on the wire.
    Raw {
        /// It.
        item: Value,
    },
}

impl Content {
    /// Its media, if it is of a kind that has some.
    pub(super) fn media(&self) -> Option<&Media> {
        match self {
            Content::Image { media, .. }
            | Content::Voice { media, .. }
            | Content::File { media, .. }
            | Content::Video { media, .. } => Some(media),
            Content::Text { .. } | Content::Unknown { .. } | Content::Raw { .. } => None,
        }
    }
}

/// The bytes of an image, a voice message, a file or a video, and how a client is told to get them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Media {
    /// Where the plaintext is.
    #[serde(flatten)]
    pub source: Source,
    /// How the item tells the key; by default as the type has it: `hex` for images, `hex_base64` for others.
    #[serde(default)]
    pub key: Option<KeyEncoding>,
    /// How the item tells the address.
    #[serde(default)]
    pub address: Address,
    /// What is wrong with it.
    #[serde(default)]
    pub damage: Option<Damage>,
}

impl Media {
    /// Sound media of these bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Source::Bytes(bytes.into()))
    }

    /// Sound media of the bytes of a file, which may be large.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::Path(path.into()))
    }

    fn new(source: Source) -> Self {
        Self { source, key: None, address: Address::default(), damage: None }
    }

    /// The same, with its key told in another way.
    #[must_use]
    pub fn key(mut self, key: KeyEncoding) -> Self {
        self.key = Some(key);
        self
    }

    /// The same, with its address told in another way.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// The same, damaged.
    #[must_use]
    pub fn damaged(mut self, damage: Damage) -> Self {
        self.damage = Some(damage);
        self
    }
}

/// Where a plaintext is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Here; in JSON as base64.
    #[serde(deserialize_with = "base64")]
    Bytes(Vec<u8>),
    /// In a file of the simulator's machine, which is read once, piece by piece.
    Path(PathBuf),
}

/// How an item tells the key of its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// `image_item.aeskey`, in hex. Images only.
    Hex,
    /// `media.aes_key`, base64 of the 16 bytes.
    Raw,
    /// `media.aes_key`, base64 of the 32 hex digits.
    HexBase64,
    /// `image_item.aeskey` is right and `media.aes_key` is another key: the first one counts. Images only.
    HexFirst,
    /// No key: the CDN has the plaintext. Images only.
    None,
}

/// How an item tells the address of its media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// `encrypt_query_param` only.
    #[default]
    Param,
    /// `encrypt_query_param` and `full_url`.
    Both,
    /// `full_url` only.
    FullUrl,
}

/// What is wrong with media.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Damage {
    /// The item tells another key than the one it was encrypted with.
    WrongKey,
    /// The last bytes of the ciphertext are missing, and its `content-length` does not count them.
    Truncated {
        /// How many.
        bytes: u64,
    },
    /// The ciphertext goes on after its end, longer than the item declares it.
    Longer {
        /// How many bytes more.
        bytes: u64,
    },
    /// The CDN answers 404.
    Missing,
    /// The body comes slowly.
    Slow {
        /// How slowly; 0 counts as 1.
        bytes_per_second: u64,
    },
    /// The CDN answers 302.
    Redirect {
        /// The address.
        to: String,
    },
}

/// What a message quotes: the `ref_msg` of its first item. As JSON its fields are those of the wire.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quote {
    /// The quoted item itself, as older phones send it.
    pub message_item: Option<Value>,
    /// Who is quoted, as older phones send it.
    pub title: Option<String>,
    /// The id of the quoted message, as a number or as a string of digits.
    #[serde(deserialize_with = "message_id")]
    pub svr_id: Option<u64>,
    /// The part of the quoted text that is meant: `{start, end, startindex, endindex, quotemd5}`.
    pub partial_text: Option<Value>,
}

impl Quote {
    /// The quoted item itself.
    pub fn inline(item: Value) -> Self {
        Self { message_item: Some(item), ..Self::default() }
    }

    /// The id of the quoted message.
    pub fn of(svr_id: u64) -> Self {
        Self { svr_id: Some(svr_id), ..Self::default() }
    }

    /// The same, and the part of its text that is meant.
    #[must_use]
    pub fn part(mut self, partial_text: Value) -> Self {
        self.partial_text = Some(partial_text);
        self
    }
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// A message id as a number or as a string of digits.
pub(super) fn message_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Digits(String),
    }
    match Option::<Id>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Id::Number(id)) => Ok(Some(id)),
        Some(Id::Digits(digits)) => digits.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
