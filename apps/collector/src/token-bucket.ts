export interface TokenBucket {
  /** Takes the tokens, or says how many milliseconds it takes until they are there, beside this many that are kept for others. */
  take(tokens: number, kept?: number): { ok: true } | { ok: false; retryAfterMs: number };
  /** The most tokens that there can be. */
  readonly burst: number;
}

/** `perSecond` on average; up to `burst` at once. `clock` in milliseconds. */
export function createTokenBucket(options: { perSecond: number; burst: number; clock: () => number }): TokenBucket {
  const { perSecond, burst, clock } = options;
  let tokens = burst;
  let filledAt = clock();
  return {
    burst,
    take(wanted, kept = 0) {
      const now = clock();
      tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
      filledAt = now;
      // What is more than the bucket holds may pass when it is full, or it never could.
      const needed = Math.max(wanted, Math.min(wanted + kept, burst));
      if (tokens < needed) return { ok: false, retryAfterMs: ((Math.min(needed, burst) - tokens) / perSecond) * 1000 };
      tokens -= wanted;
      return { ok: true };
    },
  };
}
