import { writeFileSync } from "node:fs";

/** The clock of a process of ours, which does not have to be waited for. */
export interface MovableClock {
  /** What the process is started with. */
  env: Record<string, string>;
  /** Within a tenth of a second; by hours too, as a clock that somebody sets right. */
  advance(ms: number): void;
}

export function createMovableClock(path: string): MovableClock {
  let aheadMs = 0;
  return {
    env: {
      NODE_OPTIONS: `--import=${new URL("jumping-clock.mjs", import.meta.url).href}`,
      POLDER_TEST_CLOCK: path,
    },
    advance(ms) {
      aheadMs += ms;
      writeFileSync(path, String(aheadMs));
    },
  };
}
