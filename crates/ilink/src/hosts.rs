//! The addresses behind a host's name, in the order in which they are tried.
//!
//! WeChat's host has several addresses, and users met ones behind which nothing answers, for hours. The address that last
//! answered is tried first, one that was found silent last. The system's resolver is asked anew for every connection, so an
//! address that is no longer the host's is forgotten with its merits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::guard::{Found, LookUp, by_system, is_any_inside, is_public};

/// How long an address that was silent is tried last.
const AVOIDED: Duration = Duration::from_secs(30 * 60);
/// Hosts that are remembered; there are two or three.
const REMEMBERED: usize = 64;

/// What is known of the addresses of hosts. Clones share it.
#[derive(Clone)]
pub struct Hosts {
    look_up: Arc<LookUp>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Default)]
struct Known {
    /// The one that last answered, and since when it does.
    good: Option<(IpAddr, Instant)>,
    /// Those that were silent, and since when.
    silent: Vec<(IpAddr, Instant)>,
    /// The one that was tried first when the host was last looked up.
    first: Option<IpAddr>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hosts")
    }
}

impl Hosts {
    /// Addresses as the system's resolver gives them, but for the names in `pinned` (`name=address,address` and so on,
    /// separated by blanks or semicolons), which it is not asked for.
    pub fn system(pinned: &str) -> Hosts {
        let pinned = Arc::new(read_pinned(pinned));
        Hosts::with(move |name| {
            let pinned = pinned.get(&name).cloned();
            Box::pin(async move {
                match pinned {
                    Some(addresses) => Ok(addresses),
                    None => by_system(name).await,
                }
            })
        })
    }

    /// Addresses from another source.
    pub fn with(look_up: impl Fn(String) -> Found + Send + Sync + 'static) -> Hosts {
        Hosts { look_up: Arc::new(look_up), known: Arc::default() }
    }

    /// Whether an address leads into a network of one's own. A name that cannot be looked up does not: where a proxy looks names
    /// up, none can be.
    pub async fn leads_inside(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => !is_public(address.into()),
            Some(Host::Ipv6(address)) => !is_public(address.into()),
            Some(Host::Domain(name)) => (self.look_up)(name.to_owned()).await.is_ok_and(|found| is_any_inside(&found)),
            None => true,
        }
    }

    /// Something at this address answered for `host`.
    pub fn answered(&self, host: &str, address: IpAddr) {
        let mut known = self.lock();
        // Of addresses that were written as such there is only one.
        if let Some(known) = known.get_mut(host)
            && known.good.is_none_or(|(good, _)| good != address)
        {
            known.good = Some((address, Instant::now()));
            known.silent.retain(|(silent, _)| *silent != address);
        }
    }

    /// Nothing answered for `host` what was asked at `asked`: the address that was used then is tried last from now on. One
    /// that was found to answer since then is not to blame.
    pub fn silent(&self, host: &str, asked: Instant) {
        let mut known = self.lock();
        let Some(known) = known.get_mut(host) else { return };
        let used = match known.good {
            Some((good, since)) if since > asked => known.first.filter(|first| *first != good),
            Some((good, _)) => {
                known.good = None;
                Some(good)
            }
            None => known.first,
        };
        if let Some(address) = used {
            known.silent.retain(|(silent, _)| *silent != address);
            known.silent.push((address, Instant::now()));
        }
    }

    /// `addresses` in the order in which they are to be tried.
    fn sorted(&self, host: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let mut all = self.lock();
        if all.len() >= REMEMBERED && !all.contains_key(host) {
            all.clear();
        }
        let known = all.entry(host.to_owned()).or_default();
        known.silent.retain(|(_, since)| since.elapsed() < AVOIDED);
        // The sort is stable: among equals the system's order stays.
        addresses.sort_by_key(|address| match known.silent.iter().position(|(silent, _)| silent == address) {
            _ if known.good.is_some_and(|(good, _)| good == *address) => 0,
            None => 1,
            Some(nth) => 2 + nth,
        });
        known.first = addresses.first().copied();
        addresses
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Only whole entries are put in and taken out.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Hosts {
    fn resolve(&self, name: Name) -> Resolving {
        let (hosts, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let found = (hosts.look_up)(host.clone()).await?;
            let sorted = hosts.sorted(&host, found);
            Ok(Box::new(sorted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn read_pinned(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let entries = text.split([';', ' ', '\n']).filter_map(|entry| entry.trim().split_once('='));
    let read = entries.map(|(name, addresses)| {
        let addresses = addresses.split(',').filter_map(|address| address.trim().parse().ok()).collect::<Vec<_>>();
        (name.trim().to_ascii_lowercase(), addresses)
    });
    read.filter(|(_, addresses)| !addresses.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn nobody() -> Hosts {
        Hosts::with(|_| Box::pin(async { Ok(Vec::new()) }))
    }

    #[test]
    fn the_one_that_answered_comes_first_and_silent_ones_last() {
        let (hosts, all) = (nobody(), vec![ip(1), ip(2), ip(3)]);
        assert_eq!(hosts.sorted("h", all.clone()), all, "the system's order");
        hosts.silent("h", Instant::now());
        assert_eq!(hosts.sorted("h", all.clone()), [ip(2), ip(3), ip(1)]);
        hosts.answered("h", ip(3));
        assert_eq!(hosts.sorted("h", all.clone()), [ip(3), ip(2), ip(1)]);
        hosts.silent("h", Instant::now());
        assert_eq!(hosts.sorted("h", all.clone()), [ip(2), ip(1), ip(3)], "the latest to fall silent is the last");
        assert_eq!(hosts.sorted("other", all.clone()), all, "another host's addresses are its own");
        hosts.silent("unknown", Instant::now());
        hosts.answered("h", ip(1));
        assert_eq!(hosts.sorted("h", all), [ip(1), ip(2), ip(3)]);
    }

    #[test]
    fn an_address_that_was_found_to_answer_meanwhile_is_not_to_blame() {
        let (hosts, all) = (nobody(), vec![ip(1), ip(2)]);
        hosts.sorted("h", all.clone());
        // Two polls on a dead address; the first that gives up finds the good one.
        let asked = Instant::now();
        hosts.silent("h", asked);
        assert_eq!(hosts.sorted("h", all.clone()), [ip(2), ip(1)]);
        hosts.answered("h", ip(2));
        hosts.silent("h", asked);
        assert_eq!(hosts.sorted("h", all), [ip(2), ip(1)], "the good one stays the first");
    }

    #[tokio::test]
    async fn what_leads_inside_is_found_out_by_all_addresses() {
        let hosts = Hosts::with(|name| {
            Box::pin(async move {
                match name.as_str() {
                    "public.example" => Ok(vec!["8.8.8.8".parse().unwrap()]),
                    "both.example" => Ok(vec!["8.8.8.8".parse().unwrap(), "10.0.0.1".parse().unwrap()]),
                    _ => Err(std::io::ErrorKind::NotFound.into()),
                }
            })
        });
        for (url, inside) in [
            ("https://public.example", false),
            ("https://both.example", true),
            ("https://unknown.example", false),
            ("https://8.8.8.8", false),
            ("https://169.254.169.254", true),
            ("https://[::1]", true),
        ] {
            assert_eq!(hosts.leads_inside(&Url::parse(url).unwrap()).await, inside, "{url}");
        }
    }

    #[test]
    fn pinned_addresses_are_read_and_nonsense_is_not() {
        let read = read_pinned("a.example=192.0.2.1,192.0.2.2; B.example = x ;c.example=::1");
        assert_eq!(read.get("a.example"), Some(&vec![ip(1), ip(2)]));
        assert_eq!(read.len(), 2);
        assert!(read.contains_key("c.example"));
    }
}
