import { attempt } from "../device-storage.ts";
import type { Moment } from "../tracker.ts";
import type { Capture } from "./capture.ts";
import { clickedPath, describe } from "./clicked.ts";
import { is } from "./element.ts";
import { onRoute } from "./on-route.ts";

const answeredWithinMs = 2500;

/** Beside a change of the document, another page and a request, each of these is an answer to a click. */
const answers =
  "scroll focusin input change submit invalid reset toggle blur visibilitychange pagehide copy play pause beforeprint fullscreenchange";
/** The browser follows these by itself, however long that takes. */
const followed = "[href]:not([href='#'],[href^='javascript:'])";

/**
 * Clicks on links and buttons that nothing came of within 2.5 seconds. What a canvas or a closed shadow root shows cannot be seen, nor a
 * request that is not answered by then; a page that changes or asks all the time has no dead clicks.
 */
export const captureDeadClicks: Capture = (tools) => {
  const { record, currentPage, on } = tools;
  /** Ends the wait for an answer. One click at a time: who clicks again still waits for the first answer. */
  let stop: (() => void) | undefined;
  const live = (): void => stop?.();

  on(document, "click", (event) => {
    const path = clickedPath(event);
    const { ctrlKey, metaKey, shiftKey } = event as MouseEvent;
    // With a key, a link opens out of sight.
    if (stop || !path[0] || ctrlKey || metaKey || shiftKey) return;
    const isFollowed = is(path[0], followed);
    const properties = describe(path);
    const moment: Moment = [currentPage(), Date.now()];

    const changes = new MutationObserver(live);
    for (const root of event.composedPath()) {
      // The document, and open shadow roots around what was clicked.
      if (root instanceof Document || root instanceof ShadowRoot) {
        changes.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
      }
    }
    const requests = new PerformanceObserver((list) => {
      // Our own report of the click is no answer to it.
      if (list.getEntries().some(({ name }) => !name.endsWith("/v1/batch"))) live();
    });
    requests.observe({ type: "resource" });
    const timer = setTimeout(() => {
      live();
      if (isFollowed && !event.defaultPrevented) return;
      attempt(() => record("track", { event: "Dead Click", properties }, {}, moment));
    }, answeredWithinMs);

    stop = () => {
      stop = undefined;
      clearTimeout(timer);
      changes.disconnect();
      requests.disconnect();
    };
  });

  for (const type of answers.split(" ")) on(window, type, live);
  on(document, "selectionchange", () => getSelection()!.isCollapsed || live());
  onRoute(tools, live);
};
