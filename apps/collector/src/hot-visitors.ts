/** Tells who sends far more than a person does, in fixed memory, however many visitors there are. */
export interface HotVisitors {
  /** Counts events of a visitor. True when they have sent more than `burst` beyond `perSecond` for a while. */
  count(visitor: string, events: number): boolean;
}

const places = 4096;

/**
 * A leaking level in two places each, by two hashes, of which the lower counts: somebody shares both with one hot visitor once in sixteen million.
 * `clock` in milliseconds.
 */
export function createHotVisitors(options: { perSecond: number; burst: number; clock: () => number }): HotVisitors {
  const { perSecond, burst, clock } = options;
  const levels = new Float64Array(places * 2);
  const leakedAt = new Float64Array(places * 2);

  const add = (place: number, events: number, now: number): number => {
    const leaked = ((now - leakedAt[place]!) / 1000) * perSecond;
    leakedAt[place] = now;
    // Bounded, so that who stops is forgotten in a burst's time.
    return (levels[place] = Math.min(Math.max(0, levels[place]! - leaked) + events, burst * 2));
  };

  return {
    count(visitor, events) {
      let a = 0x811c9dc5;
      let b = 0x9e3779b9;
      for (let index = 0; index < visitor.length; index++) {
        const unit = visitor.charCodeAt(index);
        a = Math.imul(a ^ unit, 0x01000193);
        b = Math.imul(b ^ unit, 0x85ebca6b);
        b ^= b >>> 15;
      }
      const now = clock();
      const one = add((a ^ (a >>> 16)) & (places - 1), events, now);
      const other = add(places + (b & (places - 1)), events, now);
      return Math.min(one, other) > burst;
    },
  };
}
