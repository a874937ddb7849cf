//! What a message from a person looks like on the wire, and how the control API asks for some.

use std::borrow::Cow;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::compose;
use super::content::{Content, Quote, Source, message_id};
use super::error::{ControlError, invalid};

/// Messages from one person to a bot. As JSON it is the body of `POST /_sim/messages`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewMessages {
    /// The bot that receives them.
    pub bot_id: String,
    /// The person who writes.
    pub from: String,
    /// A text item. With [`NewMessages::count`], `{n}` in it becomes the number of the message, from 1.
    #[serde(default)]
    pub text: Option<String>,
    /// Wire items, passed on verbatim, after the text if there is one.
    #[serde(default)]
    pub items: Vec<Box<RawValue>>,
    /// Items in their order, after all those. They are made once, however many messages there are.
    #[serde(default)]
    pub content: Vec<Content>,
    /// What the first item quotes.
    #[serde(default)]
    pub quote: Option<Quote>,
    /// The id of the (first) message, as a number or as a string of digits; by default a fresh one.
    #[serde(default, deserialize_with = "message_id")]
    pub message_id: Option<u64>,
    /// When it was written, in Unix milliseconds; by default now.
    #[serde(default)]
    pub create_time_ms: Option<i64>,
    /// How many such messages; ids count up.
    #[serde(default = "one")]
    pub count: usize,
}

impl NewMessages {
    /// Whether files of this machine are to be read for them.
    pub(super) fn reads_files(&self) -> bool {
        self.content.iter().filter_map(Content::media).any(|media| matches!(media.source, Source::Path(_)))
    }

    /// One text message.
    pub fn text(bot_id: impl Into<String>, from: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            bot_id: bot_id.into(),
            from: from.into(),
            text: Some(text.into()),
            items: Vec::new(),
            content: Vec::new(),
            quote: None,
            message_id: None,
            create_time_ms: None,
            count: 1,
        }
    }

    /// One message of these items.
    pub fn content(bot_id: impl Into<String>, from: impl Into<String>, content: impl Into<Vec<Content>>) -> Self {
        Self { text: None, content: content.into(), ..Self::text(bot_id, from, "") }
    }

    /// The items of the `n`-th message; `composed` are those of its content.
    pub(super) fn items<'a>(
        &'a self,
        composed: &'a [Box<RawValue>],
        n: usize,
        at_ms: i64,
    ) -> Result<Vec<Cow<'a, RawValue>>, ControlError> {
        let mut items = Vec::with_capacity(self.items.len() + composed.len() + 1);
        if let Some(text) = &self.text {
            let text = match self.count {
                1 => Cow::Borrowed(text.as_str()),
                _ => Cow::Owned(text.replace("{n}", &n.to_string())),
            };
            items.push(Cow::Owned(text_item(&text, at_ms)?));
        }
        items.extend(self.items.iter().chain(composed).map(|item| Cow::Borrowed(item.as_ref())));
        let Some(first) = items.first_mut() else {
            return Err(ControlError::Invalid("a message needs text, items or content".into()));
        };
        if let Some(quote) = &self.quote {
            *first = Cow::Owned(compose::quote(first, quote)?);
        }
        Ok(items)
    }
}

/// A text item as a phone makes it.
pub(super) fn text_item(text: &str, at_ms: i64) -> Result<Box<RawValue>, ControlError> {
    let item = json!({
        "type": 1, "create_time_ms": at_ms, "is_completed": true, "text_item": { "text": text },
    });
    to_raw_value(&item).map_err(invalid)
}

/// A message of a person, as `getupdates` carries it.
#[derive(Debug, Serialize)]
pub(super) struct WireMessage<'a> {
    pub(super) seq: u64,
    pub(super) message_id: u64,
    pub(super) from_user_id: &'a str,
    pub(super) to_user_id: &'a str,
    pub(super) client_id: String,
    pub(super) create_time_ms: i64,
    pub(super) session_id: String,
    pub(super) group_id: &'a str,
    pub(super) message_type: u8,
    pub(super) message_state: u8,
    pub(super) item_list: Vec<Cow<'a, RawValue>>,
    pub(super) context_token: &'a str,
}

impl WireMessage<'_> {
    /// The bytes that every poll of this message will share.
    pub(super) fn serialise(&self) -> Result<Bytes, ControlError> {
        serde_json::to_vec(self).map(Bytes::from).map_err(invalid)
    }
}

/// What a verbatim message says about its context token, if it is sane enough to say anything.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawMessage {
    pub(super) from_user_id: Option<String>,
    pub(super) context_token: Option<String>,
}

fn one() -> usize {
    1
}
