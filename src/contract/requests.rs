//! Parameters and results of every method.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{AccountStatus, Config, LoginState, Part, Quote};

/// No parameters, or no result: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// Who the gateway is.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostInfo {
    /// Such as `openclaw`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process id, where it is not the sidecar's parent.
    pub pid: Option<u32>,
}

/// The language of texts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Locale {
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    ZhCn,
    /// English (the default).
    #[default]
    #[serde(rename = "en")]
    En,
}

/// Parameters of `initialize`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// Must be 1.
    pub protocol_version: u32,
    /// Who the gateway is.
    pub host: HostInfo,
    /// OpenClaw's state directory; the sidecar's files are under `openclaw-weixin/` in it.
    /// Default: `OPENCLAW_STATE_DIR`, else `CLAWDBOT_STATE_DIR`, else `~/.openclaw`.
    pub state_dir: Option<PathBuf>,
    /// Directories that `outbound.sendMedia` may read. Without them it may read only what the sidecar itself wrote for the same
    /// conversation.
    pub media_roots: Option<Vec<PathBuf>>,
    /// The channel's settings.
    pub config: Option<Config>,
    /// The language of texts for people.
    pub locale: Option<Locale>,
    /// How often `account.status` comes although nothing changed, in milliseconds; at least 1000. Default: only with changes.
    #[schemars(range(min = 1000))]
    pub status_interval_ms: Option<u64>,
    /// Whether media are fetched only when `inbound.fetchMedia` asks for them, which the gateway does once it has decided that the
    /// sender may write to it. Default: no, a message comes with its media.
    pub defer_media: Option<bool>,
}

/// Who the sidecar is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SidecarInfo {
    /// `openclaw-weixin-sidecar`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// What the channel can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Kinds of conversations: `direct`.
    pub chat_types: Vec<String>,
    /// Whether media can be sent and received.
    pub media: bool,
    /// Whether typing can be shown.
    pub typing: bool,
    /// Whether quotes are resolved.
    pub quotes: bool,
    /// Whether tool progress can be shown.
    pub progress: bool,
    /// Whether sends can be held.
    pub outbox: bool,
}

/// What the channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelInfo {
    /// `openclaw-weixin`.
    pub id: String,
    /// Other names: `weixin`, `wechat`.
    pub aliases: Vec<String>,
    /// A name for people.
    pub label: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Limits that a gateway should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Characters in one wire message; longer texts are split by the sidecar.
    pub text_chunk_limit: usize,
    /// The largest media file, in bytes.
    pub media_max_bytes: u64,
    /// The longest line on stdin or stdout, in bytes.
    pub max_line_bytes: usize,
}

/// Result of `initialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// 1.
    pub protocol_version: u32,
    /// Who the sidecar is.
    pub sidecar: SidecarInfo,
    /// What the channel is.
    pub channel: ChannelInfo,
    /// Limits that a gateway should know.
    pub limits: Limits,
    /// Things a person should know that did not stop the start, such as a damaged database that was put aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Parameters of `config.set`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigSetParams {
    /// The whole configuration, replacing the one before.
    pub config: Config,
}

/// An account, as `accounts.list` shows it.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The normalised id.
    pub account_id: String,
    /// The configured name.
    pub name: Option<String>,
    /// The label given at login.
    pub label: Option<String>,
    /// Whether the configuration lets it run.
    pub enabled: bool,
    /// Whether it has credentials.
    pub configured: bool,
    /// Whether this process runs its monitor.
    pub running: bool,
    /// The WeChat user who scanned the QR code.
    pub user_id: Option<String>,
    /// The API host.
    pub base_url: String,
    /// When its credentials were saved; ISO 8601.
    pub saved_at: Option<String>,
    /// What is wrong with its files.
    pub problem: Option<String>,
}

/// Result of `accounts.list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountsListResult {
    /// In the order of their logins, newest last.
    pub accounts: Vec<Account>,
}

/// Parameters that name one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountParams {
    /// Which account; the raw bot id works too.
    pub account_id: String,
}

/// Result of `accounts.remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountsRemoveResult {
    /// Whether there was such an account.
    pub removed: bool,
}

/// Parameters of `login.start`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginStartParams {
    /// Whose login this is to renew; the person decides with the phone, so it is only a hint. Two calls with the
    /// same id share one login unless `force` is set.
    pub account_id: Option<String>,
    /// Begin anew although a login for that account is under way.
    pub force: Option<bool>,
    /// A label to keep with the account.
    pub label: Option<String>,
}

/// Result of `login.start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginStartResult {
    /// Names this login in the other calls.
    pub session_key: String,
    /// What the QR code says; a page that opens in WeChat.
    pub qr_url: String,
    /// The QR code as an image: `data:image/png;base64,…`.
    pub qr_png_data_url: String,
    /// The QR code for a terminal.
    pub qr_text: String,
    /// When this code runs out, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// What to tell the person.
    pub message: String,
}

/// Parameters of `login.wait`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginWaitParams {
    /// Which login.
    pub session_key: String,
    /// How long to wait, in milliseconds. Default: 480000.
    pub timeout_ms: Option<u64>,
}

/// Result of `login.wait`: how the login ended, or where it stands when the time is over.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginWaitResult {
    /// Whether an account was connected by this login.
    pub connected: bool,
    /// Whether the bot was connected here before.
    pub already_connected: bool,
    /// Where the login stands.
    pub state: LoginState,
    /// The account.
    pub account_id: Option<String>,
    /// The WeChat user who scanned the code.
    pub user_id: Option<String>,
    /// What to tell the person.
    pub message: String,
}

/// Parameters of `login.submitCode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginSubmitCodeParams {
    /// Which login.
    pub session_key: String,
    /// The number that the phone shows.
    pub code: String,
}

/// Parameters of `login.cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginCancelParams {
    /// Which login.
    pub session_key: String,
}

/// Parameters of `inbound.ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundAckParams {
    /// Deliveries that the gateway has taken over.
    pub delivery_ids: Vec<String>,
}

/// Result of `inbound.ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboundAckResult {
    /// How many of them were not acked before.
    pub acked: u64,
}

/// Parameters of `inbound.nack`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundNackParams {
    /// The delivery that the gateway could not take over.
    pub delivery_id: String,
    /// When to deliver it again, in milliseconds from now. Default: 1000. The conversation waits so long.
    pub retry_after_ms: Option<u64>,
    /// Why; for the log.
    pub reason: Option<String>,
}

/// Parameters of `inbound.release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundReleaseParams {
    /// The delivery that the gateway keeps for later.
    pub delivery_id: String,
}

/// Parameters of `inbound.fetchMedia`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FetchMediaParams {
    /// A delivery that is not acked yet.
    pub delivery_id: String,
}

/// The answer to `inbound.fetchMedia`: what of the message depends on its media. A part that could not be had says why.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FetchMediaResult {
    /// As in `inbound.message`.
    pub text: String,
    /// Every item of the message, in order, with its file.
    pub parts: Vec<Part>,
    /// The message it answers, with its file.
    pub quote: Option<Quote>,
}

/// Parameters of `outbound.sendText`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendTextParams {
    /// The peer's WeChat user id.
    pub to: String,
    /// Markdown; WeChat shows what it knows of it, the rest is taken out.
    pub text: String,
    /// From which account. Default: the only one, or the one that knows the peer.
    pub account_id: Option<String>,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// The same key gives the first result again instead of a second message.
    pub idempotency_key: Option<String>,
    /// That it is worth less than an answer: it never takes the last message that WeChat allows, and does not wait. Where
    /// there is no room for it, the result is `held` without a `queueId`, and it is gone. Default: false.
    pub extra: Option<bool>,
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// By its MIME type: pictures and videos as such, everything else as a file.
    #[default]
    Auto,
    /// A picture.
    Image,
    /// A video.
    Video,
    /// A file.
    File,
    /// A voice bubble, where `voice.send` is on; else a file.
    Voice,
}

/// Parameters of `outbound.sendMedia`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMediaParams {
    /// The peer's WeChat user id.
    pub to: String,
    /// A file inside one of the `mediaRoots` of `initialize`. Either this or `url`.
    pub path: Option<String>,
    /// An http or https address on the public internet. Either this or `path`.
    pub url: Option<String>,
    /// Instead of both: what `POST /media` of the hub answered.
    pub media_id: Option<String>,
    /// What is said of it: Markdown; goes before it, as a message of its own.
    pub text: Option<String>,
    /// How it is shown. Default: `auto`.
    pub kind: Option<MediaKind>,
    /// The name that people see. Default: the file's own.
    pub file_name: Option<String>,
    /// From which account. Default: the only one, or the one that knows the peer.
    pub account_id: Option<String>,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// The same key gives the first result again instead of a second message.
    pub idempotency_key: Option<String>,
}

/// Where a tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressPhase {
    /// It begins.
    Start,
    /// It has ended.
    End,
}

/// Parameters of `outbound.sendProgress`. Progress that does not fit into what WeChat allows is dropped: the result is
/// `held` without a `queueId`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendProgressParams {
    /// The peer's WeChat user id.
    pub to: String,
    /// The agent run it belongs to.
    pub run_id: String,
    /// Where the tool call is.
    pub phase: ProgressPhase,
    /// The tool.
    pub tool_name: String,
    /// Names the call; start and end have the same.
    pub tool_call_id: Option<String>,
    /// With `end`: `completed`, `failed`, `blocked` or `unknown`.
    pub status: Option<String>,
    /// From which account. Default: the only one, or the one that knows the peer.
    pub account_id: Option<String>,
}

/// Whether a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendStatus {
    /// The server took it and gave every part of it an id.
    Sent,
    /// The server took it without giving an id: in the field the mark of a message that is never shown. It is final, counts
    /// against what WeChat allows, and must not be sent again.
    Unconfirmed,
    /// It is kept and sent by itself when it can be; the gateway must not send it again.
    Held,
}

/// Why a message is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// The sends that the peer's last message allows are used up.
    Quota,
    /// The server limits the bot.
    Throttled,
    /// The peer has not written yet.
    NoContext,
    /// The peer's last message is too old.
    ContextExpired,
    /// The account needs a new login.
    SessionExpired,
    /// The host is not reached.
    Offline,
}

/// Result of every send.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendResult {
    /// Whether it was sent.
    pub status: SendStatus,
    /// How many wire messages it became.
    pub parts: u32,
    /// Their client ids.
    pub client_ids: Vec<String>,
    /// Their server ids (uint64 as text), where the server named them.
    pub message_ids: Vec<String>,
    /// With `held`: names it in `outbound.update`, `outbound.queue` and `outbound.cancel`.
    pub queue_id: Option<String>,
    /// With `held`: why.
    pub held_reason: Option<HeldReason>,
}

/// Parameters of `outbound.queue`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueParams {
    /// Only of this account.
    pub account_id: Option<String>,
    /// Only to this peer.
    pub to: Option<String>,
}

/// A message that waits to be sent.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueItem {
    /// Names it in `outbound.cancel` and `outbound.update`.
    pub queue_id: String,
    /// From which account.
    pub account_id: String,
    /// To whom.
    pub to: String,
    /// What it is: `text`, `image`, `video`, `file` or `voice`.
    pub kind: String,
    /// When it was accepted, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Why it waits; nothing while it is being sent.
    pub reason: Option<HeldReason>,
    /// The beginning of its text.
    pub preview: String,
}

/// Result of `outbound.queue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueResult {
    /// In the order in which they will be sent in each conversation.
    pub items: Vec<QueueItem>,
}

/// Parameters of `peers.list`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeersListParams {
    /// Only of this account.
    pub account_id: Option<String>,
    /// Only those whose id contains this, in whatever case.
    pub query: Option<String>,
    /// So many at most. Default: 100; 1000 are the most.
    pub limit: Option<u32>,
}

/// A person who has written to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The account that they wrote to.
    pub account_id: String,
    /// Their WeChat user id: what `to` of a send takes.
    pub id: String,
    /// When they last wrote something that may be answered, in milliseconds since 1970; of whom the official plugin knew: when that was taken
    /// over. WeChat lets a bot answer for about a day.
    pub last_inbound_at_ms: i64,
}

/// Result of `peers.list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeersListResult {
    /// Whoever wrote last comes first.
    pub peers: Vec<Peer>,
}

/// Parameters of `outbound.cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelParams {
    /// Which message.
    pub queue_id: String,
}

/// Result of `outbound.cancel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelResult {
    /// Whether it was still waiting. Parts that were sent before stay sent.
    pub cancelled: bool,
}

/// Parameters of `outbound.budget`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetParams {
    /// The peer's WeChat user id.
    pub to: String,
    /// From which account. Default: the only one, or the one that knows the peer.
    pub account_id: Option<String>,
}

/// What gives a budget back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetReset {
    /// The peer's next message.
    Inbound,
}

/// Result of `outbound.budget`: what may be sent to a peer now.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetResult {
    /// Wire messages that may still be sent. What waits in the outbox goes first.
    pub left: u32,
    /// What gives the whole budget back.
    pub resets_on: BudgetReset,
    /// When the peer's last message stops allowing any, in milliseconds since 1970; missing where they have not written.
    pub window_ends_at_ms: Option<i64>,
    /// Wire messages that one message of the peer allows.
    pub limit: u32,
    /// Whether the limit was learned from refusals: it is below `outbox.quotaPerMessage` then.
    pub learned: bool,
    /// Where the bot must wait first, for its pace or after a refusal: until when, in milliseconds since 1970.
    pub pace_available_at_ms: Option<i64>,
}

/// Parameters of `accounts.export`.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountsExportParams {
    /// Only these. Default: all.
    pub account_ids: Option<Vec<String>>,
    /// What the archive is encrypted with.
    pub passphrase: String,
}

/// Result of `accounts.export`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountsExportResult {
    /// An [age](https://age-encryption.org) file, encrypted with the passphrase, in base64.
    pub archive: String,
    /// The accounts in it.
    pub account_ids: Vec<String>,
}

/// Parameters of `accounts.import`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountsImportParams {
    /// What `accounts.export` made.
    pub archive: String,
    /// What it was encrypted with.
    pub passphrase: String,
}

macro_rules! shows_nothing {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        })*
    };
}

shows_nothing!(AccountsExportParams, AccountsExportResult, AccountsImportParams);

/// Result of `accounts.import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountsImportResult {
    /// Accounts that are here now, and were not before or had an older login.
    pub imported: Vec<String>,
    /// Accounts that stayed as they are, because their login here is as new or newer.
    pub kept: Vec<String>,
}

/// Parameters of `outbound.sendTyping`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendTypingParams {
    /// The peer's WeChat user id.
    pub to: String,
    /// Whether the bot types, or has stopped. While it types the sidecar repeats it, for five minutes at most.
    pub active: bool,
    /// From which account.
    pub account_id: Option<String>,
}

/// Result of `outbound.sendTyping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SendTypingResult {
    /// Whether the server took it. Typing is never worth an error.
    pub sent: bool,
}

/// Parameters of `status.get`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusGetParams {
    /// Only this account.
    pub account_id: Option<String>,
    /// Ask the server whether it accepts each account.
    pub probe: Option<bool>,
}

/// The sidecar's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStatus {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How long it runs, in milliseconds.
    pub uptime_ms: u64,
    /// Its resident memory in bytes; 0 where the system does not tell.
    pub rss_bytes: u64,
}

/// Result of `status.get`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusGetResult {
    /// The sidecar's process.
    pub process: ProcessStatus,
    /// Its accounts.
    pub accounts: Vec<AccountStatus>,
}
