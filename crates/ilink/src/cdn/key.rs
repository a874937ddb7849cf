//! The key of one media file. WeChat writes it in three ways: as hex (`image_item.aeskey`), as base64 of its 16 bytes,
//! and as base64 of the 32 hex digits (`media.aes_key`; so does the official plugin).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// An AES-128 key. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaKey([u8; 16]);

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media key is neither 16 bytes nor 32 hex digits")]
pub struct KeyError;

impl MediaKey {
    /// A fresh one.
    pub fn random() -> MediaKey {
        MediaKey(rand::random())
    }

    /// From 32 hex digits.
    pub fn from_hex(text: &str) -> Result<MediaKey, KeyError> {
        from_digits(text.trim().as_bytes()).map(MediaKey).ok_or(KeyError)
    }

    /// From base64 of 16 bytes, or of 32 hex digits.
    pub fn from_base64(text: &str) -> Result<MediaKey, KeyError> {
        let text = text.trim();
        let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).map_err(|_| KeyError)?;
        match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(key) => Ok(MediaKey(key)),
            Err(_) => from_digits(&bytes).map(MediaKey).ok_or(KeyError),
        }
    }

    /// The 16 bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// 32 hex digits, as `getuploadurl` takes it.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Base64 of the hex digits, as a sent message carries it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_hex())
    }
}

impl fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaKey(…)")
    }
}

fn from_digits(digits: &[u8]) -> Option<[u8; 16]> {
    let mut key = [0; 16];
    hex::decode_to_slice(digits, &mut key).ok().map(|()| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_encodings_of_a_key_are_read() {
        let key = MediaKey(*b"0123456789abcdef");
        assert_eq!(MediaKey::from_hex(&key.to_hex()), Ok(key.clone()));
        assert_eq!(MediaKey::from_hex(&key.to_hex().to_uppercase()), Ok(key.clone()));
        assert_eq!(MediaKey::from_base64(&key.to_base64()), Ok(key.clone()));
        assert_eq!(MediaKey::from_base64(&STANDARD.encode(key.bytes())), Ok(key.clone()));
        assert_eq!(MediaKey::from_base64(&STANDARD_NO_PAD.encode(key.bytes())), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_key_shows_nothing() {
        for text in ["", "x", "0123456789abcdef", "zz23456789abcdef0123456789abcdef", "é".repeat(16).as_str()] {
            assert_eq!(MediaKey::from_hex(text), Err(KeyError), "{text}");
            assert_eq!(MediaKey::from_base64(text), Err(KeyError), "{text}");
        }
        assert_eq!(format!("{:?}", MediaKey::random()), "MediaKey(…)");
    }
}
