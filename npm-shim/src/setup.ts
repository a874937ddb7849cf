/**
 * `openclaw channels add --channel openclaw-weixin` with options: turns the channel on, names an account, says how to log in. Without, and in the
 * Control UI: the wizard, of which this is all but the login itself.
 */
import { defineChannelSetupContract } from "openclaw/plugin-sdk/channel-setup";
import type { ChannelSetupWizardAdapter } from "openclaw/plugin-sdk/setup";

import { accountConfig, accountIdOf, channelConfig, defaultAccountId, listAccountIds, resolveAccount, type HostConfig } from "./accounts.js";
import { withAccount, withChannel } from "./config-edits.js";
import { CHANNEL_ID, CHANNEL_LABEL } from "./ids.js";
import { localeOf } from "./locale.js";
import { stateDir } from "./state-dir.js";

const LOGIN = `openclaw channels login --channel ${CHANNEL_ID}`;
const TEXTS = {
  en: {
    noAccount: (id: string) => `There is no WeChat account ${id}: an account gets its id from its login. Log in with: ${LOGIN}`,
    logIn: `Now log in: ${LOGIN}`,
  },
  "zh-CN": {
    noAccount: (id: string) => `没有微信账号 ${id}：账号在登录时获得自己的 ID。请运行以下命令登录：${LOGIN}`,
    logIn: `现在请登录：${LOGIN}`,
  },
};
const texts = () => TEXTS[localeOf(process.env)];

/** There is nothing to fill in: an account comes from a QR login. */
export const setupContract = defineChannelSetupContract({
  fields: {},
  adapter: {
    configPromotion: "preserve-root",
    resolveAccountId: ({ cfg, accountId }) => accountIdOf(cfg as HostConfig, stateDir(), accountId),
    validateInput: ({ cfg, accountId }) => {
      const ids = listAccountIds(stateDir());
      if (ids.length === 0 || ids.includes(accountId) || accountId === defaultAccountId(cfg as HostConfig, stateDir())) return null;
      return texts().noAccount(accountId);
    },
    // Only an account that is there can be named; before the first login there is none.
    applyAccountName: ({ cfg, accountId, name }) =>
      name && listAccountIds(stateDir()).includes(accountId)
        ? withAccount(cfg, accountId, (account) => ({ ...account, name }))
        : cfg,
    applyAccountConfig: ({ cfg, accountId }) => {
      const on = withChannel(cfg, { enabled: true });
      // Who adds an account that was turned off wants it on.
      return accountConfig(channelConfig(on as HostConfig), accountId).enabled === false
        ? withAccount(on, accountId, (account) => ({ ...account, enabled: true }))
        : on;
    },
    afterAccountConfigWritten: ({ runtime }) => runtime.log(texts().logIn),
  },
});

export const setupWizard: ChannelSetupWizardAdapter = {
  channel: CHANNEL_ID,
  getStatus: async ({ cfg }) => {
    const accounts = listAccountIds(stateDir()).map((id) => resolveAccount(cfg as HostConfig, stateDir(), id));
    const configured = accounts.some((account) => account.configured);
    return {
      channel: CHANNEL_ID,
      configured,
      // The host says these in the operator's language.
      statusLines: [`${CHANNEL_LABEL}: ${configured ? "linked" : "needs QR login"}`],
      selectionHint: configured ? "linked" : "recommended · QR login",
      quickstartScore: configured ? 1 : 4,
    };
  },
  // The login pulls in the sidecar, which commands that only look at the channel never need.
  configure: async (ctx) => (await import("./setup-wizard.js")).configure(ctx),
  dmPolicy: {
    label: CHANNEL_LABEL,
    channel: CHANNEL_ID,
    policyKey: `channels.${CHANNEL_ID}.dmPolicy`,
    allowFromKey: `channels.${CHANNEL_ID}.allowFrom`,
    getCurrent: (cfg, accountId) => resolveAccount(cfg as HostConfig, stateDir(), accountId).dmPolicy,
    setPolicy: (cfg, policy, accountId) => {
      const channel = channelConfig(cfg as HostConfig);
      // `open` is open only with everybody in the list; any other policy is, too, while everybody is.
      const rules = (before: { allowFrom?: readonly unknown[] | null }) => {
        const list = (before.allowFrom ?? channel.allowFrom ?? []).map(String);
        const people = list.filter((entry) => entry.trim() !== "*");
        if (policy === "open") return { dmPolicy: policy, allowFrom: [...people, "*"] };
        return { dmPolicy: policy, ...(people.length < list.length ? { allowFrom: people } : {}) };
      };
      return accountId ? withAccount(cfg, accountIdOf(cfg as HostConfig, stateDir(), accountId), (account) => ({ ...account, ...rules(account) })) : withChannel(cfg, rules(channel));
    },
  },
  disable: (cfg) => withChannel(cfg, { enabled: false }),
};
