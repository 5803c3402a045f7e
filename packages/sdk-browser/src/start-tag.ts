import { createFormIdentify } from "./capture/form-identify.ts";
import type { Capture } from "./capture/capture.ts";
import { createPolder, type Polder, type PolderOptions } from "./create-polder.ts";
import { attempt } from "./device-storage.ts";
import { scrubUrl } from "./scrub.ts";
import type { Moment } from "./tracker.ts";

/** A call made on the stub, before we were there: see `stub.ts`. */
type EarlyCall = [method: string, args: unknown[], ...moment: Moment];

type TagOptions = DOMStringMap & Pick<PolderOptions, "findRegime">;

const start = (
  captures: { [name: string]: readonly Capture[] },
  byDefault: string,
  first?: (options: TagOptions) => Capture[],
  then?: (polder: Polder, options: DOMStringMap) => void,
): void => {
  const here = window as unknown as { polder?: Partial<Polder> & { q?: EarlyCall[] } };
  // An element with that id is no Polder, whatever is in it.
  const there = here.polder?.track && here.polder;
  const early = there?.q;
  if (there && !early) return console.debug("[polder] loaded twice: the first one runs");
  // There is none for a module, and an element with that name is none. Others' scripts may have a `data-site` too.
  const tag = document.currentScript;
  const script =
    tag instanceof HTMLScriptElement ? tag : document.querySelector<HTMLScriptElement>("script[data-site^=pk_]");
  if (!script?.dataset.site) throw new Error("the tag needs data-site, the public key of the site");
  // The attributes are named as the options are.
  const {
    capture = byDefault,
    debug = "false",
    // The folder it came from: the collector, or what a path of the site leads to.
    host = new URL(".", script.src).href,
    identifyForms,
    ...options
  }: TagOptions = script.dataset;
  // Before the options are copied, which it may add to.
  const before = first?.(options) ?? [];
  let moment: Moment | undefined;
  const polder = createPolder(
    {
      ...options,
      host,
      capture: [
        ...before,
        ...capture
          .split(/[\s,]+/)
          .flatMap((name) => captures[name] ?? ((name && console.warn("[polder] no such capture:", name)) || [])),
        ...(identifyForms ? [createFormIdentify(identifyForms)] : []),
      ],
    } as unknown as PolderOptions,
    () => moment,
  );
  polder.debug(debug !== "false");
  here.polder = polder;
  attempt(() => then?.(polder, options));
  if (!early) return;
  const replay = ([method, args, ...made]: EarlyCall): void => {
    const methods = { ...polder, ...polder.consent } as unknown as { [name: string]: (...args: unknown[]) => void };
    const page = made[0] as { [part: string]: unknown };
    for (const part of Object.keys(page)) page[part] = scrubUrl(String(page[part]));
    moment = made;
    attempt(() => methods[method]!(...args));
    moment = undefined;
  };
  early.forEach(replay);
  // A page may have kept the stub in a variable.
  early.push = replay as () => number;
};

/**
 * For the files that a page loads with a tag: reads that tag, takes over from the stub, and is there as `window.polder`. Never throws.
 * @param captures what `data-capture` can name.
 * @param byDefault what it names when it is not there.
 * @param first what other attributes ask for, before all that; may add options that no text can be.
 * @param then what they ask for once Polder is there.
 */
export const startTag: typeof start = (...args) => {
  try {
    start(...args);
  } catch (error) {
    console.error("[polder]", error);
  }
};
