//! Reading what the server may write in several ways: numbers as text, `null` for nothing, ids beyond 2^53.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::secret::ContextToken;

fn as_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64().or_else(|| n.as_i64().map(|n| n as u64)),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

/// A uint64, as a number or as text. Anything else is nothing.
pub fn u64_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    Ok(as_u64(&Value::deserialize(d)?))
}

/// A signed number, as a number or as text. Anything else is nothing.
pub fn i64_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    })
}

/// A code that says whether something succeeded: a number, as a number or as text, or nothing. What cannot be read is an error,
/// because it is no success.
pub fn code_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    let unreadable = || serde::de::Error::custom("not a number");
    match Value::deserialize(d)? {
        Value::Null => Ok(None),
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).map(Some).ok_or_else(unreadable),
        Value::String(s) if s.trim().is_empty() => Ok(None),
        Value::String(s) => s.trim().parse().map(Some).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

/// Text, or a number as text. Anything else is nothing.
pub fn text_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(s) => Some(s),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    })
}

/// A token. A blank one is none: it must not replace a good one.
pub fn token_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<ContextToken>, D::Error> {
    Ok(text_opt(d)?.as_deref().and_then(ContextToken::new))
}

/// A list; `null` and anything else that is no list are an empty one. An item of another shape spoils no other.
pub fn list<'de, D: Deserializer<'de>, T: Default + serde::de::DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    match Value::deserialize(d)? {
        Value::Array(items) => Ok(items.into_iter().map(|item| T::deserialize(item).unwrap_or_default()).collect()),
        _ => Ok(Vec::new()),
    }
}

/// `json` with U+FFFD for each escaped half of a surrogate pair. Text that was cut in UTF-16, in the middle of an emoji,
/// has one at its end; no Rust string holds it, and serde refuses the whole message for it.
pub fn without_half_characters(json: &str) -> Cow<'_, str> {
    let escaped = |at: usize| {
        let digits = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match escaped(at) {
            Some(0xd800..=0xdbff) if matches!(escaped(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&json[kept..at]);
                mended.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            // Another escape; the character behind the backslash may be a backslash.
            _ => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[kept..]);
    Cow::Owned(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_characters_are_replaced_and_whole_ones_are_not() {
        let cases = [
            (r#""a\ud83d""#, r#""a\ufffd""#),
            (r#""\uD83D\uDE00\ude00x\ud83d\n""#, r#""\uD83D\uDE00\ufffdx\ufffd\n""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d \" \u00e9""#, r#""\\ud83d \" \u00e9""#),
            (r#""\"#, r#""\"#),
            (r#"\ud83"#, r#"\ud83"#),
        ];
        for (json, want) in cases {
            assert_eq!(without_half_characters(json), want);
        }
    }
}
