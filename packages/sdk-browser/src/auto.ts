import { captureClicks } from "./capture/click.ts";
import { captureEngagement } from "./capture/engagement.ts";
import { captureFormAbandonment } from "./capture/form-abandon.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { capturePageViews } from "./capture/page-view.ts";
import { startTag } from "./start-tag.ts";

// `polder.js`: the file that most sites load. Engagement first: what ends with a page is told before the next page is.
startTag(
  {
    engagement: [captureEngagement],
    click: [captureClicks],
    form: [captureFormSubmits, captureFormAbandonment, captureFormIdentify],
    page: [capturePageViews],
  },
  "engagement,click,form,page",
);
