//! What goes to a person over the wire: messages of one item, uploads.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serde_with::skip_serializing_none;

use super::lenient;
use super::secret::ContextToken;
use super::types::item_type;

/// A message to send: one item.
#[derive(Debug)]
pub struct OutgoingMessage<'a> {
    /// The peer.
    pub to: &'a str,
    /// The same on every try: the server shows a repeated one only once.
    pub client_id: &'a str,
    /// What it is.
    pub item: OutgoingItem<'a>,
    /// From the peer's newest message.
    pub context_token: Option<&'a ContextToken>,
    /// The agent run it belongs to.
    pub run_id: Option<&'a str>,
}

/// The one item of a message to send.
#[derive(Clone, Copy, Debug)]
pub enum OutgoingItem<'a> {
    /// Text.
    Text(&'a str),
    /// A picture.
    Image {
        /// Where it is.
        media: OutgoingMedia<'a>,
        /// What is shown until somebody opens it.
        thumb: Option<OutgoingThumb<'a>>,
    },
    /// A video.
    Video(OutgoingMedia<'a>),
    /// A file.
    File {
        /// Where it is.
        media: OutgoingMedia<'a>,
        /// What people see.
        name: &'a str,
        /// The size of the file itself, in bytes.
        len: u64,
    },
    /// A voice message: SILK, 24 kHz, mono.
    Voice {
        /// Where it is.
        media: OutgoingMedia<'a>,
        /// Milliseconds.
        playtime: u64,
    },
    /// An item that another client made, as it goes over the wire.
    Other(&'a Value),
    /// A tool begins.
    ToolStart {
        /// Its name.
        name: &'a str,
        /// Names the call.
        call: &'a str,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// A tool has ended.
    ToolResult {
        /// Its name.
        name: &'a str,
        /// Names the call.
        call: &'a str,
        /// `completed`, `failed`, `blocked` or `unknown`.
        status: &'a str,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
}

/// A file at the media host.
#[derive(Clone, Copy)]
pub struct OutgoingMedia<'a> {
    /// What it is fetched with.
    pub query_param: &'a str,
    /// Base64 of the key's hex digits.
    pub aes_key: &'a str,
    /// The size of the ciphertext, in bytes.
    pub cipher_size: u64,
}

/// A thumbnail at the media host.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingThumb<'a> {
    /// Where it is.
    pub media: OutgoingMedia<'a>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl std::fmt::Debug for OutgoingMedia<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutgoingMedia({} bytes)", self.cipher_size)
    }
}

impl OutgoingItem<'_> {
    /// As it goes over the wire.
    pub(super) fn to_json(self) -> Value {
        let media = |media: OutgoingMedia<'_>| json!({ "encrypt_query_param": media.query_param, "aes_key": media.aes_key, "encrypt_type": 1 });
        match self {
            OutgoingItem::Other(item) => item.clone(),
            OutgoingItem::Text(text) => json!({ "type": item_type::TEXT, "text_item": { "text": text } }),
            OutgoingItem::Image { media: image, thumb } => {
                let mut body = json!({ "media": media(image), "mid_size": image.cipher_size });
                if let Some(OutgoingThumb { media: thumb, width, height }) = thumb {
                    body["thumb_media"] = media(thumb);
                    body["thumb_size"] = thumb.cipher_size.into();
                    body["thumb_width"] = width.into();
                    body["thumb_height"] = height.into();
                }
                json!({ "type": item_type::IMAGE, "image_item": body })
            }
            OutgoingItem::Video(video) => json!({
                "type": item_type::VIDEO,
                "video_item": { "media": media(video), "video_size": video.cipher_size },
            }),
            OutgoingItem::File { media: file, name, len } => json!({
                "type": item_type::FILE,
                "file_item": { "media": media(file), "file_name": name, "len": len.to_string() },
            }),
            OutgoingItem::Voice { media: voice, playtime } => json!({
                "type": item_type::VOICE,
                // 6: SILK.
                "voice_item": { "media": media(voice), "encode_type": 6, "sample_rate": 24_000, "bits_per_sample": 16,
                                "playtime": playtime },
            }),
            OutgoingItem::ToolStart { name, call, at_ms } => json!({
                "type": item_type::TOOL_CALL_START,
                "create_time_ms": at_ms,
                "is_completed": false,
                "tool_call_start_item": { "tool_name": name, "tool_call_id": call },
            }),
            OutgoingItem::ToolResult { name, call, status, at_ms } => json!({
                "type": item_type::TOOL_CALL_RESULT,
                "create_time_ms": at_ms,
                "is_completed": true,
                "tool_call_result_item": { "tool_name": name, "tool_call_id": call, "status": status },
            }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct SendBody<'a> {
    pub msg: SendMsg<'a>,
}

#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct SendMsg<'a> {
    /// Must be empty: a message with another value is not delivered.
    pub from_user_id: &'a str,
    pub to_user_id: &'a str,
    pub client_id: &'a str,
    pub message_type: i64,
    pub message_state: i64,
    pub item_list: [Value; 1],
    pub context_token: Option<&'a ContextToken>,
    pub run_id: Option<&'a str>,
}

/// A file that is to be uploaded.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct UploadRequest<'a> {
    /// 32 random hex digits.
    pub filekey: &'a str,
    /// 1 image, 2 video, 3 file, 4 voice.
    pub media_type: i64,
    /// For whom.
    pub to_user_id: &'a str,
    /// Bytes.
    pub rawsize: u64,
    /// MD5 of the file, in hex.
    pub rawfilemd5: &'a str,
    /// Bytes of the ciphertext.
    pub filesize: u64,
    /// Whether no thumbnail comes with it.
    pub no_need_thumb: bool,
    /// The thumbnail that does.
    #[serde(flatten)]
    pub thumb: Option<ThumbRequest<'a>>,
    /// The key, in hex; the thumbnail's as well.
    pub aeskey: UploadKey<'a>,
}

/// A thumbnail that is to be uploaded.
#[derive(Debug, Serialize)]
pub struct ThumbRequest<'a> {
    /// Bytes.
    pub thumb_rawsize: u64,
    /// MD5 of the file, in hex.
    pub thumb_rawfilemd5: &'a str,
    /// Bytes of the ciphertext.
    pub thumb_filesize: u64,
}

/// A key that shows nothing.
#[derive(Serialize)]
#[serde(transparent)]
pub struct UploadKey<'a>(pub &'a str);

impl std::fmt::Debug for UploadKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UploadKey(…)")
    }
}

/// Answer of `getuploadurl`.
#[derive(Debug, Default, Deserialize)]
pub struct UploadAnswer {
    /// What the media host is asked with.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub upload_param: Option<String>,
    /// A whole address; comes first.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub upload_full_url: Option<String>,
    /// The same for the thumbnail.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub thumb_upload_param: Option<String>,
    /// The same for the thumbnail.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub thumb_upload_full_url: Option<String>,
}

/// Answer of `sendmessage`.
#[derive(Debug, Default, Deserialize)]
pub struct SendAnswer {
    /// The message's, where the server gave it one.
    #[serde(default, deserialize_with = "message_id")]
    pub message_id: Option<MessageId>,
}

/// An id that the server gave a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId {
    /// As it was written.
    pub text: String,
    /// As the number that a quote names. That it is none says nothing of whether the message was confirmed.
    pub number: Option<u64>,
}

impl MessageId {
    /// An id; a blank one, and 0, are none.
    pub fn new(text: &str) -> Option<MessageId> {
        let text = text.trim();
        (!text.is_empty() && text != "0").then(|| MessageId { text: text.to_owned(), number: text.parse().ok() })
    }
}

fn message_id<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<MessageId>, D::Error> {
    Ok(lenient::text_opt(d)?.as_deref().and_then(MessageId::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of the official plugin's items (`@tencent-weixin/openclaw-weixin` 2.4.9: `src/messaging/send.ts` and
    /// `reply-progress-sender.ts`) and no others: the server was seen to drop messages with more. What both plugins really send
    /// is compared in `tests/host/official.test.mjs`; tool items are sent only where somebody asks for them.
    #[test]
    fn items_have_the_official_plugins_fields_and_no_others() {
        let fields = |item: OutgoingItem<'_>| {
            let json = item.to_json();
            let mut names = Vec::new();
            let mut open = vec![(String::new(), &json)];
            while let Some((path, value)) = open.pop() {
                match value.as_object() {
                    Some(object) => open.extend(object.iter().map(|(name, inner)| (format!("{path}.{name}"), inner))),
                    None => names.push(path),
                }
            }
            names.sort();
            names
        };
        let media = OutgoingMedia { query_param: "p", aes_key: "k", cipher_size: 16 };
        let of_media =
            |item: &str| ["aes_key", "encrypt_query_param", "encrypt_type"].map(|name| format!(".{item}.media.{name}"));
        let with = |mut more: Vec<String>, rest: &[&str]| {
            more.extend(rest.iter().map(|name| (*name).to_owned()));
            more.sort();
            more
        };
        assert_eq!(fields(OutgoingItem::Text("x")), [".text_item.text", ".type"]);
        assert_eq!(
            fields(OutgoingItem::Image { media, thumb: None }),
            with(of_media("image_item").into(), &[".image_item.mid_size", ".type"])
        );
        assert_eq!(
            fields(OutgoingItem::Video(media)),
            with(of_media("video_item").into(), &[".type", ".video_item.video_size"])
        );
        assert_eq!(
            fields(OutgoingItem::File { media, name: "n", len: 1 }),
            with(of_media("file_item").into(), &[".file_item.file_name", ".file_item.len", ".type"])
        );
        assert_eq!(
            fields(OutgoingItem::ToolStart { name: "n", call: "c", at_ms: 1 }),
            [
                ".create_time_ms",
                ".is_completed",
                ".tool_call_start_item.tool_call_id",
                ".tool_call_start_item.tool_name",
                ".type"
            ]
        );
        assert_eq!(
            fields(OutgoingItem::ToolResult { name: "n", call: "c", status: "completed", at_ms: 1 }),
            [
                ".create_time_ms",
                ".is_completed",
                ".tool_call_result_item.status",
                ".tool_call_result_item.tool_call_id",
                ".tool_call_result_item.tool_name",
                ".type"
            ]
        );
    }
}
