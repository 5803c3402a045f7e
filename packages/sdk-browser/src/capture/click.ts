import type { Capture } from "./capture.ts";
import { clickedPath, describe } from "./clicked.ts";
import { markedEvent, markedProperties } from "./marked.ts";

/** Clicks on links and buttons, and on what the page marked with `data-polder-event`. */
export const captureClicks: Capture = ({ record, on }) => {
  const handle = (event: Event): void => {
    const path = clickedPath(event);
    const [element] = path;
    if (!element) return;
    record("track", {
      event: markedEvent(element) || "Clicked",
      properties: { ...describe(path), ...markedProperties(element) },
    });
  };
  on(document, "click", handle);
  on(document, "auxclick", handle);
};
