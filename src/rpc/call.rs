//! A request as it came, and the answers to what is none.

use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::contract::{ContractError, ErrorKind};

/// A request or notification.
#[derive(Debug)]
pub struct Call {
    /// Its id; `None` for a notification, which gets no answer.
    pub id: Option<Id<'static>>,
    /// The method's name.
    pub method: String,
    /// Its parameters as JSON.
    pub params: Option<String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(default)]
    jsonrpc: Option<serde_json::Value>,
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<serde_json::Value>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

/// Tells `"id": null` from no id.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(d: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

impl Call {
    /// Reads one request. The error comes with the id that its answer must carry.
    pub fn parse(text: &str) -> Result<Call, (Id<'static>, ContractError)> {
        let invalid = |id: Id<'static>, what: &str| {
            let message = format!("not a JSON-RPC 2.0 request: {what}");
            (id, ContractError::new(ErrorKind::InvalidRequest, message))
        };
        if !text.trim_start().starts_with('{') {
            // Serde would take an array for a struct whose fields are given in order.
            return Err(invalid(Id::Null, "it must be an object"));
        }
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| invalid(Id::Null, &error.to_string()))?;
        let id = match raw.id.map(|id| serde_json::from_str::<Id<'_>>(id.get()).map(Id::into_owned)) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(invalid(Id::Null, "id must be a string, a non-negative whole number or null")),
        };
        let answer_to = || id.clone().unwrap_or(Id::Null);
        if raw.jsonrpc.as_ref().and_then(|version| version.as_str()) != Some("2.0") {
            return Err(invalid(answer_to(), "jsonrpc must be \"2.0\""));
        }
        let Some(method) = raw.method.as_ref().and_then(|method| method.as_str()) else {
            return Err(invalid(answer_to(), "method must be a string"));
        };
        let params = raw.params.map(|params| params.get().trim()).filter(|params| *params != "null");
        if params.is_some_and(|params| !params.starts_with(['{', '['])) {
            return Err(invalid(answer_to(), "params must be an object"));
        }
        Ok(Call { method: method.to_owned(), params: params.map(str::to_owned), id })
    }
}

/// The longest message of an error, in characters.
const LONGEST_MESSAGE: usize = 8_000;

/// A contract error as jsonrpsee says it.
pub fn error_object(error: ContractError) -> ErrorObjectOwned {
    // What was asked is quoted in some, and may be as long as a line.
    let message = match error.message.char_indices().nth(LONGEST_MESSAGE) {
        Some((at, _)) => format!("{}…", &error.message[..at]),
        None => error.message.clone(),
    };
    ErrorObjectOwned::owned(error.code(), message, Some(error.data))
}

/// The answer to a line that is not even JSON, or too long.
pub fn no_request(kind: ErrorKind, message: impl Into<String>) -> (Id<'static>, ContractError) {
    (Id::Null, ContractError::new(kind, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_answered_with_its_id_where_it_has_one() {
        let cases = [
            (r#"1"#, "null"),
            (r#"{}"#, "null"),
            (r#"["2.0",7,"x",{}]"#, "null"),
            (r#"{"jsonrpc":"2.0","id":7}"#, "7"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"x"}"#, "\"a\""),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"x","params":3}"#, "7"),
        ];
        for (text, id) in cases {
            let (found, error) = Call::parse(text).unwrap_err();
            assert_eq!(serde_json::to_string(&found).unwrap(), id, "{text}");
            assert_eq!(error.data.kind, ErrorKind::InvalidRequest);
        }
    }

    #[test]
    fn the_message_of_an_error_is_cut_between_characters() {
        let told = |text: String| error_object(ContractError::new(ErrorKind::InvalidParams, text)).message().to_owned();
        assert_eq!(told("字".repeat(LONGEST_MESSAGE)), "字".repeat(LONGEST_MESSAGE));
        assert_eq!(told("字".repeat(LONGEST_MESSAGE + 1)), "字".repeat(LONGEST_MESSAGE) + "…");
    }

    #[test]
    fn a_notification_has_no_id_and_a_null_id_is_one() {
        assert!(Call::parse(r#"{"jsonrpc":"2.0","method":"x"}"#).unwrap().id.is_none());
        assert_eq!(Call::parse(r#"{"jsonrpc":"2.0","method":"x","id":null}"#).unwrap().id, Some(Id::Null));
    }
}
