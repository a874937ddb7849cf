/* eslint-disable */
// Generated from docs/contract.schema.json and docs/openrpc.json by `npm run gen`. Do not edit.

/**
 * The `SKRouteTag` header's value: a number in most deployments.
 */
export type RouteTag = number | string;
/**
 * Who may write to the bot. The gateway decides; the sidecar only carries the setting.
 */
export type DmPolicy = "pairing" | "allowlist" | "open" | "disabled";
/**
 * How OpenClaw writes tables before the text comes here.
 */
export type MarkdownTables = "off" | "bullets" | "code" | "block";
/**
 * What an account's monitor does.
 */
export type AccountState = "starting" | "polling" | "backoff" | "paused" | "stopped" | "superseded";
/**
 * Why an account is paused.
 */
export type PausedReason = "stale";
/**
 * What most likely made a token stale. WeChat does not say.
 */
export type ProbableCause = "taken_over" | "expired";
/**
 * Whether what a bot sends is confirmed.
 */
export type DeliveryState = "ok" | "unconfirmed" | "unknown";
/**
 * What is known to help against "prepare failed".
 */
export type RecoveryAction = "connections" | "notify_start" | "typing_ticket" | "send";
/**
 * What gives a budget back.
 */
export type BudgetReset = "inbound";
/**
 * What becomes of an answer that needs more messages than are left.
 */
export type Overflow = "hold" | "file";
/**
 * The kind of a conversation. iLink has direct messages only.
 */
export type ConversationKind = "direct";
/**
 * Why a request failed. Each kind has one JSON-RPC code.
 */
export type ErrorKind =
  | "parse_error"
  | "invalid_request"
  | "method_not_found"
  | "invalid_params"
  | "internal"
  | "not_initialized"
  | "forbidden"
  | "account_not_found"
  | "account_not_configured"
  | "account_ambiguous"
  | "session_expired"
  | "account_locked"
  | "ilink_rejected"
  | "ilink_throttled"
  | "network"
  | "media_too_large"
  | "media_denied"
  | "media_unreadable"
  | "login_failed"
  | "login_not_found"
  | "store_failed";
/**
 * How far a request got before the network failed it.
 */
export type NetworkCause = "dns" | "tcp" | "tls" | "timeout";
/**
 * The kind of a [`Part`].
 */
export type PartType = "text" | "image" | "voice" | "file" | "video" | "unknown";
/**
 * Why a message is held.
 */
export type HeldReason = "quota" | "throttled" | "no_context" | "context_expired" | "session_expired" | "offline";
/**
 * The language of texts for people.
 */
export type Locale = "zh-CN" | "en";
/**
 * Where a QR login stands.
 */
export type LoginState =
  | "waiting"
  | "scanned"
  | "code_required"
  | "code_rejected"
  | "code_blocked"
  | "refreshed"
  | "redirected"
  | "confirmed"
  | "already_connected"
  | "expired"
  | "failed"
  | "cancelled";
/**
 * How a file is shown.
 */
export type MediaKind = "auto" | "image" | "video" | "file" | "voice";
/**
 * How a held message ended.
 */
export type UpdateStatus = "sent" | "unconfirmed" | "failed" | "expired" | "cancelled";
/**
 * Where a tool call is.
 */
export type ProgressPhase = "start" | "end";
/**
 * Whether a message was sent.
 */
export type SendStatus = "sent" | "unconfirmed" | "held";

/**
 * An account, as `accounts.list` shows it.
 */
export interface Account {
  /**
   * The normalised id.
   */
  accountId: string;
  /**
   * The configured name.
   */
  name?: string | null;
  /**
   * The label given at login.
   */
  label?: string | null;
  /**
   * Whether the configuration lets it run.
   */
  enabled: boolean;
  /**
   * Whether it has credentials.
   */
  configured: boolean;
  /**
   * Whether this process runs its monitor.
   */
  running: boolean;
  /**
   * The WeChat user who scanned the QR code.
   */
  userId?: string | null;
  /**
   * The API host.
   */
  baseUrl: string;
  /**
   * When its credentials were saved; ISO 8601.
   */
  savedAt?: string | null;
  /**
   * What is wrong with its files.
   */
  problem?: string | null;
}
/**
 * Settings of one account, over those of the channel.
 */
export interface AccountConfig {
  /**
   * A name for people.
   */
  name?: string | null;
  /**
   * Whether the account runs. Default: true.
   */
  enabled?: boolean | null;
  /**
   * The API host, over the one that the login gave.
   */
  baseUrl?: string | null;
  /**
   * The media host.
   */
  cdnBaseUrl?: string | null;
  /**
   * The `SKRouteTag` header.
   */
  routeTag?: RouteTag | null;
  /**
   * Who may write to this account's bot.
   */
  dmPolicy?: DmPolicy | null;
  /**
   * People who may write, by their WeChat user id (`…@im.wechat`); `*` is everyone.
   */
  allowFrom?: string[] | null;
  /**
   * OpenClaw's: whether its health monitor restarts accounts that look dead to it.
   */
  healthMonitor?: HealthMonitorConfig | null;
  /**
   * OpenClaw's: text before each answer.
   */
  responsePrefix?: string | null;
  /**
   * OpenClaw's: who is written to where nobody is named.
   */
  defaultTo?: string | null;
  /**
   * OpenClaw's: what its heartbeat shows.
   */
  heartbeatVisibility?: HeartbeatVisibilityConfig | null;
  /**
   * OpenClaw's: whether people may change its configuration from a conversation.
   */
  configWrites?: boolean | null;
  /**
   * OpenClaw's: how it writes Markdown.
   */
  markdown?: MarkdownConfig | null;
}
/**
 * Whether OpenClaw restarts an account that looks dead to it. Only for the gateway.
 */
export interface HealthMonitorConfig {
  /**
   * Default: true.
   */
  enabled?: boolean | null;
}
/**
 * What OpenClaw's heartbeat shows. Only for the gateway.
 */
export interface HeartbeatVisibilityConfig {
  /**
   * Whether heartbeats without news are shown.
   */
  showOk?: boolean | null;
  /**
   * Whether alerts are shown.
   */
  showAlerts?: boolean | null;
  /**
   * Whether an indicator is used.
   */
  useIndicator?: boolean | null;
}
/**
 * What OpenClaw does with Markdown before the text comes here. Only for the gateway.
 */
export interface MarkdownConfig {
  /**
   * How tables are written.
   */
  tables?: MarkdownTables | null;
}
/**
 * Parameters that name one account.
 */
export interface AccountParams {
  /**
   * Which account; the raw bot id works too.
   */
  accountId: string;
}
/**
 * `account.status`, and an item of `status.get`.
 */
export interface AccountStatus {
  /**
   * Which account.
   */
  accountId: string;
  state: AccountState;
  /**
   * When it was started, in milliseconds since 1970, as all times here.
   */
  lastStartAtMs?: number | null;
  /**
   * When the server last answered a poll; a poll that ends without an answer does not count.
   */
  lastPollAtMs?: number | null;
  /**
   * When a message last came in.
   */
  lastInboundAtMs?: number | null;
  /**
   * When the server last took a message, confirmed or not.
   */
  lastOutboundAtMs?: number | null;
  /**
   * What last went wrong; gone when it works again.
   */
  lastError?: string | null;
  /**
   * With `backoff`: when the next try comes.
   */
  pausedUntilMs?: number | null;
  /**
   * With `paused`: why.
   */
  pausedReason?: PausedReason | null;
  /**
   * With `paused`: what most likely happened.
   */
  probableCause?: ProbableCause | null;
  delivery?: Delivery;
  /**
   * How many messages it may send for each that it gets.
   */
  budget?: BudgetStatus | null;
  /**
   * What was last tried against "prepare failed".
   */
  recovery?: Recovery | null;
  inbox: InboxStatus;
  outbox: OutboxStatus;
  counters: Counters;
  /**
   * With `probe`: whether the host accepts the account.
   */
  probe?: ProbeResult | null;
}
/**
 * Whether what a bot sends is confirmed, and since when it is not. Kept over restarts.
 */
export interface Delivery {
  state: DeliveryState;
  /**
   * Sends without an id since the last one with an id.
   */
  unconfirmedInARow: number;
  /**
   * With `unconfirmed`: when the first of them was sent, in milliseconds since 1970.
   */
  sinceMs?: number | null;
  /**
   * When a send was last given an id.
   */
  lastConfirmedAtMs?: number | null;
}
/**
 * How many wire messages a message of a person allows a bot.
 */
export interface BudgetStatus {
  /**
   * How many.
   */
  limit: number;
  /**
   * Whether that was learned from refusals.
   */
  learned: boolean;
}
/**
 * What was tried when WeChat refused to prepare a message ("prepare failed").
 */
export interface Recovery {
  /**
   * When.
   */
  atMs: number;
  /**
   * What, in order.
   */
  tried: RecoveryStep[];
  /**
   * Whether the message went through; missing while it is being tried.
   */
  ok?: boolean | null;
}
/**
 * A step of a [`Recovery`].
 */
export interface RecoveryStep {
  step: RecoveryAction;
  /**
   * Whether it succeeded.
   */
  ok: boolean;
}
/**
 * Messages that were taken in and are not acked yet.
 */
export interface InboxStatus {
  /**
   * All of them.
   */
  pending: number;
  /**
   * Those the gateway has and has not acked.
   */
  inFlight: number;
}
/**
 * Messages that wait to be sent.
 */
export interface OutboxStatus {
  /**
   * How many.
   */
  held: number;
  /**
   * When the oldest was accepted, in milliseconds since 1970.
   */
  oldestMs?: number | null;
}
/**
 * Counts since the process started.
 */
export interface Counters {
  /**
   * Messages that the server handed over, without duplicates.
   */
  received: number;
  /**
   * Deliveries to the gateway.
   */
  delivered: number;
  /**
   * Messages dropped because they were already taken in.
   */
  duplicates: number;
  /**
   * Wire messages sent and confirmed.
   */
  sent: number;
  /**
   * Wire messages that the server took without giving an id.
   */
  unconfirmed: number;
  /**
   * Wire messages that were refused or given up.
   */
  failed: number;
}
/**
 * The answer to `status.get` with `probe`.
 */
export interface ProbeResult {
  /**
   * Whether the API host accepted the account's token.
   */
  ok: boolean;
  /**
   * How long it took, in milliseconds.
   */
  latencyMs: number;
  /**
   * Why not.
   */
  error?: string | null;
}
/**
 * Parameters of `accounts.export`.
 */
export interface AccountsExportParams {
  /**
   * Only these. Default: all.
   */
  accountIds?: string[] | null;
  /**
   * What the archive is encrypted with.
   */
  passphrase: string;
}
/**
 * Result of `accounts.export`.
 */
export interface AccountsExportResult {
  /**
   * An [age](https://age-encryption.org) file, encrypted with the passphrase, in base64.
   */
  archive: string;
  /**
   * The accounts in it.
   */
  accountIds: string[];
}
/**
 * Parameters of `accounts.import`.
 */
export interface AccountsImportParams {
  /**
   * What `accounts.export` made.
   */
  archive: string;
  /**
   * What it was encrypted with.
   */
  passphrase: string;
}
/**
 * Result of `accounts.import`.
 */
export interface AccountsImportResult {
  /**
   * Accounts that are here now, and were not before or had an older login.
   */
  imported: string[];
  /**
   * Accounts that stayed as they are, because their login here is as new or newer.
   */
  kept: string[];
}
/**
 * Result of `accounts.list`.
 */
export interface AccountsListResult {
  /**
   * In the order of their logins, newest last.
   */
  accounts: Account[];
}
/**
 * Result of `accounts.remove`.
 */
export interface AccountsRemoveResult {
  /**
   * Whether there was such an account.
   */
  removed: boolean;
}
/**
 * Parameters of `outbound.budget`.
 */
export interface BudgetParams {
  /**
   * The peer's WeChat user id.
   */
  to: string;
  /**
   * From which account. Default: the only one, or the one that knows the peer.
   */
  accountId?: string | null;
}
/**
 * Result of `outbound.budget`: what may be sent to a peer now.
 */
export interface BudgetResult {
  /**
   * Wire messages that may still be sent. What waits in the outbox goes first.
   */
  left: number;
  resetsOn: BudgetReset;
  /**
   * When the peer's last message stops allowing any, in milliseconds since 1970; missing where they have not written.
   */
  windowEndsAtMs?: number | null;
  /**
   * Wire messages that one message of the peer allows.
   */
  limit: number;
  /**
   * Whether the limit was learned from refusals: it is below `outbox.quotaPerMessage` then.
   */
  learned: boolean;
  /**
   * Where the bot must wait first, for its pace or after a refusal: until when, in milliseconds since 1970.
   */
  paceAvailableAtMs?: number | null;
}
/**
 * Parameters of `outbound.cancel`.
 */
export interface CancelParams {
  /**
   * Which message.
   */
  queueId: string;
}
/**
 * Result of `outbound.cancel`.
 */
export interface CancelResult {
  /**
   * Whether it was still waiting. Parts that were sent before stay sent.
   */
  cancelled: boolean;
}
/**
 * What the channel can do.
 */
export interface Capabilities {
  /**
   * Kinds of conversations: `direct`.
   */
  chatTypes: string[];
  /**
   * Whether media can be sent and received.
   */
  media: boolean;
  /**
   * Whether typing can be shown.
   */
  typing: boolean;
  /**
   * Whether quotes are resolved.
   */
  quotes: boolean;
  /**
   * Whether tool progress can be shown.
   */
  progress: boolean;
  /**
   * Whether sends can be held.
   */
  outbox: boolean;
}
/**
 * What the channel is.
 */
export interface ChannelInfo {
  /**
   * `openclaw-weixin`.
   */
  id: string;
  /**
   * Other names: `weixin`, `wechat`.
   */
  aliases: string[];
  /**
   * A name for people.
   */
  label: string;
  capabilities: Capabilities;
}
/**
 * The whole channel's settings.
 */
export interface Config {
  /**
   * A name for people.
   */
  name?: string | null;
  /**
   * Whether the channel runs. Default: true.
   */
  enabled?: boolean | null;
  /**
   * The host for logins, and for accounts whose login named none. Default: `https://ilinkai.weixin.qq.com`.
   */
  baseUrl?: string | null;
  /**
   * The media host. Default: `https://novac2c.cdn.weixin.qq.com/c2c`.
   */
  cdnBaseUrl?: string | null;
  /**
   * The `SKRouteTag` header.
   */
  routeTag?: RouteTag | null;
  /**
   * What the bot calls itself towards iLink, like an HTTP User-Agent; the sidecar's own name follows it. Default: the
   * gateway's name and version.
   */
  botAgent?: string | null;
  /**
   * The version of the iLink interface that is declared, such as `2.4.9`. Phones refuse the QR code of a client that
   * declares an old one. Default: the newest that this build knows.
   */
  channelVersion?: string | null;
  /**
   * Whether tool calls are shown while a turn runs. Default: false, because WeChat was reported to drop such messages
   * and to count them all the same.
   */
  replyProgressMessages?: boolean | null;
  /**
   * How many milliseconds a message waits for the next one of the same person, to be one turn with it; 0 joins none. Default:
   * OpenClaw's `messages.inbound`; where that is not set either, a file without a word waits 1500, words behind it 500. Only where OpenClaw
   * hosts the sidecar.
   */
  inboundDebounceMs?: number | null;
  /**
   * Whether pictures take a thumbnail along. Default: false, because no other client was seen to send one.
   */
  thumbnails?: boolean | null;
  /**
   * Whether a `<` outside code that could begin a tag is sent as `＜`. Default: true, because WeChat was reported to hide
   * what follows one.
   */
  escapeTags?: boolean | null;
  /**
   * The cache behind quoted messages.
   */
  quoteCache?: QuoteCacheConfig | null;
  /**
   * Who may write to the bots. Default: `pairing`.
   */
  dmPolicy?: DmPolicy | null;
  /**
   * People who may write, by their WeChat user id (`…@im.wechat`); `*` is everyone.
   */
  allowFrom?: string[] | null;
  /**
   * The largest media file, in MiB. Default: 100.
   */
  mediaMaxMb?: number | null;
  /**
   * How sends are paced and kept.
   */
  outbox?: OutboxConfig | null;
  /**
   * Voice messages that the bot sends.
   */
  voice?: VoiceConfig | null;
  /**
   * Settings by account id.
   */
  accounts?: {
    [k: string]: AccountConfig;
  } | null;
  /**
   * Written by a login so that the gateway reads its configuration again; ISO 8601.
   */
  channelConfigUpdatedAt?: string | null;
  /**
   * OpenClaw's: whether its health monitor restarts accounts that look dead to it.
   */
  healthMonitor?: HealthMonitorConfig | null;
  /**
   * OpenClaw's: text before each answer.
   */
  responsePrefix?: string | null;
  /**
   * OpenClaw's: who is written to where nobody is named.
   */
  defaultTo?: string | null;
  /**
   * OpenClaw's: what its heartbeat shows.
   */
  heartbeatVisibility?: HeartbeatVisibilityConfig | null;
  /**
   * OpenClaw's: whether people may change its configuration from a conversation.
   */
  configWrites?: boolean | null;
  /**
   * OpenClaw's: how it writes Markdown.
   */
  markdown?: MarkdownConfig | null;
  /**
   * OpenClaw's: the account that it takes where none is named.
   */
  defaultAccount?: string | null;
}
/**
 * Whose message a person quotes is looked up in a local cache with these limits.
 */
export interface QuoteCacheConfig {
  /**
   * Whether messages are kept for quotes at all. Default: true.
   */
  enabled?: boolean | null;
  /**
   * How long texts are kept, in days. Default: 30.
   */
  retentionDays?: number | null;
  /**
   * How many messages are kept for an account. Default: 10000.
   */
  maxMessagesPerAccount?: number | null;
  /**
   * How long media are kept, in days. Default: 7.
   */
  mediaRetentionDays?: number | null;
  /**
   * How many bytes of media are kept for an account. What is received counts before it is fetched; at least twice
   * `mediaMaxMb`. Default: 268435456 (256 MiB).
   */
  maxMediaBytesPerAccount?: number | null;
  /**
   * The largest single file that is kept, in bytes. Default: 26214400 (25 MiB).
   */
  maxSingleMediaBytes?: number | null;
}
/**
 * How sends are paced and kept.
 */
export interface OutboxConfig {
  /**
   * Sends per inbound message, at most: a bot that WeChat allows fewer is found out, and keeps to those. Default: 10.
   */
  quotaPerMessage?: number | null;
  /**
   * How long a peer's last message allows sends, in hours. Default: 24.
   */
  contextTtlHours?: number | null;
  /**
   * Sends per minute and bot. Default: 40.
   */
  perMinute?: number | null;
  /**
   * Sends within a second and bot. Default: 2.
   */
  burst?: number | null;
  /**
   * Held messages per conversation. Default: 100.
   */
  maxHeldPerConversation?: number | null;
  /**
   * How long a message is held, in hours. Default: 72.
   */
  holdTtlHours?: number | null;
  /**
   * Whether the last free send says that the rest follows. Default: true.
   */
  notice?: boolean | null;
  /**
   * What becomes of an answer that needs more messages than are left, where nothing else waits. Default: `hold`.
   */
  overflow?: Overflow | null;
}
/**
 * Voice messages that the bot sends.
 */
export interface VoiceConfig {
  /**
   * Send voice bubbles. Default: false, because many clients do not show them.
   */
  send?: boolean | null;
  /**
   * Send a file where a voice bubble is off or impossible. Default: true.
   */
  fallback?: boolean | null;
}
/**
 * Parameters of `config.set`.
 */
export interface ConfigSetParams {
  config: Config;
}
/**
 * Which conversation a message belongs to.
 */
export interface Conversation {
  kind: ConversationKind;
  /**
   * Its id: the peer's WeChat user id.
   */
  id: string;
}
/**
 * No parameters, or no result: `{}`.
 */
export interface Empty {}
/**
 * `error.data` of every error response.
 */
export interface ErrorData {
  kind: ErrorKind;
  /**
   * Whether the same request may succeed later without anybody doing anything.
   */
  retryable: boolean;
  /**
   * The account it is about.
   */
  accountId?: string | null;
  /**
   * When to try again at the earliest, in milliseconds from now.
   */
  retryAfterMs?: number | null;
  /**
   * What iLink answered.
   */
  ilink?: IlinkAnswer | null;
  /**
   * With kind `network`: how far it got.
   */
  cause?: NetworkCause | null;
}
/**
 * What iLink answered, where it answered.
 */
export interface IlinkAnswer {
  /**
   * The answer's `ret`.
   */
  ret?: number | null;
  /**
   * The answer's `errcode`.
   */
  errcode?: number | null;
  /**
   * The answer's `errmsg`.
   */
  errmsg?: string | null;
  /**
   * The HTTP status, where it was not 200.
   */
  httpStatus?: number | null;
}
/**
 * Parameters of `inbound.fetchMedia`.
 */
export interface FetchMediaParams {
  /**
   * A delivery that is not acked yet.
   */
  deliveryId: string;
}
/**
 * The answer to `inbound.fetchMedia`: what of the message depends on its media. A part that could not be had says why.
 */
export interface FetchMediaResult {
  /**
   * As in `inbound.message`.
   */
  text: string;
  /**
   * Every item of the message, in order, with its file.
   */
  parts: Part[];
  /**
   * The message it answers, with its file.
   */
  quote?: Quote | null;
}
/**
 * One item of a WeChat message.
 */
export interface Part {
  type: PartType;
  /**
   * The text of a text part.
   */
  text?: string | null;
  /**
   * Where the file is on this machine.
   */
  path?: string | null;
  /**
   * Where the hub serves it, below its address, to whoever has the token.
   */
  url?: string | null;
  /**
   * The MIME type, from the content.
   */
  mime?: string | null;
  /**
   * The name that the sender gave.
   */
  fileName?: string | null;
  /**
   * The size in bytes.
   */
  sizeBytes?: number | null;
  /**
   * The playing time in milliseconds.
   */
  durationMs?: number | null;
  /**
   * What WeChat heard in a voice message.
   */
  transcript?: string | null;
  /**
   * Whether its text was cut; the message's last part then is a file with all of it.
   */
  truncated?: boolean;
  /**
   * Why the part is not all there.
   */
  error?: string | null;
}
/**
 * The message that a message answers.
 */
export interface Quote {
  /**
   * The quoted message's server id (uint64 as text).
   */
  messageId?: string | null;
  /**
   * The quoted message's text.
   */
  text?: string | null;
  /**
   * The part of it that the person selected.
   */
  selectedText?: string | null;
  /**
   * Whether the bot wrote it; missing where that is not known.
   */
  fromBot?: boolean | null;
  /**
   * The quoted media.
   */
  media?: Part | null;
  /**
   * Whether the quoted message's content is here.
   */
  resolved: boolean;
  /**
   * Whether its text was cut (64 Ki characters).
   */
  truncated?: boolean;
}
/**
 * Who the gateway is.
 */
export interface HostInfo {
  /**
   * Such as `openclaw`.
   */
  name: string;
  /**
   * Its version.
   */
  version: string;
  /**
   * Its process id, where it is not the sidecar's parent.
   */
  pid?: number | null;
}
/**
 * Parameters of `inbound.ack`.
 */
export interface InboundAckParams {
  /**
   * Deliveries that the gateway has taken over.
   */
  deliveryIds: string[];
}
/**
 * Result of `inbound.ack`.
 */
export interface InboundAckResult {
  /**
   * How many of them were not acked before.
   */
  acked: number;
}
/**
 * `inbound.message`: a person's message, delivered until it is acked.
 */
export interface InboundMessage {
  /**
   * What to ack. The same message has the same `deliveryId` in every attempt, also after a restart.
   */
  deliveryId: string;
  /**
   * 1 at first, one higher each time it is delivered again.
   */
  attempt: number;
  /**
   * The account that received it.
   */
  accountId: string;
  /**
   * The server's message id: a uint64 as text.
   */
  messageId: string;
  /**
   * The server's sequence number.
   */
  seq?: number | null;
  /**
   * The sender's WeChat user id.
   */
  from: string;
  /**
   * The bot's id.
   */
  to: string;
  conversation: Conversation;
  /**
   * iLink's session id.
   */
  sessionId?: string | null;
  /**
   * When it was sent, in milliseconds since 1970.
   */
  timestampMs: number;
  /**
   * When the person changed it, where the server says so; in milliseconds since 1970.
   */
  updatedAtMs?: number | null;
  /**
   * When the person took it back, where the server says so; in milliseconds since 1970.
   */
  deletedAtMs?: number | null;
  /**
   * What a person would read: text items joined by newlines, voice transcripts included.
   */
  text: string;
  /**
   * Every item of the message, in order.
   */
  parts: Part[];
  /**
   * Whether it was too long to be told whole (256 Ki characters, 256 parts): its last part is a text file with all that it says.
   */
  truncated?: boolean;
  /**
   * Whether its media were not fetched: `inbound.fetchMedia` does. Only where `initialize` asked for that.
   */
  deferMedia?: boolean;
  /**
   * The message it answers.
   */
  quote?: Quote | null;
}
/**
 * Parameters of `inbound.nack`.
 */
export interface InboundNackParams {
  /**
   * The delivery that the gateway could not take over.
   */
  deliveryId: string;
  /**
   * When to deliver it again, in milliseconds from now. Default: 1000. The conversation waits so long.
   */
  retryAfterMs?: number | null;
  /**
   * Why; for the log.
   */
  reason?: string | null;
}
/**
 * Parameters of `inbound.release`.
 */
export interface InboundReleaseParams {
  /**
   * The delivery that the gateway keeps for later.
   */
  deliveryId: string;
}
/**
 * Parameters of `initialize`.
 */
export interface InitializeParams {
  /**
   * Must be 1.
   */
  protocolVersion: number;
  host: HostInfo;
  /**
   * OpenClaw's state directory; the sidecar's files are under `openclaw-weixin/` in it.
   * Default: `OPENCLAW_STATE_DIR`, else `CLAWDBOT_STATE_DIR`, else `~/.openclaw`.
   */
  stateDir?: string | null;
  /**
   * Directories that `outbound.sendMedia` may read. Without them it may read only what the sidecar itself wrote for the same
   * conversation.
   */
  mediaRoots?: string[] | null;
  /**
   * The channel's settings.
   */
  config?: Config | null;
  /**
   * The language of texts for people.
   */
  locale?: Locale | null;
  /**
   * How often `account.status` comes although nothing changed, in milliseconds; at least 1000. Default: only with changes.
   */
  statusIntervalMs?: number | null;
  /**
   * Whether media are fetched only when `inbound.fetchMedia` asks for them, which the gateway does once it has decided that the
   * sender may write to it. Default: no, a message comes with its media.
   */
  deferMedia?: boolean | null;
}
/**
 * Result of `initialize`.
 */
export interface InitializeResult {
  /**
   * 1.
   */
  protocolVersion: number;
  sidecar: SidecarInfo;
  channel: ChannelInfo;
  limits: Limits;
  /**
   * Things a person should know that did not stop the start, such as a damaged database that was put aside.
   */
  warnings?: string[];
}
/**
 * Who the sidecar is.
 */
export interface SidecarInfo {
  /**
   * `openclaw-weixin-sidecar`.
   */
  name: string;
  /**
   * Its version.
   */
  version: string;
  /**
   * Its process id.
   */
  pid: number;
}
/**
 * Limits that a gateway should know.
 */
export interface Limits {
  /**
   * Characters in one wire message; longer texts are split by the sidecar.
   */
  textChunkLimit: number;
  /**
   * The largest media file, in bytes.
   */
  mediaMaxBytes: number;
  /**
   * The longest line on stdin or stdout, in bytes.
   */
  maxLineBytes: number;
}
/**
 * Parameters of `login.cancel`.
 */
export interface LoginCancelParams {
  /**
   * Which login.
   */
  sessionKey: string;
}
/**
 * `login.progress`: a login's state changed.
 */
export interface LoginProgress {
  /**
   * Which login.
   */
  sessionKey: string;
  state: LoginState;
  /**
   * What to tell the person.
   */
  message: string;
  /**
   * With `refreshed`: what the new code says.
   */
  qrUrl?: string | null;
  /**
   * With `refreshed`: the new code as an image (`data:image/png;base64,…`).
   */
  qrPngDataUrl?: string | null;
  /**
   * With `refreshed`: the new code for a terminal.
   */
  qrText?: string | null;
}
/**
 * Parameters of `login.start`.
 */
export interface LoginStartParams {
  /**
   * Whose login this is to renew; the person decides with the phone, so it is only a hint. Two calls with the
   * same id share one login unless `force` is set.
   */
  accountId?: string | null;
  /**
   * Begin anew although a login for that account is under way.
   */
  force?: boolean | null;
  /**
   * A label to keep with the account.
   */
  label?: string | null;
}
/**
 * Result of `login.start`.
 */
export interface LoginStartResult {
  /**
   * Names this login in the other calls.
   */
  sessionKey: string;
  /**
   * What the QR code says; a page that opens in WeChat.
   */
  qrUrl: string;
  /**
   * The QR code as an image: `data:image/png;base64,…`.
   */
  qrPngDataUrl: string;
  /**
   * The QR code for a terminal.
   */
  qrText: string;
  /**
   * When this code runs out, in milliseconds since 1970.
   */
  expiresAtMs: number;
  /**
   * What to tell the person.
   */
  message: string;
}
/**
 * Parameters of `login.submitCode`.
 */
export interface LoginSubmitCodeParams {
  /**
   * Which login.
   */
  sessionKey: string;
  /**
   * The number that the phone shows.
   */
  code: string;
}
/**
 * Parameters of `login.wait`.
 */
export interface LoginWaitParams {
  /**
   * Which login.
   */
  sessionKey: string;
  /**
   * How long to wait, in milliseconds. Default: 480000.
   */
  timeoutMs?: number | null;
}
/**
 * Result of `login.wait`: how the login ended, or where it stands when the time is over.
 */
export interface LoginWaitResult {
  /**
   * Whether an account was connected by this login.
   */
  connected: boolean;
  /**
   * Whether the bot was connected here before.
   */
  alreadyConnected: boolean;
  state: LoginState;
  /**
   * The account.
   */
  accountId?: string | null;
  /**
   * The WeChat user who scanned the code.
   */
  userId?: string | null;
  /**
   * What to tell the person.
   */
  message: string;
}
/**
 * `outbound.update`: a message that was reported as `held` has ended.
 */
export interface OutboundUpdate {
  /**
   * Which message.
   */
  queueId: string;
  /**
   * From which account.
   */
  accountId?: string | null;
  /**
   * To whom.
   */
  to?: string | null;
  /**
   * The client ids of its wire messages.
   */
  clientIds: string[];
  status: UpdateStatus;
  /**
   * The server's ids (uint64 as text) of the wire messages that it took, where it named them.
   */
  messageIds?: string[] | null;
  /**
   * What it says; a text that was split is put together with newlines.
   */
  text?: string | null;
  /**
   * Why it was not sent.
   */
  error?: string | null;
}
/**
 * A person who has written to an account.
 */
export interface Peer {
  /**
   * The account that they wrote to.
   */
  accountId: string;
  /**
   * Their WeChat user id: what `to` of a send takes.
   */
  id: string;
  /**
   * When they last wrote something that may be answered, in milliseconds since 1970; of whom the official plugin knew: when that was taken
   * over. WeChat lets a bot answer for about a day.
   */
  lastInboundAtMs: number;
}
/**
 * Parameters of `peers.list`.
 */
export interface PeersListParams {
  /**
   * Only of this account.
   */
  accountId?: string | null;
  /**
   * Only those whose id contains this, in whatever case.
   */
  query?: string | null;
  /**
   * So many at most. Default: 100; 1000 are the most.
   */
  limit?: number | null;
}
/**
 * Result of `peers.list`.
 */
export interface PeersListResult {
  /**
   * Whoever wrote last comes first.
   */
  peers: Peer[];
}
/**
 * The sidecar's process.
 */
export interface ProcessStatus {
  /**
   * Its process id.
   */
  pid: number;
  /**
   * Its version.
   */
  version: string;
  /**
   * How long it runs, in milliseconds.
   */
  uptimeMs: number;
  /**
   * Its resident memory in bytes; 0 where the system does not tell.
   */
  rssBytes: number;
}
/**
 * A message that waits to be sent.
 */
export interface QueueItem {
  /**
   * Names it in `outbound.cancel` and `outbound.update`.
   */
  queueId: string;
  /**
   * From which account.
   */
  accountId: string;
  /**
   * To whom.
   */
  to: string;
  /**
   * What it is: `text`, `image`, `video`, `file` or `voice`.
   */
  kind: string;
  /**
   * When it was accepted, in milliseconds since 1970.
   */
  createdAtMs: number;
  /**
   * Why it waits; nothing while it is being sent.
   */
  reason?: HeldReason | null;
  /**
   * The beginning of its text.
   */
  preview: string;
}
/**
 * Parameters of `outbound.queue`.
 */
export interface QueueParams {
  /**
   * Only of this account.
   */
  accountId?: string | null;
  /**
   * Only to this peer.
   */
  to?: string | null;
}
/**
 * Result of `outbound.queue`.
 */
export interface QueueResult {
  /**
   * In the order in which they will be sent in each conversation.
   */
  items: QueueItem[];
}
/**
 * Parameters of `outbound.sendMedia`.
 */
export interface SendMediaParams {
  /**
   * The peer's WeChat user id.
   */
  to: string;
  /**
   * A file inside one of the `mediaRoots` of `initialize`. Either this or `url`.
   */
  path?: string | null;
  /**
   * An http or https address on the public internet. Either this or `path`.
   */
  url?: string | null;
  /**
   * Instead of both: what `POST /media` of the hub answered.
   */
  mediaId?: string | null;
  /**
   * What is said of it: Markdown; goes before it, as a message of its own.
   */
  text?: string | null;
  /**
   * How it is shown. Default: `auto`.
   */
  kind?: MediaKind | null;
  /**
   * The name that people see. Default: the file's own.
   */
  fileName?: string | null;
  /**
   * From which account. Default: the only one, or the one that knows the peer.
   */
  accountId?: string | null;
  /**
   * The agent run it belongs to.
   */
  runId?: string | null;
  /**
   * The same key gives the first result again instead of a second message.
   */
  idempotencyKey?: string | null;
}
/**
 * Parameters of `outbound.sendProgress`. Progress that does not fit into what WeChat allows is dropped: the result is
 * `held` without a `queueId`.
 */
export interface SendProgressParams {
  /**
   * The peer's WeChat user id.
   */
  to: string;
  /**
   * The agent run it belongs to.
   */
  runId: string;
  phase: ProgressPhase;
  /**
   * The tool.
   */
  toolName: string;
  /**
   * Names the call; start and end have the same.
   */
  toolCallId?: string | null;
  /**
   * With `end`: `completed`, `failed`, `blocked` or `unknown`.
   */
  status?: string | null;
  /**
   * From which account. Default: the only one, or the one that knows the peer.
   */
  accountId?: string | null;
}
/**
 * Result of every send.
 */
export interface SendResult {
  status: SendStatus;
  /**
   * How many wire messages it became.
   */
  parts: number;
  /**
   * Their client ids.
   */
  clientIds: string[];
  /**
   * Their server ids (uint64 as text), where the server named them.
   */
  messageIds: string[];
  /**
   * With `held`: names it in `outbound.update`, `outbound.queue` and `outbound.cancel`.
   */
  queueId?: string | null;
  /**
   * With `held`: why.
   */
  heldReason?: HeldReason | null;
}
/**
 * Parameters of `outbound.sendText`.
 */
export interface SendTextParams {
  /**
   * The peer's WeChat user id.
   */
  to: string;
  /**
   * Markdown; WeChat shows what it knows of it, the rest is taken out.
   */
  text: string;
  /**
   * From which account. Default: the only one, or the one that knows the peer.
   */
  accountId?: string | null;
  /**
   * The agent run it belongs to.
   */
  runId?: string | null;
  /**
   * The same key gives the first result again instead of a second message.
   */
  idempotencyKey?: string | null;
  /**
   * That it is worth less than an answer: it never takes the last message that WeChat allows, and does not wait. Where
   * there is no room for it, the result is `held` without a `queueId`, and it is gone. Default: false.
   */
  extra?: boolean | null;
}
/**
 * Parameters of `outbound.sendTyping`.
 */
export interface SendTypingParams {
  /**
   * The peer's WeChat user id.
   */
  to: string;
  /**
   * Whether the bot types, or has stopped. While it types the sidecar repeats it, for five minutes at most.
   */
  active: boolean;
  /**
   * From which account.
   */
  accountId?: string | null;
}
/**
 * Result of `outbound.sendTyping`.
 */
export interface SendTypingResult {
  /**
   * Whether the server took it. Typing is never worth an error.
   */
  sent: boolean;
}
/**
 * Parameters of `status.get`.
 */
export interface StatusGetParams {
  /**
   * Only this account.
   */
  accountId?: string | null;
  /**
   * Ask the server whether it accepts each account.
   */
  probe?: boolean | null;
}
/**
 * Result of `status.get`.
 */
export interface StatusGetResult {
  process: ProcessStatus;
  /**
   * Its accounts.
   */
  accounts: AccountStatus[];
}

/** Requests: the parameters and the result of each. */
export interface Methods {
  /** Opens the state directory and agrees on the version; must come first. */
  "initialize": { params: InitializeParams; result: InitializeResult };
  /** Replaces the configuration; running accounts take it over without losing a message. */
  "config.set": { params: ConfigSetParams; result: Empty };
  /** Lists the accounts on disk. */
  "accounts.list": { params: Empty; result: AccountsListResult };
  /** Stops an account, deletes its credentials and its rows. */
  "accounts.remove": { params: AccountParams; result: AccountsRemoveResult };
  /** Packs the credentials of accounts into one encrypted file. */
  "accounts.export": { params: AccountsExportParams; result: AccountsExportResult };
  /** Unpacks what accounts.export made. */
  "accounts.import": { params: AccountsImportParams; result: AccountsImportResult };
  /** Fetches a QR code and begins to watch it. */
  "login.start": { params: LoginStartParams; result: LoginStartResult };
  /** Waits until a login ends. */
  "login.wait": { params: LoginWaitParams; result: LoginWaitResult };
  /** Gives the number that the phone shows. */
  "login.submitCode": { params: LoginSubmitCodeParams; result: Empty };
  /** Ends a login. */
  "login.cancel": { params: LoginCancelParams; result: Empty };
  /** Starts an account's monitor; idempotent. */
  "account.start": { params: AccountParams; result: Empty };
  /** Stops an account's monitor; idempotent. */
  "account.stop": { params: AccountParams; result: Empty };
  /** Takes deliveries over; they do not come again. */
  "inbound.ack": { params: InboundAckParams; result: InboundAckResult };
  /** Fetches the media of a delivery that came with `deferMedia`. */
  "inbound.fetchMedia": { params: FetchMediaParams; result: FetchMediaResult };
  /** Gives a delivery back; it comes again later. */
  "inbound.nack": { params: InboundNackParams; result: Empty };
  /** Lets the next delivery of a conversation come before this one is acked. */
  "inbound.release": { params: InboundReleaseParams; result: Empty };
  /** Sends a text. */
  "outbound.sendText": { params: SendTextParams; result: SendResult };
  /** Sends a picture, a video, a file or a voice message. */
  "outbound.sendMedia": { params: SendMediaParams; result: SendResult };
  /** Shows that a tool begins or has ended, where there is room for it. */
  "outbound.sendProgress": { params: SendProgressParams; result: SendResult };
  /** Shows or ends typing. */
  "outbound.sendTyping": { params: SendTypingParams; result: SendTypingResult };
  /** Tells how much may be sent to a person now. */
  "outbound.budget": { params: BudgetParams; result: BudgetResult };
  /** Forgets what was learned about how much a bot may send. */
  "outbound.resetBudget": { params: AccountParams; result: Empty };
  /** Lists messages that wait to be sent. */
  "outbound.queue": { params: QueueParams; result: QueueResult };
  /** Gives up a message that waits to be sent. */
  "outbound.cancel": { params: CancelParams; result: CancelResult };
  /** Lists people who have written. */
  "peers.list": { params: PeersListParams; result: PeersListResult };
  /** Tells how the process and its accounts are. */
  "status.get": { params: StatusGetParams; result: StatusGetResult };
  /** Stops everything, then the process exits 0. */
  "shutdown": { params: Empty; result: Empty };
}

/** Notifications of the sidecar: what each says. */
export interface Notifications {
  /** A person's message; it comes again until it is acked. */
  "inbound.message": InboundMessage;
  /** A login's state changed. */
  "login.progress": LoginProgress;
  /** An account's state changed; with `statusIntervalMs` also at that interval. */
  "account.status": AccountStatus;
  /** A message that was reported as held has ended. */
  "outbound.update": OutboundUpdate;
}
