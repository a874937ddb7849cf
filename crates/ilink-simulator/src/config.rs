//! What a simulator is started with, and the limits that may change while it runs.
//!
//! The limits are what users of several clients *report*; Tencent documents none of them. So each can be set, and
//! each can be switched off.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a simulator behaves from its start. `Default` is the faithful one.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Whether every QR code is scanned and confirmed by itself, as a new person each time.
    pub auto_login: bool,
    /// The pause before the automatic scan, and again before the automatic confirmation.
    pub auto_login_delay: Duration,
    /// What the server allows a bot; can be changed later.
    pub limits: Limits,
    /// The `longpolling_timeout_ms` that `getupdates` announces. A poll is held a little shorter (a twentieth, one
    /// second at most), so that a client which takes the number as its deadline still reads the answer.
    pub long_poll: Duration,
    /// How long `get_qrcode_status` is held while nothing changes. Shorter than the 35 s deadline of clients.
    pub login_poll: Duration,
    /// How long a QR code can be scanned.
    pub qr_lifetime: Duration,
    /// How many wrong verify codes block a login.
    pub verify_attempts: u32,
    /// The most messages in one `getupdates` answer.
    pub max_batch: usize,
    /// Whether `getuploadurl` gives an `upload_full_url`; can be changed later.
    pub upload_full_url: bool,
    /// Whether requests must say everything that the official plugin says. The real server asks for less: clients that it
    /// serves leave things out.
    pub strict: bool,
    /// The oldest version that a client may declare: phones refuse the QR codes of older ones. Can be changed later.
    pub min_version: Option<Version>,
}

/// A version that a client declares, as `iLink-App-ClientVersion` packs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(super) u32);

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u32> = text.split('.').map_while(|part| part.parse::<u8>().ok().map(u32::from)).collect();
        match parts.as_slice() {
            [major, minor, patch] => Ok(Self(major << 16 | minor << 8 | patch)),
            _ => Err(format!("{text:?} is not a version such as 2.4.9")),
        }
    }
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            port: 0,
            auto_login: false,
            auto_login_delay: Duration::from_millis(300),
            limits: Limits::default(),
            long_poll: Duration::from_secs(35),
            login_poll: Duration::from_secs(30),
            qr_lifetime: Duration::from_secs(300),
            verify_attempts: 3,
            max_batch: 500,
            upload_full_url: false,
            strict: false,
            min_version: None,
        }
    }
}

impl SimulatorConfig {
    /// How long a `getupdates` without news is really held.
    pub(super) fn hold(&self) -> Duration {
        self.long_poll - (self.long_poll / 20).min(Duration::from_secs(1))
    }
}

/// What the server allows a bot to send. `None` means: no such limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Sends per context token.
    pub quota_per_token: Option<u32>,
    /// How long a context token is good for.
    #[serde(rename = "tokenTtlMs", serialize_with = "optional_millis")]
    pub token_ttl: Option<Duration>,
    /// The send that is one too many: the `burst`-th within [`Limits::burst_window`], counted over the whole bot, is
    /// refused and starts the penalty.
    pub burst: Option<u32>,
    /// The window of [`Limits::burst`].
    #[serde(rename = "burstWindowMs", serialize_with = "millis")]
    pub burst_window: Duration,
    /// How long the bot is refused after a burst. Every try meanwhile starts it anew.
    #[serde(rename = "penaltyMs", serialize_with = "millis")]
    pub penalty: Duration,
    /// What happens to a send without a context token.
    pub tokenless: Tokenless,
    /// After so long without a send every send of the bot is answered with "prepare failed", until its client announces its
    /// start anew.
    #[serde(rename = "idleMs", serialize_with = "optional_millis")]
    pub idle: Option<Duration>,
    /// Whether people do not see what follows a `<` that could begin a tag, outside code.
    pub hide_tags: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quota_per_token: Some(10),
            token_ttl: Some(Duration::from_secs(24 * 60 * 60)),
            burst: None,
            burst_window: Duration::from_secs(1),
            penalty: Duration::from_secs(60),
            tokenless: Tokenless::Allow,
            idle: None,
            hide_tags: false,
        }
    }
}

/// What happens to a send without a context token: reports differ, so it is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokenless {
    /// It is delivered, and counts towards no quota.
    Allow,
    /// It is answered with `ret: -2`.
    Reject,
}

/// A change of limits: the outer `None` leaves a limit alone, the inner one switches it off.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LimitsPatch {
    /// New [`Limits::quota_per_token`].
    #[serde(deserialize_with = "present")]
    pub quota_per_token: Option<Option<u32>>,
    /// New [`Limits::token_ttl`], in milliseconds.
    #[serde(deserialize_with = "present")]
    pub token_ttl_ms: Option<Option<u64>>,
    /// New [`Limits::burst`].
    #[serde(deserialize_with = "present")]
    pub burst: Option<Option<u32>>,
    /// New [`Limits::burst_window`], in milliseconds; off switches the burst limit off.
    #[serde(deserialize_with = "present")]
    pub burst_window_ms: Option<Option<u64>>,
    /// New [`Limits::penalty`], in milliseconds; off means none.
    #[serde(deserialize_with = "present")]
    pub penalty_ms: Option<Option<u64>>,
    /// New [`Limits::tokenless`]; off means [`Tokenless::Allow`].
    #[serde(deserialize_with = "present")]
    pub tokenless: Option<Option<Tokenless>>,
    /// New [`Limits::idle`], in milliseconds.
    #[serde(deserialize_with = "present")]
    pub idle_ms: Option<Option<u64>>,
    /// New [`Limits::hide_tags`]; off means no.
    #[serde(deserialize_with = "present")]
    pub hide_tags: Option<Option<bool>>,
}

impl Limits {
    /// Applies a change.
    pub(super) fn apply(&mut self, patch: LimitsPatch) {
        if let Some(quota) = patch.quota_per_token {
            self.quota_per_token = quota;
        }
        if let Some(ttl) = patch.token_ttl_ms {
            self.token_ttl = ttl.map(Duration::from_millis);
        }
        if let Some(burst) = patch.burst {
            self.burst = burst;
        }
        match patch.burst_window_ms {
            Some(Some(window)) => self.burst_window = Duration::from_millis(window),
            Some(None) => self.burst = None,
            None => {}
        }
        if let Some(penalty) = patch.penalty_ms {
            self.penalty = Duration::from_millis(penalty.unwrap_or(0));
        }
        if let Some(idle) = patch.idle_ms {
            self.idle = idle.map(Duration::from_millis);
        }
        if let Some(hide) = patch.hide_tags {
            self.hide_tags = hide.unwrap_or(false);
        }
        if let Some(tokenless) = patch.tokenless {
            self.tokenless = tokenless.unwrap_or(Tokenless::Allow);
        }
    }
}

/// Tells `null` (`Some(None)`) from absent (`None`, by `default`).
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

fn millis<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(to_millis(*value))
}

fn optional_millis<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(to_millis).serialize(serializer)
}

/// Whole milliseconds, without a panic for absurdly long ones.
pub(super) fn to_millis(value: Duration) -> u64 {
    u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
}
