//! From what a person puts into a message to its wire items: media are encrypted, stored and referred to.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::cdn::cipher::{self, Key, Measured};
use super::cdn::{Manner, Object, download_url};
use super::content::{Address, Content, Damage, KeyEncoding, Media, Quote, Source};
use super::error::{ControlError, invalid};
use super::world::World;

/// The type that goes with each kind of media.
const IMAGE: u8 = 2;
const VOICE: u8 = 3;
const FILE: u8 = 4;
const VIDEO: u8 = 5;

/// Makes the wire items of one message. Reads and writes files, so it blocks.
pub(super) fn items(
    world: &World,
    bot_id: &str,
    content: &[Content],
    at_ms: i64,
) -> Result<Vec<Box<RawValue>>, ControlError> {
    content.iter().map(|one| to_raw_value(&item(world, bot_id, one, at_ms)?).map_err(invalid)).collect()
}

/// Makes the first item quote.
pub(super) fn quote(item: &RawValue, quote: &Quote) -> Result<Box<RawValue>, ControlError> {
    let mut item: Value = serde_json::from_str(item.get()).map_err(invalid)?;
    let mut reference = json!({});
    if let Some(inline) = &quote.message_item {
        reference["message_item"] = inline.clone();
    }
    if let Some(title) = &quote.title {
        reference["title"] = json!(title);
    }
    if let Some(svr_id) = quote.svr_id {
        reference["svr_id"] = json!(svr_id);
    }
    if let Some(part) = &quote.partial_text {
        reference["partial_text"] = part.clone();
    }
    let object = item.as_object_mut().ok_or_else(|| ControlError::Invalid("only an object can quote".into()))?;
    object.insert("ref_msg".to_owned(), reference);
    to_raw_value(&item).map_err(invalid)
}

fn item(world: &World, bot_id: &str, content: &Content, at_ms: i64) -> Result<Value, ControlError> {
    let store = |kind, media| store(world, bot_id, kind, media);
    let (number, name, body) = match content {
        Content::Raw { item } => return Ok(item.clone()),
        Content::Unknown { number } => {
            return Ok(json!({ "type": number, "create_time_ms": at_ms, "is_completed": true }));
        }
        Content::Text { text } => (1, "text_item", json!({ "text": text })),
        Content::Image { media, mid_size } => {
            let stored = store(IMAGE, media)?;
            let mut body = json!({ "media": stored.media, "mid_size": mid_size.unwrap_or(stored.ciphertext) });
            if let Some(key) = stored.aeskey {
                body["aeskey"] = json!(key);
            }
            (IMAGE, "image_item", body)
        }
        Content::Voice { media, encode_type, playtime, text } => {
            let stored = store(VOICE, media)?;
            let mut body = json!({
                "media": stored.media, "encode_type": encode_type.unwrap_or(6),
                "bits_per_sample": 16, "sample_rate": 24_000,
            });
            if let Some(playtime) = playtime {
                body["playtime"] = json!(playtime);
            }
            if let Some(text) = text {
                body["text"] = json!(text);
            }
            (VOICE, "voice_item", body)
        }
        Content::File { media, file_name, md5, len } => {
            let stored = store(FILE, media)?;
            let len = len.clone().unwrap_or_else(|| stored.size.to_string());
            let md5 = md5.as_ref().unwrap_or(&stored.md5);
            (FILE, "file_item", json!({ "media": stored.media, "file_name": file_name, "md5": md5, "len": len }))
        }
        Content::Video { media, play_length, video_size } => {
            let stored = store(VIDEO, media)?;
            let size = video_size.unwrap_or(stored.ciphertext);
            let mut body = json!({ "media": stored.media, "video_size": size, "video_md5": stored.md5 });
            if let Some(length) = play_length {
                body["play_length"] = json!(length);
            }
            (VIDEO, "video_item", body)
        }
    };
    let mut item = json!({ "type": number, "create_time_ms": at_ms, "is_completed": true });
    item[name] = body;
    Ok(item)
}

/// Media that the CDN has.
struct Stored {
    /// The reference.
    media: Value,
    /// The key as an image tells it.
    aeskey: Option<String>,
    /// Of the plaintext.
    size: u64,
    /// Of the plaintext.
    md5: String,
    /// The size of what was stored, before any damage.
    ciphertext: u64,
}

fn store(world: &World, bot_id: &str, kind: u8, media: &Media) -> Result<Stored, ControlError> {
    let encoding = media.key.unwrap_or(if kind == IMAGE { KeyEncoding::Hex } else { KeyEncoding::HexBase64 });
    let for_images = matches!(encoding, KeyEncoding::Hex | KeyEncoding::HexFirst | KeyEncoding::None);
    if for_images && kind != IMAGE {
        return Err(ControlError::Invalid("only an image can have a key in hex, or none".into()));
    }
    let plain = encoding == KeyEncoding::None;
    if plain && media.damage == Some(Damage::WrongKey) {
        return Err(ControlError::Invalid("media without a key have no wrong one".into()));
    }
    let key: Key = rand::random();
    let (spooled, mut file) = world.cdn.file()?;
    let mut source = Measured::new(open(&media.source)?);
    if plain {
        io::copy(&mut source, &mut file)?;
    } else {
        cipher::encrypt(&key, &mut source, &mut file)?;
    }
    let (size, md5) = source.finish();
    let ciphertext = file.metadata()?.len();
    let manner = damage(&mut file, ciphertext, media.damage.as_ref())?;
    let parameter = world.cdn.keep(Object {
        bot_id: bot_id.to_owned(),
        size: file.metadata()?.len(),
        file: Arc::new(spooled),
        manner,
        upload: None,
    });
    let told = if media.damage == Some(Damage::WrongKey) { wrong_key(&mut file)? } else { key };
    let mut reference = json!({ "encrypt_type": u8::from(!plain) });
    if media.address != Address::FullUrl {
        reference["encrypt_query_param"] = json!(parameter);
    }
    if media.address != Address::Param {
        reference["full_url"] = json!(download_url(&world.url, &parameter));
    }
    match encoding {
        KeyEncoding::Raw => reference["aes_key"] = json!(STANDARD.encode(told)),
        KeyEncoding::HexBase64 => reference["aes_key"] = json!(STANDARD.encode(hex::encode(told))),
        KeyEncoding::HexFirst => reference["aes_key"] = json!(STANDARD.encode(rand::random::<Key>())),
        KeyEncoding::Hex | KeyEncoding::None => {}
    }
    let aeskey = matches!(encoding, KeyEncoding::Hex | KeyEncoding::HexFirst).then(|| hex::encode(told));
    Ok(Stored { media: reference, aeskey, size, md5, ciphertext })
}

fn open(source: &Source) -> Result<Box<dyn Read + '_>, ControlError> {
    Ok(match source {
        Source::Bytes(bytes) => Box::new(bytes.as_slice()),
        Source::Path(path) => {
            Box::new(File::open(path).map_err(|error| ControlError::Invalid(format!("{}: {error}", path.display())))?)
        }
    })
}

/// A key that this ciphertext does not take: one in 256 would leave a padding that looks right.
fn wrong_key(file: &mut File) -> io::Result<Key> {
    let mut last = [0; cipher::BLOCK];
    file.seek(SeekFrom::End(-(last.len() as i64)))?;
    file.read_exact(&mut last)?;
    loop {
        let key = rand::random();
        if cipher::decrypt(&key, &mut last.as_slice(), &mut io::sink()).is_err() {
            return Ok(key);
        }
    }
}

/// Damages what was stored, and says how it is handed out.
fn damage(file: &mut File, size: u64, damage: Option<&Damage>) -> io::Result<Manner> {
    match damage {
        None | Some(Damage::WrongKey) => {}
        Some(Damage::Truncated { bytes }) => file.set_len(size.saturating_sub(*bytes))?,
        Some(Damage::Longer { bytes }) => {
            file.seek(SeekFrom::End(0))?;
            io::copy(&mut io::repeat(0x5a).take(*bytes), file)?;
        }
        Some(Damage::Missing) => return Ok(Manner::Missing),
        Some(Damage::Slow { bytes_per_second }) => return Ok(Manner::Slow((*bytes_per_second).max(1))),
        Some(Damage::Redirect { to }) => return Ok(Manner::Redirect(to.clone())),
    }
    file.flush()?;
    Ok(Manner::Plain)
}
