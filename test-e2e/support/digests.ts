import { expect, type BrowserContext, type Page } from "@playwright/test";

declare global {
  interface Document {
    digestsUnderWay?: number;
  }
}

/** In every page from now on: counts the hashes that are being computed, for {@link untilDigested}. */
export const countDigests = (where: Page | BrowserContext): Promise<unknown> =>
  where.addInitScript(() => {
    let underWay = 0;
    Object.defineProperty(document, "digestsUnderWay", { get: () => underWay });
    // On plain http there is none.
    if (typeof SubtleCrypto === "undefined") return;
    const { digest } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.digest = function (...args) {
      underWay++;
      const digested = digest.apply(this, args);
      const end = (): unknown => underWay--;
      digested.then(end, end);
      return digested;
    };
  });

/**
 * A banner hashes what it says as soon as it is there, before anybody can have read it, and records what it has hashed: whoever presses faster than a
 * person waits for it.
 */
export const untilDigested = (page: Page): Promise<void> =>
  expect.poll(() => page.evaluate(() => document.digestsUnderWay)).toBe(0);
