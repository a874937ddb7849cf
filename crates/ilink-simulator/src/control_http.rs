//! The control over HTTP, under `/_sim/`: for tests and tools that are not Rust. JSON in, JSON out; an error is
//! `{"error": "…"}` with a fitting status.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::cdn::body::of_file;
use super::config::LimitsPatch;
use super::control::{Control, NewBot};
use super::error::{ControlError, invalid};
use super::faults::Fault;
use super::ledger::{RejectedFilter, SentFilter};
use super::login::StepRequest;
use super::message::NewMessages;
use super::world::World;

/// The routes of the control API.
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_sim/state", get(state))
        .route("/_sim/bots", post(create_bot))
        .route("/_sim/bots/{bot}/expire", post(expire))
        .route("/_sim/bots/{bot}/release", post(release))
        .route("/_sim/bots/{bot}/mute", post(mute))
        .route("/_sim/bots/{bot}/unmute", post(unmute))
        .route("/_sim/bots/{bot}/takeover", post(take_over))
        .route("/_sim/gate", put(gate))
        .route("/_sim/logins/{which}/{step}", post(login))
        .route("/_sim/messages", post(messages))
        .route("/_sim/burst", post(burst))
        .route("/_sim/raw", post(raw))
        .route("/_sim/replay", post(replay))
        .route("/_sim/sent", get(sent))
        .route("/_sim/sent/{which}", get(sent_one))
        .route("/_sim/sent/{which}/content", get(sent_content))
        .route("/_sim/rejected", get(rejected))
        .route("/_sim/cdn", put(cdn))
        .route("/_sim/faults", post(add_fault).delete(clear_faults))
        .route("/_sim/limits", put(limits))
        // A test may push whatever it likes at once.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(local_only))
        .with_state(Control { world })
}

/// Answers programs of this machine, not pages that a browser on it shows: those name themselves in `Origin`, or reach a
/// loopback address by a name of their own.
async fn local_only(request: Request, next: Next) -> Response {
    if is_local(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let error = "only programs of this machine are answered: Host must be a loopback address, and Origin too";
    (StatusCode::FORBIDDEN, Json(json!({ "error": error }))).into_response()
}

fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = uri.authority().map(Authority::as_str).or_else(|| named(header::HOST));
    let of_origin = named(header::ORIGIN).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    host.is_some_and(is_loopback) && of_origin.is_none_or(is_loopback)
}

/// Whether `host` or `host:port` is this machine.
fn is_loopback(host: &str) -> bool {
    match host.parse::<Authority>() {
        Ok(authority) => {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Err(_) => false,
    }
}

type Answer = Result<Json<Value>, ControlError>;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoSuchBot(_) | Self::NoSuchLogin(_) | Self::NoSuchSent(_) | Self::NoMedia(_) => StatusCode::NOT_FOUND,
            Self::LoginOver { .. } | Self::Taken { .. } | Self::Content(_) | Self::RefusedByPhone => {
                StatusCode::CONFLICT
            }
            Self::NoSecret => StatusCode::FORBIDDEN,
            Self::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// Reads a body whatever its content type (curl's default is a form); an empty one is `{}`.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ControlError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(invalid)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OneBot {
    bot_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct StateQuery {
    bot_id: Option<String>,
}

async fn state(State(control): State<Control>, Query(query): Query<StateQuery>) -> Response {
    Json(control.world.report(query.bot_id.as_deref())).into_response()
}

async fn create_bot(State(control): State<Control>, body: Bytes) -> Result<Response, ControlError> {
    let bot = control.create_bot(parse::<NewBot>(&body)?)?;
    Ok(Json(bot).into_response())
}

async fn expire(State(control): State<Control>, Path(bot): Path<String>) -> Answer {
    control.expire(&bot)?;
    Ok(Json(json!({})))
}

async fn release(State(control): State<Control>, Path(bot): Path<String>) -> Answer {
    control.release(&bot)?;
    Ok(Json(json!({})))
}

async fn mute(State(control): State<Control>, Path(bot): Path<String>) -> Answer {
    control.mute(&bot, true)?;
    Ok(Json(json!({})))
}

async fn unmute(State(control): State<Control>, Path(bot): Path<String>) -> Answer {
    control.mute(&bot, false)?;
    Ok(Json(json!({})))
}

async fn take_over(State(control): State<Control>, Path(bot): Path<String>) -> Answer {
    control.take_over(&bot)?;
    Ok(Json(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GateRequest {
    min_version: Option<String>,
}

async fn gate(State(control): State<Control>, body: Bytes) -> Answer {
    let least = parse::<GateRequest>(&body)?.min_version.map(|text| text.parse()).transpose();
    control.set_min_version(least.map_err(ControlError::Invalid)?);
    Ok(Json(json!({})))
}

async fn login(
    State(control): State<Control>,
    Path((which, step)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, ControlError> {
    let step = parse::<StepRequest>(&body)?.named(&step)?;
    Ok(Json(control.login(&which, step)?).into_response())
}

async fn messages(State(control): State<Control>, headers: HeaderMap, body: Bytes) -> Answer {
    let new = parse::<NewMessages>(&body)?;
    let knows = headers.get("x-simulator-secret").is_some_and(|given| given == control.secret());
    if new.reads_files() && !knows {
        return Err(ControlError::NoSecret);
    }
    drop(body);
    let ids = blocking(move || control.push(&new)).await?;
    Ok(message_ids(&ids))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BurstRequest {
    bot_id: String,
    people: usize,
    messages: usize,
}

async fn burst(State(control): State<Control>, body: Bytes) -> Answer {
    let request: BurstRequest = parse(&body)?;
    let ids = control.burst(&request.bot_id, request.people, request.messages)?;
    Ok(message_ids(&ids))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRequest {
    bot_id: String,
    messages: Vec<Box<RawValue>>,
}

async fn raw(State(control): State<Control>, body: Bytes) -> Answer {
    let request: RawRequest = parse(&body)?;
    let count = control.push_raw(&request.bot_id, request.messages)?;
    Ok(Json(json!({ "count": count })))
}

async fn replay(State(control): State<Control>, body: Bytes) -> Answer {
    let count = control.replay(&parse::<OneBot>(&body)?.bot_id)?;
    Ok(Json(json!({ "count": count })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SentQuery {
    bot_id: Option<String>,
    to: Option<String>,
    after: u64,
    count: Option<usize>,
    wait_ms: u64,
}

async fn sent(State(control): State<Control>, Query(query): Query<SentQuery>) -> Response {
    let filter = SentFilter { bot_id: query.bot_id, to: query.to, after: query.after };
    let timeout = Duration::from_millis(query.wait_ms);
    let sent = control.wait_for_sent(&filter, query.count.unwrap_or(1), timeout).await;
    let sent: Vec<_> = sent.iter().map(AsRef::as_ref).collect();
    Json(std::collections::BTreeMap::from([("sent", sent)])).into_response()
}

/// A sent message, with what its receiver gets to see of its media.
async fn sent_one(State(control): State<Control>, Path(which): Path<String>) -> Answer {
    let sent = control.sent_message(&which)?;
    let mut answer = json!({ "sent": &*sent });
    if sent.media.is_some() {
        answer["content"] = json!(blocking(move || control.sent_content(&sent)).await?);
    }
    Ok(Json(answer))
}

/// The decrypted media of a sent message. They are decrypted to their end first: half a file is no answer.
async fn sent_content(State(control): State<Control>, Path(which): Path<String>) -> Result<Response, ControlError> {
    let sent = control.sent_message(&which)?;
    let shutdown = control.world.shutdown.clone();
    let (spooled, file, content) = blocking(move || {
        let (spooled, content) = control.spool_sent(&sent)?;
        let file = spooled.open()?;
        Ok((spooled, file, content))
    })
    .await?;
    let body = of_file(Arc::new(spooled), file, content.size, None, shutdown);
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH.as_str(), content.size.to_string()),
        ("x-content-md5", content.md5),
    ];
    Ok((AppendHeaders(headers), body).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CdnRequest {
    upload_full_url: bool,
}

async fn cdn(State(control): State<Control>, body: Bytes) -> Answer {
    control.set_upload_full_url(parse::<CdnRequest>(&body)?.upload_full_url);
    Ok(Json(json!({})))
}

async fn rejected(State(control): State<Control>, Query(filter): Query<RejectedFilter>) -> Answer {
    Ok(Json(json!({ "rejected": control.rejected(&filter) })))
}

async fn add_fault(State(control): State<Control>, body: Bytes) -> Answer {
    control.add_fault(Fault::try_from(parse::<Value>(&body)?)?);
    Ok(Json(json!({})))
}

async fn clear_faults(State(control): State<Control>) -> Answer {
    control.clear_faults();
    Ok(Json(json!({})))
}

async fn limits(State(control): State<Control>, body: Bytes) -> Result<Response, ControlError> {
    Ok(Json(control.set_limits(parse::<LimitsPatch>(&body)?)).into_response())
}

/// Runs what reads and writes files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ControlError::File(std::io::Error::other(error))))
}

/// As strings: they are above 2^53, and most readers of this API are JavaScript.
fn message_ids(ids: &[u64]) -> Json<Value> {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    Json(json!({ "messageIds": ids }))
}
