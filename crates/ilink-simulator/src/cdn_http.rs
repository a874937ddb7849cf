//! The two requests a CDN knows. A refusal says why in `x-error-message`, and is recorded.
//!
//! Neither has the headers of the API. A bot's token does not belong here, so a client that sends it is refused.

use std::num::NonZeroU64;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::cdn::body::of_file;
use super::cdn::{Manner, Object, Upload};
use super::endpoint::Endpoint;
use super::ledger::Rejected;
use super::world::World;

/// The header in which a CDN says why it refuses.
pub(super) const ERROR_HEADER: &str = "x-error-message";

/// The routes of the CDN.
pub(super) fn router() -> Router<Arc<World>> {
    Router::new().route("/c2c/upload", post(upload)).route("/c2c/download", get(download))
}

/// The query of both. What is missing is unknown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    encrypted_query_param: String,
    filekey: String,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn wrong(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    fn broken(error: &std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the simulator's file: {error}"))
    }

    fn answer(self, world: &World, endpoint: Endpoint, bot_id: Option<String>) -> Response {
        // The reasons are ours, and ASCII but for what the system says.
        let message = HeaderValue::from_str(&self.reason).unwrap_or(HeaderValue::from_static("refused"));
        let mut rejected = Rejected::new(Some(endpoint), self.reason);
        rejected.bot_id = bot_id;
        rejected.answer = format!("http {}", self.status.as_u16());
        world.ledger.reject(rejected);
        (self.status, [(ERROR_HEADER, message)]).into_response()
    }
}

/// Takes a ciphertext, and answers with its download parameter.
pub(super) async fn upload(
    State(world): State<Arc<World>>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let announced = world.cdn.upload(&query.encrypted_query_param);
    let bot_id = announced.as_ref().map(|upload| upload.bot_id.clone());
    match take(&world, announced, &query.filekey, &headers, body).await {
        Ok(parameter) => match HeaderValue::from_str(&parameter) {
            Ok(parameter) => (StatusCode::OK, [("x-encrypted-param", parameter)]).into_response(),
            Err(error) => Refusal::wrong(error.to_string()).answer(&world, Endpoint::CdnUpload, bot_id),
        },
        Err(refusal) => refusal.answer(&world, Endpoint::CdnUpload, bot_id),
    }
}

async fn take(
    world: &World,
    announced: Option<Arc<Upload>>,
    filekey: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<String, Refusal> {
    let checked = check_token(headers).and_then(|()| {
        let upload = announced.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "an unknown upload parameter"))?;
        if upload.filekey != filekey {
            return Err(Refusal::wrong("filekey is not the announced one"));
        }
        if headers.get(header::CONTENT_TYPE).is_none_or(|value| value != "application/octet-stream") {
            return Err(Refusal::wrong("Content-Type is not application/octet-stream"));
        }
        Ok(upload)
    });
    let upload = match checked {
        Ok(upload) => upload,
        Err(refusal) => {
            drain(body).await;
            return Err(refusal);
        }
    };
    let (file, open) = world.cdn.file().map_err(|error| Refusal::broken(&error))?;
    let size = spool(body, open, upload.filesize).await?;
    if size != upload.filesize {
        let announced = upload.filesize;
        return Err(Refusal::wrong(format!("{size} bytes came, {announced} were announced as filesize")));
    }
    let file = Arc::new(file);
    let bot_id = upload.bot_id.clone();
    Ok(world.cdn.keep(Object { bot_id, file, size, manner: Manner::Plain, upload: Some(upload) }))
}

/// Writes the body to a file, `limit` bytes of it at most, and returns how many bytes came.
async fn spool(body: Body, file: std::fs::File, limit: u64) -> Result<u64, Refusal> {
    let mut file = tokio::fs::File::from_std(file);
    let mut chunks = body.into_data_stream();
    let mut size = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::wrong("the upload broke off"))?;
        size += chunk.len() as u64;
        // What is too much is read to its end all the same: a client that is still writing reads no answer.
        if size <= limit {
            file.write_all(&chunk).await.map_err(|error| Refusal::broken(&error))?;
        }
    }
    file.flush().await.map_err(|error| Refusal::broken(&error))?;
    Ok(size)
}

/// Reads a body to its end, and forgets it.
pub(crate) async fn drain(body: Body) {
    let mut chunks = body.into_data_stream();
    while let Some(Ok(_)) = chunks.next().await {}
}

/// Hands out an object in its manner.
pub(super) async fn download(
    State(world): State<Arc<World>>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let object = world.cdn.object(&query.encrypted_query_param);
    let bot_id = object.as_ref().map(|object| object.bot_id.clone());
    match give(&world, object, &headers) {
        Ok(response) => response,
        Err(refusal) => refusal.answer(&world, Endpoint::CdnDownload, bot_id),
    }
}

fn give(world: &World, object: Option<Arc<Object>>, headers: &HeaderMap) -> Result<Response, Refusal> {
    check_token(headers)?;
    let object = object.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "an unknown download parameter"))?;
    let pace = match &object.manner {
        Manner::Plain => None,
        Manner::Slow(pace) => NonZeroU64::new(*pace),
        Manner::Missing => return Err(Refusal::new(StatusCode::NOT_FOUND, "the file is gone")),
        Manner::Redirect(to) => {
            let to = HeaderValue::from_str(to).map_err(|_| Refusal::wrong("a redirect to no address"))?;
            return Ok((StatusCode::FOUND, [(header::LOCATION, to)]).into_response());
        }
    };
    let file = object.file.open().map_err(|error| Refusal::broken(&error))?;
    let body = of_file(object.file.clone(), file, object.size, pace, world.shutdown.clone());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(object.size)),
    ];
    Ok((headers, body).into_response())
}

fn check_token(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::AUTHORIZATION) {
        Some(_) => Err(Refusal::wrong("an Authorization header: the token of a bot is not for the CDN")),
        None => Ok(()),
    }
}
