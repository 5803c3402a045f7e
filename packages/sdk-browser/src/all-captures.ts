import type { Capture } from "./capture/capture.ts";
import { captureClicks } from "./capture/click.ts";
import { captureEngagement } from "./capture/engagement.ts";
import { captureFormAbandonment } from "./capture/form-abandon.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { captureDeadClicks } from "./capture/dead-click.ts";
import { captureErrors } from "./capture/errors.ts";
import { captureRageClicks } from "./capture/rage-click.ts";
import { captureWebVitals } from "./capture/web-vitals.ts";
import { capturePageViews } from "./capture/page-view.ts";

/** What `polder.js` does by itself. In this order: what ends with a page is told before the next page is. */
export const allCaptures: readonly Capture[] = [
  captureEngagement,
  captureClicks,
  captureFormSubmits,
  captureFormAbandonment,
  captureFormIdentify,
  capturePageViews,
];

/** The same and what is off by default: web vitals, errors, rage and dead clicks. */
export const everyCapture: readonly Capture[] = [
  captureWebVitals,
  captureErrors,
  captureRageClicks,
  captureDeadClicks,
  ...allCaptures,
];
