import type { EventContext } from "@polder/protocol";
import { attempt, readLocal, writeLocal } from "./device-storage.ts";
import { sessionIdleMs } from "./limits.ts";
import { randomId } from "./random-id.ts";
import { campaignParameters } from "./scrub.ts";

type Session = NonNullable<EventContext["session"]>;
/** Nothing in it: there is none. */
type Visit = [id: string, start: number, seq: number, last: number, campaign: string, owner: string];

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

/** The campaign that brought the visitor to this tab: it counts once, or two tabs with one each would end each other's sessions. */
let counted = "";

const campaignOf = (url: string): string => String(url.match(campaignParameters) ?? "");

/**
 * Session of an event, with its number: a number that is missing is an event that was lost. One visit is shared by the tabs of an origin.
 * Two tabs that count in the same instant can still take the same number, because localStorage has no locks: a number that is there twice
 * says nothing.
 * @param url of the event's page: a new campaign starts a new session.
 * @param owner whose session it is: a subdomain may not have heard that somebody else is here now.
 * @param endsAtMidnight of this device, too.
 */
export const nextSession = (at: number, url: string, owner: string, endsAtMidnight?: boolean): Session => {
  const kept = thisVisit();
  const campaign = campaignOf(url);
  // Not a number where nothing is kept, or not ours.
  const isIdle = !(at - kept[3] <= sessionIdleMs);
  // Within half an hour of each other, dates that differ have midnight between them.
  const isAnotherDay = endsAtMidnight && new Date(at).getDate() !== new Date(kept[3]).getDate();
  const isNewCampaign = campaign && campaign !== kept[4] && campaign !== counted;
  if (isIdle || isAnotherDay || isNewCampaign || owner !== kept[5]) {
    kept.splice(0, 6, randomId(), at, -1, at, campaign, owner);
  }
  counted = campaign || counted;
  kept[3] = Math.max(at, kept[3]);
  const [id, start] = kept;
  return { id, start, seq: ++kept[2] };
};

/** The next event starts a new one. */
export const endSession = (): void => {
  thisVisit().splice(0);
};
