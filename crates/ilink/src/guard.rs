//! Addresses that what comes from outside must not lead to: this machine, its networks, the cloud's metadata.
//!
//! For URLs of media [`PublicOnly`] checks the very addresses that are then connected to. Hosts that a server names for a
//! login or an account are looked up once, before they are asked the first time (`Ilink::may_lead`): they share their connections
//! and a proxy, where there is one, with hosts that may be inside, so the connection cannot tell them apart.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is one of the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        // 169.254.169.254, the metadata service of most clouds, among them.
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared by carriers; 100.100.100.200 is a cloud's metadata service.
        || (a == 100 && (64..128).contains(&b))
        // The wire server of a cloud's virtual machines, at a public address.
        || address == Ipv4Addr::new(168, 63, 129, 16)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // Only 2000::/3 is given out for the public internet, and some of it for other things.
    let v4_inside = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4_inside(high, low)),
        [0x2001, 0, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => false,
        [0x2001, second, ..] if (0x10..0x40).contains(&second) => false,
        [0x2002, high, low, ..] => is_public_v4(v4_inside(high, low)),
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Whether any of a name's addresses is none of the public internet. A name with one inside and one outside is up to something.
pub(crate) fn is_any_inside(found: &[IpAddr]) -> bool {
    found.iter().any(|address| !is_public(*address))
}

/// The addresses of a name, or why there are none.
pub type Found = BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// How names are looked up.
pub(crate) type LookUp = dyn Fn(String) -> Found + Send + Sync;

/// The addresses of a name by the system's resolver.
pub fn by_system(name: String) -> Found {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
}

/// Resolves names to public addresses only.
#[derive(Clone)]
pub struct PublicOnly {
    look_up: Arc<LookUp>,
}

impl PublicOnly {
    /// By the system's resolver.
    pub fn system() -> PublicOnly {
        PublicOnly::with(by_system)
    }

    /// By another one.
    pub fn with(look_up: impl Fn(String) -> Found + Send + Sync + 'static) -> PublicOnly {
        PublicOnly { look_up: Arc::new(look_up) }
    }
}

/// What [`PublicOnly`] says of a name that leads elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to no public address")]
pub struct NotPublic(String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let look_up = (self.look_up)(host.clone());
        Box::pin(async move {
            let found = look_up.await?;
            if is_any_inside(&found) {
                return Err(Box::new(NotPublic(host)) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// Whether a list of hosts (`name` or `name:port`) has that of an address.
pub fn is_listed(url: &url::Url, list: &[String]) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let with_port = format!("{host}:{port}");
    matches!(url.scheme(), "http" | "https") && list.iter().any(|name| *name == host || *name == with_port)
}

/// Checks what a resolver does not see: the scheme, and an address that is written out.
pub fn public_only(url: &url::Url) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{}: is not http or https", url.scheme()));
    }
    let address = match url.host() {
        None => return Err("it has no host".to_owned()),
        Some(url::Host::Domain(_)) => return Ok(()),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
    };
    if is_public(address) { Ok(()) } else { Err(format!("{address} is no public address")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1", "64:ff9b::808:808"]
        {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn urls_are_checked_before_they_are_asked() {
        let check = |url: &str| public_only(&url::Url::parse(url).unwrap());
        for url in [
            "file:///etc/passwd",
            "ftp://example.com/x",
            "data:text/plain,x",
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:80/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
        for url in ["https://example.com/a.png", "http://1.1.1.1/"] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let inside =
            PublicOnly::with(|_| Box::pin(async { Ok(vec![IpAddr::from([1, 1, 1, 1]), IpAddr::from([10, 0, 0, 1])]) }));
        let resolved = inside.resolve("both.example".parse().unwrap()).await;
        assert!(resolved.err().unwrap().to_string().contains("no public address"));
    }
}
