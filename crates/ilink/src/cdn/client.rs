//! The HTTP client of the media host, and of the URLs that media come from.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use url::Url;

use super::error::CdnError;
use super::progress::{Progress, Watcher};
use crate::{NotPublic, PublicOnly, is_listed, public_only, tls};

const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may move before a transfer is given up.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// Of a download, and of a request that waits for its answer.
    pub download: Duration,
    /// Of an upload. Some of it moves only between here and the system's buffers, which a slow line takes its time to empty.
    pub upload: Duration,
}

impl Default for Stalls {
    fn default() -> Stalls {
        Stalls { download: Duration::from_secs(30), upload: Duration::from_secs(90) }
    }
}

/// How often a transfer is begun.
const TRIES: u32 = 3;
/// The wait before the second try; twice as long before the third.
const RETRY: Duration = Duration::from_millis(500);
/// How many redirects a URL may take.
pub(super) const REDIRECTS: u32 = 5;

/// Made at the first use: it costs more than a start without media may.
type Client = LazyLock<reqwest::Client, Box<dyn FnOnce() -> reqwest::Client + Send>>;

/// The media host. Clones share their connections.
#[derive(Clone)]
pub struct Cdn {
    /// For the media host itself.
    own: Arc<Client>,
    /// For everything else: public addresses only, no proxy (it would resolve names by itself), no redirects unseen.
    public: Arc<Client>,
    base: String,
    /// Hosts (`name` or `name:port`) that are asked although they are not public.
    allowed: Arc<[String]>,
    pub(super) stalls: Stalls,
    pub(super) watcher: Watcher,
}

impl Cdn {
    /// The host at `base`, such as `https://novac2c.cdn.weixin.qq.com/c2c`. `allowed` are hosts (`name` or `name:port`)
    /// of a network of one's own that URLs may lead to.
    pub fn new(base: &str, allowed: Vec<String>, stalls: Stalls) -> Cdn {
        Cdn {
            own: Arc::new(LazyLock::new(Box::new(|| build(|client| client)))),
            public: Arc::new(LazyLock::new(Box::new(|| {
                build(|client| client.no_proxy().dns_resolver(PublicOnly::system()))
            }))),
            base: base.trim_end_matches('/').to_owned(),
            allowed: allowed.into(),
            stalls,
            watcher: Watcher::default(),
        }
    }

    /// The same; `watch` is told of every piece of a file that moves. It must not block.
    pub fn watched_by(self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Cdn {
        Cdn { watcher: Watcher::new(watch), ..self }
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
        if own || is_listed(url, &self.allowed) {
            return Ok(&self.own);
        }
        public_only(url).map_err(CdnError::Denied)?;
        Ok(&self.public)
    }
}

fn build(more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config())
        // No deadline for reading: reqwest's begins with the request, so that a long upload would run into it.
        .connect_timeout(CONNECT)
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
    let header = |name: &str| response.headers().get(name).and_then(|text| text.to_str().ok());
    // A number such as -5102031; what it means nobody wrote down, but it is what a report needs.
    let code = header("x-error-code").and_then(|code| code.parse::<i64>().ok());
    if let Some(words) = header("x-error-message") {
        let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
        tracing::warn!(status = status.as_u16(), code, words, "the media host refused");
    }
    Err(CdnError::Http { status: status.as_u16(), code })
}

/// Sends a request, and waits so long for its answer.
pub(super) async fn asked(request: reqwest::RequestBuilder, within: Duration) -> Result<reqwest::Response, CdnError> {
    let answered = tokio::time::timeout(within, request.send()).await;
    answered.map_err(|_| CdnError::stalled(within))?.map_err(refused_or_network)
}

/// An address that the resolver refused is a refusal, not a failure of the network.
pub(super) fn refused_or_network(error: reqwest::Error) -> CdnError {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(inside) = cause.downcast_ref::<NotPublic>() {
            return CdnError::Denied(inside.to_string());
        }
        source = cause.source();
    }
    CdnError::from_reqwest(error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use tower_layer::Layer;
    use tower_service::Service;

    use super::*;

    /// In the place of everything that connects: counts, and connects to nothing.
    #[derive(Clone, Default)]
    struct NoConnection(Arc<AtomicUsize>);

    #[derive(Clone)]
    struct Refusing<S>(Arc<AtomicUsize>, std::marker::PhantomData<fn() -> S>);

    impl<S> Layer<S> for NoConnection {
        type Service = Refusing<S>;
        fn layer(&self, _: S) -> Refusing<S> {
            Refusing(self.0.clone(), std::marker::PhantomData)
        }
    }

    impl<S, R> Service<R> for Refusing<S>
    where
        S: Service<R, Error = Box<dyn std::error::Error + Send + Sync>>,
    {
        type Response = S::Response;
        type Error = S::Error;
        type Future = std::future::Ready<Result<S::Response, S::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: R) -> Self::Future {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err("this test connects to nothing".into()))
        }
    }

    /// An address that is written out never reaches the connector. (What a name leads to is refused by the resolver: `ilink::guard`.)
    #[tokio::test]
    async fn an_address_inside_is_refused_before_anything_is_connected_to() {
        let out = NoConnection::default();
        let connector = out.clone();
        let client = move || build(|client| client.no_proxy().connector_layer(connector));
        let cdn = Cdn::new("https://media.example/c2c", Vec::new(), Stalls::default());
        let cdn = Cdn { public: Arc::new(LazyLock::new(Box::new(client))), ..cdn };
        let dir = tempfile::tempdir().unwrap();
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://168.63.129.16/machine",
            "http://[::ffff:10.0.0.1]/",
            "http://2130706433/",
            "http://[fd00:ec2::254]/",
            "ftp://1.1.1.1/",
        ] {
            let fetched = cdn.fetch_url(url, 1_000, &dir.path().join("x")).await;
            assert!(matches!(fetched, Err(CdnError::Denied(_))), "{url}: {fetched:?}");
        }
        assert_eq!(out.0.load(Ordering::SeqCst), 0, "nothing was connected to");
        assert!(cdn.public.get("http://127.0.0.1:1/").send().await.is_err());
        assert!(out.0.load(Ordering::SeqCst) > 0, "the stub stands where connections are made");
    }
}
