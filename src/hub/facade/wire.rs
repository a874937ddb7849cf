//! Messages as clients get them: files are fetched from the hub, which has the real address under its seal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::sealed::Seal;
use crate::store::RoutedRow;
use ilink::without_half_characters;

/// Where a file really is, or is to be brought.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// A whole address.
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub full_url: Option<String>,
    /// What the media host is asked with.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The name under which a file was announced that is to be brought there: without one it is there, to be fetched.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub filekey: Option<String>,
}

/// A message for a client. One that cannot be read is handed out all the same, and says so: what is skipped would be acked unseen.
pub fn for_client(row: &RoutedRow, base: &str, seal: &Seal) -> Box<RawValue> {
    let read = || {
        let message = serde_json::from_str::<Value>(&row.wire);
        message.or_else(|_| serde_json::from_str(&without_half_characters(&row.wire))).ok().filter(Value::is_object)
    };
    let mut message = read().unwrap_or_else(|| {
        json!({
            "message_id": row.key,
            "from_user_id": row.peer,
            "item_list": [{ "type": 1, "text_item": { "text": "[a message that could not be read]" } }],
        })
    });
    if let Some(message) = message.as_object_mut() {
        fill(message);
    }
    each_media(&mut message, &mut |media| {
        let text =
            |name: &str| media.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let source = Source { full_url: text("full_url"), param: text("encrypt_query_param"), filekey: None };
        if source.full_url.is_none() && source.param.is_none() {
            return;
        }
        let sealed = seal.seal(&source);
        // Both, whatever WeChat named: some clients know only the one, some only the other.
        let url = format!("{base}/c2c/download?encrypted_query_param={sealed}");
        media.insert("full_url".to_owned(), url.into());
        media.insert("encrypt_query_param".to_owned(), sealed.into());
    });
    // What was read can be written.
    serde_json::value::to_raw_value(&message).unwrap_or_default()
}

/// What clients need to be there: with one field missing some never get past a message.
fn fill(message: &mut Map<String, Value>) {
    let plain = [
        ("from_user_id", json!("")),
        ("to_user_id", json!("")),
        ("client_id", json!("")),
        ("create_time_ms", json!(0)),
        ("message_type", json!(1)),
        ("message_state", json!(2)),
        ("context_token", json!("")),
        ("item_list", json!([])),
    ];
    for (name, value) in plain {
        if message.get(name).is_none_or(Value::is_null) {
            message.insert(name.to_owned(), value);
        }
    }
    for item in message["item_list"].as_array_mut().into_iter().flatten() {
        // WeChat may name a picture's key only beside its place, in hex.
        let Some(image) = item.get_mut("image_item") else { continue };
        let key =
            image.get("aeskey").and_then(Value::as_str).filter(|key| !key.is_empty()).map(|key| STANDARD.encode(key));
        if let (Some(key), Some(media)) = (key, image.get_mut("media").and_then(Value::as_object_mut))
            && media.get("aes_key").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            media.insert("aes_key".to_owned(), key.into());
        }
    }
}

/// An item of a client's, with the real places of files that it got from the hub.
pub fn from_client(mut item: Value, seal: &Seal) -> Value {
    each_media(&mut item, &mut |media| {
        let sealed = media.get("encrypt_query_param").and_then(Value::as_str);
        let Some(source) = sealed.and_then(|sealed| seal.open_sealed::<Source>(sealed)) else { return };
        media.remove("full_url");
        media.insert("encrypt_query_param".to_owned(), source.param.unwrap_or_default().into());
        if let Some(url) = source.full_url {
            media.insert("full_url".to_owned(), url.into());
        }
    });
    item
}

/// Every object that says where a file is.
fn each_media(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            if object.contains_key("encrypt_query_param") || object.contains_key("full_url") {
                change(object);
            }
            object.values_mut().for_each(|value| each_media(value, change));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each_media(value, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wire: &str, base: &str, seal: &Seal) -> Box<RawValue> {
        let row = RoutedRow { routed: 1, peer: "ann".into(), key: 7, wire: wire.to_owned() };
        for_client(&row, base, seal)
    }

    #[test]
    fn what_cannot_be_read_is_handed_out_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(&dir.path().join("key")).unwrap();
        let half = shown(r#"{"message_id":7,"item_list":[{"text_item":{"text":"half \ud83d"}}]}"#, "", &seal);
        assert!(half.get().contains("half \u{fffd}"), "{half}");
        for broken in ["[]", "{", &"[".repeat(10_000)] {
            let stub = shown(broken, "", &seal);
            assert!(stub.get().contains("\"message_id\":7") && stub.get().contains("\"ann\""), "{stub}");
        }
    }

    #[test]
    fn files_are_fetched_from_the_hub_and_can_be_passed_on() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(&dir.path().join("key")).unwrap();
        let media = json!({ "encrypt_query_param": "secret", "aes_key": "k", "full_url": "https://cdn.example/x" });
        let wire =
            json!({ "message_id": u64::MAX, "item_list": [{ "type": 2, "image_item": { "media": media.clone() } }] });
        let shown = self::shown(&wire.to_string(), "http://127.0.0.1:1", &seal);
        assert!(!shown.get().contains("secret") && !shown.get().contains("cdn.example"), "{shown}");
        assert!(
            shown.get().contains(&u64::MAX.to_string()) && shown.get().contains("http://127.0.0.1:1/c2c/download?")
        );
        let shown: Value = serde_json::from_str(shown.get()).unwrap();
        let back = from_client(shown["item_list"][0].clone(), &seal);
        assert_eq!(back["image_item"]["media"], media);
    }

    #[test]
    fn what_clients_need_is_there_and_large_numbers_stay_exact() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(&dir.path().join("key")).unwrap();
        let image = json!({ "aeskey": "00ff", "media": { "encrypt_query_param": "x" } });
        let wire =
            json!({ "message_id": u64::MAX, "context_token": "t", "item_list": [{ "type": 2, "image_item": image }] });
        let shown = self::shown(&wire.to_string(), "", &seal);
        assert!(shown.get().contains("\"message_id\":18446744073709551615"), "{shown}");
        let shown: Value = serde_json::from_str(shown.get()).unwrap();
        assert_eq!(shown["item_list"][0]["image_item"]["media"]["aes_key"], STANDARD.encode("00ff"));
        assert_eq!(
            (&shown["context_token"], &shown["message_type"], &shown["client_id"]),
            (&json!("t"), &json!(1), &json!(""))
        );
    }
}
