/**
 * What the channel is, without what it does: names, accounts, configuration, who may write.
 *
 * Both entries are made from this. The setup entry is nothing more, so that `channels list`, onboarding and doctor
 * can look at the channel without loading the code that runs it.
 */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { accountConfig, admitted, channelConfig, defaultAccountId, listAccountIds, resolveAccount, type ResolvedAccount } from "./accounts.js";
import { hasAnyWeixinAuth } from "./auth-presence.js";
import { withAccount, withChannel } from "./config-edits.js";
import { doctor } from "./doctor.js";
import { canMatch, CHANNEL_ALIASES, CHANNEL_ID, CHANNEL_LABEL, looksLikeUserId, normalizeAllowEntry, normalizeTarget } from "./ids.js";
import { configSchema } from "./manifest.js";
import { setupContract, setupWizard } from "./setup.js";
import { stateDir } from "./state-dir.js";
import { statusAdapter, type Probe } from "./status.js";

type Plugin = ChannelPlugin<ResolvedAccount, Probe>;
type Config = Plugin["config"];
type Security = NonNullable<Plugin["security"]>;
type Finding = Awaited<ReturnType<NonNullable<Security["collectAuditFindings"]>>>[number];

const NOT_LOGGED_IN = `Not logged in. Run: openclaw channels login --channel ${CHANNEL_ID}`;

const isLinked = (account: ResolvedAccount) => account.configured && account.byId;

const config: Config = {
  listAccountIds: () => listAccountIds(stateDir()),
  resolveAccount: (cfg, accountId) => resolveAccount(cfg, stateDir(), accountId),
  inspectAccount: (cfg, accountId) => {
    const account = resolveAccount(cfg, stateDir(), accountId);
    // Nothing in it is secret, so diagnostics get all of it.
    return { ...account, tokenStatus: account.configured ? "available" : "missing" };
  },
  defaultAccountId: (cfg) => defaultAccountId(cfg, stateDir()),
  isEnabled: (account) => account.enabled,
  disabledReason: () => `disabled by channels.${CHANNEL_ID}.enabled, or by the account's own setting`,
  isConfigured: (account) => account.configured,
  unconfiguredReason: () => NOT_LOGGED_IN,
  // After `channels login --account <name>` the host starts what it was given: a second monitor of the account that runs by its id.
  isLinked: (account) => (isLinked(account) ? "linked" : "not-linked"),
  unlinkedReason: (account) => (account.configured ? `runs as ${account.accountId}` : NOT_LOGGED_IN),
  hasConfiguredState: () => listAccountIds(stateDir()).length > 0,
  hasPersistedAuthState: hasAnyWeixinAuth,
  describeAccount: (account) => ({
    accountId: account.accountId,
    ...(account.name ? { name: account.name } : {}),
    enabled: account.enabled,
    configured: account.configured,
    linked: isLinked(account),
    ...(account.userId ? { identity: account.userId } : {}),
    dmPolicy: account.dmPolicy,
    allowFrom: account.allowFrom,
  }),
  setAccountEnabled: ({ cfg, accountId, enabled }) => withAccount(cfg, accountId, (account) => ({ ...account, enabled })),
  // Most accounts are only in files. The date says that something was removed, also to a gateway that runs.
  deleteAccount: ({ cfg, accountId }) => {
    const removed = withAccount(cfg, accountId, () => undefined);
    return withChannel(removed, { channelConfigUpdatedAt: new Date().toISOString() });
  },
  resolveAllowFrom: ({ cfg, accountId }) => admitted(resolveAccount(cfg, stateDir(), accountId)),
  // Whom a heartbeat or a scheduled task reaches that names nobody.
  resolveDefaultTo: ({ cfg, accountId }) => {
    const account = resolveAccount(cfg, stateDir(), accountId);
    const channel = channelConfig(cfg);
    const configured = accountConfig(channel, account.accountId).defaultTo ?? channel.defaultTo;
    return normalizeTarget(configured ?? "") ?? account.userId;
  },
  formatAllowFrom: ({ allowFrom }) => allowFrom.map((entry) => normalizeAllowEntry(String(entry))).filter(Boolean),
};

const security: Security = {
  resolveDmPolicy: ({ cfg, account }) => {
    const channel = channelConfig(cfg);
    const own = accountConfig(channel, account.accountId);
    const at = (key: "dmPolicy" | "allowFrom") =>
      own[key] === undefined || own[key] === null ? `channels.${CHANNEL_ID}.${key}` : `channels.${CHANNEL_ID}.accounts.${account.accountId}.${key}`;
    return {
      policy: account.dmPolicy,
      // The owner is always let in; without them a policy of allowlist would look as if nobody were.
      allowFrom: admitted(account),
      policyPath: at("dmPolicy"),
      allowFromPath: at("allowFrom"),
      approveHint: `openclaw pairing approve ${CHANNEL_ID} <code>`,
      normalizeEntry: normalizeAllowEntry,
      // iLink names the sender itself; a person cannot choose or change that id.
      classifyEntryAuthentication: (raw) => (looksLikeUserId(raw) ? "verified" : undefined),
    };
  },
  collectAuditFindings: ({ account }) => auditAccount(account),
};

/** What the host's own audit does not see: it judges the policy, and who shares a session. */
function auditAccount(account: ResolvedAccount): Finding[] {
  const findings: Finding[] = [];
  const everybody = ["pairing", "allowlist"].includes(account.dmPolicy) && account.allowFrom.some((entry) => entry.trim() === "*");
  if (everybody) {
    findings.push({
      checkId: "channels.openclaw-weixin.dm_open",
      severity: "critical",
      title: "Anybody on WeChat can talk to the agent",
      detail: `Account ${account.accountId} has "*" in allowFrom: whoever gets the bot's contact can use the agent and its tools.`,
      remediation: `Take "*" out of channels.${CHANNEL_ID}.allowFrom, set dmPolicy to "pairing", and approve people with: openclaw pairing approve ${CHANNEL_ID} <code>`,
    });
  }
  const strange = account.allowFrom.filter((entry) => !canMatch(entry));
  if (strange.length > 0) {
    findings.push({
      checkId: "channels.openclaw-weixin.allow_from_format",
      severity: "warn",
      title: "Entries of allowFrom that match nobody",
      detail: `${strange.length} entries for account ${account.accountId} are no WeChat user ids (<id>@im.wechat), so they admit nobody.`,
      remediation: `Correct channels.${CHANNEL_ID}.allowFrom; a person's id is in the pairing request: openclaw pairing list ${CHANNEL_ID}`,
    });
  }
  return findings;
}

export const channelBase = {
  id: CHANNEL_ID,
  meta: {
    id: CHANNEL_ID,
    label: CHANNEL_LABEL,
    selectionLabel: "WeChat (personal, QR code)",
    detailLabel: CHANNEL_LABEL,
    docsPath: "/channels/wechat",
    docsLabel: "wechat",
    blurb: "Personal WeChat through Tencent's iLink bots; log in with a QR code.",
    aliases: CHANNEL_ALIASES,
    order: 74,
    markdownCapable: true,
  },
  capabilities: { chatTypes: ["direct"], media: true },
  lifecycle: {
    // `channels remove --delete` takes the settings out; login, messages and poller are ours to end.
    onAccountRemoved: async ({ accountId }) => {
      const { sidecar } = await import("./sidecar.js");
      await sidecar().process.request("accounts.remove", { accountId });
    },
  },
  configSchema: configSchema(),
  doctor,
  reload: {
    configPrefixes: [`channels.${CHANNEL_ID}`],
    // An account's settings are its own and the channel's, never another account's.
    accountScopedRestart: true,
    // Read for every message, so a change needs no restart of the channel.
    noopPrefixes: [
      `channels.${CHANNEL_ID}.dmPolicy`,
      `channels.${CHANNEL_ID}.allowFrom`,
      `channels.${CHANNEL_ID}.inboundDebounceMs`,
      `channels.${CHANNEL_ID}.accounts.*.dmPolicy`,
      `channels.${CHANNEL_ID}.accounts.*.allowFrom`,
    ],
  },
  config,
  security,
  status: statusAdapter,
  pairing: {
    idLabel: "WeChat user id",
    normalizeAllowEntry,
  },
  messaging: {
    targetPrefixes: [CHANNEL_ID, ...CHANNEL_ALIASES],
    targetIdComparison: "case-sensitive",
    normalizeTarget,
    inferTargetChatType: ({ to }) => (looksLikeUserId(to) ? "direct" : undefined),
    targetResolver: {
      looksLikeId: (raw) => looksLikeUserId(raw),
      hint: "<id>@im.wechat",
    },
  },
  // A bot cannot quote on WeChat. Without this the host asks for native replies, which keeps answers off its queue.
  // Nor may an agent ask for one: `[[reply_to_current]]` in a text would have the same effect.
  threading: { resolveReplyToMode: () => "off", allowExplicitReplyTagsWhenOff: false },
  auth: {
    // Here and not only in the full entry: the host asks the setup entry as long as nobody is logged in.
    login: async (params) => {
      const { login } = await import("./login.js");
      await login(params);
    },
  },
  setupContract,
  setupWizard,
} satisfies Plugin;
