//! The port: who may connect, who is recognised, and which path is whose. What is behind a path is in the other files.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::hub::Hub;
use super::session::Session;
use super::tokens::Refused;
use super::{console, facade, media, methods, metrics, ws};
use crate::contract::{ContractError, ErrorKind, MAX_LINE_BYTES};
use crate::rpc::{Frame, Server, lines};

/// Connections at once. Beyond it they wait to be accepted.
const CONNECTIONS: usize = 4_096;
/// How long a request's head may take to come; an idle connection is closed then too.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// How long a body that is held in memory may take.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long the next piece of a file may take.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How the hub is reached.
pub struct Listening {
    pub listener: TcpListener,
    pub tls: Option<TlsAcceptor>,
    /// Whether a proxy in front of it ends TLS: cookies are for https then.
    pub behind_proxy: bool,
}

/// What all requests share.
#[derive(Clone)]
pub struct App {
    pub hub: Arc<Hub>,
    pub console: Arc<console::Console>,
    /// Cookies are for https only.
    pub secure: bool,
}

/// Why a request is not done.
#[derive(Debug)]
pub enum Failure {
    /// It came without a token, or with a wrong one.
    Unauthorized,
    /// Too many wrong ones came from there.
    TooManyGuesses,
    NotFound(&'static str),
    TooLarge(u64),
    TooSlow,
    /// It is not what it should be.
    Bad(String),
    Contract(ContractError),
}

impl From<ContractError> for Failure {
    fn from(error: ContractError) -> Failure {
        Failure::Contract(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Unknown => Failure::Unauthorized,
            Refused::TooMany => Failure::TooManyGuesses,
        }
    }
}

impl Failure {
    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::Unauthorized => StatusCode::UNAUTHORIZED,
            Failure::TooManyGuesses => StatusCode::TOO_MANY_REQUESTS,
            Failure::NotFound(_) => StatusCode::NOT_FOUND,
            Failure::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Failure::Bad(_) => StatusCode::BAD_REQUEST,
            Failure::Contract(error) => match error.data.kind {
                ErrorKind::Forbidden => StatusCode::FORBIDDEN,
                ErrorKind::InvalidParams => StatusCode::BAD_REQUEST,
                ErrorKind::AccountNotFound => StatusCode::NOT_FOUND,
                ErrorKind::MediaTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Network => StatusCode::BAD_GATEWAY,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// What went wrong, and what to do.
    pub fn message(&self) -> String {
        match self {
            Failure::Unauthorized => {
                "this needs a token of the hub: Authorization: Bearer … (hub token create --backend NAME)".to_owned()
            }
            Failure::TooManyGuesses => "too many wrong tokens came from this address; wait a minute".to_owned(),
            Failure::NotFound(what) => (*what).to_owned(),
            Failure::TooLarge(limit) => format!("the body is larger than {limit} bytes"),
            Failure::TooSlow => "the body did not come in time".to_owned(),
            Failure::Bad(why) => why.clone(),
            Failure::Contract(error) => error.message.clone(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, axum::Json(json!({ "error": self.message() }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Serves until the hub's `stop`.
pub async fn serve(hub: Arc<Hub>, listening: Listening, console: Arc<console::Console>) {
    let secure = listening.behind_proxy || listening.tls.is_some();
    let app = App { hub: hub.clone(), console, secure };
    let router = routes(app);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let Listening { listener, tls, .. } = listening;
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = hub.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly the limit of open files; trying again at once would spin.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        let (router, tls, stop) = (router.clone(), tls.clone(), hub.stop.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(socket, from, router, stop).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(socket)).await {
                    Ok(Ok(stream)) => connection(stream, from, router, stop).await,
                    _ => tracing::debug!(%from, "no TLS connection came about"),
                },
            }
            drop(place);
        });
    }
}

async fn connection<S>(stream: S, from: SocketAddr, router: Router, stop: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = router.layer(axum::Extension(ConnectInfo(from)));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(64 * 1024);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => {
            if let Err(error) = ended {
                tracing::debug!(%from, %error, "a connection ended");
            }
        }
        () = stop.cancelled() => {}
    }
}

fn routes(app: App) -> Router {
    let facade = Router::new()
        .route("/ilink/bot/{*endpoint}", post(facade::call).get(facade::call))
        .route("/c2c/upload", post(facade::cdn::upload))
        .route("/c2c/download", get(facade::cdn::download));
    Router::new()
        .route("/rpc", post(rpc))
        .route("/ws", get(ws::upgrade))
        .route("/media", post(post_media))
        .route("/media/{id}", get(get_media))
        .route("/metrics", get(metrics::scrape))
        .merge(console::routes())
        .merge(facade)
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Failure::NotFound("there is nothing at this path; see docs/hub.md").into_response())
        .with_state(app)
}

/// Refuses requests for names that are not the hub's, and of pages that are not its own: a page of somebody else's, open in a
/// browser of this machine, must not reach it, by whatever name it makes the browser resolve.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let refuse = |what: &str| (StatusCode::FORBIDDEN, axum::Json(json!({ "error": what }))).into_response();
    let Some(host) = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned) else {
        return refuse("the request names no host");
    };
    if !is_ours(&host, &app.hub.config().hosts) {
        return refuse("the hub is not reached by this name; add it to hosts in hub.toml");
    }
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let of = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        if !of.is_some_and(|of| of.eq_ignore_ascii_case(&host)) {
            return refuse("pages of other origins may not ask the hub");
        }
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether `Host` names this machine itself, or one of the names of `hub.toml`.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local || names.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host))
}

/// The address that a request came from.
pub type CameFrom = axum::Extension<ConnectInfo<SocketAddr>>;

/// The token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// Who asks, by token or by the console's cookie, and what says that they may no longer.
pub fn recognise(app: &App, headers: &HeaderMap, from: IpAddr) -> Result<(Arc<Caller>, CancellationToken), Failure> {
    match bearer(headers) {
        Some(token) => Ok(app.hub.tokens.recognise(token, from)?),
        None => app.console.caller(headers).ok_or(Failure::Unauthorized),
    }
}

/// A whole body, no longer than `limit`, in time.
pub async fn whole(body: Body, limit: usize) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(BODY_WITHIN, axum::body::to_bytes(body, limit)).await;
    read.map_err(|_| Failure::TooSlow)?.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.to_string().contains("length limit exceeded") {
                return Failure::TooLarge(limit as u64);
            }
            cause = error.source();
        }
        Failure::Bad("the body did not come whole".to_owned())
    })
}

/// A file of the channel's that cannot be written, or read again.
pub fn unusable(error: impl std::fmt::Display) -> ContractError {
    let message = format!(
        "the channel's media folder cannot be used ({error}); see that the disk has room, and that this user may write there"
    );
    ContractError::new(ErrorKind::StoreFailed, message)
}

/// Writes a body into a file; each piece must come in time. Returns how long it is.
pub async fn receive(body: Body, file: std::fs::File, limit: u64) -> Result<u64, Failure> {
    let (mut pieces, mut file, mut size) = (body.into_data_stream(), tokio::fs::File::from_std(file), 0);
    while let Some(piece) = tokio::time::timeout(PIECE_WITHIN, pieces.next()).await.map_err(|_| Failure::TooSlow)? {
        let piece = piece.map_err(|_| Failure::Bad("the body did not come whole".to_owned()))?;
        size += piece.len() as u64;
        if size > limit {
            return Err(Failure::TooLarge(limit));
        }
        file.write_all(&piece).await.map_err(unusable)?;
    }
    file.flush().await.map_err(unusable)?;
    Ok(size)
}

async fn rpc(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (caller, revoked) = recognise(&app, &headers, from.ip())?;
    let line = whole(body, MAX_LINE_BYTES).await?;
    let session = Arc::new(Session::of_request(app.hub.clone(), caller));
    let defect = |_| ContractError::new(ErrorKind::Internal, "the methods could not be registered");
    let module = methods::module(session).map_err(defect)?;
    let server = Arc::new(Server::new(module, lines(0).0, || true));
    let answer = tokio::select! {
        answer = server.answer_one(Frame::Line(line.to_vec())) => answer,
        () = revoked.cancelled() => return Err(Failure::Unauthorized),
    };
    Ok(match answer {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

#[derive(serde::Deserialize)]
struct Posted {
    /// The name that people see.
    name: Option<String>,
}

async fn post_media(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    Query(posted): Query<Posted>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (caller, _) = recognise(&app, &headers, from.ip())?;
    let id = media::post(&app.hub, &caller, posted.name.as_deref(), body).await?;
    Ok(axum::Json(json!({ "mediaId": id })).into_response())
}

async fn get_media(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (caller, _) = recognise(&app, &headers, from.ip())?;
    media::serve(&Session::of_request(app.hub.clone(), caller), &id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_those_of_the_file_are_ours() {
        let names = ["hub.example.com".to_owned(), "10.0.0.7:9000".to_owned()];
        for ours in [
            "127.0.0.1:8790",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8790",
            "127.9.9.9",
            "Hub.example.com:443",
            "10.0.0.7:9000",
        ] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for not in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "10.0.0.7",
            "10.0.0.7:9001",
            "",
            "[::2]",
        ] {
            assert!(!is_ours(not, &names), "{not}");
        }
    }
}
