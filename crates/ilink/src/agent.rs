//! What the client declares: the version of the protocol that it speaks, and who it is.

use std::fmt;
use std::str::FromStr;

/// What it is called where nothing valid is configured: the official plugin's default.
const DEFAULT: &str = "OpenClaw";
/// The longest `bot_agent`, in bytes.
const MAX_BYTES: usize = 256;

/// The version of the iLink interface that a client declares, in `iLink-App-ClientVersion` and in
/// `base_info.channel_version`. It is the protocol's, not this program's: phones refuse the QR code of a client that
/// declares an old one ("请在 OpenClaw 中升级微信接口版本").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolVersion {
    major: u8,
    minor: u8,
    patch: u8,
}

impl ProtocolVersion {
    /// The newest official plugin's version: `@tencent-weixin/openclaw-weixin` on npm, of September 2026, whose
    /// `src/api/api.ts` declares its own package version.
    pub const NEWEST: ProtocolVersion = ProtocolVersion { major: 2, minor: 4, patch: 9 };

    /// As `iLink-App-ClientVersion` wants it: `major << 16 | minor << 8 | patch`.
    pub fn as_u32(self) -> u32 {
        u32::from(self.major) << 16 | u32::from(self.minor) << 8 | u32::from(self.patch)
    }
}

impl Default for ProtocolVersion {
    fn default() -> ProtocolVersion {
        ProtocolVersion::NEWEST
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of the iLink interface; use three numbers from 0 to 255, such as {newest}", newest = ProtocolVersion::NEWEST)]
pub struct NoVersion(String);

impl FromStr for ProtocolVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<ProtocolVersion, NoVersion> {
        let parts: Option<Vec<u8>> = text.trim().split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([major, minor, patch]) => Ok(ProtocolVersion { major: *major, minor: *minor, patch: *patch }),
            _ => Err(NoVersion(text.to_owned())),
        }
    }
}

/// A `bot_agent` that names each of these, in this order, as far as they fit: `(name, version)`.
pub fn bot_agent(configured: Option<&str>, programs: &[(&str, &str)]) -> String {
    let known = sanitize_bot_agent(configured);
    let mut out = if known == DEFAULT { String::new() } else { known };
    for (name, version) in programs {
        let token = format!("{}/{}", word(name, ""), word(version, "+"));
        if is_product(&token) && !out.split(' ').any(|product| product == token) {
            push(&mut out, &token);
        }
    }
    if out.is_empty() { DEFAULT.to_owned() } else { out }
}

fn is_of_product(c: char, extra: &str) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c) || extra.contains(c)
}

/// `text` with what no product may contain replaced, 32 characters at most.
fn word(text: &str, extra: &str) -> String {
    text.trim().chars().take(32).map(|c| if is_of_product(c, extra) { c } else { '-' }).collect()
}

/// Brings a configured `botAgent` into the form that iLink accepts: `Name/Version` products, each optionally followed
/// by a comment in parentheses. Invalid products are dropped; with nothing left it is `OpenClaw`.
fn sanitize_bot_agent(raw: Option<&str>) -> String {
    let mut out = String::new();
    let mut rest = raw.unwrap_or("").trim();
    // A comment belongs to the product right before it, if that one was valid.
    let mut after_valid = false;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('(') {
            let (comment, tail) = inside.split_once(')').unwrap_or((inside, ""));
            if after_valid && is_comment(comment) && inside.len() > comment.len() {
                push(&mut out, &format!("({comment})"));
            }
            after_valid = false;
            rest = tail.trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(end);
        after_valid = is_product(token) && push(&mut out, token);
        rest = tail.trim_start();
    }
    if out.is_empty() { DEFAULT.to_owned() } else { out }
}

fn push(out: &mut String, token: &str) -> bool {
    let space = usize::from(!out.is_empty());
    if out.len() + space + token.len() > MAX_BYTES {
        return false;
    }
    if space == 1 {
        out.push(' ');
    }
    out.push_str(token);
    true
}

fn is_product(token: &str) -> bool {
    let word = |text: &str, extra: &str| {
        (1..=32).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c) || extra.contains(c))
    };
    token.split_once('/').is_some_and(|(name, version)| word(name, "") && word(version, "+"))
}

fn is_comment(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| (' '..='~').contains(&c) && c != '(')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_packed_into_three_bytes() {
        let packed = |text: &str| text.parse::<ProtocolVersion>().map(ProtocolVersion::as_u32);
        assert_eq!(packed("1.0.11"), Ok(0x0001_000b));
        assert_eq!(packed(" 2.4.9 "), Ok(0x0002_0409));
        assert_eq!(ProtocolVersion::NEWEST.to_string().parse(), Ok(ProtocolVersion::NEWEST));
        for wrong in ["", "2", "2.4", "2.4.9.1", "2.4.256", "2.4.9-beta", "v2.4.9", "2..9"] {
            assert!(packed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_programs_are_named_behind_what_is_configured() {
        let ours = [("openclaw", "2026.9.6"), ("openclaw-weixin-sidecar", "0.1.0")];
        assert_eq!(bot_agent(None, &ours), "openclaw/2026.9.6 openclaw-weixin-sidecar/0.1.0");
        assert_eq!(bot_agent(Some("MyBot/1 (x)"), &ours[1..]), "MyBot/1 (x) openclaw-weixin-sidecar/0.1.0");
        assert_eq!(bot_agent(Some("bad one"), &[("小龙虾 gateway", "1 (beta)")]), "----gateway/1--beta-");
        assert_eq!(bot_agent(Some("A/1 B/2"), &[("A", "1")]), "A/1 B/2", "none twice");
        assert_eq!(bot_agent(None, &[("", "1")]), "OpenClaw");
        let long = vec!["Name/1234567890"; 16].join(" ");
        assert!(bot_agent(Some(&long), &ours).len() <= 256);
    }

    #[test]
    fn only_valid_products_are_kept() {
        let cases = [
            (None, "OpenClaw"),
            (Some("   "), "OpenClaw"),
            (Some("MyBot/1.2"), "MyBot/1.2"),
            (Some("MyBot/1.2 (two words)"), "MyBot/1.2 (two words)"),
            (Some("bad MyBot/1.2"), "MyBot/1.2"),
            (Some("bad (its comment) MyBot/1.2+x"), "MyBot/1.2+x"),
            (Some("A/1 (open"), "A/1"),
            (Some("机器人/1"), "OpenClaw"),
            (Some("A/1 B/2 (c)"), "A/1 B/2 (c)"),
        ];
        for (raw, want) in cases {
            assert_eq!(sanitize_bot_agent(raw), want, "{raw:?}");
        }
        let long = vec!["Name/1234567890"; 50].join(" ");
        assert!(sanitize_bot_agent(Some(&long)).len() <= 256);
    }
}
