import { captureClicks } from "./capture/click.ts";
import { captureDeadClicks } from "./capture/dead-click.ts";
import { captureEngagement } from "./capture/engagement.ts";
import { captureErrors } from "./capture/errors.ts";
import { captureFormAbandonment } from "./capture/form-abandon.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { capturePageViews } from "./capture/page-view.ts";
import { captureRageClicks } from "./capture/rage-click.ts";
import { captureWebVitals } from "./capture/web-vitals.ts";
import { linkDomains } from "./linker.ts";
import { readConsentMode } from "./reader/consent-mode.ts";
import { readGpp } from "./reader/gpp.ts";
import { readTcf } from "./reader/tcf.ts";
import { askRegime } from "./regime.ts";
import { startTag } from "./start-tag.ts";

// `polder.all.js`: everything there is. The linker first, or others see what it takes out of the address.
startTag(
  {
    engagement: [captureEngagement],
    click: [captureClicks],
    form: [captureFormSubmits, captureFormAbandonment, captureFormIdentify],
    page: [capturePageViews],
    vitals: [captureWebVitals],
    error: [captureErrors],
    rage: [captureRageClicks],
    dead: [captureDeadClicks],
  },
  "engagement,click,form,page,vitals,error",
  (options) => {
    const { linkHosts, regime } = options;
    if (regime === "ask") options.findRegime = askRegime();
    return linkHosts ? [linkDomains({ hosts: linkHosts.split(/[\s,]+/) })] : [];
  },
  (polder, { consentFrom = "", tcfVendor = "" }) => {
    if (/tcf/.test(consentFrom)) readTcf(polder, { vendor: +tcfVendor });
    if (/gpp/.test(consentFrom)) readGpp(polder);
    if (/gcm/.test(consentFrom)) readConsentMode(polder);
  },
);
