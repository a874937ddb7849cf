//! The page for people, and who is signed in on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Role, Scope};
use super::http::{App, CameFrom, Failure, whole};
use crate::supervise::lock;

const COOKIE: &str = "wxhub_session";
/// How long somebody stays signed in.
const SIGNED_IN: Duration = Duration::from_secs(12 * 3600);
/// How long a one-time link is good.
const LINK: Duration = Duration::from_secs(15 * 60);
/// Sessions at once; the oldest go.
const SESSIONS: usize = 100;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page is made of: its path, its type, its bytes.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("console/index.html")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("console/app.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("console/style.css")),
    ("/texts.js", "text/javascript; charset=utf-8", include_str!("console/texts.js")),
];

struct SignedIn {
    caller: Arc<Caller>,
    until: Instant,
    /// Cancelled with the token that signed in, or by signing out.
    ended: CancellationToken,
}

/// Who is signed in. In memory: a restart signs everybody out.
#[derive(Default)]
pub struct Console {
    /// By the hash of the cookie.
    sessions: Mutex<HashMap<[u8; 32], SignedIn>>,
    /// One-time codes, by hash, and until when they are good.
    codes: Mutex<HashMap<[u8; 32], Instant>>,
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

impl Console {
    /// A code that signs an admin in, once.
    pub fn one_time_code(&self) -> String {
        let code = secret();
        lock(&self.codes).insert(hash(&code), Instant::now() + LINK);
        code
    }

    /// Whoever has this cookie.
    pub fn caller(&self, headers: &HeaderMap) -> Option<(Arc<Caller>, CancellationToken)> {
        let cookie = cookie_of(headers)?;
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.until > Instant::now() && !session.ended.is_cancelled());
        let found = sessions.get(&hash(cookie))?;
        Some((found.caller.clone(), found.ended.clone()))
    }

    fn sign_in(&self, caller: Arc<Caller>, ended: CancellationToken) -> String {
        let cookie = secret();
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key);
            oldest.map(|key| sessions.remove(&key));
        }
        sessions.insert(hash(&cookie), SignedIn { caller, until: Instant::now() + SIGNED_IN, ended });
        cookie
    }

    fn sign_out(&self, headers: &HeaderMap) {
        let ended = cookie_of(headers).and_then(|cookie| lock(&self.sessions).remove(&hash(cookie)));
        if let Some(session) = ended {
            session.ended.cancel();
        }
    }

    fn redeem(&self, code: &str) -> bool {
        let until = lock(&self.codes).remove(&hash(code));
        until.is_some_and(|until| until > Instant::now())
    }
}

fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The page's paths.
pub fn routes() -> Router<App> {
    let mut router = Router::new().route("/session", post(sign_in).delete(sign_out));
    for (path, kind, content) in FILES {
        let file = async move || {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ];
            (headers, content)
        };
        router = router.route(path, get(file));
    }
    router
}

#[derive(Deserialize)]
struct Credentials {
    code: Option<String>,
    token: Option<String>,
}

async fn sign_in(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    body: Body,
) -> Result<Response, Failure> {
    let body = whole(body, 4 * 1024).await?;
    let given: Credentials =
        serde_json::from_slice(&body).map_err(|error| Failure::Bad(format!("the body is no credentials: {error}")))?;
    let (caller, ended) = match given {
        Credentials { code: Some(code), .. } => {
            if !app.console.redeem(&code) {
                // Counted like a wrong token.
                return Err(app
                    .hub
                    .tokens
                    .recognise(&code, from.ip())
                    .err()
                    .map_or(Failure::Unauthorized, Failure::from));
            }
            let caller = Caller {
                id: "link".to_owned(),
                backend: "console".into(),
                role: Role::Admin,
                accounts: Scope::of(None),
            };
            (Arc::new(caller), CancellationToken::new())
        }
        Credentials { token: Some(token), .. } => {
            let (caller, revoked) = app.hub.tokens.recognise(&token, from.ip())?;
            caller.require_observer()?;
            (caller, revoked.child_token())
        }
        _ => return Err(Failure::Bad("give a code or a token".to_owned())),
    };
    let cookie = app.console.sign_in(caller, ended);
    let secure = if app.secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={cookie}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", SIGNED_IN.as_secs());
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Response {
    app.console.sign_out(&headers);
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
