/** The language of texts for people. */

/** Chinese where the person's environment says so; `OPENCLAW_LOCALE` first, as in the host. */
export function localeOf(env: NodeJS.ProcessEnv): "zh-CN" | "en" {
  const named = [env.OPENCLAW_LOCALE, env.LC_ALL, env.LC_MESSAGES, env.LANG].find((value) => value?.trim());
  return named?.trim().toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}
