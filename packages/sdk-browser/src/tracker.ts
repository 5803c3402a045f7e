import type { ConsentStamp, EventContext, EventType } from "@polder/protocol";
import { hasPurpose } from "@polder/protocol";
import type { Consent } from "./consent.ts";
import { eventId } from "./event-id.ts";
import { anonymousId, keepUserId, userId } from "./identity.ts";
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

const maxEventChars = 32_000;
const maxBuffered = 50;
const bufferMs = 30 * 60_000;

/** Turns calls into events: what happened, where, in which visit, by whom, under which choice. */
export const createTracker = (
  consent: Consent,
  currentPage: () => PageContext,
  receipt: ReceiptBook,
  /** Takes a finished event and the context that it shares with its neighbours. */
  queue: (shared: object, event: string) => void,
  /** Keep what happens before a choice in memory, until there is one. */
  isBuffering: boolean,
) => {
  let buffer: [at: number, send: () => void][] = [];
  let viewed: PageContext | undefined;
  let past: [page: PageContext, at: number] | undefined;
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
    page: PageContext,
    at: number,
    isPerson: boolean,
  ): string =>
    JSON.stringify({
      context: { ...(isPerson && { session: nextSession(at, page.url!) }), ...context },
      type,
      messageId: eventId(),
      timestamp: new Date(timestamp ?? at),
      ...(isPerson && { anonymousId: anonymousId(), userId: userId() }),
      ...fields,
    });

  const record = (type: EventType, fields: Fields, options: CallOptions = {}): void => {
    const [page, at] = past ?? [currentPage(), Date.now()];
    const send = (): void => {
      const { mask, stamp } = consent.current();
      const isPerson = hasPurpose(mask, "profile");
      if (!isPerson && !hasPurpose(mask, "measurement")) return;
      receipt.count("queued");
      if (!isPerson && /^[agi]/.test(type)) return receipt.count("no_profile_consent");
      if (type === "identify" && fields.userId) keepUserId(fields.userId as string);
      if (type === "page") viewed = page;
      const event = build(type, fields, options, page, at, isPerson);
      if (event.length > maxEventChars) receipt.count("event_too_large");
      else queue(sharedContext(page, stamp), event);
    };
    if (consent.current().status !== "unset") send();
    else if (isBuffering) {
      // The page may go on to change what it passed.
      fields = JSON.parse(JSON.stringify(fields)) as Fields;
      buffer = buffer.slice(1 - maxBuffered);
      buffer.push([at, send]);
    }
  };

  return {
    record,
    /** Calls made by `run` count as made then and there. */
    asOf(page: PageContext, at: number, run: () => void): void {
      past = [page, at];
      run();
      past = undefined;
    },
    /** The choice has been made: what waited for it is sent with its own times, or gone. */
    release(): void {
      for (const [at, send] of buffer) if (Date.now() - at < bufferMs) send();
      buffer = [];
    },
    hasViewed: (): boolean => viewed === currentPage(),
    /** A page out of the back/forward cache is looked at a second time. */
    viewAgain(): void {
      viewed = undefined;
    },
    /** The record of a choice, which is sent under the choice that it records. */
    choice(stamp: ConsentStamp, isPerson: boolean): [shared: object, event: string] {
      const page = currentPage();
      return [sharedContext(page, stamp), build("consent", {}, {}, page, Date.now(), isPerson)];
    },
  };
};
