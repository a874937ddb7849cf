//! Media that a bot sent: what their receiver gets to see.

use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::cdn::cipher::{self, Key, Measured, key_of_hex};
use super::cdn::{Object, SpoolFile, Upload};
use super::control::Control;
use super::error::ControlError;
use super::ledger::Sent;
use super::sent_media::{MediaKind, SentMedia};

/// The key as a receiver finds it; `Ok(None)` when there is none, which only an image may have.
fn key(media: &SentMedia) -> Result<Option<Key>, ControlError> {
    let wrong = |what: &str| ControlError::Content(format!("{what} is no key"));
    if let Some(hex) = media.image_aeskey.as_ref().filter(|hex| !hex.is_empty()) {
        return key_of_hex(hex.as_bytes()).map(Some).ok_or_else(|| wrong("aeskey"));
    }
    match media.aes_key.as_ref().filter(|key| !key.is_empty()) {
        Some(encoded) => key_of_base64(encoded).map(Some),
        None if media.kind == MediaKind::Image => Ok(None),
        None => Err(ControlError::Content("there is no key".into())),
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
        Ok(Found { object: self.object(&media.encrypt_query_param)?, key: key(media)? })
    }

    fn object(&self, parameter: &str) -> Result<Arc<Object>, ControlError> {
        self.world.cdn.object(parameter).ok_or_else(|| ControlError::Content("the CDN has no such file".into()))
    }
}
