//! Reading what the server may write in several ways: numbers as text, `null` for nothing, ids beyond 2^53.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

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

/// The items of a list that are read; of a person's message there are a handful.
pub const MOST_ITEMS: usize = 256;

/// A list of which no more than [`MOST_ITEMS`] are held: a megabyte of empty items must not cost a gigabyte.
#[derive(Debug, Default)]
pub struct Items<T> {
    /// The first ones. One of another shape is its default, and spoils no other.
    pub first: Vec<T>,
    /// What `keep` wants of the ones behind them, a line each.
    pub rest: String,
    /// How many are behind the first ones.
    pub more: usize,
}

struct Reader<T, K> {
    keep: K,
    of: PhantomData<T>,
}

impl<'de, T: Default + DeserializeOwned, K: Fn(&str) -> Option<String>> Visitor<'de> for Reader<T, K> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<T>, A::Error> {
        let mut items = Items { first: Vec::new(), rest: String::new(), more: 0 };
        while let Some(item) = list.next_element::<Box<RawValue>>()? {
            if items.first.len() < MOST_ITEMS {
                items.first.push(serde_json::from_str(item.get()).unwrap_or_default());
            } else {
                items.more += 1;
                if let Some(kept) = (self.keep)(item.get()) {
                    items.rest.push_str(&kept);
                    items.rest.push('\n');
                }
            }
        }
        Ok(items)
    }
}

/// A list; `null` and anything else that is no list are an empty one. Of what is behind the first items `keep` says what
/// is kept.
pub fn items<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    d: D,
    keep: impl Fn(&str) -> Option<String>,
) -> Result<Items<T>, D::Error> {
    let raw = Box::<RawValue>::deserialize(d)?;
    if !raw.get().starts_with('[') {
        return Ok(Items { first: Vec::new(), rest: String::new(), more: 0 });
    }
    let mut json = serde_json::Deserializer::from_str(raw.get());
    json.deserialize_seq(Reader { keep, of: PhantomData }).map_err(serde::de::Error::custom)
}

/// The first items of a list, as [`items`].
pub fn list<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(items(d, |_| None)?.first)
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
