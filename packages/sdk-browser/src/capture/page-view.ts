import { attempt } from "../device-storage.ts";
import type { Capture } from "./capture.ts";

/** A page view for every address that is shown: loads, routes of single-page apps, returns out of the back/forward cache. */
export const capturePageViews: Capture = ({ record, hasViewed, viewAgain, on, onChoice }) => {
  const count = (): void => {
    // A prerendered page may never be looked at.
    if (!(document as { prerendering?: boolean }).prerendering && !hasViewed()) record("page", {});
  };

  const { navigation } = window as { navigation?: EventTarget };
  if (navigation) on(navigation, "currententrychange", count);
  else {
    for (const method of ["pushState", "replaceState"] as const) {
      const original = history[method];
      history[method] = function (...args) {
        original.apply(this, args);
        attempt(count);
      };
    }
    on(window, "popstate", count);
  }
  on(document, "prerenderingchange", count);
  on(window, "pageshow", (event) => {
    if (!(event as PageTransitionEvent).persisted) return;
    viewAgain();
    count();
  });
  onChoice(count);
  count();
};
