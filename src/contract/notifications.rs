//! What the sidecar says by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// The kind of a [`Part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartType {
    /// Text.
    Text,
    /// A picture.
    Image,
    /// A voice message.
    Voice,
    /// A file.
    File,
    /// A video.
    Video,
    /// Something this version does not know; `error` names its wire number.
    Unknown,
}

/// One item of a WeChat message.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// What it is.
    #[serde(rename = "type")]
    pub part_type: PartType,
    /// The text of a text part.
    pub text: Option<String>,
    /// Where the file is on this machine.
    pub path: Option<String>,
    /// Where the hub serves it, below its address, to whoever has the token.
    pub url: Option<String>,
    /// The MIME type, from the content.
    pub mime: Option<String>,
    /// The name that the sender gave.
    pub file_name: Option<String>,
    /// The size in bytes.
    pub size_bytes: Option<u64>,
    /// The playing time in milliseconds.
    pub duration_ms: Option<u64>,
    /// What WeChat heard in a voice message.
    pub transcript: Option<String>,
    /// Whether its text was cut; the message's last part then is a file with all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Why the part is not all there.
    pub error: Option<String>,
}

impl Part {
    /// A part with nothing but its kind.
    pub fn of(part_type: PartType) -> Part {
        Part {
            part_type,
            text: None,
            path: None,
            url: None,
            mime: None,
            file_name: None,
            size_bytes: None,
            duration_ms: None,
            transcript: None,
            truncated: false,
            error: None,
        }
    }
}

/// The message that a message answers.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// The quoted message's server id (uint64 as text).
    pub message_id: Option<String>,
    /// The quoted message's text.
    pub text: Option<String>,
    /// The part of it that the person selected.
    pub selected_text: Option<String>,
    /// Whether the bot wrote it; missing where that is not known.
    pub from_bot: Option<bool>,
    /// The quoted media.
    pub media: Option<Part>,
    /// Whether the quoted message's content is here.
    pub resolved: bool,
    /// Whether its text was cut (64 Ki characters).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// The kind of a conversation. iLink has direct messages only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// One person and the bot.
    Direct,
}

/// Which conversation a message belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// Its kind.
    pub kind: ConversationKind,
    /// Its id: the peer's WeChat user id.
    pub id: String,
}

/// `inbound.message`: a person's message, delivered until it is acked.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundMessage {
    /// What to ack. The same message has the same `deliveryId` in every attempt, also after a restart.
    pub delivery_id: String,
    /// 1 at first, one higher each time it is delivered again.
    pub attempt: u32,
    /// The account that received it.
    pub account_id: String,
    /// The server's message id: a uint64 as text.
    pub message_id: String,
    /// The server's sequence number.
    pub seq: Option<u64>,
    /// The sender's WeChat user id.
    pub from: String,
    /// The bot's id.
    pub to: String,
    /// Which conversation it belongs to.
    pub conversation: Conversation,
    /// iLink's session id.
    pub session_id: Option<String>,
    /// When it was sent, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// When the person changed it, where the server says so; in milliseconds since 1970.
    pub updated_at_ms: Option<i64>,
    /// When the person took it back, where the server says so; in milliseconds since 1970.
    pub deleted_at_ms: Option<i64>,
    /// What a person would read: text items joined by newlines, voice transcripts included.
    pub text: String,
    /// Every item of the message, in order.
    pub parts: Vec<Part>,
    /// Whether it was too long to be told whole (256 Ki characters, 256 parts): its last part is a text file with all that it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Whether its media were not fetched: `inbound.fetchMedia` does. Only where `initialize` asked for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub defer_media: bool,
    /// The message it answers.
    pub quote: Option<Quote>,
}

/// Where a QR login stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// The code is shown, nobody scanned it yet.
    Waiting,
    /// Scanned; the person must confirm on the phone.
    Scanned,
    /// The phone shows a number that has to be given with `login.submitCode`.
    CodeRequired,
    /// The number was wrong; give it again.
    CodeRejected,
    /// Too many wrong numbers; a new QR code follows.
    CodeBlocked,
    /// A new QR code replaces the old one.
    Refreshed,
    /// The login goes on at another host.
    Redirected,
    /// Logged in; the account is saved.
    Confirmed,
    /// This bot is already connected here; nothing changed.
    AlreadyConnected,
    /// The last code ran out, or the time did.
    Expired,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// `login.progress`: a login's state changed.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginProgress {
    /// Which login.
    pub session_key: String,
    /// Its new state.
    pub state: LoginState,
    /// What to tell the person.
    pub message: String,
    /// With `refreshed`: what the new code says.
    pub qr_url: Option<String>,
    /// With `refreshed`: the new code as an image (`data:image/png;base64,…`).
    pub qr_png_data_url: Option<String>,
    /// With `refreshed`: the new code for a terminal.
    pub qr_text: Option<String>,
}

/// What an account's monitor does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Taking the lease, making contact.
    Starting,
    /// Receiving.
    Polling,
    /// Waiting after a failure.
    Backoff,
    /// The token is stale; a new login is needed.
    Paused,
    /// Not running.
    #[default]
    Stopped,
    /// Another live sidecar owns the account.
    Superseded,
}

/// Why an account is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedReason {
    /// The server no longer accepts its token (`-14`).
    Stale,
}

/// What most likely made a token stale. WeChat does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbableCause {
    /// The same WeChat user logged in elsewhere: one WeChat user has one bot that works.
    TakenOver,
    /// It grew too old.
    Expired,
}

/// Whether what a bot sends is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The server gives ids.
    Ok,
    /// The server takes messages and gives no ids, several times in a row: most likely nobody sees them.
    Unconfirmed,
    /// Nothing was confirmed yet.
    #[default]
    Unknown,
}

/// Whether what a bot sends is confirmed, and since when it is not. Kept over restarts.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Whether it is.
    pub state: DeliveryState,
    /// Sends without an id since the last one with an id.
    pub unconfirmed_in_a_row: u32,
    /// With `unconfirmed`: when the first of them was sent, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// When a send was last given an id.
    pub last_confirmed_at_ms: Option<i64>,
}

/// How many wire messages a message of a person allows a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// How many.
    pub limit: u32,
    /// Whether that was learned from refusals.
    pub learned: bool,
}

/// What was tried when WeChat refused to prepare a message ("prepare failed").
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// When.
    pub at_ms: i64,
    /// What, in order.
    pub tried: Vec<RecoveryStep>,
    /// Whether the message went through; missing while it is being tried.
    pub ok: Option<bool>,
}

/// A step of a [`Recovery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStep {
    /// Which.
    pub step: RecoveryAction,
    /// Whether it succeeded.
    pub ok: bool,
}

/// What is known to help against "prepare failed".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryAction {
    /// New connections to the host.
    Connections,
    /// Announcing the bot's start again.
    NotifyStart,
    /// A fresh typing ticket for the person.
    TypingTicket,
    /// Sending the message again.
    Send,
}

/// Messages that were taken in and are not acked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxStatus {
    /// All of them.
    pub pending: u64,
    /// Those the gateway has and has not acked.
    pub in_flight: u64,
}

/// Messages that wait to be sent.
#[skip_serializing_none]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxStatus {
    /// How many.
    pub held: u64,
    /// When the oldest was accepted, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

/// Counts since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Messages that the server handed over, without duplicates.
    pub received: u64,
    /// Deliveries to the gateway.
    pub delivered: u64,
    /// Messages dropped because they were already taken in.
    pub duplicates: u64,
    /// Wire messages sent and confirmed.
    pub sent: u64,
    /// Wire messages that the server took without giving an id.
    pub unconfirmed: u64,
    /// Wire messages that were refused or given up.
    pub failed: u64,
}

/// The answer to `status.get` with `probe`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// Whether the API host accepted the account's token.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// Why not.
    pub error: Option<String>,
}

/// `account.status`, and an item of `status.get`.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// Which account.
    pub account_id: String,
    /// What its monitor does.
    pub state: AccountState,
    /// When it was started, in milliseconds since 1970, as all times here.
    pub last_start_at_ms: Option<i64>,
    /// When the server last answered a poll; a poll that ends without an answer does not count.
    pub last_poll_at_ms: Option<i64>,
    /// When a message last came in.
    pub last_inbound_at_ms: Option<i64>,
    /// When the server last took a message, confirmed or not.
    pub last_outbound_at_ms: Option<i64>,
    /// What last went wrong; gone when it works again.
    pub last_error: Option<String>,
    /// With `backoff`: when the next try comes.
    pub paused_until_ms: Option<i64>,
    /// With `paused`: why.
    pub paused_reason: Option<PausedReason>,
    /// With `paused`: what most likely happened.
    pub probable_cause: Option<ProbableCause>,
    /// Whether what it sends is confirmed.
    #[serde(default)]
    pub delivery: Delivery,
    /// How many messages it may send for each that it gets.
    pub budget: Option<BudgetStatus>,
    /// What was last tried against "prepare failed".
    pub recovery: Option<Recovery>,
    /// Messages taken in and not acked yet.
    pub inbox: InboxStatus,
    /// Messages that wait to be sent.
    pub outbox: OutboxStatus,
    /// Counts since the process started.
    pub counters: Counters,
    /// With `probe`: whether the host accepts the account.
    pub probe: Option<ProbeResult>,
}

/// How a held message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateStatus {
    /// The server took all of it, and confirmed it.
    Sent,
    /// The server took all of it without confirming it; see `SendResult`.
    Unconfirmed,
    /// The server refused it.
    Failed,
    /// It waited too long, or too many waited behind it.
    Expired,
    /// `outbound.cancel` or the removal of its account ended it.
    Cancelled,
}

/// `outbound.update`: a message that was reported as `held` has ended.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboundUpdate {
    /// Which message.
    pub queue_id: String,
    /// From which account.
    pub account_id: Option<String>,
    /// To whom.
    pub to: Option<String>,
    /// The client ids of its wire messages.
    pub client_ids: Vec<String>,
    /// How it ended.
    pub status: UpdateStatus,
    /// The server's ids (uint64 as text) of the wire messages that it took, where it named them.
    pub message_ids: Option<Vec<String>>,
    /// What it says; a text that was split is put together with newlines.
    pub text: Option<String>,
    /// Why it was not sent.
    pub error: Option<String>,
}
