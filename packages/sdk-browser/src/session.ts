import type { EventContext } from "@polder/protocol";
import { readLocal, writeLocal } from "./device-storage.ts";
import { randomId } from "./random-id.ts";

type Session = NonNullable<EventContext["session"]>;

const key = "polder_session";
const idleMs = 30 * 60_000;

// Writing costs a message to every tab: once a task is enough.
let unwritten: string | undefined;
const write = (text: string): void => {
  if (unwritten === undefined) {
    queueMicrotask(() => {
      writeLocal(key, unwritten ?? "");
      unwritten = undefined;
    });
  }
  unwritten = text;
};

/** utm_ parameters and click ids of an address: what tells one campaign from another. */
const campaignOf = (url: string): string => (url.match(/\b(utm_\w+|\w+clid)=[^&]+/g) ?? []).join("&");

/**
 * Session of an event, with its number. One visit is shared by the tabs of an origin. Two tabs that count in the same instant can still
 * take the same number, because localStorage has no locks.
 * @param url of the event's page: a new campaign starts a new session.
 */
export const nextSession = (at: number, url: string): Session => {
  const arrived = campaignOf(url);
  let [id = "", start, seq, last, campaign] = (unwritten ?? readLocal(key)).split(" ");
  if (!last || at - Number(last) > idleMs || (arrived && arrived !== campaign)) {
    [id, start, seq, last, campaign] = [randomId(), `${at}`, "-1", "0", arrived];
  }
  const session = { id, start: Number(start), seq: Number(seq) + 1 };
  write([id, start, session.seq, Math.max(at, Number(last)), campaign].join(" "));
  return session;
};

/** The next event starts a new one. */
export const endSession = (): void => write("");
