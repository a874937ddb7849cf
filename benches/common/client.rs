//! The sidecar's HTTP client with nothing behind it: the floor under everything that polls.

/// The client as the sidecar makes it, without certificates: the server is on loopback and speaks plain HTTP.
pub fn bare_client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}
