export interface TokenBucket {
  /** Takes the tokens, or says how many milliseconds it takes until they are there. */
  take(tokens: number): { ok: true } | { ok: false; retryAfterMs: number };
}

/** `perSecond` on average; up to `burst` at once. `clock` in milliseconds. */
export function createTokenBucket(options: { perSecond: number; burst: number; clock: () => number }): TokenBucket {
  const { perSecond, burst, clock } = options;
  let tokens = burst;
  let filledAt = clock();
  return {
    take(wanted) {
      const now = clock();
      tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
      filledAt = now;
      if (tokens < wanted) return { ok: false, retryAfterMs: ((Math.min(wanted, burst) - tokens) / perSecond) * 1000 };
      tokens -= wanted;
      return { ok: true };
    },
  };
}
