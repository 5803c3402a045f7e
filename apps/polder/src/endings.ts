import type { Logger } from "@polder/core";
import { messageOf } from "./cli/exit-code.ts";

export interface Endings {
  /** Called when all that was added later has ended. */
  add(end: () => void | Promise<void>): void;
  /** Ends what was added, the last one first; one that fails does not keep the others from it. */
  run(): Promise<void>;
}

export function createEndings(logger: Logger): Endings {
  const endings: (() => void | Promise<void>)[] = [];
  return {
    add: (end) => void endings.push(end),
    async run() {
      for (const end of endings.splice(0).reverse()) {
        try {
          await end();
        } catch (error) {
          logger.error("a part did not end well", { reason: messageOf(error) });
        }
      }
    },
  };
}
