import type { EventType } from "@polder/protocol";
import type { Capture } from "./capture/capture.ts";
import { createConsent, type Choice, type ChoiceDetails, type ConsentStatus, type Decision } from "./consent.ts";
import { attempt } from "./device-storage.ts";
import { changeIdentity, forgetIdentity, userId } from "./identity.ts";
import { maxTraced } from "./limits.ts";
import { createMeasure } from "./measure.ts";
import { createOutbox } from "./outbox.ts";
import { createPageContext, type PageBy } from "./page-context.ts";
import { createReceiptBook } from "./receipt.ts";
import type { RegimeFinder } from "./regime.ts";
import { createSender } from "./sender.ts";
import { createTracker, type Built, type CallOptions, type Line, type Middleware, type Moment } from "./tracker.ts";
import { createTransport } from "./transport.ts";

export interface PolderOptions {
  /** Public key of the site, `pk_…`. */
  site: string;
  /** Where the collector is, as `https://data.example.com`, or a path on your own site that leads to it. */
  host: string;
  /** What is measured by itself: `allCaptures`, some of them, or `[]`. */
  capture: readonly Capture[];
  /**
   * What happens before the visitor has chosen. `silent`: nothing is kept. `buffer`: up to 50 events of the last 30 minutes wait in memory,
   * are sent with their own times after a yes, and are gone after a no or when the page is left. `measurement`: every page view is one request
   * that says nothing of the visitor, see {@link createMeasure}; the site's configuration has to allow it.
   */
  beforeChoice?: "silent" | "buffer" | "measurement";
  /** Domain of the cookie that keeps the choice, as `example.com`, so that subdomains share it. This host alone when absent. */
  cookieDomain?: string;
  /** Days after which a yes counts no more and is asked for again, 1 to 365. 365 when absent. Not more than the site's own `grantDays`. */
  grantDays?: number;
  /**
   * Days before a refusal is asked again, at least 184, which it is when absent. Counted from the end of the 30 days that refusals of one period
   * have in common, so up to 30 later; longer than the 13 months of its cookie on this host alone.
   */
  refusalDays?: number;
  /** {@link askRegime}: asks the collector whether the visitor's country lets events flow before a choice. Without it, nothing flows before one. */
  findRegime?: RegimeFinder | undefined;
  /** What of an address makes another page: its path alone, with its query, or with query and hash. `query` when absent. */
  pageBy?: PageBy;
  /** When a session ends: after half an hour without events (`idle`, when absent), or also at the visitor's midnight. A new campaign ends it in either case. */
  sessionEnd?: "idle" | "midnight";
  /** How long events wait for others to travel with, in milliseconds. */
  flushAfterMs?: number;
}

/** Names of events and what they carry: `{ "Order Completed": { order_id: string; total: number } }`. */
export type TrackingPlan = { [event: string]: object };
/** Properties may be left out where none is required. */
export type TrackArguments<Properties> = {} extends Properties
  ? [properties?: Properties, options?: CallOptions]
  : [properties: Properties, options?: CallOptions];
type Traits = { [name: string]: unknown };

export interface Polder<Plan extends object = TrackingPlan> {
  track<Name extends keyof Plan & string>(event: Name, ...rest: TrackArguments<Plan[Name]>): void;
  /** One text is the name; two are the category and the name. */
  page(name?: string, properties?: object, options?: CallOptions): void;
  page(category: string, name: string, properties?: object, options?: CallOptions): void;
  page(properties: object, options?: CallOptions): void;
  /** Who the visitor is, and what is known of them. Dropped without consent for `profile`, as `group` and `alias` are. */
  identify(userId: string, traits?: Traits, options?: CallOptions): void;
  identify(traits: Traits, options?: CallOptions): void;
  group(groupId: string, traits?: Traits, options?: CallOptions): void;
  alias(userId: string, previousId?: string, options?: CallOptions): void;
  /** Someone else uses this browser now, as after a logout: a new anonymous id, a new session, no user. The choice stays. */
  reset(): void;
  consent: {
    get(): ConsentStatus;
    /** A purpose that is not named is a no. @param details which text the visitor saw, and what else is to be recorded. */
    set(choice: Choice, details?: ChoiceDetails): void;
    withdraw(): void;
    /** Also runs when the choice is made in another tab. @returns what ends it. */
    onChange(listen: (status: ConsentStatus) => void): () => void;
  };
  /** Sends what waits now. Settles after the attempt, whatever came of it. */
  flush(): Promise<unknown>;
  /** Calls back when Polder is there, which it is: for code that runs on the stub too. */
  ready(run: () => void): void;
  /** Lets a function change or drop every event of a call or a capture from now on, after consent and before it is kept. */
  use(change: Middleware): void;
  /** Tells the console, or a function, what happens from now on and what happened last. `false` ends it. */
  debug(listen?: boolean | ((entry: TraceEntry) => void)): void;
}

/** What has become of an event. */
export interface TraceEntry {
  /** Milliseconds since 1970. */
  at: number;
  /** `queued`, `measured` (before a choice), `sent`, `answered`, `waiting`, `refused` (before it was queued), `dropped` (after), `error`. */
  what: string;
  /** The event, the answer, or the reason. */
  detail: unknown;
}

/**
 * Exceptions of ours never reach the page: they end in the console, when `debug` is on.
 * @param moment where and when a call counts as made; here and now when it gives nothing. For calls that waited for us to be there.
 */
export const createPolder = <Plan extends object = TrackingPlan>(
  {
    site,
    host: base,
    capture,
    beforeChoice,
    pageBy,
    sessionEnd,
    findRegime,
    flushAfterMs = 200,
    ...options
  }: PolderOptions,
  moment?: () => Moment | undefined,
): Polder<Plan> => {
  const host = base.replace(/\/+$/, "");
  const trace: TraceEntry[] = [];
  let tell: ((entry: TraceEntry) => void) | undefined;
  const log = (what: string, detail?: unknown): void => {
    const entry = { at: Date.now(), what, detail };
    if (trace.push(entry) > maxTraced) trace.shift();
    attempt(() => tell?.(entry));
  };
  const safely =
    <A extends unknown[]>(run: (...args: A) => unknown): ((...args: A) => void) =>
    (...args) => {
      try {
        run(...args);
      } catch (error) {
        log("error", error);
      }
    };

  const consent = createConsent(
    !!(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl,
    options,
    findRegime,
  );
  const currentPage = createPageContext(pageBy);
  const endpoint = `${host}/v1/batch`;
  const receipt = createReceiptBook(log);
  const outbox = createOutbox(`polder_${site}`, () => consent.current().mask > 0, receipt);
  const beforeSending = (): void => {
    heed();
    // For its title, which may have been set late.
    currentPage();
  };
  const sender = createSender(site, outbox, createTransport(endpoint), receipt, beforeSending, flushAfterMs, log);
  const line: Line = {
    queue(shared, event) {
      log("queued", event);
      outbox.add(shared, event);
      sender.wake(shared);
    },
  };
  const tracker = createTracker(
    consent,
    currentPage,
    receipt,
    line,
    log,
    beforeChoice === "buffer",
    beforeChoice === "measurement" ? createMeasure(site, endpoint) : undefined,
    sessionEnd === "midnight",
    moment,
  );

  const listeners = new Set<(status: ConsentStatus) => void>();
  const onChange: Polder["consent"]["onChange"] = (listen) => {
    listeners.add(listen);
    return () => listeners.delete(listen);
  };

  let heeded: Decision | undefined;
  /** Does what follows from a choice, made here or in another tab. @param record of the choice, to be sent. */
  const heed = (record?: Built): Decision => {
    const before = (heeded ??= consent.current());
    heeded = consent.current();
    if (before === heeded) return heeded;
    // What is no longer allowed takes along what was kept for it.
    if ((before.mask && !heeded.mask) || (before.isPerson && !heeded.isPerson)) {
      outbox.wipe();
      sender.overtake();
      forgetIdentity();
    }
    if (record) {
      receipt.count("queued");
      line.queue(...record);
    }
    // First, what waited for a choice after: a listener may know of an objection.
    listeners.forEach((listen) => safely(listen)(consent.status()));
    // An answer that none may be made without one changes nothing of that.
    if (heeded.status !== "unset") tracker.release();
    return heeded;
  };

  const choose = (choice: Choice, details?: ChoiceDetails | null): void => {
    const before = heed();
    // Without what cannot be sent: nothing of it may keep a withdrawal from being obeyed, and told.
    const told: { [part: string]: unknown } & ChoiceDetails = {};
    for (const part in details)
      told[part] = attempt(() => JSON.parse(JSON.stringify(details[part as keyof ChoiceDetails])) as unknown);
    const next = consent.weigh(choice, told);
    // A first no says nothing to anyone. The record comes before the choice is kept: a tab that reads the choice must find the id as well.
    const record =
      before.mask || next.mask ? tracker.choice(next.stamp, before.isPerson || next.isPerson, told.raw) : undefined;
    consent.keep(next);
    heed(record);
    // An answer that was under way may bring the cookie of the id back.
    if (before.isPerson && !next.isPerson) {
      void sender.flush().then(() => consent.current().isPerson || forgetIdentity());
    }
  };

  const on = (target: EventTarget, type: string, handle: (event: Event) => unknown, isFirst = true): void =>
    target.addEventListener(type, safely(handle), isFirst);

  /** One "person" called `null` would join thousands. */
  const isId = (id: unknown): boolean => {
    const isOne = Object(id) === id || !/^(|null|undefined|nan|\[object.*)$/i.test(String(id).trim());
    if (!isOne) {
      log("refused", "not_an_id");
      console.warn("[polder] call left out, no id:", id);
    }
    return isOne;
  };

  /** Texts and objects tell each other apart, so that all the ways to leave arguments out are one. */
  const call = (type: EventType, content: string, name: string) =>
    safely((...args: unknown[]) => {
      const isText = (arg: unknown): boolean => /^[sn]/.test(typeof arg);
      const texts = args.filter(isText);
      const [object, details] = args.filter((arg, i) => !isText(arg) && (i || arg)) as [object?, CallOptions?];
      if (content === "traits" && !isId(args[0])) return;
      tracker.record(type, { [name]: texts.pop(), category: texts.pop(), [content]: object }, details ?? {});
    });

  const polder: Polder = {
    track: call("track", "properties", "event"),
    page: call("page", "properties", "name"),
    identify: call("identify", "traits", "userId"),
    group: call("group", "traits", "groupId"),
    alias: safely(
      (to, previousId = userId(), details) =>
        isId(to) && tracker.record("alias", { userId: to, previousId }, details ?? {}),
    ),
    reset: safely(() => (consent.current().isPerson ? changeIdentity() : forgetIdentity())),
    consent: {
      get: () => {
        safely(heed)();
        return consent.status();
      },
      set: safely(choose),
      withdraw: safely(() => choose("none")),
      onChange,
    },
    flush: sender.flush,
    ready: safely((run) => run()),
    use: tracker.use,
    debug: safely((listen = true) => {
      tell = listen === true ? ({ what, detail }) => console.log("[polder]", what, detail) : listen || undefined;
      if (tell) trace.forEach(tell);
    }),
  };

  let hasBegun = false;
  const begin = (): void => {
    if (hasBegun) return;
    hasBegun = true;
    const tools = { ...tracker, site, host, currentPage, decision: consent.current, line, on, onChoice: onChange };
    for (const start of capture) safely(start)(tools);
    // Not first: what the captures record while the page leaves still goes along.
    on(
      window,
      "pagehide",
      () => {
        tracker.leave();
        sender.leave();
      },
      false,
    );
    // Seen again: a choice may have been made on another host of the site, which nothing else tells of.
    on(window, "visibilitychange", () => heed() && document.hidden && sender.flush(), false);
    on(window, "online", sender.comeBack);
    on(window, "storage", () => heed());
    on(window, "pageshow", (event) => {
      if (!(event as PageTransitionEvent).persisted) return;
      // What other tabs said meanwhile was not heard here, and a turn to send may be long in coming.
      heed();
      sender.comeBack();
    });
    heed();
    const tidy = (): void => {
      const { mask, isPerson } = heed();
      // Pages that are gone may have left something.
      if (mask) sender.wake();
      // Also what should be gone: a choice on another subdomain, or an answer that was under way.
      // Not a withdrawal that was made before this, which is all that waits without a yes.
      else if (!outbox.seal()[0]) outbox.wipe();
      if (!isPerson) forgetIdentity();
    };
    if (findRegime) void findRegime.ask(consent, host, site, safely(tidy));
    else tidy();
  };
  // In a task of its own: the first look at cookies and storage waits for other processes. A page may be gone before that.
  setTimeout(safely(begin));
  on(window, "pagehide", begin);

  return polder;
};
