//! What comes over the wire. Every field may be missing: the server leaves out what it does not need.

use serde::Deserialize;

use super::lenient::{self, Items};
use super::secret::{BotToken, ContextToken};

/// The first answer's cursor, before any poll.
pub const FIRST_CURSOR: &str = "";

/// The fields that say whether an answer is a success. All missing is a success.
#[derive(Debug, Default, Deserialize)]
pub struct Verdict {
    /// 0, or nothing, where the server took the request.
    #[serde(default, deserialize_with = "lenient::code_opt")]
    pub ret: Option<i64>,
    /// Why it did not: -14 is a stale login.
    #[serde(default, deserialize_with = "lenient::code_opt")]
    pub errcode: Option<i64>,
    /// What the server says of it, for people.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub errmsg: Option<String>,
    /// Not iLink's: somebody on the way answered.
    #[serde(default)]
    pub error: Option<serde::de::IgnoredAny>,
}

/// A message that a person or a bot wrote.
#[derive(Debug, Default, Deserialize)]
pub struct WireMessage {
    /// Its number in the bot's mailbox.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub seq: Option<u64>,
    /// A uint64, exact.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub message_id: Option<u64>,
    /// Who wrote it: `…@im.wechat` for a person.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub from_user_id: Option<String>,
    /// Whom it is for: the bot's id.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub to_user_id: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::i64_opt")]
    pub create_time_ms: Option<i64>,
    /// When it was last changed; milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::i64_opt")]
    pub update_time_ms: Option<i64>,
    /// When it was taken back; milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::i64_opt")]
    pub delete_time_ms: Option<i64>,
    /// The conversation, as the server counts them.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub session_id: Option<String>,
    /// 1: a person's, 2: a bot's.
    #[serde(default, deserialize_with = "lenient::i64_opt")]
    pub message_type: Option<i64>,
    /// What it consists of, in order.
    #[serde(default, deserialize_with = "item_list")]
    pub item_list: Items<WireItem>,
    /// Goes back with an answer; a new message has a new one.
    #[serde(default, deserialize_with = "lenient::token_opt")]
    pub context_token: Option<ContextToken>,
}

/// Of the items behind those that are read only the texts are kept.
fn item_list<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Items<WireItem>, D::Error> {
    lenient::items(d, |item| {
        let item: WireItem = serde_json::from_str(item).ok()?;
        item.text().map(str::to_owned)
    })
}

/// `message_type` of what a bot wrote.
pub const MESSAGE_TYPE_BOT: i64 = 2;

/// `type` of an item.
pub mod item_type {
    #![allow(missing_docs)]
    pub const TEXT: i64 = 1;
    pub const IMAGE: i64 = 2;
    pub const VOICE: i64 = 3;
    pub const FILE: i64 = 4;
    pub const VIDEO: i64 = 5;
    pub const TOOL_CALL_START: i64 = 11;
    pub const TOOL_CALL_RESULT: i64 = 12;
}

/// One item of a message.
#[derive(Debug, Default, Deserialize)]
pub struct WireItem {
    /// One of [`item_type`], or another number.
    #[serde(default, rename = "type", deserialize_with = "lenient::i64_opt")]
    pub item_type: Option<i64>,
    /// With a text.
    #[serde(default)]
    pub text_item: Option<TextItem>,
    /// With a picture.
    #[serde(default)]
    pub image_item: Option<ImageItem>,
    /// With a voice message.
    #[serde(default)]
    pub voice_item: Option<VoiceItem>,
    /// With a file.
    #[serde(default)]
    pub file_item: Option<FileItem>,
    /// With a video.
    #[serde(default)]
    pub video_item: Option<VideoItem>,
    /// The message that it quotes.
    #[serde(default)]
    pub ref_msg: Option<RefMessage>,
    /// Buttons under it. Their shape is not known: seen in the field, described nowhere.
    #[serde(default, deserialize_with = "lenient::list")]
    pub button_item_list: Vec<serde_json::Value>,
}

impl WireItem {
    /// What it is: what it says, or, where that is nothing that is known (types 0 and 8 were seen in quotes), what it brings.
    pub fn kind(&self) -> Option<i64> {
        use item_type::{FILE, IMAGE, TEXT, VIDEO, VOICE};
        if matches!(self.item_type, Some(TEXT | IMAGE | VOICE | FILE | VIDEO)) {
            return self.item_type;
        }
        let brings = [
            (self.image_item.is_some(), IMAGE),
            (self.voice_item.is_some(), VOICE),
            (self.file_item.is_some(), FILE),
            (self.video_item.is_some(), VIDEO),
            (self.text_item.is_some(), TEXT),
        ];
        brings.into_iter().find(|(has, _)| *has).map(|(_, kind)| kind).or(self.item_type)
    }

    /// What it says, or what WeChat heard in it.
    pub fn text(&self) -> Option<&str> {
        let text = match (&self.text_item, &self.voice_item) {
            (Some(text), _) => text.text.as_deref(),
            (None, Some(voice)) => voice.text.as_deref(),
            (None, None) => None,
        };
        text.filter(|text| !text.is_empty())
    }

    /// What its buttons say.
    pub fn buttons(&self) -> Vec<&str> {
        let fields = ["text", "title", "name", "label"];
        let texts = self.button_item_list.iter();
        let texts = texts.filter_map(|button| fields.iter().find_map(|field| button.get(field)?.as_str()));
        texts.map(str::trim).filter(|text| !text.is_empty()).collect()
    }
}

/// Where a media file is, and its key.
#[derive(Default, Deserialize)]
pub struct CdnMedia {
    /// What the media host is asked with.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub encrypt_query_param: Option<String>,
    /// Base64 of the key, or of its hex digits.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub aes_key: Option<String>,
    /// A whole address; comes before `encrypt_query_param`.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub full_url: Option<String>,
}

impl std::fmt::Debug for CdnMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CdnMedia(…)")
    }
}

/// A picture.
#[derive(Default, Deserialize)]
pub struct ImageItem {
    /// Where it is.
    #[serde(default)]
    pub media: Option<CdnMedia>,
    /// The key as hex digits; comes before the one in `media`.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub aeskey: Option<String>,
}

impl std::fmt::Debug for ImageItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImageItem(…)")
    }
}

/// A video.
#[derive(Debug, Default, Deserialize)]
pub struct VideoItem {
    /// Where it is.
    #[serde(default)]
    pub media: Option<CdnMedia>,
    /// Seconds.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub play_length: Option<u64>,
}

/// Text.
#[derive(Debug, Default, Deserialize)]
pub struct TextItem {
    /// What it says.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub text: Option<String>,
}

/// A voice message.
#[derive(Debug, Default, Deserialize)]
pub struct VoiceItem {
    /// Where it is.
    #[serde(default)]
    pub media: Option<CdnMedia>,
    /// Milliseconds.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub playtime: Option<u64>,
    /// What WeChat heard.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub text: Option<String>,
    /// 1 pcm, 2 adpcm, 3 feature, 4 speex, 5 amr, 6 silk, 7 mp3, 8 ogg-speex.
    #[serde(default, deserialize_with = "lenient::i64_opt")]
    pub encode_type: Option<i64>,
}

/// A file.
#[derive(Debug, Default, Deserialize)]
pub struct FileItem {
    /// Where it is.
    #[serde(default)]
    pub media: Option<CdnMedia>,
    /// As its sender calls it.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub file_name: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub len: Option<u64>,
}

/// What a message quotes.
#[derive(Debug, Default, Deserialize)]
pub struct RefMessage {
    /// The id of the message.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub svr_id: Option<u64>,
    /// A line that describes it.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub title: Option<String>,
    /// The item that is quoted.
    #[serde(default)]
    pub message_item: Option<Box<WireItem>>,
    /// What the person selected of its text.
    #[serde(default)]
    pub partial_text: Option<PartialText>,
}

/// The part of a quoted text that the person selected: from an occurrence of `start` to one of `end`.
#[derive(Debug, Default, Deserialize)]
pub struct PartialText {
    /// The first characters.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub start: Option<String>,
    /// The last characters.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub end: Option<String>,
    /// Which occurrence of `start`, from 0.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub startindex: Option<u64>,
    /// Which occurrence of `end`, from 0: of the whole text, or of what follows `start`.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub endindex: Option<u64>,
    /// MD5 of the selected text, in hex.
    #[serde(default, deserialize_with = "lenient::text_opt")]
    pub quotemd5: Option<String>,
}

/// Answer of `getconfig`.
#[derive(Debug, Default, Deserialize)]
pub struct ConfigAnswer {
    /// Needed for `sendtyping`; good for up to a day.
    #[serde(default)]
    pub typing_ticket: Option<String>,
}

/// Answer of `get_bot_qrcode`.
#[derive(Debug, Default, Deserialize)]
pub struct QrAnswer {
    /// Names the code in `get_qrcode_status`.
    #[serde(default)]
    pub qrcode: Option<String>,
    /// What the code says: a URL.
    #[serde(default)]
    pub qrcode_img_content: Option<String>,
}

/// Where a QR code stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrStatus {
    /// Nobody scanned it yet.
    Wait,
    /// Scanned; or the verify code was right.
    Scanned,
    /// A verify code is needed, or the one given was wrong.
    NeedVerifyCode,
    /// Too many wrong verify codes.
    VerifyCodeBlocked,
    /// It ran out.
    Expired,
    /// It goes on at this host.
    Redirect(Option<String>),
    /// This bot is bound here already.
    AlreadyBound,
    /// Logged in.
    Confirmed(Box<Confirmed>),
    /// Something this version does not know.
    Other(String),
}

/// What a login gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What authorises the bot.
    pub bot_token: Option<BotToken>,
    /// The bot's id, such as `44b9b8ec@im.bot`.
    pub bot_id: Option<String>,
    /// Who scanned the code.
    pub user_id: Option<String>,
    /// The API host of this bot.
    pub base_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct QrStatusAnswer {
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub bot_token: Option<String>,
    #[serde(default)]
    pub ilink_bot_id: Option<String>,
    #[serde(default)]
    pub ilink_user_id: Option<String>,
    #[serde(default)]
    pub baseurl: Option<String>,
    #[serde(default)]
    pub redirect_host: Option<String>,
}

impl From<QrStatusAnswer> for QrStatus {
    fn from(answer: QrStatusAnswer) -> QrStatus {
        let filled = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        match answer.status.as_deref() {
            None | Some("wait") => QrStatus::Wait,
            // The server's own spelling.
            Some("scaned") => QrStatus::Scanned,
            Some("need_verifycode") => QrStatus::NeedVerifyCode,
            Some("verify_code_blocked") => QrStatus::VerifyCodeBlocked,
            Some("expired") => QrStatus::Expired,
            Some("scaned_but_redirect") => QrStatus::Redirect(filled(answer.redirect_host)),
            Some("binded_redirect") => QrStatus::AlreadyBound,
            Some("confirmed") => QrStatus::Confirmed(Box::new(Confirmed {
                bot_token: answer.bot_token.as_deref().and_then(BotToken::new),
                bot_id: filled(answer.ilink_bot_id),
                user_id: filled(answer.ilink_user_id),
                base_url: filled(answer.baseurl),
            })),
            Some(other) => QrStatus::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_above_two_to_the_53_are_exact_as_number_and_as_text() {
        let id = 18_446_744_073_709_551_615u64;
        for text in [format!(r#"{{"message_id":{id}}}"#), format!(r#"{{"message_id":"{id}"}}"#)] {
            let message: WireMessage = serde_json::from_str(&text).unwrap();
            assert_eq!(message.message_id, Some(id));
        }
        let message: WireMessage = serde_json::from_str(r#"{"message_id":9007199254740993}"#).unwrap();
        assert_eq!(message.message_id, Some(9_007_199_254_740_993));
    }

    #[test]
    fn odd_fields_do_not_spoil_a_message() {
        let message: WireMessage =
            serde_json::from_str(r#"{"from_user_id":"u","seq":null,"item_list":null,"create_time_ms":"12"}"#).unwrap();
        assert_eq!(message.from_user_id.as_deref(), Some("u"));
        assert_eq!(message.create_time_ms, Some(12));
        assert!(message.item_list.first.is_empty());
    }
}
