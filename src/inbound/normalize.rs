//! A wire message as the contract says it, and what must be fetched before it is whole.

use super::delivery_id::DeliveryId;
use super::ingest::{MOST_ID_BYTES, read_wire};
use crate::contract::{
    Conversation, ConversationKind, InboundMessage, MAX_PARTS, MAX_TEXT_CHARS, Part, PartType, Quote,
};
use crate::media::voice_mime;
use crate::store::now_ms;
use ilink::cdn::{MediaKey, MediaSource};
use ilink::{CdnMedia, Items, MOST_ITEMS, PartialText, RefMessage, WireItem, item_type};

// `cut` makes the last part a file: the items that are held must fit.
const _: () = assert!(MOST_ITEMS <= MAX_PARTS);

/// What the file is named that has all of a message that was cut.
pub const WHOLE: &str = "message.txt";
/// The most characters of a quoted text.
const QUOTED_CHARS: usize = 64 * 1024;
/// What voice messages are named: WeChat gives them no name.
pub const VOICE: &str = "voice";

/// A message as far as the wire alone tells it.
#[derive(Debug)]
pub struct Draft {
    /// The message; its media parts have no file yet.
    pub message: InboundMessage,
    /// The media to fetch.
    pub media: Vec<MediaItem>,
    /// The quote to look up.
    pub quote: Option<QuoteItem>,
    /// All that it says, where it was cut: the file that its last part is.
    pub whole: Option<String>,
}

impl Draft {
    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.media.is_empty() && self.quote.is_none() && self.whole.is_none()
    }

    /// Leaves files for later: the gateway asks for them when it wants them.
    pub fn defer(&mut self) {
        self.message.defer_media = !self.media.is_empty() || self.whole.is_some();
        self.media.clear();
        self.whole = None;
    }

    /// What is left of a message that broke the reader of messages.
    pub fn unreadable(id: &DeliveryId, peer: &str, attempt: u32) -> Draft {
        let mut draft = normalize(id, peer, attempt, "{}");
        for part in &mut draft.message.parts {
            part.error =
                Some("the message could not be read, by a defect of the sidecar; its log says more".to_owned());
        }
        draft
    }
}

/// A media item of a message.
#[derive(Debug)]
pub struct MediaItem {
    /// Which part; `None`: the quote's.
    pub part: Option<usize>,
    /// Where it is. An error says that the wire does not tell.
    pub source: Result<MediaSource, String>,
    /// The sender's name for it, or one that says what it is.
    pub name: String,
    /// Whether it is a voice message.
    pub is_voice: bool,
    /// What the message says that it is, for bytes that do not tell.
    pub declared: Option<&'static str>,
}

impl MediaItem {
    fn new(part: Option<usize>, (source, name): (Result<MediaSource, String>, String), of: PartType) -> MediaItem {
        MediaItem { part, source, name, is_voice: of == PartType::Voice, declared: None }
    }

    /// The same, of an item that says how it is encoded.
    fn encoded(mut self, item: Option<&WireItem>) -> MediaItem {
        let voice = item.and_then(|item| item.voice_item.as_ref()).filter(|_| self.is_voice);
        self.declared = voice.and_then(|voice| voice_mime(voice.encode_type?));
        self
    }
}

/// A quote whose content the wire does not bring, or not the selected part of it.
#[derive(Debug)]
pub struct QuoteItem {
    /// The quoted message's server id, where its content has to be looked up.
    pub id: Option<u64>,
    /// Which part of its text was selected.
    pub partial: Option<PartialText>,
}

/// Reads a message. `wire` is what the server sent, `peer` who sent it, `attempt` counts from 1.
pub fn normalize(id: &DeliveryId, peer: &str, attempt: u32, wire: &str) -> Draft {
    let message = read_wire(wire);
    let mut media = Vec::new();
    let Items { first, rest, more } = message.item_list;
    let mut parts = Vec::with_capacity(first.len());
    for (n, item) in first.iter().enumerate() {
        let (part, file) = part(item);
        media.extend(file.map(|file| MediaItem::new(Some(n), file, part.part_type).encoded(Some(item))));
        parts.push(part);
    }
    if parts.is_empty() {
        let error = Some("the message has no content that this version can read".to_owned());
        parts.push(Part { error, ..Part::of(PartType::Unknown) });
    }
    let whole = cut(&mut parts, &rest, more);
    // The places behind the last part are the file's and nobody's.
    media.retain(|item: &MediaItem| item.part.is_none_or(|n| n < parts.len() - usize::from(whole.is_some())));
    let reference = first.into_iter().find_map(|item| item.ref_msg);
    let (quote, lookup) = match reference {
        Some(reference) => {
            let (quote, lookup, file) = quote(reference);
            let of = quote.media.as_ref().map_or(PartType::Unknown, |part| part.part_type);
            media.extend(file.map(|file| MediaItem::new(None, file, of)));
            (Some(quote), lookup)
        }
        None => (None, None),
    };
    let message = InboundMessage {
        delivery_id: id.to_string(),
        attempt,
        account_id: id.account.to_string(),
        message_id: id.key.to_string(),
        seq: message.seq,
        from: peer.to_owned(),
        to: message.to_user_id.filter(|id| id.len() <= MOST_ID_BYTES).unwrap_or_else(|| id.account.to_string()),
        conversation: Conversation { kind: ConversationKind::Direct, id: peer.to_owned() },
        session_id: message.session_id.filter(|s| !s.is_empty() && s.len() <= MOST_ID_BYTES),
        timestamp_ms: message.create_time_ms.unwrap_or_else(now_ms),
        updated_at_ms: message.update_time_ms.filter(|at| *at > 0),
        deleted_at_ms: message.delete_time_ms.filter(|at| *at > 0),
        text: readable(&parts),
        parts,
        truncated: whole.is_some(),
        defer_media: false,
        quote,
    };
    Draft { message, media, quote: lookup, whole }
}

/// Cuts what is too long to be told. Returns all that the message says where it does, for the file that the last part is
/// then. `rest` is what the items say that were not read, `more` how many there were.
fn cut(parts: &mut Vec<Part>, rest: &str, more: usize) -> Option<String> {
    let chars = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
    let says: usize = parts.iter().map(|part| chars(&part.text) + chars(&part.transcript)).sum();
    if says <= MAX_TEXT_CHARS && more == 0 {
        return None;
    }
    let mut whole = readable(parts);
    if more > 0 {
        whole.push_str(&format!("\n{rest}[{more} items more than can be told; what they say is above]"));
    }
    let mut left = MAX_TEXT_CHARS;
    for part in parts.iter_mut() {
        for text in [&mut part.text, &mut part.transcript].into_iter().flatten() {
            part.truncated |= shorten(text, left);
            left -= text.chars().count();
        }
    }
    parts.truncate(MAX_PARTS - 1);
    parts.push(Part { file_name: Some(WHOLE.to_owned()), ..Part::of(PartType::File) });
    Some(whole)
}

/// Cuts a text to so many characters. Returns whether it was longer.
pub fn shorten(text: &mut String, chars: usize) -> bool {
    match text.char_indices().nth(chars) {
        Some((at, _)) => {
            text.truncate(at);
            true
        }
        None => false,
    }
}

/// What a person would read of a message: texts and transcripts, each on its own line.
pub fn readable(parts: &[Part]) -> String {
    let spoken = parts.iter().filter_map(|part| part.text.as_deref().or(part.transcript.as_deref()));
    spoken.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

type Missing = Option<(Result<MediaSource, String>, String)>;

/// An item as a part, and the file that belongs to it.
fn part(item: &WireItem) -> (Part, Missing) {
    match item.kind() {
        Some(item_type::TEXT) => {
            let text = item.text_item.as_ref().and_then(|text| text.text.clone()).unwrap_or_default();
            let text = with_buttons(text, item);
            (Part { text: Some(text), ..Part::of(PartType::Text) }, None)
        }
        Some(item_type::IMAGE) => {
            let image = item.image_item.as_ref();
            let hex = image.and_then(|image| image.aeskey.as_deref()).filter(|key| !key.is_empty());
            let source = source(image.and_then(|image| image.media.as_ref()), hex, true);
            (Part::of(PartType::Image), Some((source, "image".to_owned())))
        }
        Some(item_type::VIDEO) => {
            let video = item.video_item.as_ref();
            let source = source(video.and_then(|video| video.media.as_ref()), None, false);
            let duration_ms = video.and_then(|video| video.play_length).map(|seconds| seconds.saturating_mul(1000));
            (Part { duration_ms, ..Part::of(PartType::Video) }, Some((source, "video".to_owned())))
        }
        Some(item_type::VOICE) => {
            let voice = item.voice_item.as_ref();
            let part = Part {
                duration_ms: voice.and_then(|voice| voice.playtime),
                transcript: voice.and_then(|voice| voice.text.clone()).filter(|text| !text.is_empty()),
                ..Part::of(PartType::Voice)
            };
            (part, Some((source(voice.and_then(|voice| voice.media.as_ref()), None, false), VOICE.to_owned())))
        }
        Some(item_type::FILE) => {
            let file = item.file_item.as_ref();
            let name = file.and_then(|file| file.file_name.as_deref()).map(crate::media::safe_name);
            let part = Part {
                file_name: name.clone(),
                size_bytes: file.and_then(|file| file.len),
                ..Part::of(PartType::File)
            };
            let source = source(file.and_then(|file| file.media.as_ref()), None, false);
            (part, Some((source, name.unwrap_or_else(|| "file".to_owned()))))
        }
        _ if !item.buttons().is_empty() => {
            (Part { text: Some(with_buttons(String::new(), item)), ..Part::of(PartType::Text) }, None)
        }
        other => {
            let number = other.map_or_else(|| "none".to_owned(), |n| n.to_string());
            (Part { error: Some(format!("unknown item type {number}")), ..Part::of(PartType::Unknown) }, None)
        }
    }
}

/// A text with what the buttons under it say, each in brackets.
fn with_buttons(mut text: String, item: &WireItem) -> String {
    for button in item.buttons() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{button}]"));
    }
    text
}

/// Where a file is. Only an image may come without a key: it is not encrypted then.
fn source(media: Option<&CdnMedia>, hex: Option<&str>, image: bool) -> Result<MediaSource, String> {
    let media = media.ok_or_else(|| ilink::cdn::CdnError::NoSource.to_string())?;
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let key = match (hex, filled(&media.aes_key)) {
        (Some(hex), _) => Some(MediaKey::from_hex(hex)),
        (None, Some(key)) => Some(MediaKey::from_base64(&key)),
        (None, None) => None,
    };
    let key = key.transpose().map_err(|error| error.to_string())?;
    if key.is_none() && !image {
        return Err("the message brings no key for the media".to_owned());
    }
    Ok(MediaSource { full_url: filled(&media.full_url), query_param: filled(&media.encrypt_query_param), key })
}

/// Cuts what a quote says to what can be told.
pub fn cut_quote(quote: &mut Quote) {
    let media = quote.media.as_mut();
    let (said, heard) = media.map_or((None, None), |part| (part.text.as_mut(), part.transcript.as_mut()));
    for text in [quote.text.as_mut(), quote.selected_text.as_mut(), said, heard].into_iter().flatten() {
        quote.truncated |= shorten(text, QUOTED_CHARS);
    }
}

/// A quote as far as the wire tells it, what is to be looked up, and the file that belongs to it.
fn quote(quoted: RefMessage) -> (Quote, Option<QuoteItem>, Missing) {
    let inline = quoted.message_item.as_deref().map(part);
    let (inline, file) = inline.map_or((None, None), |(part, file)| (Some(part), file));
    let text = inline.as_ref().and_then(|part| part.text.clone().or_else(|| part.transcript.clone()));
    let media = inline.filter(|part| !matches!(part.part_type, PartType::Text | PartType::Unknown));
    let brought = text.as_ref().is_some_and(|text| !text.is_empty()) || media.is_some();
    let partial = quoted.partial_text.filter(|partial| partial.start.is_some());
    let lookup = QuoteItem { id: quoted.svr_id.filter(|_| !brought), partial };
    let lookup = (lookup.id.is_some() || lookup.partial.is_some()).then_some(lookup);
    // The title is a summary that the phone made: better than nothing, and not the content.
    let text = text.filter(|text| !text.is_empty()).or_else(|| quoted.title.filter(|title| !title.is_empty()));
    let mut quote = Quote {
        message_id: quoted.svr_id.map(|id| id.to_string()),
        resolved: brought,
        text,
        selected_text: None,
        from_bot: None,
        media,
        truncated: false,
    };
    cut_quote(&mut quote);
    (quote, lookup, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::AccountId;

    fn made(wire: &str) -> InboundMessage {
        let id = DeliveryId { account: AccountId::normalize("b1@im.bot"), key: 9_007_199_254_740_993 };
        normalize(&id, "u@im.wechat", 1, wire).message
    }

    #[test]
    fn texts_and_transcripts_are_joined_in_order() {
        let message = made(
            r#"{"create_time_ms":7,"session_id":"s","to_user_id":"b1@im.bot","item_list":[
                {"type":1,"text_item":{"text":"one"}},
                {"type":3,"voice_item":{"playtime":1200,"text":"two"}},
                {"type":2,"image_item":{}},
                {"type":1,"text_item":{"text":"three"}}]}"#,
        );
        assert_eq!(message.text, "one\ntwo\nthree");
        assert_eq!(message.parts.len(), 4);
        assert_eq!(message.parts[1].duration_ms, Some(1200));
        assert_eq!(message.message_id, "9007199254740993");
        assert_eq!(message.timestamp_ms, 7);
    }

    #[test]
    fn items_of_types_that_nobody_described_are_what_they_bring() {
        let message = made(
            r#"{"update_time_ms":9,"delete_time_ms":0,"item_list":[
                {"type":8,"text_item":{"text":"eight"}},
                {"type":1,"text_item":{"text":"choose"},"button_item_list":[{"text":"Yes"},{"title":" No "},{"id":1},7]},
                {"type":9,"button_item_list":[{"name":"Later"}]}]}"#,
        );
        assert_eq!(message.text, "eight\nchoose\n[Yes]\n[No]\n[Later]");
        assert_eq!((message.updated_at_ms, message.deleted_at_ms), (Some(9), None));
        for quoted in [0, 8] {
            let message = made(&format!(
                r#"{{"item_list":[{{"type":3,"voice_item":{{"text":"spoken"}},"ref_msg":{{"svr_id":"5",
                    "message_item":{{"type":{quoted},"text_item":{{"text":"quoted"}}}}}}}}]}}"#
            ));
            let quote = message.quote.unwrap();
            assert_eq!(
                (quote.text.as_deref(), quote.resolved),
                (Some("quoted"), true),
                "type {quoted}, on a voice message"
            );
        }
    }

    #[test]
    fn an_unknown_item_is_a_part_that_names_its_number() {
        let message = made(r#"{"item_list":[{"type":99}]}"#);
        assert_eq!(message.parts[0].part_type, PartType::Unknown);
        assert!(message.parts[0].error.as_deref().unwrap().contains("99"));
    }

    #[test]
    fn a_message_that_makes_no_sense_is_still_delivered() {
        for wire in ["{}", r#"{"item_list":[{"type":1,"text_item":"x"}],"session_id":"s"}"#] {
            let message = made(wire);
            assert_eq!(message.from, "u@im.wechat");
            assert_eq!(message.parts.len(), 1, "{wire}");
            assert!(message.parts[0].error.is_some(), "{wire}");
        }
    }

    #[test]
    fn half_an_emoji_or_an_odd_item_costs_no_other_text() {
        let message = made(
            r#"{"item_list":[{"type":1,"text_item":{"text":"cut \ud83d"}},{"type":1,"text_item":"x"},
                {"type":1,"text_item":{"text":"whole"}}]}"#,
        );
        assert_eq!(message.text, "cut \u{fffd}\nwhole");
        assert_eq!(message.parts.len(), 3);
    }

    #[test]
    fn an_inline_quote_brings_its_text_and_a_bare_one_says_it_is_unresolved() {
        let message = made(
            r#"{"item_list":[{"type":1,"text_item":{"text":"a"},"ref_msg":{"svr_id":18446744073709551615,
                "message_item":{"type":1,"text_item":{"text":"quoted"}}}}]}"#,
        );
        let quote = message.quote.unwrap();
        assert_eq!(quote.message_id.as_deref(), Some("18446744073709551615"));
        assert_eq!((quote.text.as_deref(), quote.resolved), (Some("quoted"), true));
        let message = made(r#"{"item_list":[{"type":1,"text_item":{"text":"a"},"ref_msg":{"svr_id":5}}]}"#);
        assert!(!message.quote.unwrap().resolved);
    }
}
