import type { Capture } from "./capture.ts";
import { clickedPath, describe, selectorOf } from "./clicked.ts";
import { is, pathOf } from "./element.ts";

const clicksOfRage = 3;
const withinMs = 1000;
const withinPx = 30;

/** Three clicks on the same place within a second, once until it is left in peace for a second. */
export const captureRageClicks: Capture = ({ record, on }) => {
  let clicks: [at: number, x: number, y: number][] = [];
  let isTold = false;
  on(document, "click", (event) => {
    const { clientX: x, clientY: y, detail } = event as MouseEvent;
    const path = pathOf(event);
    // Not by keyboard, not to select text, and not where many clicks are usual.
    if (!path[0] || !detail || is(path[0], "input,textarea,select,canvas") || !getSelection()!.isCollapsed) return;
    const now = performance.now();
    clicks = clicks.filter(
      ([at, left, top]) => now - at <= withinMs && (x - left) ** 2 + (y - top) ** 2 <= withinPx ** 2,
    );
    if (!clicks[0]) isTold = false;
    clicks.push([now, x, y]);
    if (isTold || clicks.length < clicksOfRage) return;
    isTold = true;
    const clicked = clickedPath(event);
    // The text of what is not made to be clicked is not ours to read.
    record("track", {
      event: "Rage Click",
      properties: clicked[0] ? describe(clicked) : { selector: selectorOf(path) },
    });
  });
};
