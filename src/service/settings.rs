//! The configuration, with the environment and the account files over it.

use std::time::Duration;

use crate::accounts::AccountFile;
use crate::contract::Locale;
use crate::contract::{AccountId, Config, DEFAULT_BASE_URL, DEFAULT_CDN_BASE_URL, DEFAULT_MEDIA_MAX_BYTES, Overflow};
use crate::media::{Bounds, Keep};
use crate::outbound::OutboxSettings;
use crate::store::QuotaLimits;
use ilink::cdn::Stalls;
use ilink::{Endpoint, ProtocolVersion, Session, bot_agent};

const DAY_MS: f64 = 24.0 * 3_600_000.0;

/// The settings in force.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    config: Config,
    /// `WEIXIN_ILINK_BASE_URL`: over everything else.
    base_url: Option<String>,
    /// `WEIXIN_CDN_BASE_URL`: over everything else.
    cdn_base_url: Option<String>,
    /// `WEIXIN_CHANNEL_VERSION`: over everything else.
    channel_version: Option<String>,
    /// The gateway, as `bot_agent` names it: name and version.
    gateway: Option<(String, String)>,
    /// `WEIXIN_OUTBOX_CLOSE_MS`: for how long a first refusal closes a conversation; tests cannot wait for a minute.
    close_ms: i64,
}

impl Settings {
    /// The settings of `config`, with the environment over them. `gateway` is its name and version.
    pub fn new(config: Config, gateway: Option<(String, String)>) -> Settings {
        let from_env = |name| std::env::var(name).ok().filter(|url| !url.trim().is_empty());
        let (base_url, cdn_base_url) = (from_env("WEIXIN_ILINK_BASE_URL"), from_env("WEIXIN_CDN_BASE_URL"));
        let close_ms = from_env("WEIXIN_OUTBOX_CLOSE_MS").and_then(|ms| ms.parse().ok()).unwrap_or(60_000);
        let channel_version = from_env("WEIXIN_CHANNEL_VERSION");
        Settings { config, base_url, cdn_base_url, channel_version, gateway, close_ms }
    }

    /// The same environment and gateway with another configuration.
    pub fn with(&self, config: Config) -> Settings {
        Settings::new(config, self.gateway.clone())
    }

    /// The version that is declared to WeChat. What cannot be read is an error that says where it stands.
    pub fn channel_version(&self) -> Result<ProtocolVersion, String> {
        let (text, from) = match (&self.channel_version, &self.config.channel_version) {
            (Some(text), _) => (text, "WEIXIN_CHANNEL_VERSION"),
            (None, Some(text)) => (text, "channelVersion"),
            (None, None) => return Ok(ProtocolVersion::NEWEST),
        };
        text.parse().map_err(|error| format!("{from}: {error}"))
    }

    /// Whether pictures take a thumbnail along.
    pub fn thumbnails(&self) -> bool {
        self.config.thumbnails.unwrap_or(false)
    }

    /// The configuration itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where logins begin.
    pub fn login_endpoint(&self) -> Endpoint {
        self.endpoint(None, None)
    }

    /// When it is said what may be in the way of a login on which nothing happens. `WEIXIN_LOGIN_HINT_MS`: tests cannot wait.
    pub fn login_hint_after(&self) -> Duration {
        let set = std::env::var("WEIXIN_LOGIN_HINT_MS").ok().and_then(|ms| ms.parse().ok());
        Duration::from_millis(set.unwrap_or(45_000))
    }

    /// How long the server may hold a poll until it says otherwise. `WEIXIN_FIRST_HOLD_MS`: tests cannot wait.
    pub fn first_hold(&self) -> Duration {
        let set = std::env::var("WEIXIN_FIRST_HOLD_MS").ok().and_then(|ms| ms.parse().ok());
        Duration::from_millis(set.unwrap_or(35_000))
    }

    /// How long too little of a file, or of an answer to a poll, may move, where that is set. `WEIXIN_STALLED_MS`: tests cannot wait.
    pub fn stalled(&self) -> Option<Duration> {
        std::env::var("WEIXIN_STALLED_MS").ok().and_then(|ms| ms.parse().ok()).map(Duration::from_millis)
    }

    /// The same for files.
    pub fn stalls(&self) -> Stalls {
        self.stalled().map_or_else(Stalls::default, |time| Stalls { download: time, upload: time })
    }

    /// Hosts of one's own network that URLs of media, and logins, may lead to: `WEIXIN_MEDIA_ALLOWED_HOSTS`, names or `name:port`,
    /// separated by commas.
    pub fn allowed_hosts(&self) -> Vec<String> {
        let listed = std::env::var("WEIXIN_MEDIA_ALLOWED_HOSTS").unwrap_or_default();
        listed.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect()
    }

    /// Whether voice messages are sent as such, and whether those that cannot be go out as files.
    pub fn voice(&self) -> (bool, bool) {
        let voice = self.config.voice.clone().unwrap_or_default();
        (voice.send.unwrap_or(false), voice.fallback.unwrap_or(true))
    }

    /// Whether texts are kept for quotes.
    pub fn keeps_texts(&self) -> bool {
        self.config.quote_cache.as_ref().and_then(|cache| cache.enabled).unwrap_or(true)
    }

    /// For how long, in milliseconds, and for how many messages of an account texts are kept for quotes: none where
    /// they are not kept at all. The defaults are the official plugin's.
    pub fn quotes(&self) -> (i64, u64) {
        if !self.keeps_texts() {
            return (0, 0);
        }
        let cache = self.config.quote_cache.clone().unwrap_or_default();
        let days = cache.retention_days.filter(|days| *days >= 0.0).unwrap_or(30.0);
        ((days * DAY_MS) as i64, cache.max_messages_per_account.unwrap_or(10_000))
    }

    /// How long media files are kept. The defaults are the official plugin's.
    pub fn media(&self) -> Keep {
        let cache = self.config.quote_cache.clone().unwrap_or_default();
        let days = cache.media_retention_days.filter(|days| *days >= 0.0).unwrap_or(7.0);
        Keep {
            age: Duration::from_millis((days * DAY_MS) as u64),
            bytes: cache.max_media_bytes_per_account.unwrap_or(256 << 20),
            single: cache.max_single_media_bytes.unwrap_or(25 << 20),
        }
    }

    /// How much room received files have: what is kept of an account, and for one message a quarter of that, but at least what the
    /// largest file takes.
    pub fn media_room(&self) -> Bounds {
        let (single, account) = (self.media_max_bytes(), self.media().bytes);
        Bounds { account: account.max(2 * single), message: (account / 4).max(single) }
    }

    /// The media host.
    pub fn cdn_base_url(&self) -> String {
        let configured = self.cdn_base_url.as_deref().or(self.config.cdn_base_url.as_deref());
        configured.map(str::trim).filter(|url| !url.is_empty()).unwrap_or(DEFAULT_CDN_BASE_URL).to_owned()
    }

    /// Where an account's requests go. `given` is the host that its login named.
    pub fn account_endpoint(&self, id: &AccountId, given: Option<&str>) -> Endpoint {
        self.endpoint(Some(id), given)
    }

    /// An account's authorisation, if it has credentials.
    pub fn session(&self, id: &AccountId, file: &AccountFile) -> Option<Session> {
        let token = file.usable_token()?;
        Some(Session { endpoint: self.account_endpoint(id, file.base_url.as_deref()), token })
    }

    /// The configured name.
    pub fn name(&self, id: &AccountId) -> Option<String> {
        let own = self.config.account(id).and_then(|account| account.name.clone());
        own.or_else(|| self.config.name.clone()).filter(|name| !name.trim().is_empty())
    }

    /// The accounts whose own name this is; case and blanks around it do not matter.
    pub fn called(&self, name: &str) -> Vec<AccountId> {
        let wanted = name.trim().to_lowercase();
        let accounts = self.config.accounts.iter().flatten();
        let named = accounts.filter(|(_, own)| {
            !wanted.is_empty() && own.name.as_ref().is_some_and(|own| own.trim().to_lowercase() == wanted)
        });
        named.map(|(key, _)| AccountId::normalize(key)).collect()
    }

    /// Whether the configuration lets an account run.
    pub fn enabled(&self, id: &AccountId) -> bool {
        let own = self.config.account(id).and_then(|account| account.enabled);
        self.config.enabled.unwrap_or(true) && own.unwrap_or(true)
    }

    /// The largest media file, in bytes.
    pub fn media_max_bytes(&self) -> u64 {
        let mib = self.config.media_max_mb.filter(|mib| *mib > 0.0);
        mib.map_or(DEFAULT_MEDIA_MAX_BYTES, |mib| (mib * 1024.0 * 1024.0) as u64)
    }

    /// How many messages a message of a person allows, where the bot was not found to be allowed fewer.
    pub fn quota(&self) -> u32 {
        self.config.outbox.as_ref().and_then(|set| set.quota_per_message).unwrap_or(10).max(1)
    }

    /// How sends are paced and kept. The defaults are what users report of WeChat; see `docs/outbox.md`.
    pub fn outbox(&self, locale: Locale) -> OutboxSettings {
        let set = self.config.outbox.clone().unwrap_or_default();
        let hours = |set: Option<f64>, default: f64| (set.filter(|h| *h > 0.0).unwrap_or(default) * 3_600_000.0) as i64;
        OutboxSettings {
            limits: QuotaLimits {
                quota: self.quota(),
                token_ttl_ms: hours(set.context_ttl_hours, 24.0),
                per_minute: set.per_minute.unwrap_or(40).max(1),
                burst: set.burst.unwrap_or(2).max(1),
                close_ms: self.close_ms,
            },
            max_held: set.max_held_per_conversation.unwrap_or(100),
            hold_ttl_ms: hours(set.hold_ttl_hours, 72.0),
            notice: set.notice.unwrap_or(true),
            locale,
            rest_as_file: set.overflow == Some(Overflow::File),
            escape_tags: self.config.escape_tags.unwrap_or(true),
            // Ten minutes, or with the shortened times of a test as much shorter.
            recovery_every_ms: self.close_ms.saturating_mul(10),
        }
    }

    /// The gateway, where the configuration names nothing else, and this program.
    fn bot_agent(&self) -> String {
        let mut programs = Vec::new();
        if self.config.bot_agent.is_none() {
            programs.extend(self.gateway.as_ref().map(|(name, version)| (name.as_str(), version.as_str())));
        }
        programs.push((super::NAME, super::VERSION));
        bot_agent(self.config.bot_agent.as_deref(), &programs)
    }

    fn endpoint(&self, id: Option<&AccountId>, given: Option<&str>) -> Endpoint {
        let account = id.and_then(|id| self.config.account(id));
        let filled = |url: Option<&str>| url.map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned);
        let base_url = filled(self.base_url.as_deref())
            .or_else(|| filled(account.and_then(|account| account.base_url.as_deref())))
            .or_else(|| filled(given))
            .or_else(|| filled(self.config.base_url.as_deref()))
            .unwrap_or_else(|| DEFAULT_BASE_URL.to_owned());
        let route_tag = account.and_then(|account| account.route_tag.as_ref()).or(self.config.route_tag.as_ref());
        Endpoint {
            base_url,
            route_tag: route_tag.and_then(|tag| tag.header_value()),
            bot_agent: self.bot_agent(),
            // What cannot be read was said when the settings were taken over.
            version: self.channel_version().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_accounts_then_the_logins_then_the_channels_then_the_default() {
        let id = AccountId::normalize("a");
        let base = |config: &str, given| {
            let settings = Settings { config: serde_json::from_str(config).unwrap(), ..Settings::default() };
            settings.account_endpoint(&id, given).base_url
        };
        assert_eq!(base("{}", None), DEFAULT_BASE_URL);
        assert_eq!(base(r#"{"baseUrl":"https://c"}"#, None), "https://c");
        assert_eq!(base(r#"{"baseUrl":"https://c"}"#, Some("https://g")), "https://g");
        assert_eq!(base(r#"{"accounts":{"a":{"baseUrl":"https://own"}}}"#, Some("https://g")), "https://own");
        let overridden = Settings { base_url: Some("http://e".into()), ..Settings::default() };
        assert_eq!(overridden.account_endpoint(&id, Some("https://g")).base_url, "http://e");
    }
}
