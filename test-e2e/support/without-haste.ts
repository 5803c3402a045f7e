import type { BrowserContext, Page } from "@playwright/test";
import { patienceMs } from "./patience.ts";

/**
 * In every page from now on: what Polder gives a second (its database, the host that a visitor came from) or some seconds (an answer) has as long as a
 * test has. For tests of what happens in time; a page under a clock of Playwright's keeps its seconds.
 */
export const withoutHaste = (where: Page | BrowserContext): Promise<unknown> =>
  where.addInitScript((longMs) => {
    const { setTimeout: later } = window;
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    Object.assign(window, {
      setTimeout: (run: () => void, ms?: number) => later(run, ms === 1000 ? longMs : ms),
    });
    AbortSignal.timeout = (ms) => timeout(Math.max(ms, longMs));
  }, patienceMs);
