//! The id of an account, and how OpenClaw normalises it. Every room uses it: the contract, the files, the rows.

use std::borrow::Borrow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest account id, in characters.
const MAX_ACCOUNT_ID: usize = 64;
/// Names that would be read as object machinery by a JavaScript host; OpenClaw maps them to `default`.
const RESERVED: [&str; 3] = ["__proto__", "prototype", "constructor"];

/// A normalised account id, such as `44b9b8ec-im-bot` for the bot `44b9b8ec@im.bot`.
///
/// Lower case; letters, digits, `_` and `-` only; at most 64 characters. Always safe as a file name.
/// The rules are those of OpenClaw's `normalizeAccountId`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub struct AccountId(String);

impl AccountId {
    /// Normalises `raw`. Empty, reserved and wholly unusable names become `default`.
    pub fn normalize(raw: &str) -> AccountId {
        let lower = raw.trim().to_lowercase();
        let mut id = String::with_capacity(lower.len());
        let mut in_run = false;
        for c in lower.chars() {
            let kept = c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            if kept {
                id.push(c);
            } else if !in_run {
                // A run of other characters becomes one dash.
                id.push('-');
            }
            in_run = !kept;
        }
        // A name that is valid as it stands keeps a trailing dash; a repaired one loses it.
        let valid = id == lower && id.len() <= MAX_ACCOUNT_ID && !id.starts_with(['-', '_']);
        if !valid {
            id = id.trim_matches('-').chars().take(MAX_ACCOUNT_ID).collect();
            // What is still not valid would lose a dash that the cut has brought to the end when it is next read.
            if id.starts_with('_') {
                id.truncate(id.trim_end_matches('-').len());
            }
        }
        if id.is_empty() || RESERVED.contains(&id.as_str()) {
            return AccountId("default".into());
        }
        AccountId(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bot id this account id was made from, where its ending tells: older official plugins named files so.
    pub fn raw_bot_id(&self) -> Option<String> {
        for (ending, raw) in [("-im-bot", "@im.bot"), ("-im-wechat", "@im.wechat")] {
            if let Some(stem) = self.0.strip_suffix(ending) {
                return Some(format!("{stem}{raw}"));
            }
        }
        None
    }
}

impl From<String> for AccountId {
    fn from(raw: String) -> Self {
        AccountId::normalize(&raw)
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> String {
        id.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for AccountId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::AccountId;

    #[test]
    fn a_bot_id_becomes_an_account_id_as_openclaw_makes_it() {
        let cases = [
            ("44b9b8ec@im.bot", "44b9b8ec-im-bot"),
            ("  44B9B8EC@IM.bot ", "44b9b8ec-im-bot"),
            ("", "default"),
            ("   ", "default"),
            ("@@@", "default"),
            ("__proto__", "default"),
            ("constructor", "default"),
            ("../../etc/passwd", "etc-passwd"),
            ("a b\u{7}c", "a-b-c"),
            ("a--b", "a--b"),
        ];
        for (raw, want) in cases {
            assert_eq!(AccountId::normalize(raw).as_str(), want, "{raw:?}");
        }
        assert_eq!(AccountId::normalize(&"x".repeat(500)).as_str().len(), 64);
        for end in ["-", "--", "-_"] {
            let cut = AccountId::normalize(&format!("_{}{end}more", "x".repeat(64 - 1 - end.len())));
            assert_eq!(AccountId::normalize(cut.as_str()), cut, "reading an id is no change");
        }
    }

    #[test]
    fn the_raw_bot_id_is_found_again() {
        assert_eq!(AccountId::normalize("44b9b8ec@im.bot").raw_bot_id().as_deref(), Some("44b9b8ec@im.bot"));
        assert_eq!(AccountId::normalize("work").raw_bot_id(), None);
    }
}
