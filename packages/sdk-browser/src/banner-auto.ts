import { showBanner, type BannerNotice } from "./banner.ts";
import type { Polder } from "./create-polder.ts";

// `polder-banner.js`: beside `polder.js`, before it or after. The notice is in the page, as data that no policy has to allow.

const here = window as unknown as { polder?: Polder; polderBanner: (notice: BannerNotice) => void };

/** Waits become longer up to this, after a minute in all; a file that has been blocked does not come. */
const longestWaitMs = 10_000;

/** An async tag of Polder's may still be under way; the stub keeps the call until Polder is there. */
const whenReady = (run: () => void, waitMs = 50): void => {
  if (here.polder?.ready) here.polder.ready(run);
  else if (waitMs < longestWaitMs) setTimeout(() => whenReady(run, waitMs * 1.2), waitMs);
  else console.error("[polder] no banner: polder.js is not in the page, or was blocked");
};

here.polderBanner = (notice) => whenReady(() => showBanner(here.polder!, notice));

const start = (): void => {
  const data = document.getElementById("polder-notice")?.textContent;
  try {
    if (data) here.polderBanner(JSON.parse(data) as BannerNotice);
  } catch (error) {
    console.error("[polder] the notice is not JSON", error);
  }
};

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
