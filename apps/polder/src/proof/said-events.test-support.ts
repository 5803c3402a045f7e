import type { PersonEvent } from "@polder/testing";
import fc from "fast-check";

/** What an event says, drawn from few ids, so that they meet. */
export interface Said {
  what: (typeof kinds)[number];
  /** 0: none. */
  device: number;
  user: number;
  value: number;
  daysAgo: number;
  isServer: boolean;
}

const kinds = ["page", "view", "add", "order", "refund", "identify", "alias", "email", "phone", "yes", "no"] as const;
const users = ["", "u1", "u2", "u3", "null"];
const previousIds = ["u1", "u2", "u3", "d1", "d2", "nobody"];
const emails = ["an@shop.example", " AN@shop.example", "bo@shop.example", "test@shop.example"];
const phones = ["+31 6 1234", "0031-61234", "06 999"];
const dayMs = 86_400_000;

const mostly = <Value>(weight: number, value: Value, other: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

export const said: fc.Arbitrary<Said> = fc.record({
  what: fc.constantFrom(...kinds),
  device: fc.integer({ min: 0, max: 4 }),
  user: mostly(1, 0, fc.integer({ min: 1, max: 4 })),
  value: fc.integer({ min: 0, max: 5 }),
  daysAgo: mostly(3, 0, fc.integer({ min: 1, max: 40 })),
  isServer: mostly(3, false, fc.constant(true)),
});

/** The one purpose that is chosen about. */
export const askedPurpose = { name: "personalisation", bit: 8 } as const;

/** The event, but for its id; undefined when it would have no identity. */
export function eventOf(
  { what, device, user, value, daysAgo, isServer }: Said,
  before: readonly PersonEvent[],
  now: number,
): PersonEvent | undefined {
  const anonymousId = device === 0 ? "" : `d${device}`;
  const userId = users[user] ?? "";
  if (anonymousId === "" && userId === "") return undefined;
  const isChoice = what === "yes" || what === "no";
  // As a collector has it, which knows what the device chose last.
  const isRefused = isChoice
    ? what === "no"
    : before.findLast((event) => event.anonymousId === anonymousId && event.type === "consent")?.choices?.[
        askedPurpose.name
      ] === "denied";
  const event = {
    id: "",
    anonymousId,
    userId,
    time: now - (isChoice ? 0 : daysAgo) * dayMs,
    basis: isServer && !isChoice ? "contract" : "consent",
    mask: isRefused ? 63 - askedPurpose.bit : 63,
  };
  const identify = { ...event, type: "identify", name: "identify" } as const;
  const track = { ...event, type: "track" } as const;
  const order = { id: `o${(before.length + value) % 7}`, currency: value % 3 ? "EUR" : "USD" };
  switch (what) {
    case "page":
      return { ...event, type: "page", name: "page" };
    case "view":
      return { ...track, name: "Product Viewed" };
    case "add":
      return { ...track, name: "Product Added" };
    case "order":
      return { ...track, name: "Order Completed", order: { ...order, amount: 10 + value } };
    case "refund":
      return { ...track, name: "Order Refunded", order: { ...order, amount: -1 - value } };
    case "identify":
      return { ...identify, traits: { plan: `p${value}` } };
    case "email":
      return { ...identify, traits: { email: emails[value % emails.length]! } };
    case "phone":
      return { ...identify, traits: { [value % 2 ? "phone" : "mobile"]: phones[value % phones.length]! } };
    case "alias":
      return { ...event, type: "alias", name: "alias", previousId: previousIds[value]! };
    default:
      return {
        ...event,
        type: "consent",
        name: "consent",
        choices: { [askedPurpose.name]: isRefused ? "denied" : "granted" },
      };
  }
}
