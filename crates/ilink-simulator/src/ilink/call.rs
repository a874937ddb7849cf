//! Headers, token, body and `base_info` of a request, and the ways to refuse it.
//!
//! With `strict` a client that passes the checks says everything that the official plugin says; without, what clients
//! say that the real server is known to serve. Whatever is missing fails visibly, except where the real server is known to drop in silence.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bot::Bot;
use crate::endpoint::Endpoint;
use crate::ledger::Rejected;
use crate::world::World;

/// The limit of `bot_agent`.
const MAX_BOT_AGENT: usize = 256;

/// Who sent a request, as far as its token tells.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) token: Option<String>,
    pub(super) bot: Option<Arc<Bot>>,
}

impl Caller {
    /// Looks up the bearer token.
    pub(super) fn identify(world: &World, headers: &HeaderMap) -> Self {
        let token = text_header(headers, "authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let bot = token.as_ref().and_then(|token| world.bot_of_token(token));
        Self { token, bot }
    }

    /// Looks up whose transfer it is: a request to the CDN has no token, but a parameter.
    pub(super) fn of_transfer(world: &World, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let parameter = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "encrypted_query_param");
        let owner = parameter.and_then(|(_, parameter)| world.cdn.owner(&parameter));
        Self { token: None, bot: owner.and_then(|id| world.bot(&id).ok()) }
    }
}

/// A way to refuse a request.
#[derive(Debug, Clone)]
pub(super) enum Refuse {
    /// An HTTP status.
    Http(u16),
    /// HTTP 200 with a code.
    Ret(i64, &'static str),
    /// HTTP 200, and it looks like a success.
    Silently,
    /// HTTP 200 without an id: what a bot gets whose messages nobody sees.
    Muted,
}

impl Refuse {
    /// Records the refusal, and makes the answer.
    pub(super) fn answer(self, world: &World, mut rejected: Rejected) -> Response {
        let (answer, response) = match self {
            Self::Http(status) => {
                let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                let body = json!({ "ret": -1, "errmsg": rejected.reason });
                (format!("http {status}"), (code, axum::Json(body)).into_response())
            }
            Self::Ret(ret, errmsg) => {
                let mut body = json!({ "ret": ret, "errmsg": errmsg });
                if rejected.endpoint == Endpoint::GetUpdates.name() {
                    body["errcode"] = json!(ret);
                }
                (format!("ret {ret}"), json_answer(&body))
            }
            Self::Silently => {
                let body = json!({ "message_id": world.message_ids(1) });
                ("silent".to_owned(), json_answer(&body))
            }
            Self::Muted => ("muted".to_owned(), json_answer(&json!({ "ret": 0 }))),
        };
        rejected.answer = answer;
        world.ledger.reject(rejected);
        response
    }
}

/// An authorised request whose headers and token are in order.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) bot: Arc<Bot>,
    pub(super) token: String,
    pub(super) body: Value,
    endpoint: Endpoint,
}

impl Call {
    /// Checks an authorised POST: headers, token, JSON. `Err` is the answer to give.
    pub(super) fn open(
        world: &World,
        endpoint: Endpoint,
        caller: Caller,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, Box<Response>> {
        let refuse = |how: Refuse, bot: Option<&Arc<Bot>>, reason: String| {
            let mut rejected = Rejected::new(Some(endpoint), reason);
            rejected.bot_id = bot.map(|bot| bot.id.clone());
            Box::new(how.answer(world, rejected))
        };
        let bot = caller.bot.as_ref();
        check_app(headers)
            .and_then(|()| check_authorised(headers))
            .map_err(|wrong| refuse(Refuse::Http(400), bot, wrong.to_owned()))?;
        let token = caller.token.ok_or_else(|| refuse(Refuse::Http(401), None, "no bearer token".to_owned()))?;
        // A token that this server never knew is told the same as one that it has forgotten.
        let stale = |bot, what: &str| refuse(Refuse::Ret(-14, "session timeout"), bot, what.to_owned());
        let Some(bot) = caller.bot else {
            return Err(stale(None, "an unknown token"));
        };
        if bot.is_stale(&token) {
            return Err(stale(Some(&bot), "a stale token"));
        }
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| refuse(Refuse::Http(400), Some(&bot), format!("the body is not JSON: {error}")))?;
        if !body.is_object() {
            return Err(refuse(Refuse::Http(400), Some(&bot), "the body is no object".to_owned()));
        }
        Ok(Self { bot, token, body, endpoint })
    }

    /// The same, and `base_info` too, and the body as its type.
    pub(super) fn open_typed<T: DeserializeOwned>(
        world: &World,
        endpoint: Endpoint,
        caller: Caller,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<(Self, T), Box<Response>> {
        let mut call = Self::open(world, endpoint, caller, headers, body)?;
        check_base_info(&call.body, world.config.strict)
            .map_err(|wrong| Box::new(call.refuse(world, Refuse::Http(400), wrong)))?;
        let typed = serde_json::from_value(call.body.take())
            .map_err(|error| Box::new(call.refuse(world, Refuse::Http(400), error.to_string())))?;
        Ok((call, typed))
    }

    /// What a refusal of this call is recorded as.
    pub(super) fn rejected(&self, reason: impl Into<String>) -> Rejected {
        let mut rejected = Rejected::new(Some(self.endpoint), reason);
        rejected.bot_id = Some(self.bot.id.clone());
        rejected
    }

    /// Refuses this call.
    pub(super) fn refuse(&self, world: &World, how: Refuse, reason: impl Into<String>) -> Response {
        how.answer(world, self.rejected(reason))
    }
}

/// The headers of every request.
pub(super) fn check_app(headers: &HeaderMap) -> Result<(), &'static str> {
    if text_header(headers, "ilink-app-id") != Some("bot") {
        return Err("iLink-App-Id is not \"bot\"");
    }
    let version = text_header(headers, "ilink-app-clientversion");
    if version.and_then(|version| version.parse::<u32>().ok()).is_none() {
        return Err("iLink-App-ClientVersion is not a uint32");
    }
    Ok(())
}

/// The headers of every authorised POST, but for the token itself.
fn check_authorised(headers: &HeaderMap) -> Result<(), &'static str> {
    let content_type = text_header(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err("Content-Type is not application/json");
    }
    if text_header(headers, "authorizationtype") != Some("ilink_bot_token") {
        return Err("AuthorizationType is not \"ilink_bot_token\"");
    }
    if !text_header(headers, "x-wechat-uin").is_some_and(is_uin) {
        return Err("X-WECHAT-UIN is not the base64 of a decimal uint32");
    }
    Ok(())
}

fn is_uin(value: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(value) else {
        return false;
    };
    let digits = str::from_utf8(&bytes).unwrap_or_default();
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u32>().is_ok()
}

/// Checks `base_info`, which every authorised body has.
pub(super) fn check_base_info(body: &Value, strict: bool) -> Result<(), &'static str> {
    let info = &body["base_info"];
    if !info.is_object() {
        return Err("no base_info");
    }
    if info["channel_version"].as_str().is_none_or(str::is_empty) {
        return Err("base_info has no channel_version");
    }
    let printable = |agent: &str| agent.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match info["bot_agent"].as_str() {
        Some(agent) if agent.len() <= MAX_BOT_AGENT && !agent.is_empty() && printable(agent) => Ok(()),
        Some(_) => Err("bot_agent is not 1 to 256 printable ASCII characters"),
        None if !strict => Ok(()),
        None => Err("base_info has no bot_agent"),
    }
}

/// A header as text.
pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// HTTP 200 with JSON.
pub(super) fn json_answer(body: &impl Serialize) -> Response {
    axum::Json(body).into_response()
}
