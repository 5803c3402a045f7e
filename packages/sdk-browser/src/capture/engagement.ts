import type { Moment } from "../tracker.ts";
import type { Capture } from "./capture.ts";
import { onRoute } from "./on-route.ts";

/** So long after the last input a visitor still counts as active. */
const activeForMs = 10_000;
/** A shorter look is not told. */
const leastMs = 1000;

const seconds = (ms: number): number => Math.round(ms / 100) / 10;

/**
 * How long a page was visible and used, and how far down it was seen, in percent of its height. Told whenever it is hidden or left, and
 * since the last time: seconds add up, and the depth is the greatest. No timers: time is counted from one event to the next.
 */
export const captureEngagement: Capture = (tools) => {
  const { record, on, onChoice } = tools;
  /** Visible since then, and not yet counted; 0 while hidden. */
  let since = 0;
  let visibleMs = 0;
  let activeMs = 0;
  let depth = 0;

  const count = (): void => {
    const now = performance.now();
    const ms = since && now - since;
    visibleMs += ms;
    activeMs += Math.min(ms, activeForMs);
    since = document.hidden ? 0 : now;
  };
  const forget = (): void => {
    visibleMs = activeMs = depth = 0;
  };
  const tell = (moment?: Moment): void => {
    const properties = { visible_seconds: seconds(visibleMs), active_seconds: seconds(activeMs), scroll_depth: depth };
    if (visibleMs >= leastMs) record("track", { event: "Page Engagement", properties }, {}, moment);
    forget();
  };

  const look = ({ type }: { type: string }): void => {
    count();
    // Not on input: the browser may have to lay the page out to know.
    if (!/^(pointer|key)/.test(type)) {
      const percent = ((scrollY + innerHeight) / document.documentElement.scrollHeight) * 100;
      depth = Math.max(depth, Math.min(100, Math.round(percent)));
    }
    // Left comes before hidden, and not every browser says the latter.
    if (type === "pagehide") since = 0;
    if (!since) tell();
  };
  for (const type of ["pointerdown", "pointermove", "keydown", "scroll", "visibilitychange", "pagehide", "pageshow"]) {
    on(window, type, look);
  }
  onRoute(tools, (left) => {
    // The depth is not looked at: what is scrolled now may be the next page.
    count();
    tell(left);
  });
  // What was seen before a choice is not told after it.
  onChoice(() => {
    count();
    forget();
  });
  count();
};
