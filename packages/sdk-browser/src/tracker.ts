import { hasPurpose, type ConsentStamp, type EventContext, type EventType, type PolderEvent } from "@polder/protocol";
import type { Consent } from "./consent.ts";
import { attempt } from "./device-storage.ts";
import { eventId } from "./event-id.ts";
import { anonymousId, keepUserId, userId } from "./identity.ts";
import { maxBufferedEvents, maxBufferedMs, maxEventChars } from "./limits.ts";
import type { PageContext } from "./page-context.ts";
import type { ReceiptBook } from "./receipt.ts";
import { nextSession } from "./session.ts";
import { changedTraits } from "./traits.ts";
import { version } from "./version.ts";

// Younger than TypeScript's types of the browser.
const { Temporal } = globalThis as { Temporal?: { Now: { timeZoneId(): string } } };

/** What a call says about its event, beside the usual. */
export interface CallOptions {
  /** Put into the event's context; wins over what we put there. */
  context?: { [key: string]: unknown };
  /** When it happened; now when absent. */
  timestamp?: Date | string;
}

/** Fields of the event itself: `event`, `properties`, `traits`, `userId` … */
export type Fields = { [key: string]: unknown };

/** Where and when a call counts as made. */
export type Moment = [page: PageContext, at: number];

/** A finished event, and the context that it shares with its neighbours. */
export type Built = [shared: object, event: string];

/** Where finished events go; a capture may put itself between. */
export interface Line {
  queue(...built: Built): void;
}

/** Changes an event before it is kept, or gives another one; null drops it. One that throws drops it as well: it may be there to keep a secret. */
export type Middleware = (event: PolderEvent) => PolderEvent | null | void;

/** Says what becomes of an event, to whoever debugs. */
export type Log = (what: string, detail?: unknown) => void;

/** Turns calls into events: what happened, where, in which visit, by whom, under which choice. */
export const createTracker = (
  consent: Consent,
  currentPage: () => PageContext,
  receipt: ReceiptBook,
  line: Line,
  log: Log,
  /** Keep what happens before a choice in memory, until there is one. */
  isBuffering: boolean,
  /** Else, what is done with a page view instead. */
  measure: ((page: PageContext) => void) | undefined,
  endsAtMidnight: boolean,
  moment?: () => Moment | undefined,
) => {
  let buffer: [at: number, send: () => void][] = [];
  let current: EventContext = {};
  const middleware: Middleware[] = [];
  // What events share where a middleware may change all the rest: the choice is not for it to change.
  let bare: EventContext = {};

  const sharedContext = (page: PageContext, stamp: ConsentStamp): EventContext => {
    if (current.page !== page || current.consent !== stamp) {
      const { width, height } = screen;
      current = {
        page,
        consent: stamp,
        locale: navigator.language,
        // Asked for when it is sent: where there is no Temporal, the first time takes many milliseconds.
        get timezone() {
          return Temporal?.Now.timeZoneId() ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
        },
        screen: { width, height, density: devicePixelRatio },
        library: { name: "polder.js", version },
      };
    }
    return current;
  };

  const build = (
    type: EventType,
    { userId: user, ...fields }: Fields,
    { context, timestamp }: CallOptions,
    [page, at]: Moment,
    isPerson: boolean,
  ) => {
    const who = isPerson && anonymousId();
    return {
      context: { ...(who && { session: nextSession(at, page.url!, who, endsAtMidnight) }), ...context },
      type,
      messageId: eventId(),
      timestamp: new Date(timestamp ?? at),
      ...(who && { anonymousId: who, userId: user ?? userId(who) }),
      ...fields,
    } as unknown as PolderEvent;
  };

  /** What the middleware makes of an event; null drops it. */
  const apply = (event: PolderEvent, shared: EventContext): Built | null => {
    // A copy of the page, which goes on to be everybody's.
    let changed: PolderEvent | null = { ...event, context: { ...shared, page: { ...shared.page }, ...event.context } };
    for (const run of middleware) {
      const result: PolderEvent | null | void = changed && run(changed);
      if (result !== undefined) changed = result;
    }
    // Without a type it is no event: a promise, say.
    if (!changed?.type) return null;
    const { page, consent: _, ...context } = changed.context ?? {};
    const isSamePage = JSON.stringify(page) === JSON.stringify(shared.page);
    const rest = isSamePage ? shared.page : undefined;
    if (bare.consent !== shared.consent || bare.page !== rest) bare = { consent: shared.consent!, page: rest! };
    return [bare, JSON.stringify({ ...changed, context: isSamePage ? context : { ...context, page } })];
  };

  const now = (): Moment => [currentPage(), Date.now()];

  return {
    record(type: EventType, fields: Fields, options: CallOptions = {}, made: Moment = moment?.() ?? now()) {
      const [page, at] = made;
      /** @returns whether it is kept. */
      const send = ({ mask, isPerson, stamp } = consent.current()): unknown => {
        if (!isPerson && !hasPurpose(mask, "measurement")) return log("refused", "no_consent");
        let keep: (() => void) | undefined;
        if (isPerson && type === "identify") {
          if (fields.userId) keepUserId(fields.userId as string);
          // Told again every day: what was lost on the way is mended then.
          const scope = [userId(), options.context?.origin, new Date(at).toDateString()].join();
          const traits = changedTraits(fields.traits ?? {}, scope);
          if (!traits) return log("refused", "told_already");
          keep = traits[1];
          fields = { ...fields, traits: traits[0] };
        }
        receipt.count("queued");
        const drop = (reason: string): void => {
          receipt.count(reason);
          log("dropped", reason);
        };
        if (!isPerson && /^[agi]/.test(type)) return drop("no_profile_consent");
        const shared = sharedContext(page, stamp);
        // A middleware may throw, and what a page passes may be nothing that can be written.
        const built = attempt((): Built | null => {
          const event = build(type, fields, options, made, isPerson);
          return middleware[0] ? apply(event, shared) : [shared, JSON.stringify(event)];
        });
        if (!built) return drop(built === null ? "middleware" : "not_written");
        if (built[1].length > maxEventChars) return drop("event_too_large");
        line.queue(...built);
        keep?.();
        return true;
      };
      const decision = consent.current();
      if (decision.status !== "unset") return send(decision);
      if (measure && type === "page") {
        log("measured", page.path);
        measure(page);
        return true;
      }
      if (!isBuffering) return log("refused", "no_choice");
      // The page may go on to change what it passed.
      fields = JSON.parse(JSON.stringify(fields)) as Fields;
      buffer = [...buffer.slice(1 - maxBufferedEvents), [at, send]];
      return true;
    },
    /** The choice has been made: what waited for it is sent with its own times, or gone. */
    release(): void {
      const waited = buffer;
      buffer = [];
      for (const [at, send] of waited) if (Date.now() - at < maxBufferedMs) send();
    },
    /** The page is left: what waited for a choice is gone. */
    leave(): void {
      buffer = [];
    },
    /** The record of a choice, which is sent under the choice that it records. */
    choice(stamp: ConsentStamp, isPerson: boolean, raw: object | undefined): Built {
      const made = now();
      const fields = raw ? { properties: { raw } } : {};
      return [sharedContext(made[0], stamp), JSON.stringify(build("consent", fields, {}, made, isPerson))];
    },
    use(change: Middleware): void {
      if (typeof change === "function") middleware.push(change);
    },
  };
};
