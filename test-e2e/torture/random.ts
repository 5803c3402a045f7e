/** Numbers that are the same for the same seed. */
export interface Random {
  /** From 0 to 1. */
  (): number;
  /** From `min` up to and without `max`. */
  between(min: number, max: number): number;
  /** The same in whole numbers. */
  whole(min: number, max: number): number;
  pick<T>(from: readonly T[]): T;
  isIn(share: number): boolean;
}

/** One stream for each name, so that what one part draws never moves another's numbers. */
export function createRandom(seed: number, name: string): Random {
  let state = seed | 0;
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (min: number, max: number): number => min + next() * (max - min);
  const whole = (min: number, max: number): number => Math.floor(between(min, max));
  return Object.assign(next, {
    between,
    whole,
    pick: <T>(from: readonly T[]): T => from[whole(0, from.length)]!,
    isIn: (share: number): boolean => next() < share,
  });
}
