import { setTimeout as pause } from "node:timers/promises";

const lookEveryMs = 50;

/** Waits until nothing is behind, or `withinMs` have passed. Resolves with what is still behind; undefined when that cannot be told. */
export async function drain(options: {
  recordsBehind: () => Promise<number>;
  withinMs: number;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  say: (behind: number) => void;
}): Promise<number | undefined> {
  const { recordsBehind, withinMs, clock, say } = options;
  const until = clock() + withinMs;
  let behind: number | undefined;
  while (true) {
    behind = await recordsBehind().catch(() => undefined);
    if (behind === 0 || clock() >= until) return behind;
    if (behind !== undefined) say(behind);
    await pause(lookEveryMs);
  }
}
