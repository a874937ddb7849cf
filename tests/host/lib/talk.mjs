// What the host tests have in common: people who write, and wait for an answer.
import { until } from "./processes.mjs";
import { CHANNEL } from "./profile.mjs";

/** A picture of one pixel. */
export const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const note = (text) => console.log(`# ${text}`);

/** The sidecar keeps to WeChat's pace (40 a minute); where times are measured, or many are answered at once, it must not. */
export const unhurried = (profile) =>
  profile.configure((config) => {
    config.channels = { ...config.channels, [CHANNEL]: { ...config.channels?.[CHANNEL], outbox: { perMinute: 6_000, burst: 100 } } };
  });

/** A person writes (or sends what `send` sends); resolves with the first answer that the test accepts, and how long it took. */
export async function ask(simulator, bot, from, text, { expected = `echo: ${text}`, send } = {}) {
  const known = (await simulator.sent({ botId: bot.botId, to: from })).length;
  const startedAt = Date.now();
  await (send ? send() : simulator.write(bot.botId, from, text));
  const answer = await until(
    `an answer to ${text}`,
    async () => {
      const sent = await simulator.sent({ botId: bot.botId, to: from, waitMs: 50 });
      return sent.slice(known).find((message) => (message.text ?? "").includes(expected));
    },
    { everyMs: 5 },
  );
  return { answer, ms: answer.atMs - startedAt };
}
