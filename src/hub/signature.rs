//! Signatures as Standard Webhooks has them (<https://www.standardwebhooks.com>): `v1,` and HMAC-SHA-256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// HMAC-SHA-256 with this key.
pub fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // RFC 2104, section 3: shorter keys are filled up, longer ones hashed.
    Hmac::new_from_slice(key).expect("a key of any length will do")
}

/// What a receiver and the hub share.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// From `whsec_` and base64 of 24 to 64 bytes.
    pub fn parse(secret: &str) -> Result<Key, &'static str> {
        const FORM: &str =
            "must be whsec_ and the base64 of 24 to 64 random bytes (echo whsec_$(openssl rand -base64 32))";
        let bytes = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        bytes.filter(|bytes| (24..=64).contains(&bytes.len())).map(Key).ok_or(FORM)
    }

    /// The value of `webhook-signature`. `at` is in seconds since 1970.
    pub fn sign(&self, id: &str, at: i64, body: &str) -> String {
        let mut mac = hmac(&self.0);
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn it_signs_as_others_do() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(Key::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_err());
        assert!(Key::parse("whsec_c2hvcnQ=").is_err());
    }
}
