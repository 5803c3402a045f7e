import type { Capture } from "./capture/capture.ts";
import { captureClicks } from "./capture/click.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { capturePageViews } from "./capture/page-view.ts";

/** Page views, clicks, submitted forms and marked forms: what `polder.js` does by itself. */
export const allCaptures: readonly Capture[] = [
  capturePageViews,
  captureClicks,
  captureFormSubmits,
  captureFormIdentify,
];
