import type { Polder } from "./create-polder.ts";
import { showOverlay } from "./overlay.ts";

// `polder-overlay.js`: loaded by a developer beside `polder.js`, before it or after.

const here = window as unknown as { polder?: Polder };

const start = (): void => {
  if (!here.polder?.ready) return console.warn("[polder] there is no Polder on this page to look at");
  // The stub keeps the call until Polder is there.
  here.polder.ready(() => showOverlay(here.polder!));
};

// An async tag of Polder's may still be under way.
if (here.polder?.ready || document.readyState === "complete") start();
else window.addEventListener("load", start);
