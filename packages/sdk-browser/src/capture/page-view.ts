import type { Capture } from "./capture.ts";
import { onRoute } from "./on-route.ts";

/** A page view for every address that is shown: loads, routes of single-page apps, returns out of the back/forward cache. */
export const capturePageViews: Capture = (tools) => {
  const { record, currentPage, decision, on, onChoice } = tools;
  let viewed: object | undefined;
  const count = (): void => {
    const page = currentPage();
    // A prerendered page may never be looked at.
    const { prerendering } = document as { prerendering?: boolean };
    if (!prerendering && viewed !== page && record("page", {})) viewed = page;
  };
  const countAgain = (): void => {
    viewed = undefined;
    count();
  };
  onRoute(tools, count);
  on(document, "prerenderingchange", count);
  on(window, "pageshow", (event) => {
    if ((event as PageTransitionEvent).persisted) countAgain();
  });
  // Whoever says no and then yes begins anew.
  onChoice(() => (decision().status === "denied" ? (viewed = undefined) : count()));
  count();
};
