//! `hub.toml`: what is not a flag. Whoever changes it need not restart anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::contract::{AccountId, Locale};

/// Whom a backend answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It decides itself: everybody's messages reach it.
    Gateway,
    /// Whoever scanned the account's code.
    #[default]
    Owner,
    /// The owner, and whoever was approved: strangers get a code.
    Pairing,
    /// The owner, and who is in `allow`.
    Allowlist,
    /// Everybody.
    Open,
}

/// `[backends.NAME]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// Whom it answers.
    #[serde(default)]
    pub access: Access,
    /// With `webhook`: its accounts, by id; all where they are not named. A backend with tokens has those of its tokens.
    pub accounts: Option<Vec<String>>,
    /// With `allowlist`: WeChat user ids.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Where its messages are posted, where it has an address instead of a connection.
    pub webhook: Option<WebhookConfig>,
}

/// Where something is posted, signed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// http or https.
    pub url: String,
    /// As Standard Webhooks writes it: `whsec_` and base64.
    pub secret: String,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookConfig({})", self.url)
    }
}

/// `[accounts.ID]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRules {
    /// The backend that gets what nothing else decides.
    pub default: Option<String>,
    /// The backend of a person, by WeChat user id.
    #[serde(default)]
    pub people: BTreeMap<String, String>,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubConfig {
    /// Whether iLink clients may log new accounts in through the hub.
    #[serde(default)]
    pub enrol: bool,
    /// Names under which the hub is reached, beside this machine's own: what `Host` may say.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Hosts (`name` or `name:port`) in one's own network that webhooks may be posted to.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// The language of what the hub itself writes to people: `zh-CN` or `en`.
    pub locale: Option<Locale>,
    /// Backends that have more to them than their tokens say.
    #[serde(default)]
    pub backends: BTreeMap<String, BackendConfig>,
    /// Who gets the messages of an account.
    #[serde(default)]
    pub accounts: BTreeMap<String, AccountRules>,
    /// Where it is posted that a login expired, a bot is muted, a backend is gone.
    pub alerts: Option<WebhookConfig>,
}

/// Why the file is not used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read ({cause}); make it readable for this user, or remove it")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{path}: {cause}")]
    Wrong { path: PathBuf, cause: String },
}

impl HubConfig {
    /// Reads the file; without one everything is as it is by default.
    pub fn load(path: &Path) -> Result<HubConfig, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HubConfig::default()),
            Err(cause) => return Err(ConfigError::Unreadable { path: path.to_owned(), cause }),
        };
        HubConfig::parse(&text).map_err(|cause| ConfigError::Wrong { path: path.to_owned(), cause })
    }

    /// Reads its text. The error names the key.
    pub fn parse(text: &str) -> Result<HubConfig, String> {
        let mut config: HubConfig = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        for name in config.backends.keys() {
            backend_name(name).map_err(|why| format!("[backends.{name}]: {why}"))?;
        }
        for (name, backend) in &config.backends {
            if backend.accounts.is_some() && backend.webhook.is_none() {
                return Err(format!(
                    "[backends.{name}]: accounts: is for a backend with a webhook; others have those of their tokens (hub token \
                     create --account)"
                ));
            }
        }
        // Accounts may be written as WeChat writes them.
        let rules = std::mem::take(&mut config.accounts);
        config.accounts =
            rules.into_iter().map(|(id, rules)| (AccountId::normalize(&id).as_str().to_owned(), rules)).collect();
        for (name, webhook) in config.webhooks() {
            super::signature::Key::parse(&webhook.secret).map_err(|why| format!("{name}: secret: {why}"))?;
            let url = webhook.url.to_ascii_lowercase();
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(format!("{name}: url: must begin with http:// or https://"));
            }
        }
        Ok(config)
    }

    /// All webhooks, and where they stand.
    fn webhooks(&self) -> impl Iterator<Item = (String, &WebhookConfig)> {
        let of_backends = self.backends.iter();
        let of_backends = of_backends
            .filter_map(|(name, backend)| Some((format!("[backends.{name}.webhook]"), backend.webhook.as_ref()?)));
        of_backends.chain(self.alerts.iter().map(|webhook| ("[alerts]".to_owned(), webhook)))
    }
}

/// Whether this may be a backend's name: people type it, and it is in URLs and labels.
pub fn backend_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.chars().count() {
        1..=64 if name.chars().all(fits) => Ok(()),
        _ => Err(format!("{name:?} is no name of a backend: 1 to 64 letters, digits, - _ .")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_known_is_named() {
        for (text, word) in [
            ("enroll = true", "enroll"),
            ("[backends.a]\naces = \"open\"", "aces"),
            ("[backends.a]\naccess = \"all\"", "all"),
            ("[backends.\"a b\"]", "a b"),
            ("[backends.a]\naccounts = [\"b\"]", "accounts"),
            ("[alerts]\nurl = \"ftp://x\"\nsecret = \"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "url"),
            ("[alerts]\nurl = \"http://x\"\nsecret = \"secret\"", "secret"),
        ] {
            let why = HubConfig::parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn an_account_is_found_under_either_spelling() {
        let config = HubConfig::parse("[accounts.\"AB@im.bot\"]\ndefault = \"a\"").unwrap();
        assert_eq!(config.accounts["ab-im-bot"].default.as_deref(), Some("a"));
        assert_eq!(HubConfig::parse("").unwrap(), HubConfig::default());
    }
}
