import { dayOf, defaultRules, readHistory, type HistoryEntry, type PersonEvent } from "@polder/testing";
import fc from "fast-check";
import { askModel, askProduct, faultsOfAtoms, readAtoms } from "./answers.test-support.ts";
import type { Product } from "./product.test-support.ts";

/** What an event says, drawn from few ids, so that they meet: 0 is none, numbers are taken modulo what there is. */
interface Said {
  what: "page" | "view" | "add" | "order" | "refund" | "identify" | "alias" | "email" | "phone";
  device: number;
  user: number;
  value: number;
  daysAgo: number;
  isServer: boolean;
}

/** Plain data, so that a failing sequence can be printed, shrunk and typed in again. */
export type Operation =
  | { do: "send"; events: readonly Said[] }
  | { do: "sendAgain"; which: number }
  | { do: "restart"; part: "loader" | "worker" }
  | { do: "passTime"; days: number };

const said: fc.Arbitrary<Said> = fc.record({
  what: fc.constantFrom("page", "view", "add", "order", "refund", "identify"),
  device: fc.integer({ min: 0, max: 4 }),
  user: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.integer({ min: 1, max: 4 }) }),
  value: fc.integer({ min: 0, max: 5 }),
  daysAgo: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
  ),
  isServer: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("send"), events: fc.array(said, { minLength: 1, maxLength: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sendAgain"), which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart"), part: fc.constantFrom("loader", "worker") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("passTime"), days: fc.integer({ min: 1, max: 40 }) }) },
);

export const operations = fc.array(operation, { minLength: 1, maxLength: 10 });

let sites = 0;

/**
 * Carries out the operations on a site of its own, and compares product and model after each of them.
 * @throws what differs, with the operation after which it did
 */
export async function runOperations(product: Product, list: readonly Operation[]): Promise<void> {
  const site = `site-${++sites}`;
  const history: HistoryEntry[] = [];
  const sent: PersonEvent[] = [];
  for (const [step, now] of list.entries()) {
    await carryOut(product, site, now, history, sent);
    await product.settle();
    const model = readHistory(history);
    const atoms = await readAtoms(product.clickhouse, site);
    const faults = faultsOfAtoms(model, atoms);
    if (faults.length > 0) throw new Error(`after step ${step + 1} (${now.do}): ${faults.join("; ")}`);
    const [asked, expected] = [await askProduct(product.clickhouse, site), askModel(model, atoms)];
    for (const question of Object.keys(expected) as (keyof typeof expected)[]) {
      const [is, should] = [textOf(asked[question]), textOf(expected[question])];
      if (is !== should)
        throw new Error(
          `after step ${step + 1} (${now.do}) on ${site}, ${question} is\n  ${is}\nand should be\n  ${should}`,
        );
    }
  }
}

async function carryOut(
  product: Product,
  site: string,
  operation: Operation,
  history: HistoryEntry[],
  sent: PersonEvent[],
): Promise<void> {
  const accept = async (events: readonly PersonEvent[]): Promise<void> => {
    await product.accept(site, events);
    history.push(...events.map((event) => ({ what: "event" as const, event })));
  };
  switch (operation.do) {
    case "send": {
      const events = operation.events.flatMap((what) => toEvent(site, what, product.now(), sent.length));
      // Numbered one by one: times never tie, as they hardly do in life.
      const numbered = events.map((event, i) => ({
        ...event,
        id: `${site}-m${sent.length + i}`,
        time: event.time + sent.length + i,
      }));
      sent.push(...numbered);
      return accept(numbered);
    }
    case "sendAgain": {
      const event = sent[operation.which % Math.max(sent.length, 1)];
      return event && accept([event]);
    }
    case "restart":
      return operation.part === "loader" ? product.restartLoader() : product.restartWorker();
    case "passTime":
      product.passTime(operation.days * dayMs);
  }
}

const dayMs = 86_400_000;
const users = ["", "u1", "u2", "u3", "u3"];
const names = {
  page: "page",
  view: "Product Viewed",
  add: "Product Added",
  order: "Order Completed",
  refund: "Order Refunded",
};

function toEvent(
  site: string,
  { what, device, user, value, daysAgo, isServer }: Said,
  now: number,
  count: number,
): PersonEvent[] {
  const anonymousId = device === 0 ? "" : `d${device}`;
  const userId = users[user] ?? "";
  if (anonymousId === "" && userId === "") return [];
  const event = {
    id: "",
    anonymousId,
    userId,
    time: now - daysAgo * dayMs,
    basis: isServer ? "contract" : "consent",
    mask: 63,
  };
  if (what === "identify") return [{ ...event, type: "identify", name: "identify", traits: { plan: `p${value}` } }];
  if (what === "email")
    return [{ ...event, type: "identify", name: "identify", traits: { email: emails[value % emails.length]! } }];
  if (what === "phone")
    return [
      {
        ...event,
        type: "identify",
        name: "identify",
        traits: { [value % 2 ? "phone" : "mobile"]: phones[value % phones.length]! },
      },
    ];
  if (what === "alias")
    return [{ ...event, type: "alias", name: "alias", previousId: ["u1", "u2", "u3", "d1", "d2", "nobody"][value]! }];
  const order = {
    id: `o${(count + value) % 7}`,
    currency: value % 3 ? "EUR" : "USD",
    amount: what === "refund" ? -value - 1 : 10 + value,
  };
  return [
    {
      ...event,
      type: what === "page" ? "page" : "track",
      name: names[what],
      ...(what === "order" || what === "refund" ? { order } : {}),
    },
  ];
}

const emails = ["an@shop.example", " AN@shop.example", "bo@shop.example", "test@shop.example"];
const phones = ["+31 6 1234", "0031-61234", "06 999"];

/** With keys in order, so that equal answers are equal texts. */
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
