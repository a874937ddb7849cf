//! The HTTP client: one connection pool for all accounts, one method an endpoint.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::agent::ProtocolVersion;
use super::error::IlinkError;
use super::guard::is_listed;
use super::hosts::Hosts;
use super::outgoing::*;
use super::secret::{BotToken, ContextToken};
use super::tls;
use super::types::*;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an ordinary request may take.
const REQUEST: Duration = Duration::from_secs(15);
/// How long a light request may take: typing and its ticket.
const LIGHT: Duration = Duration::from_secs(10);
/// How long the farewell of a stopping account may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the status of a QR code may be waited for.
const QR_STATUS: Duration = Duration::from_secs(35);
/// What a long poll may take beyond what the server named, before it counts as unanswered.
pub(super) const POLL_GRACE: Duration = Duration::from_secs(2);
/// How long an answer to a poll may take for its next 64 KiB.
const STALLED: Duration = Duration::from_secs(30);
/// The largest answer that is read.
pub(super) const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Connections that were made less than this ago are not replaced: others asked for fresh ones in the same moment.
const FRESH: Duration = Duration::from_secs(2);
/// The kind of bot that `get_bot_qrcode` is asked for.
const BOT_TYPE: &str = "3";

/// Where requests go and how they are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The API host, such as `https://ilinkai.weixin.qq.com`.
    pub base_url: String,
    /// The `SKRouteTag` header.
    pub route_tag: Option<String>,
    /// The sanitised `bot_agent`.
    pub bot_agent: String,
    /// The version of the protocol that is declared.
    pub version: ProtocolVersion,
}

impl Endpoint {
    /// The host's name, where the address has one.
    fn host(&self) -> Option<String> {
        url::Url::parse(&self.base_url).ok()?.host_str().map(str::to_owned)
    }
}

/// An endpoint with an account's authorisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// What authorises them.
    pub token: BotToken,
}

/// The client. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Ilink {
    http: Arc<RwLock<reqwest::Client>>,
    tls: Arc<rustls::ClientConfig>,
    hosts: Hosts,
    /// When the connections were last replaced.
    replaced: Arc<Mutex<Option<Instant>>>,
    /// Where answers go that are too large for the memory; where the system puts such files if nothing is said.
    large: Option<Arc<Path>>,
    /// How long an answer to a poll may take for its next 64 KiB.
    pub(super) stalled: Duration,
}

impl Ilink {
    /// A client that finds its hosts with `hosts`. Proxies of the environment are honoured.
    pub fn new(hosts: Hosts) -> Result<Ilink, IlinkError> {
        let tls = tls::config();
        let http = connections(&tls, &hosts)?;
        Ok(Ilink {
            http: Arc::new(RwLock::new(http)),
            tls: Arc::new(tls),
            hosts,
            replaced: Arc::default(),
            large: None,
            stalled: STALLED,
        })
    }

    /// The same, with a folder for answers that are too large for the memory: what people write must not lie where others look.
    pub fn with_folder(self, dir: &Path) -> Ilink {
        Ilink { large: Some(dir.into()), ..self }
    }

    /// The same, with the time in which the next 64 KiB of an answer to a poll, or its end, must come: 30 s if nothing is said.
    pub fn with_stalled(self, stalled: Duration) -> Ilink {
        Ilink { stalled, ..self }
    }

    pub(super) fn spills_to(&self) -> Option<Arc<Path>> {
        self.large.clone()
    }

    /// Whether a server at `home` may send a login or an account to `to`, both base URLs: not into a network of one's own, unless
    /// `home` is in one itself, or the host is in `allowed` (`name` or `name:port`).
    pub async fn may_lead(&self, home: &str, to: &str, allowed: &[String]) -> bool {
        let (Ok(home), Ok(to)) = (Url::parse(home), Url::parse(to)) else { return false };
        home.origin() == to.origin()
            || is_listed(&to, allowed)
            || !self.hosts.leads_inside(&to).await
            || self.hosts.leads_inside(&home).await
    }

    /// Makes new connections for what is asked from now on; requests under way go on with theirs. Where `silent` is given,
    /// this endpoint did not answer what was asked then, and another address of its host is tried first. `false`: it keeps the old ones, and says why in the log.
    pub fn reconnect(&self, silent: Option<(&Endpoint, Instant)>) -> bool {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        if replaced.is_some_and(|at| at.elapsed() < FRESH) {
            return true;
        }
        if let Some((endpoint, asked)) = silent
            && let Some(host) = endpoint.host()
        {
            self.hosts.silent(&host, asked);
        }
        match connections(&self.tls, &self.hosts) {
            Ok(http) => *self.http.write().unwrap_or_else(PoisonError::into_inner) = http,
            Err(error) => {
                tracing::warn!(%error, "the connections to WeChat were not replaced");
                return false;
            }
        }
        *replaced = Some(Instant::now());
        true
    }

    fn http(&self) -> reqwest::Client {
        self.http.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a message. `Ok` means that the server took it.
    pub async fn send(&self, session: &Session, message: &OutgoingMessage<'_>) -> Result<SendAnswer, IlinkError> {
        let body = SendBody {
            msg: SendMsg {
                from_user_id: "",
                to_user_id: message.to,
                client_id: message.client_id,
                message_type: MESSAGE_TYPE_BOT,
                message_state: 2,
                item_list: [message.item.to_json()],
                context_token: message.context_token,
                run_id: message.run_id,
            },
        };
        self.post(&session.endpoint, Some(&session.token), "sendmessage", body, REQUEST).await
    }

    /// Asks where a file goes.
    pub async fn get_upload_url(
        &self,
        session: &Session,
        request: &UploadRequest<'_>,
    ) -> Result<UploadAnswer, IlinkError> {
        self.post(&session.endpoint, Some(&session.token), "getuploadurl", request, REQUEST).await
    }

    /// Asks what another client asked, with this account's authorisation: `body` without its `base_info`. `getuploadurl` alone is
    /// worth that: what a file is called and how it is encrypted only that client knows.
    pub async fn forward_upload_request(&self, session: &Session, body: Value) -> Result<Value, IlinkError> {
        self.post(&session.endpoint, Some(&session.token), "getuploadurl", body, REQUEST).await
    }

    /// Asks for a peer's typing ticket.
    pub async fn get_config(
        &self,
        session: &Session,
        peer: &str,
        context_token: Option<&ContextToken>,
    ) -> Result<ConfigAnswer, IlinkError> {
        let mut body = json!({ "ilink_user_id": peer });
        if let Some(token) = context_token {
            body["context_token"] = token.reveal().into();
        }
        self.post(&session.endpoint, Some(&session.token), "getconfig", body, LIGHT).await
    }

    /// Shows (or ends) typing.
    pub async fn send_typing(
        &self,
        session: &Session,
        peer: &str,
        ticket: &str,
        typing: bool,
    ) -> Result<(), IlinkError> {
        let status = if typing { 1 } else { 2 };
        let body = json!({ "ilink_user_id": peer, "typing_ticket": ticket, "status": status });
        self.post::<Value>(&session.endpoint, Some(&session.token), "sendtyping", body, LIGHT).await.map(|_| ())
    }

    /// Whether a host answers at all, whatever it answers; returns how long it took.
    pub async fn reach(&self, url: &str) -> Result<Duration, IlinkError> {
        let began = std::time::Instant::now();
        let asked = self.http().get(url).timeout(LIGHT).send().await;
        asked.map(|_| began.elapsed()).map_err(|error| IlinkError::from_reqwest("reach", error))
    }

    /// Says that an account has started. Failures matter to nobody.
    pub async fn notify_start(&self, session: &Session) -> Result<(), IlinkError> {
        self.post::<Value>(&session.endpoint, Some(&session.token), "msg/notifystart", json!({}), LIGHT)
            .await
            .map(|_| ())
    }

    /// Says that an account stops; takes two seconds at most.
    pub async fn notify_stop(&self, session: &Session) -> Result<(), IlinkError> {
        self.post::<Value>(&session.endpoint, Some(&session.token), "msg/notifystop", json!({}), FAREWELL)
            .await
            .map(|_| ())
    }

    /// Fetches a QR code. `known` are the tokens of local bots, newest first: the server recognises them.
    pub async fn get_bot_qrcode(&self, endpoint: &Endpoint, known: &[BotToken]) -> Result<QrAnswer, IlinkError> {
        let tokens: Vec<&str> = known.iter().take(10).map(BotToken::reveal).collect();
        let body = json!({ "local_token_list": tokens });
        let path = format!("get_bot_qrcode?bot_type={BOT_TYPE}");
        let request = self.request(endpoint, reqwest::Method::POST, "get_bot_qrcode", &path)?;
        let request = request.headers(self.post_headers(None)).body(self.body("get_bot_qrcode", endpoint, body)?);
        // The protocol sets no deadline here; a dead connection must still end.
        self.answer("get_bot_qrcode", request.timeout(Duration::from_secs(60))).await
    }

    /// Waits for a QR code to change. A deadline, a 5xx and a network error count as [`QrStatus::Wait`].
    pub async fn get_qrcode_status(
        &self,
        endpoint: &Endpoint,
        qrcode: &str,
        verify_code: Option<&str>,
    ) -> Result<QrStatus, IlinkError> {
        let mut request = self
            .request(endpoint, reqwest::Method::GET, "get_qrcode_status", "get_qrcode_status")?
            .query(&[("qrcode", qrcode)]);
        if let Some(code) = verify_code {
            request = request.query(&[("verify_code", code)]);
        }
        match self.answer::<QrStatusAnswer>("get_qrcode_status", request.timeout(QR_STATUS)).await {
            Ok(answer) => Ok(answer.into()),
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "the status of a QR code was not answered; asking again");
                Ok(QrStatus::Wait)
            }
            Err(error) => Err(error),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        token: Option<&BotToken>,
        name: &'static str,
        body: impl Serialize,
        deadline: Duration,
    ) -> Result<T, IlinkError> {
        self.answer(name, self.posted(endpoint, token, name, body)?.timeout(deadline)).await
    }

    pub(super) fn posted(
        &self,
        endpoint: &Endpoint,
        token: Option<&BotToken>,
        name: &'static str,
        body: impl Serialize,
    ) -> Result<reqwest::RequestBuilder, IlinkError> {
        let request = self.request(endpoint, reqwest::Method::POST, name, name)?;
        Ok(request.headers(self.post_headers(token)).body(self.body(name, endpoint, body)?))
    }

    /// Remembers which address of the host answered.
    pub(super) fn reached(&self, response: &reqwest::Response) {
        if let (Some(host), Some(address)) = (response.url().host_str(), response.remote_addr().map(|at| at.ip())) {
            self.hosts.answered(host, address);
        }
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        method: reqwest::Method,
        name: &'static str,
        path: &str,
    ) -> Result<reqwest::RequestBuilder, IlinkError> {
        let base = endpoint.base_url.trim_end_matches('/');
        let text = format!("{base}/ilink/bot/{path}");
        let url = url::Url::parse(&text).map_err(|error| IlinkError::BadAddress {
            endpoint: name,
            url: super::address::shown(base),
            detail: error.to_string(),
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("ilink-app-id"), HeaderValue::from_static("bot"));
        headers
            .insert(HeaderName::from_static("ilink-app-clientversion"), HeaderValue::from(endpoint.version.as_u32()));
        if let Some(tag) = endpoint.route_tag.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.insert(HeaderName::from_static("skroutetag"), tag);
        }
        Ok(self.http().request(method, url).headers(headers))
    }

    fn post_headers(&self, token: Option<&BotToken>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("authorizationtype"), HeaderValue::from_static("ilink_bot_token"));
        let uin = BASE64.encode(rand::random::<u32>().to_string());
        if let Ok(uin) = HeaderValue::from_str(&uin) {
            headers.insert(HeaderName::from_static("x-wechat-uin"), uin);
        }
        if let Some(token) = token
            && let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        headers
    }

    /// The body with `base_info`, which every POST carries: the server drops a message without it.
    fn body(&self, name: &'static str, endpoint: &Endpoint, body: impl Serialize) -> Result<Vec<u8>, IlinkError> {
        let malformed = |error: serde_json::Error| IlinkError::Malformed { endpoint: name, detail: error.to_string() };
        let mut body = serde_json::to_value(body).map_err(malformed)?;
        body["base_info"] = json!({ "channel_version": endpoint.version.to_string(), "bot_agent": endpoint.bot_agent });
        serde_json::to_vec(&body).map_err(malformed)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, IlinkError> {
        let mut response = request.send().await.map_err(|error| IlinkError::of_request(endpoint, error))?;
        self.reached(&response);
        let status = response.status();
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |n| n.min(64 * 1024) as usize));
        while let Some(chunk) = response.chunk().await.map_err(|error| IlinkError::of_request(endpoint, error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let detail = format!("it is larger than {MAX_ANSWER} bytes");
                return Err(IlinkError::Malformed { endpoint, detail });
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(IlinkError::Http { endpoint, status: status.as_u16() });
        }
        read_answer(endpoint, &body)
    }
}

fn connections(tls: &rustls::ClientConfig, hosts: &Hosts) -> Result<reqwest::Client, IlinkError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(hosts.clone())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(90))
        // A connection whose other end is gone is found out within about a minute, also while nothing is said on it.
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_keepalive_interval(Duration::from_secs(10))
        .tcp_keepalive_retries(3)
        .redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| IlinkError::from_reqwest("client", error))
}

/// Reads the body of an answer: whether the server refused, then what it says.
pub(super) fn read_answer<T: DeserializeOwned>(endpoint: &'static str, body: &[u8]) -> Result<T, IlinkError> {
    let malformed = |error| IlinkError::malformed(endpoint, error);
    // Bytes that are no text spoil the text that they are in, not the answer: a poll would be answered so again, for ever.
    let body = String::from_utf8_lossy(body);
    // Serde would take an array for an object whose fields are given in order.
    let verdict: Verdict = match body.trim_start().starts_with('{') {
        true => serde_json::from_str(&body).map_err(malformed)?,
        false => return Err(IlinkError::Malformed { endpoint, detail: "it is no JSON object".to_owned() }),
    };
    if verdict.error.is_some() && verdict.ret.is_none() && verdict.errcode.is_none() {
        let detail = "it is not iLink's; perhaps a proxy's, or the page of a network that wants a login".to_owned();
        return Err(IlinkError::Malformed { endpoint, detail });
    }
    if let Some(refused) = IlinkError::from_verdict(endpoint, verdict) {
        return Err(refused);
    }
    serde_json::from_str(&body).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::{MessageId, SendAnswer};

    fn sent(body: &str) -> Result<Option<MessageId>, IlinkError> {
        read_answer::<SendAnswer>("sendmessage", body.as_bytes()).map(|answer| answer.message_id)
    }

    #[test]
    fn what_is_not_ilinks_answer_is_no_success() {
        for body in
            ["", "[]", "7", "null", "\"ok\"", r#"{"error":"blocked by a proxy"}"#, r#"{"ret":"abc"}"#, r#"{"ret":[]}"#]
        {
            assert!(matches!(sent(body), Err(IlinkError::Malformed { .. })), "{body}");
        }
        for body in ["{}", r#"{"ret":0}"#, r#"{"ret":null,"message_id":0}"#, r#"{"message_id":" "}"#] {
            assert_eq!(sent(body).unwrap(), None, "{body}");
        }
        assert!(matches!(sent(r#"{"ret":"-2"}"#), Err(IlinkError::Refused { ret: Some(-2), .. })));
    }

    #[tokio::test]
    async fn a_public_host_leads_into_no_private_network_and_a_private_one_may() {
        let hosts = Hosts::with(|name| {
            let address = if name.ends_with("corp.example") { [10, 0, 0, 1] } else { [8, 8, 8, 8] };
            Box::pin(async move { Ok(vec![address.into()]) })
        });
        let ilink = Ilink::new(hosts).unwrap();
        let allowed = ["a.corp.example:8443".to_owned()];
        for (home, to, may) in [
            ("https://a.example", "https://b.example", true),
            ("https://a.example", "https://a.corp.example", false),
            ("https://a.example", "https://a.corp.example:8443", true),
            ("https://a.example", "https://169.254.169.254", false),
            ("https://a.example", "https://[::1]:8443", false),
            ("https://b.corp.example", "https://a.corp.example", true),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("https://a.example", "nonsense", false),
        ] {
            assert_eq!(ilink.may_lead(home, to, &allowed).await, may, "{home} to {to}");
        }
    }

    #[test]
    fn an_id_that_is_no_number_is_an_id() {
        let id = |body: &str| sent(body).unwrap().map(|id| (id.text, id.number));
        assert_eq!(id(r#"{"message_id":18446744073709551615}"#), Some((u64::MAX.to_string(), Some(u64::MAX))));
        assert_eq!(id(r#"{"message_id":"abcdef0123"}"#), Some(("abcdef0123".into(), None)));
        assert_eq!(id(r#"{"message_id":7.5}"#), Some(("7.5".into(), None)));
    }
}
