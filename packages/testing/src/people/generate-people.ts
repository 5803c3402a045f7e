import type { PersonDecision, PersonEvent } from "./person-event.ts";
import { manualEdge } from "./resolve-people.ts";
import type { HistoryEntry } from "./reference-model.ts";

export interface GeneratedPeople {
  /** In the order of arrival, with copies and late events. */
  history: readonly HistoryEntry[];
  /** By message id: whose event it is, known from how it was made. */
  truth: ReadonlyMap<string, string>;
}

export interface GenerateOptions {
  seed: number;
  visitors: number;
  /** Time of the last event, in milliseconds. */
  until: number;
  days: number;
  /** In all messages, users and devices, so that two sets of people can be told apart. */
  prefix?: string;
}

const dayMs = 86_400_000;

/**
 * People whose events say who they are in all the ways in which a shop gets to know it, with the answer beside each event: devices that log in late or never, several devices of
 * one user, devices of two users, users with two ids (joined by an alias, by hand, by hand and taken back), contacts that a form only claims, and a few very active ones.
 */
export function generatePeople({ seed, visitors, until, days, prefix = "" }: GenerateOptions): GeneratedPeople {
  const random = createRandom(seed);
  const chance = (share: number) => random() < share;
  const truth = new Map<string, string>();
  const arrivals: { at: number; entry: HistoryEntry }[] = [];
  let count = 0;

  const send = (whose: string, fields: Partial<PersonEvent> & Pick<PersonEvent, "time">): void => {
    const event: PersonEvent = {
      id: `${prefix}m${count++}`,
      anonymousId: "",
      userId: "",
      type: "page",
      name: "page",
      basis: "consent",
      mask: 63,
      ...fields,
    };
    truth.set(event.id, whose);
    // Some wait on a phone without a connection; some are sent twice, since the answer was lost.
    const at = event.time + (chance(0.05) ? random() * 5 * dayMs : 0);
    arrivals.push({ at, entry: { what: "event", event } });
    if (chance(0.03)) arrivals.push({ at: at + random() * dayMs, entry: { what: "event", event } });
  };
  const decide = (at: number, decision: PersonDecision) => arrivals.push({ at, entry: { what: "decision", decision } });

  /** Visits of a device until it logs in, and after that as the user. A heavy tail: most are short, one in a hundred is not. */
  const visit = (device: string, user: string, before: string, after: string): void => {
    const length = Math.min(200, Math.ceil(2 / Math.max(random(), 0.01) ** 0.7));
    const from = until - random() * days * dayMs;
    const times = Array.from({ length }, () => Math.floor(from + random() * (until - from))).toSorted((a, b) => a - b);
    const loginAt = user === "" ? length : Math.floor(random() * length);
    for (const [i, time] of times.entries()) {
      const isKnown = user !== "" && i >= loginAt;
      const ids = { anonymousId: device, userId: isKnown ? user : "" };
      const whose = isKnown ? after : before;
      if (isKnown && i === loginAt) send(whose, { ...ids, time, type: "identify", name: "identify" });
      else if (chance(0.1)) {
        const order = {
          id: `${prefix}o${count}`,
          currency: chance(0.8) ? "EUR" : "USD",
          amount: 5 + Math.floor(random() * 95),
        };
        send(whose, { ...ids, time, type: "track", name: "Order Completed", order });
      } else if (chance(0.5))
        send(whose, { ...ids, time, type: "track", name: chance(0.7) ? "Product Viewed" : "Product Added" });
      else send(whose, { ...ids, time });
    }
  };

  for (let n = 0; n < visitors; n++) {
    const device = `${prefix}a${n}`;
    const user = `${prefix}u${n}`;
    const kind = random();
    const time = Math.floor(until - random() * days * dayMs);
    if (kind < 0.45) visit(device, "", device, device);
    else if (kind < 0.75) {
      // A user on one to four devices, all of them logged in sooner or later, and perhaps one that never was.
      const devices = chance(0.6) ? 1 : 2 + Math.floor(random() * 3);
      for (let d = 0; d < devices; d++) visit(`${device}-${d}`, user, user, user);
      if (chance(0.2)) visit(`${device}-x`, "", `${device}-x`, `${device}-x`);
      if (chance(0.3))
        send(user, {
          userId: user,
          time,
          type: "track",
          name: "Order Completed",
          basis: "contract",
          order: { id: `${prefix}s${n}`, currency: "EUR", amount: 20 },
        });
    } else if (kind < 0.85) {
      // Two users of one device: what was done on it without a login is neither's.
      for (const who of ["x", "y"]) {
        visit(device, `${user}${who}`, device, `${user}${who}`);
        visit(`${device}-${who}`, `${user}${who}`, `${user}${who}`, `${user}${who}`);
      }
    } else if (kind < 0.95) {
      // One user with two ids, joined by an alias or by hand; sometimes by mistake.
      const [old, current] = [`${user}-old`, `${user}-new`];
      const way = random();
      const isTwo = way > 0.75;
      for (const id of [old, current]) visit(`${device}-${id}`, id, isTwo ? id : user, isTwo ? id : user);
      if (way < 0.4) send(user, { userId: current, previousId: old, time, type: "alias", name: "alias" });
      else {
        const [left, right] = [`user:${old}`, `user:${current}`];
        decide(time, { id: `${prefix}d${n}`, action: "merge", left, right });
        if (isTwo && chance(0.5)) decide(time + 1, { id: `${prefix}d${n}-`, action: "undo", undoes: `${prefix}d${n}` });
        else if (isTwo)
          decide(time + 1, {
            id: `${prefix}d${n}-`,
            action: "unmerge",
            edges: [manualEdge(left, right)],
          });
      }
    } else {
      // A user whose address a second device states: true when that device has logged in as well, else a claim.
      const email = `${prefix}${n}@shop.example`;
      const isClaim = chance(0.5);
      const other = `${device}-form`;
      visit(device, user, user, user);
      send(user, { anonymousId: device, userId: user, time, type: "identify", name: "identify", traits: { email } });
      visit(other, "", isClaim ? other : user, other);
      send(isClaim ? other : user, {
        anonymousId: other,
        time,
        type: "identify",
        name: "identify",
        traits: { email: ` ${email.toUpperCase()}` },
      });
      if (!isClaim)
        send(user, {
          anonymousId: other,
          userId: "null",
          time,
          type: "identify",
          name: "identify",
          traits: { email },
          basis: "contract",
        });
    }
  }
  return { history: arrivals.toSorted((a, b) => a.at - b.at).map(({ entry }) => entry), truth };
}

/** Numbers from 0 to 1, the same ones for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
