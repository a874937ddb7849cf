/** The language of texts for people. */

export type Language = "zh-CN" | "en";

/** Chinese where the person's environment says so; `OPENCLAW_LOCALE` first, as in the host. */
export function localeOf(env: NodeJS.ProcessEnv): Language {
  const named = [env.OPENCLAW_LOCALE, env.LC_ALL, env.LC_MESSAGES, env.LANG].find((value) => value?.trim());
  return named?.trim().toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

/** What a person writes in; what the gateway speaks where they wrote nothing. */
export function languageOf(text: string): Language {
  if (/\p{Script=Han}/u.test(text)) return "zh-CN";
  return /\p{Letter}/u.test(text) ? "en" : localeOf(process.env);
}
