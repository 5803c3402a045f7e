import { expect, type Page } from "@playwright/test";
import type { SeenEvent } from "./recording-collector.ts";

interface PolderOnPage {
  track(event: string, properties?: object): void;
  page(): void;
  identify(userId: string, traits?: object): void;
  identify(traits: object): void;
  group(groupId: string): void;
  alias(userId: string): void;
  use(change: (event: SeenEvent) => SeenEvent | null | void): void;
  debug(listen: boolean | ((entry: { at: number; what: string; detail: unknown }) => void)): void;
  flush(): Promise<void>;
  reset(): void;
  consent: {
    get(): { status: string; purposes: { [purpose: string]: boolean }; at?: string; regime?: string };
    set(choice: unknown, options?: unknown): void;
    withdraw(): void;
  };
}

declare global {
  interface Window {
    polder: PolderOnPage;
  }
}

/** Opens a page and waits until Polder is on it. */
export async function visit(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.waitForFunction(() => "polder" in window);
}

export const sayYes = (page: Page): Promise<void> => page.evaluate(() => window.polder.consent.set("all"));
export const sayNo = (page: Page): Promise<void> => page.evaluate(() => window.polder.consent.set("none"));

export interface Kept {
  cookies: string[];
  local: string[];
  session: string[];
  databases: string[];
}

/** What a device has of a visitor who was not asked. */
export const nothing: Kept = { cookies: [], local: [], session: [], databases: [] };
/** What a no leaves, the same on every device of a month. */
export const refusal = /^polder_consent=v1\.0\.[0-9a-z]{6}\.$/;
export const onlyRefusal = {
  ...nothing,
  cookies: [expect.stringMatching(refusal)],
  local: [expect.stringMatching(refusal)],
};

/** Everything that this origin has on the device. */
export const keptBy = (page: Page): Promise<Kept> =>
  page.evaluate(async () => ({
    cookies: document.cookie === "" ? [] : document.cookie.split("; "),
    local: Object.entries(localStorage).map(([key, value]) => `${key}=${value}`),
    session: Object.keys(sessionStorage),
    databases: (await indexedDB.databases()).map(({ name }) => name ?? ""),
  }));

/** Calls `track` so often in one go, then leaves for the address, as a script on the page would. Resolves on the next page. */
export async function trackAndLeave(page: Page, count: number, url: string): Promise<void> {
  await Promise.all([
    page.waitForURL(url),
    page.evaluate(
      ([calls, address]) => {
        // In a task of its own: nobody waits for an answer of a page that has been left.
        setTimeout(() => {
          for (let i = 0; i < Number(calls); i++) window.polder.track("Burst", { i });
          location.href = String(address);
        });
      },
      [count, url],
    ),
  ]);
}
