//! The value of `channels.openclaw-weixin` in OpenClaw's configuration; `config` in `initialize` and `config.set`.
//!
//! Every key of the official plugin keeps its name and meaning. Unknown keys are refused by name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::AccountId;

/// Who may write to the bot. The gateway decides; the sidecar only carries the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DmPolicy {
    /// Strangers get a pairing code (the default).
    Pairing,
    /// Only `allowFrom`.
    Allowlist,
    /// Everyone, where `allowFrom` has `*`.
    Open,
    /// Nobody.
    Disabled,
}

/// The `SKRouteTag` header's value: a number in most deployments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteTag {
    /// As a number.
    Number(i64),
    /// As text.
    Text(String),
}

impl RouteTag {
    /// The header's value; `None` where it would be empty.
    pub fn header_value(&self) -> Option<String> {
        match self {
            RouteTag::Number(n) => Some(n.to_string()),
            RouteTag::Text(t) => Some(t.trim().to_owned()).filter(|t| !t.is_empty()),
        }
    }
}

/// Whose message a person quotes is looked up in a local cache with these limits.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteCacheConfig {
    /// Whether messages are kept for quotes at all. Default: true.
    pub enabled: Option<bool>,
    /// How long texts are kept, in days. Default: 30.
    #[schemars(range(min = 0))]
    pub retention_days: Option<f64>,
    /// How many messages are kept for an account. Default: 10000.
    #[schemars(range(min = 1))]
    pub max_messages_per_account: Option<u64>,
    /// How long media are kept, in days. Default: 7.
    #[schemars(range(min = 0))]
    pub media_retention_days: Option<f64>,
    /// How many bytes of media are kept for an account. What is received counts before it is fetched; at least twice
    /// `mediaMaxMb`. Default: 268435456 (256 MiB).
    #[schemars(range(min = 1))]
    pub max_media_bytes_per_account: Option<u64>,
    /// The largest single file that is kept, in bytes. Default: 26214400 (25 MiB).
    #[schemars(range(min = 1))]
    pub max_single_media_bytes: Option<u64>,
}

/// What becomes of an answer that needs more messages than are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// What does not fit waits for the person's next message (the default).
    #[default]
    Hold,
    /// The last message that is left is a text file with the rest.
    File,
}

/// How sends are paced and kept.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutboxConfig {
    /// Sends per inbound message, at most: a bot that WeChat allows fewer is found out, and keeps to those. Default: 10.
    #[schemars(range(min = 1))]
    pub quota_per_message: Option<u32>,
    /// How long a peer's last message allows sends, in hours. Default: 24.
    #[schemars(range(min = 0))]
    pub context_ttl_hours: Option<f64>,
    /// Sends per minute and bot. Default: 40.
    #[schemars(range(min = 1))]
    pub per_minute: Option<u32>,
    /// Sends within a second and bot. Default: 2.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Held messages per conversation. Default: 100.
    #[schemars(range(min = 0))]
    pub max_held_per_conversation: Option<u32>,
    /// How long a message is held, in hours. Default: 72.
    #[schemars(range(min = 0))]
    pub hold_ttl_hours: Option<f64>,
    /// Whether the last free send says that the rest follows. Default: true.
    pub notice: Option<bool>,
    /// What becomes of an answer that needs more messages than are left, where nothing else waits. Default: `hold`.
    pub overflow: Option<Overflow>,
}

/// Voice messages that the bot sends.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoiceConfig {
    /// Send voice bubbles. Default: false, because many clients do not show them.
    pub send: Option<bool>,
    /// Send a file where a voice bubble is off or impossible. Default: true.
    pub fallback: Option<bool>,
}

/// Whether OpenClaw restarts an account that looks dead to it. Only for the gateway.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthMonitorConfig {
    /// Default: true.
    pub enabled: Option<bool>,
}

/// What OpenClaw's heartbeat shows. Only for the gateway.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeartbeatVisibilityConfig {
    /// Whether heartbeats without news are shown.
    pub show_ok: Option<bool>,
    /// Whether alerts are shown.
    pub show_alerts: Option<bool>,
    /// Whether an indicator is used.
    pub use_indicator: Option<bool>,
}

/// How OpenClaw writes tables before the text comes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkdownTables {
    /// As they are.
    Off,
    /// As lists.
    Bullets,
    /// As code.
    Code,
    /// As blocks.
    Block,
}

/// What OpenClaw does with Markdown before the text comes here. Only for the gateway.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkdownConfig {
    /// How tables are written.
    pub tables: Option<MarkdownTables>,
}

/// Settings of one account, over those of the channel.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountConfig {
    /// A name for people.
    pub name: Option<String>,
    /// Whether the account runs. Default: true.
    pub enabled: Option<bool>,
    /// The API host, over the one that the login gave.
    pub base_url: Option<String>,
    /// The media host.
    pub cdn_base_url: Option<String>,
    /// The `SKRouteTag` header.
    pub route_tag: Option<RouteTag>,
    /// Who may write to this account's bot.
    pub dm_policy: Option<DmPolicy>,
    /// People who may write, by their WeChat user id (`…@im.wechat`); `*` is everyone.
    pub allow_from: Option<Vec<String>>,
    /// OpenClaw's: whether its health monitor restarts accounts that look dead to it.
    pub health_monitor: Option<HealthMonitorConfig>,
    /// OpenClaw's: text before each answer.
    pub response_prefix: Option<String>,
    /// OpenClaw's: who is written to where nobody is named.
    pub default_to: Option<String>,
    /// OpenClaw's: what its heartbeat shows.
    pub heartbeat_visibility: Option<HeartbeatVisibilityConfig>,
    /// OpenClaw's: whether people may change its configuration from a conversation.
    pub config_writes: Option<bool>,
    /// OpenClaw's: how it writes Markdown.
    pub markdown: Option<MarkdownConfig>,
}

/// The whole channel's settings.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// A name for people.
    pub name: Option<String>,
    /// Whether the channel runs. Default: true.
    pub enabled: Option<bool>,
    /// The host for logins, and for accounts whose login named none. Default: `https://ilinkai.weixin.qq.com`.
    pub base_url: Option<String>,
    /// The media host. Default: `https://novac2c.cdn.weixin.qq.com/c2c`.
    pub cdn_base_url: Option<String>,
    /// The `SKRouteTag` header.
    pub route_tag: Option<RouteTag>,
    /// What the bot calls itself towards iLink, like an HTTP User-Agent; the sidecar's own name follows it. Default: the
    /// gateway's name and version.
    pub bot_agent: Option<String>,
    /// The version of the iLink interface that is declared, such as `2.4.9`. Phones refuse the QR code of a client that
    /// declares an old one. Default: the newest that this build knows.
    #[schemars(regex(pattern = r"^\d{1,3}\.\d{1,3}\.\d{1,3}$"))]
    pub channel_version: Option<String>,
    /// Whether tool calls are shown while a turn runs. Default: false, because WeChat was reported to drop such messages
    /// and to count them all the same.
    pub reply_progress_messages: Option<bool>,
    /// How many milliseconds a message waits for the next one of the same person, to be one turn with it; 0 joins none. Default:
    /// OpenClaw's `messages.inbound`; where that is not set either, a file without a word waits 1500, words behind it 500. Only where OpenClaw
    /// hosts the sidecar.
    pub inbound_debounce_ms: Option<u32>,
    /// Whether pictures take a thumbnail along. Default: false, because no other client was seen to send one.
    pub thumbnails: Option<bool>,
    /// Whether a `<` outside code that could begin a tag is sent as `＜`. Default: true, because WeChat was reported to hide
    /// what follows one.
    pub escape_tags: Option<bool>,
    /// The cache behind quoted messages.
    pub quote_cache: Option<QuoteCacheConfig>,
    /// Who may write to the bots. Default: `pairing`.
    pub dm_policy: Option<DmPolicy>,
    /// People who may write, by their WeChat user id (`…@im.wechat`); `*` is everyone.
    pub allow_from: Option<Vec<String>>,
    /// The largest media file, in MiB. Default: 100.
    #[schemars(range(min = 0))]
    pub media_max_mb: Option<f64>,
    /// How sends are paced and kept.
    pub outbox: Option<OutboxConfig>,
    /// Voice messages that the bot sends.
    pub voice: Option<VoiceConfig>,
    /// Settings by account id.
    pub accounts: Option<BTreeMap<String, AccountConfig>>,
    /// Written by a login so that the gateway reads its configuration again; ISO 8601.
    pub channel_config_updated_at: Option<String>,
    /// OpenClaw's: whether its health monitor restarts accounts that look dead to it.
    pub health_monitor: Option<HealthMonitorConfig>,
    /// OpenClaw's: text before each answer.
    pub response_prefix: Option<String>,
    /// OpenClaw's: who is written to where nobody is named.
    pub default_to: Option<String>,
    /// OpenClaw's: what its heartbeat shows.
    pub heartbeat_visibility: Option<HeartbeatVisibilityConfig>,
    /// OpenClaw's: whether people may change its configuration from a conversation.
    pub config_writes: Option<bool>,
    /// OpenClaw's: how it writes Markdown.
    pub markdown: Option<MarkdownConfig>,
    /// OpenClaw's: the account that it takes where none is named.
    pub default_account: Option<String>,
}

impl Config {
    /// The settings under `accounts` that are meant for `id`, whatever spelling of the id was used as the key.
    pub fn account(&self, id: &AccountId) -> Option<&AccountConfig> {
        let accounts = self.accounts.as_ref()?;
        accounts
            .get(id.as_str())
            .or_else(|| accounts.iter().find(|(key, _)| AccountId::normalize(key) == *id).map(|(_, found)| found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named() {
        let error = serde_json::from_str::<Config>(r#"{"quotaPerMessage": 3}"#).unwrap_err().to_string();
        assert!(error.contains("quotaPerMessage"), "{error}");
        let error = serde_json::from_str::<Config>(r#"{"accounts": {"a": {"tokn": 1}}}"#).unwrap_err().to_string();
        assert!(error.contains("tokn"), "{error}");
    }

    #[test]
    fn what_openclaw_takes_for_every_channel_is_taken() {
        let own = r#""healthMonitor": {"enabled": false}, "responsePrefix": "🤖", "defaultTo": "a@im.wechat",
            "heartbeatVisibility": {"showOk": true}, "configWrites": false, "markdown": {"tables": "bullets"}"#;
        let text = format!(r#"{{{own}, "defaultAccount": "a", "accounts": {{"a": {{{own}}}}}}}"#);
        let config: Config = serde_json::from_str(&text).unwrap();
        assert_eq!(config.health_monitor, Some(HealthMonitorConfig { enabled: Some(false) }));
    }

    #[test]
    fn account_settings_are_found_by_raw_and_by_normalised_id() {
        let config: Config = serde_json::from_str(r#"{"accounts": {"44b9@im.bot": {"name": "n"}}}"#).unwrap();
        let found = config.account(&AccountId::normalize("44b9@im.bot")).unwrap();
        assert_eq!(found.name.as_deref(), Some("n"));
    }
}
