//! The HTTP client of the media host, and of the URLs that media come from.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use url::Url;

use super::error::CdnError;
use super::guard::{PublicOnly, public_only};
use crate::ilink::tls;

const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing moves for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// How often a transfer is begun.
const TRIES: u32 = 3;
/// The wait before the second try; twice as long before the third.
const RETRY: Duration = Duration::from_millis(500);
/// How many redirects a URL may take.
pub(super) const REDIRECTS: u32 = 5;

/// The media host. Clones share their connections.
#[derive(Clone)]
pub struct Cdn {
    /// For the media host itself.
    own: Arc<LazyLock<reqwest::Client>>,
    /// For everything else: public addresses only, no proxy (it would resolve names by itself), no redirects unseen.
    public: Arc<LazyLock<reqwest::Client>>,
    base: String,
    /// Hosts (`name` or `name:port`) that are asked although they are not public.
    allowed: Arc<[String]>,
}

impl Cdn {
    /// The host at `base`, such as `https://novac2c.cdn.weixin.qq.com/c2c`. `allowed` are hosts (`name` or `name:port`)
    /// of a network of one's own that URLs may lead to.
    pub fn new(base: &str, allowed: Vec<String>) -> Cdn {
        Cdn {
            own: Arc::new(LazyLock::new(|| build(|client| client))),
            public: Arc::new(LazyLock::new(|| build(|client| client.no_proxy().dns_resolver(Arc::new(PublicOnly))))),
            base: base.trim_end_matches('/').to_owned(),
            allowed: allowed.into(),
        }
    }

    /// The same connections, another host.
    pub fn at(&self, base: &str) -> Cdn {
        Cdn { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// An address at the media host.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, CdnError> {
        let text = format!("{}/{path}", self.base);
        Url::parse_with_params(&text, query).map_err(|error| CdnError::Denied(format!("{}: {error}", self.base)))
    }

    /// The client that may ask for `url`.
    pub(super) fn client_for(&self, url: &Url) -> Result<&reqwest::Client, CdnError> {
        let own = Url::parse(&self.base).is_ok_and(|base| base.origin() == url.origin());
        if own || self.is_allowed(url) {
            return Ok(&self.own);
        }
        public_only(url).map_err(CdnError::Denied)?;
        Ok(&self.public)
    }

    fn is_allowed(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        let with_port = format!("{host}:{port}");
        matches!(url.scheme(), "http" | "https") && self.allowed.iter().any(|name| *name == host || *name == with_port)
    }
}

fn build(more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls())
        .connect_timeout(CONNECT)
        .read_timeout(STALLED)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(Policy::none());
    // The same settings built the client of the wire, without which nothing comes this far.
    more(client).build().expect("an HTTP client can be built")
}

/// Makes a transfer, three times at most: what may pass by itself is tried again, anything else is final.
pub(super) async fn retried<T, F>(mut transfer: impl FnMut() -> F) -> Result<T, CdnError>
where
    F: Future<Output = Result<T, CdnError>>,
{
    let mut failures = 0;
    loop {
        match transfer().await {
            Err(error) if error.is_transient() && failures + 1 < TRIES => {
                failures += 1;
                tracing::debug!(%error, failures, "media was not moved; trying again");
                tokio::time::sleep(RETRY * failures).await;
            }
            done => return done,
        }
    }
}

/// A response that is a success, or what the host said instead.
pub(super) fn accepted(response: reqwest::Response) -> Result<reqwest::Response, CdnError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let reason = response.headers().get("x-error-message").and_then(|text| text.to_str().ok());
    let reason: Option<String> = reason.map(|text| text.chars().filter(|c| !c.is_control()).take(200).collect());
    // A number such as -5102031; what it means nobody wrote down, but it is what a report needs.
    let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()?.parse::<i64>().ok());
    let reason = match (reason, code) {
        (Some(reason), Some(code)) => Some(format!("{reason}, code {code}")),
        (None, Some(code)) => Some(format!("code {code}")),
        (reason, None) => reason,
    };
    Err(CdnError::Http { status: status.as_u16(), reason })
}
