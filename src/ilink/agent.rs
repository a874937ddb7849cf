//! What the client calls itself.

/// What it is called where nothing valid is configured.
const DEFAULT: &str = "OpenClaw";
/// The longest `bot_agent`, in bytes.
const MAX_BYTES: usize = 256;

/// The version as `iLink-App-ClientVersion` wants it: `major << 16 | minor << 8 | patch`.
pub(super) fn client_version(version: &str) -> u32 {
    let mut parts = version.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0) & 0xff
    });
    let mut next = || parts.next().unwrap_or(0);
    (next() << 16) | (next() << 8) | next()
}

/// Brings a configured `botAgent` into the form that iLink accepts: `Name/Version` products, each optionally followed
/// by a comment in parentheses. Invalid products are dropped; with nothing left it is `OpenClaw`.
pub fn sanitize_bot_agent(raw: Option<&str>) -> String {
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
        assert_eq!(client_version("1.0.11"), 0x0001_000b);
        assert_eq!(client_version("2.4.9"), 0x0002_0409);
        assert_eq!(client_version("0.1.0-beta.2"), 0x0000_0100);
        assert_eq!(client_version(""), 0);
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
