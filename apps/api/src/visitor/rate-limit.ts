export interface RateLimit {
  /** Counts a request; milliseconds until the address may ask again when it was too many. */
  take(address: string): number | undefined;
}

/** So many requests from one address in a window, and from all together: that is also as many addresses as it ever remembers. */
export function createRateLimit(options: {
  windowMs: number;
  perAddress: number;
  overall: number;
  /** Milliseconds since 1970. */
  now: () => number;
}): RateLimit {
  const { windowMs, perAddress, overall, now } = options;
  const counts = new Map<string, number>();
  let startedAt = now();
  let total = 0;
  return {
    take(address) {
      const at = now();
      if (at - startedAt >= windowMs || at < startedAt) {
        counts.clear();
        startedAt = at;
        total = 0;
      }
      const count = counts.get(address) ?? 0;
      if (count >= perAddress || total >= overall) return startedAt + windowMs - at;
      counts.set(address, count + 1);
      total += 1;
      return undefined;
    },
  };
}
