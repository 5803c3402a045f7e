import type { EventContext } from "@polder/protocol";
import { attempt, readLocal, writeLocal } from "./device-storage.ts";
import { sessionIdleMs } from "./limits.ts";
import { randomId } from "./random-id.ts";

type Session = NonNullable<EventContext["session"]>;
/** Nothing in it: there is none. */
type Visit = [id: string, start: number, seq: number, last: number, campaign: string];

const storageKey = "polder_session";

// Writing costs a message to every tab: once a task is enough.
let visit: Visit | undefined;
const thisVisit = (): Visit => {
  if (!visit) {
    visit = attempt(() => [...(JSON.parse(readLocal(storageKey)) as Visit)]) ?? ([] as unknown as Visit);
    queueMicrotask(() => {
      attempt(() => writeLocal(storageKey, visit![0] ? JSON.stringify(visit) : ""));
      visit = undefined;
    });
  }
  return visit;
};

/** utm_ parameters and click ids of an address: what tells one campaign from another. */
const campaignOf = (url: string): string => String(url.match(/\b(utm_\w+|\w+clid)=[^&]+/g) ?? "");

/**
 * Session of an event, with its number: a number that is missing is an event that was lost. One visit is shared by the tabs of an origin.
 * Two tabs that count in the same instant can still take the same number, because localStorage has no locks: a number that is there twice
 * says nothing.
 * @param url of the event's page: a new campaign starts a new session.
 * @param endsAtMidnight of this device, too.
 */
export const nextSession = (at: number, url: string, endsAtMidnight?: boolean): Session => {
  const kept = thisVisit();
  const campaign = campaignOf(url);
  // Not a number where nothing is kept, or not ours.
  const isIdle = !(at - kept[3] <= sessionIdleMs);
  // Within half an hour of each other, dates that differ have midnight between them.
  const isAnotherDay = endsAtMidnight && new Date(at).getDate() !== new Date(kept[3]).getDate();
  if (isIdle || isAnotherDay || (campaign && campaign !== kept[4])) {
    kept.splice(0, 5, randomId(), at, -1, at, campaign);
  }
  kept[3] = Math.max(at, kept[3]);
  const [id, start] = kept;
  return { id, start, seq: ++kept[2] };
};

/** The next event starts a new one. */
export const endSession = (): void => {
  thisVisit().splice(0);
};
