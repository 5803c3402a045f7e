import { hasPurpose, type ConsentStamp, type EventContext, type EventType } from "@polder/protocol";
import type { Consent } from "./consent.ts";
import { eventId } from "./event-id.ts";
import { anonymousId, keepUserId, userId } from "./identity.ts";
import { maxBufferedEvents, maxBufferedMs, maxEventChars } from "./limits.ts";
import type { PageContext } from "./page-context.ts";
import type { ReceiptBook } from "./receipt.ts";
import { nextSession } from "./session.ts";
import { version } from "./version.ts";

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

/** Turns calls into events: what happened, where, in which visit, by whom, under which choice. */
export const createTracker = (
  consent: Consent,
  currentPage: () => PageContext,
  receipt: ReceiptBook,
  queue: (...built: Built) => void,
  /** Keep what happens before a choice in memory, until there is one. */
  isBuffering: boolean,
  moment?: () => Moment | undefined,
) => {
  let buffer: [at: number, send: () => void][] = [];
  let viewed: PageContext | undefined;
  let shared: EventContext = {};

  const sharedContext = (page: PageContext, stamp: ConsentStamp): object => {
    if (shared.page !== page || shared.consent !== stamp) {
      const { width, height } = screen;
      shared = {
        page,
        consent: stamp,
        locale: navigator.language,
        // Asked for when it is sent: the first time takes many milliseconds.
        get timezone() {
          return Intl.DateTimeFormat().resolvedOptions().timeZone;
        },
        screen: { width, height, density: devicePixelRatio },
        library: { name: "polder.js", version },
      };
    }
    return shared;
  };

  const build = (
    type: EventType,
    fields: Fields,
    { context, timestamp }: CallOptions,
    [page, at]: Moment,
    stamp: ConsentStamp,
    isPerson: boolean,
  ): Built => [
    sharedContext(page, stamp),
    JSON.stringify({
      context: { ...(isPerson && { session: nextSession(at, page.url!) }), ...context },
      type,
      messageId: eventId(),
      timestamp: new Date(timestamp ?? at),
      ...(isPerson && { anonymousId: anonymousId(), userId: userId() }),
      ...fields,
    }),
  ];

  const now = (): Moment => [currentPage(), Date.now()];

  return {
    record(type: EventType, fields: Fields, options: CallOptions = {}): void {
      const made = moment?.() ?? now();
      const [page, at] = made;
      const send = (): void => {
        const { mask, isPerson, stamp } = consent.current();
        if (!isPerson && !hasPurpose(mask, "measurement")) return;
        receipt.count("queued");
        if (!isPerson && /^[agi]/.test(type)) return receipt.count("no_profile_consent");
        if (type === "identify" && fields.userId) keepUserId(fields.userId as string);
        if (type === "page") viewed = page;
        const built = build(type, fields, options, made, stamp, isPerson);
        if (built[1].length > maxEventChars) receipt.count("event_too_large");
        else queue(...built);
      };
      if (consent.current().status !== "unset") send();
      else if (isBuffering) {
        // The page may go on to change what it passed.
        fields = JSON.parse(JSON.stringify(fields)) as Fields;
        buffer = [...buffer.slice(1 - maxBufferedEvents), [at, send]];
      }
    },
    /** The choice has been made: what waited for it is sent with its own times, or gone. */
    release(): void {
      for (const [at, send] of buffer) if (Date.now() - at < maxBufferedMs) send();
      buffer = [];
    },
    hasViewed: (): boolean => viewed === currentPage(),
    /** A page out of the back/forward cache is looked at a second time. */
    viewAgain(): void {
      viewed = undefined;
    },
    /** The record of a choice, which is sent under the choice that it records. */
    choice: (stamp: ConsentStamp, isPerson: boolean): Built => build("consent", {}, {}, now(), stamp, isPerson),
  };
};
