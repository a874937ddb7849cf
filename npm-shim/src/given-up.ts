/** Messages that never reached the agent, since this process began: how many of each account, and the last one. */

export type GivenUp = { count: number; lastAtMs: number; reason: string };

const byAccount = new Map<string, GivenUp>();

export function noteGivenUp(accountId: string, reason: string, now = Date.now()): void {
  byAccount.set(accountId, { count: (byAccount.get(accountId)?.count ?? 0) + 1, lastAtMs: now, reason });
}

export const givenUpOf = (accountId: string): GivenUp | undefined => byAccount.get(accountId);
