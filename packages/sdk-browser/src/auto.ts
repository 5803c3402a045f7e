import type { Capture } from "./capture/capture.ts";
import { captureClicks } from "./capture/click.ts";
import { captureFormIdentify } from "./capture/form-identify.ts";
import { captureFormSubmits } from "./capture/form-submit.ts";
import { capturePageViews } from "./capture/page-view.ts";
import { createPolder, type Polder, type PolderOptions } from "./create-polder.ts";
import { attempt } from "./device-storage.ts";
import type { Moment } from "./tracker.ts";

// The one-file build: reads its own tag, takes over from the stub, and is there as `window.polder`.

/** A call made on the stub, before we were there: see `stub.ts`. */
type EarlyCall = [method: string, args: unknown[], ...moment: Moment];

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
  const {
    site,
    host = new URL(script.src).origin,
    capture = "page,click,form",
    consent,
    cookieDomain,
    debug,
  } = script.dataset;
  let moment: Moment | undefined;
  const polder = createPolder(
    {
      writeKey: site,
      host,
      capture: capture.split(",").flatMap((name) => captures[name] ?? []),
      beforeChoice: consent,
      cookieDomain,
    } as PolderOptions,
    () => moment,
  );
  polder.debug(debug !== undefined);
  here.polder = polder;
  if (!early) return;
  const replay = ([method, args, ...made]: EarlyCall): void => {
    const methods = { ...polder, ...polder.consent } as unknown as { [name: string]: (...args: unknown[]) => void };
    moment = made;
    attempt(() => methods[method]!(...args));
    moment = undefined;
  };
  early.forEach(replay);
  // A page may have kept the stub in a variable.
  early.push = replay as () => number;
};

try {
  start();
} catch (error) {
  console.error("[polder]", error);
}
