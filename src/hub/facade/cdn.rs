//! Encrypted files, passed on as they are. Clients send no token here: what the hub sealed is what lets in.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use tempfile::TempPath;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use super::super::http::{App, Failure, receive, unusable};
use super::wire::Source;
use crate::private;
use ilink::cdn::{CdnError, MediaSource, UploadTarget};

/// Transfers at once; others wait.
const TRANSFERS: usize = 64;
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(TRANSFERS)));
/// How long a client may take to bring a file.
const UPLOAD_WITHIN: Duration = Duration::from_secs(600);

/// Where a file is (or, with `brings`, goes) that the hub told this client of.
fn sealed(app: &App, query: &HashMap<String, String>, brings: bool) -> Result<Source, Failure> {
    let param = query.get("encrypted_query_param").map(String::as_str).unwrap_or_default();
    let source = app.hub.seal.open_sealed(param).filter(|source: &Source| source.filekey.is_some() == brings);
    source.ok_or(Failure::NotFound("encrypted_query_param is not one that this hub gave"))
}

/// A place in the spool, which is empty again when this is dropped.
async fn place(app: &App) -> Result<TempPath, Failure> {
    let library = app.hub.sidecar.sender.library.clone();
    let made = tokio::task::spawn_blocking(move || TempPath::try_from_path(library.spool()?)).await;
    Ok(made.map_err(unusable)?.map_err(unusable)?)
}

/// The media host's words for a client: what it refused stays refused, what may pass may be tried again.
fn refused(error: &CdnError) -> Response {
    let status = match error {
        CdnError::Http { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY),
        error if error.is_transient() => StatusCode::BAD_GATEWAY,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = status.into_response();
    if let Ok(message) = HeaderValue::from_str(&error.to_string()) {
        response.headers_mut().insert("x-error-message", message);
    }
    response
}

/// Takes a ciphertext and brings it to the media host.
pub async fn upload(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
    body: Body,
) -> Result<Response, Failure> {
    let source = sealed(&app, &query, true)?;
    // Never closed.
    let _place = PLACES.acquire().await;
    let spooled = place(&app).await?;
    let to = spooled.to_path_buf();
    let file = tokio::task::spawn_blocking(move || private::new_file(&to)).await;
    let file = file.map_err(unusable)?.map_err(unusable)?;
    // A ciphertext is a little longer than what is in it.
    let received = receive(body, file, app.hub.sidecar.clients.settings().media_max_bytes() + 16);
    tokio::time::timeout(UPLOAD_WITHIN, received).await.map_err(|_| Failure::TooSlow)??;
    let target = UploadTarget {
        full_url: source.full_url,
        upload_param: source.param.unwrap_or_default(),
        filekey: source.filekey.unwrap_or_default(),
    };
    Ok(match app.hub.sidecar.clients.cdn().upload_ciphertext(&target, &spooled).await {
        Ok(param) => match HeaderValue::from_str(&param) {
            Ok(param) => ([("x-encrypted-param", param)], StatusCode::OK).into_response(),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        },
        Err(error) => refused(&error),
    })
}

/// Fetches a ciphertext from the media host and hands it on.
pub async fn download(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Failure> {
    let source = sealed(&app, &query, false)?;
    // Never closed.
    let taken = PLACES.clone().acquire_owned().await;
    let spooled = place(&app).await?;
    let source = MediaSource { full_url: source.full_url, query_param: source.param, key: None };
    let admit = |_| -> BoxFuture<'_, Result<(), CdnError>> { Box::pin(async { Ok(()) }) };
    let limit = app.hub.sidecar.clients.settings().media_max_bytes() + 16;
    let fetched = match app.hub.sidecar.clients.cdn().download(&source, limit, &spooled, &admit).await {
        Ok(fetched) => fetched,
        Err(error) => return Ok(refused(&error)),
    };
    let file = tokio::fs::File::open(&spooled).await.map_err(unusable)?;
    let pieces =
        futures_util::stream::unfold((ReaderStream::new(file), spooled, taken), |(mut pieces, spooled, taken)| async {
            let piece = futures_util::StreamExt::next(&mut pieces).await?;
            Some((piece, (pieces, spooled, taken)))
        });
    let headers =
        [("content-type", "application/octet-stream".to_owned()), ("content-length", fetched.size.to_string())];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
