//! What the hub hands to clients and takes back from them unchanged: parameters of the media host, cursors, signed (HMAC-SHA-256), not
//! encrypted: it says that they come from here. So whoever has no token can make the hub fetch nothing but what it handed out itself.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::signature::hmac;
use crate::private;

const PREFIX: &str = "wxh.";
/// Bytes of the signature that are kept.
const MAC: usize = 16;

/// The key of one state directory.
pub struct Seal([u8; 32]);

impl Seal {
    /// The key in this file, made at the first start. Blocks.
    pub fn open(path: &Path) -> std::io::Result<Seal> {
        use std::io::Write as _;
        let read = || std::fs::read(path).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        if let Some(key) = read() {
            return Ok(Seal(key));
        }
        let key: [u8; 32] = rand::random();
        // One that was cut short is of no use, and neither is what was sealed with it.
        let _ = std::fs::remove_file(path);
        private::new_file(path)?.write_all(&key)?;
        Ok(Seal(key))
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = hmac(&self.0);
        mac.update(text.as_bytes());
        mac
    }

    /// Something with a seal, fit for a URL.
    pub fn seal(&self, what: &impl Serialize) -> String {
        // Strings only.
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(what).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(&self.mac(&text).finalize().into_bytes()[..MAC]);
        format!("{PREFIX}{mac}.{text}")
    }

    /// What was sealed; `None`: it was not, or not here.
    pub fn open_sealed<T: DeserializeOwned>(&self, sealed: &str) -> Option<T> {
        let (mac, text) = sealed.strip_prefix(PREFIX)?.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        (mac.len() == MAC).then_some(())?;
        // In constant time.
        self.mac(text).verify_truncated_left(&mac).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sealed_here_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, theirs) = (dir.path().join("a"), dir.path().join("b"));
        let seal = Seal::open(&mine).unwrap();
        let sealed = seal.seal(&"param=1&x");
        assert_eq!(
            Seal::open(&mine).unwrap().open_sealed::<String>(&sealed).as_deref(),
            Some("param=1&x"),
            "after a restart"
        );
        assert_eq!(Seal::open(&theirs).unwrap().open_sealed::<String>(&sealed), None);
        let forged = format!("{}x", &sealed[..sealed.len() - 1]);
        for wrong in [forged.as_str(), "param=1&x", "wxh..", "wxh.AAAA.AAAA", ""] {
            assert_eq!(seal.open_sealed::<String>(wrong), None, "{wrong}");
        }
    }
}
