//! Addresses of hosts: as they may be shown, and as a server may name them.

use url::Url;

/// An address as it may be shown and logged: without a user, a password, a query or a fragment, which may hold secrets.
pub fn shown(url: &str) -> String {
    let url = url.trim();
    let Ok(mut parsed) = Url::parse(url) else {
        let may_hold_a_secret = url.contains(['@', '?', '#']);
        return if may_hold_a_secret { "(an address that cannot be read)".to_owned() } else { url.to_owned() };
    };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.as_str().trim_end_matches('/').to_owned()
}

/// Nothing but a host, with a port perhaps, and a path.
fn is_plain(url: &Url) -> bool {
    let extras = [url.query(), url.fragment(), url.password()];
    url.host().is_some() && extras.iter().all(Option::is_none) && url.username().is_empty()
}

/// The base URL at `host` (`host` or `host:port`), to which a server at `home` sends a login: by the same scheme.
pub fn redirected(home: &str, host: &str) -> Option<String> {
    let scheme = home.split_once("://").map_or("https", |(scheme, _)| scheme);
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    // Written anew: the parser overlooks stray characters that would spoil the addresses made from the text as it came.
    (is_plain(&url) && url.path() == "/").then(|| url.origin().ascii_serialization())
}

/// The base URL that a server at `home` names for an account: by the same scheme or a safer one, perhaps with a path.
pub fn assigned(home: &str, base_url: &str) -> Option<String> {
    let scheme = home.split_once("://").map_or("https", |(scheme, _)| scheme);
    let told = base_url.trim();
    let url = match told.contains("://") {
        true => Url::parse(told).ok()?,
        false => Url::parse(&format!("{scheme}://{told}")).ok()?,
    };
    (is_plain(&url) && [scheme, "https"].contains(&url.scheme())).then(|| url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "https://a.example";

    #[test]
    fn a_redirect_names_a_host_and_nothing_else() {
        assert_eq!(redirected(HOME, "b.example").as_deref(), Some("https://b.example"));
        assert_eq!(redirected(HOME, "b.example:8443").as_deref(), Some("https://b.example:8443"));
        for odd in ["b.example\u{2}", "b.exa\nmple", "b.example\\"] {
            assert_eq!(redirected(HOME, odd).as_deref(), Some("https://b.example"), "{odd:?}");
        }
        for wrong in
            ["", "b.example/path", "user@b.example", ":word@b.example", "b.example?x=1", "b.example#x", "b example"]
        {
            assert_eq!(redirected(HOME, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_assigned_address_is_a_host_by_no_weaker_scheme_and_perhaps_a_path() {
        assert_eq!(assigned(HOME, "b.example").as_deref(), Some("https://b.example"));
        assert_eq!(assigned("http://a.example", "https://b.example").as_deref(), Some("https://b.example"));
        assert_eq!(assigned("http://a.example", "http://b.example").as_deref(), Some("http://b.example"));
        assert_eq!(assigned(HOME, " https://b.example/ ").as_deref(), Some("https://b.example"));
        assert_eq!(assigned(HOME, "https://b.example:8443/x/").as_deref(), Some("https://b.example:8443/x"));
        for wrong in [
            "",
            "http://b.example",
            "file:///etc/passwd",
            "https://user@b.example",
            "https://b.example?x=1",
            "https://b.example/#x",
        ] {
            assert_eq!(assigned(HOME, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://user:secret@ilink.example:8443/x?token=1#y"), "https://ilink.example:8443/x");
        assert_eq!(shown(" https://ilink.example/ "), "https://ilink.example");
        assert_eq!(shown("https://user:secret@[ilink"), "(an address that cannot be read)");
        assert_eq!(shown("ilink.example"), "ilink.example");
    }
}
