//! Reading what the server may write in several ways: numbers as text, `null` for nothing, ids beyond 2^53.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

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

/// Text, or a number as text. Anything else is nothing.
pub fn text_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(s) => Some(s),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    })
}

/// A list; `null` and anything else that is no list are an empty one.
pub fn list<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    match Value::deserialize(d)? {
        Value::Array(items) => {
            items.into_iter().map(|item| T::deserialize(item).map_err(serde::de::Error::custom)).collect()
        }
        _ => Ok(Vec::new()),
    }
}
