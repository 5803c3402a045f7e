import type { Capture } from "./capture/capture.ts";
import { captureClicks } from "./capture/click.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { capturePageViews } from "./capture/page-view.ts";
import { startPolder, type EarlyCall, type Polder } from "./create-polder.ts";

// The one-file build: reads its own tag, takes over from the stub, and is there as `window.polder`.

const captures: { [name: string]: readonly Capture[] } = {
  page: [capturePageViews],
  click: [captureClicks],
  form: [captureFormSubmits, captureFormIdentify],
};

const start = (): void => {
  const here = window as unknown as { polder?: Partial<Polder> & { q?: EarlyCall[] } };
  const early = here.polder?.q;
  // Loaded twice: the first one runs already.
  if (here.polder && !early) return;
  const script = (document.currentScript ?? document.querySelector("script[data-site]")) as HTMLScriptElement;
  const { site = "", host, capture = "page,click,form", consent, cookieDomain = "", debug } = script.dataset;
  const [polder, replay] = startPolder({
    writeKey: site,
    host: host ?? new URL(script.src).origin,
    capture: capture.split(",").flatMap((name) => captures[name] ?? []),
    beforeChoice: consent as "silent" | "buffer",
    cookieDomain,
  });
  if (debug !== undefined) polder.debug();
  here.polder = polder;
  if (!early) return;
  early.forEach(replay);
  // A page may have kept the stub in a variable.
  early.push = (call) => {
    replay(call);
    return 0;
  };
};

try {
  start();
} catch (error) {
  console.error("[polder]", error);
}
