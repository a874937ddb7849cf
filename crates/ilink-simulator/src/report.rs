//! How the simulator's state is shown: the answer of `GET /_sim/state`. Times are Unix milliseconds.
//!
//! Tokens are shown in full. They open nothing but this simulator, and a test needs them.

use serde::Serialize;

use super::config::Limits;
use super::endpoint::Endpoint;

/// Everything.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatorState {
    /// Where iLink is.
    pub url: String,
    /// Where its CDN is.
    pub cdn_url: String,
    /// The bots, oldest first.
    pub bots: Vec<BotReport>,
    /// The logins, oldest first.
    pub logins: Vec<LoginReport>,
    /// The last requests without a bot: those of logins, and those with a token that no bot ever had.
    pub requests: Vec<RequestReport>,
    /// The limits in force.
    pub limits: Limits,
}

/// A bot.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BotReport {
    /// The iLink id.
    pub bot_id: String,
    /// Who scanned its QR code.
    pub user_id: String,
    /// Its current token.
    pub token: String,
    /// The account id that OpenClaw makes of the iLink id.
    pub account_id: String,
    /// Whether the token is stale.
    pub expired: bool,
    /// `getupdates` calls that are running.
    pub active_polls: usize,
    /// The most that ever ran together, not counting overlaps of a few milliseconds.
    pub max_active_polls: usize,
    /// All `getupdates` calls.
    pub polls: u64,
    /// Messages that no answer has carried yet.
    pub queued: usize,
    /// The cursor of the latest `getupdates`.
    pub last_cursor: String,
    /// Messages that reached people.
    pub sent_count: u64,
    /// `notifystart` calls.
    pub notify_start: u64,
    /// `notifystop` calls.
    pub notify_stop: u64,
    /// The last typing calls.
    pub typing: Vec<TypingReport>,
    /// The last requests, those that a fault struck included.
    pub requests: Vec<RequestReport>,
    /// The headers of the last request.
    pub headers_seen: HeadersSeen,
}

/// A typing call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypingReport {
    /// The person.
    pub to: String,
    /// 1 typing, 2 cancelled.
    pub status: u8,
    /// When.
    pub at_ms: u64,
}

/// A request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestReport {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// When it came.
    pub at_ms: u64,
}

/// What a client says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadersSeen {
    /// `iLink-App-Id`.
    pub app_id: Option<String>,
    /// `iLink-App-ClientVersion`.
    pub client_version: Option<String>,
    /// `AuthorizationType`.
    pub authorization_type: Option<String>,
    /// `X-WECHAT-UIN`.
    pub uin: Option<String>,
    /// How often a request had the same `X-WECHAT-UIN` as the one before; it should be fresh each time.
    pub uin_reuses: u64,
    /// `SKRouteTag`.
    pub route_tag: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
}

/// A login.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginReport {
    /// The QR code's key.
    pub qrcode: String,
    /// The status as `get_qrcode_status` tells it.
    pub status: String,
    /// The verify code that is asked for now.
    pub code: Option<String>,
    /// Wrong verify codes so far.
    pub wrong_codes: u32,
    /// The bot, once confirmed.
    pub bot_id: Option<String>,
    /// The person, once confirmed.
    pub user_id: Option<String>,
    /// How many tokens the client sent along.
    pub local_tokens: usize,
    /// When the QR code was made.
    pub created_ms: u64,
}
