//! Addresses of hosts, as they may be shown.

/// An address as it may be shown and logged: without a user, a password, a query or a fragment, which may hold secrets.
pub fn shown(url: &str) -> String {
    let url = url.trim();
    let Ok(mut parsed) = url::Url::parse(url) else {
        let may_hold_a_secret = url.contains(['@', '?', '#']);
        return if may_hold_a_secret { "(an address that cannot be read)".to_owned() } else { url.to_owned() };
    };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://user:secret@ilink.example:8443/x?token=1#y"), "https://ilink.example:8443/x");
        assert_eq!(shown(" https://ilink.example/ "), "https://ilink.example");
        assert_eq!(shown("https://user:secret@[ilink"), "(an address that cannot be read)");
        assert_eq!(shown("ilink.example"), "ilink.example");
    }
}
