import type { BrowserContext, Locator, Page } from "@playwright/test";
import { countDigests, untilDigested } from "./digests.ts";
import { eventually } from "./stack.ts";

const counting = new WeakSet<Page>();

/** Opens a page of the demo shop and waits until Polder and its banner are on it. */
export async function openShop(page: Page, url: string): Promise<void> {
  if (!counting.has(page)) await countDigests(page);
  counting.add(page);
  await page.goto(url);
  await page.waitForFunction(() => "polder" in window && document.querySelector("polder-banner") !== null);
  await untilDigested(page);
}

export const banner = (page: Page): Locator => page.locator("polder-banner").getByRole("dialog");
const press = (page: Page, name: string): Promise<void> =>
  banner(page).getByRole("button", { name, exact: true }).click();

/** To all that the banner asks. */
export const accept = (page: Page): Promise<void> => press(page, "Accept");
export const refuse = (page: Page): Promise<void> => press(page, "Refuse");
/** By the link at the bottom of every page. */
export const reopen = (page: Page): Promise<void> =>
  page.locator("footer").getByRole("button", { name: "Your privacy choice" }).click();

/** The id that the device was given, from the readable cookie; empty when it has none. */
const deviceOf = async (context: BrowserContext): Promise<string> => {
  const cookie = (await context.cookies()).find(({ name }) => name === "polder_aid");
  return cookie?.value.split(".")[0] ?? "";
};

export const settledDevice = (context: BrowserContext): Promise<string> =>
  eventually(
    () => deviceOf(context),
    (id) => id !== "",
  );
