import { compileAudience, createAudienceStore, type ClickHouse } from "@polder/clickhouse";
import type { AudienceDefinition, Condition } from "@polder/core";
import { membersOf, type AtomEvent, type ReferenceModel } from "@polder/testing";

interface FixedAudience {
  people: Condition;
  /** The same in plain code, over the events of one person by time. */
  holds(events: readonly AtomEvent[], now: number): boolean;
}

const dayMs = 86_400_000;
const since = (events: readonly AtomEvent[], now: number, days: number) =>
  events.filter(({ time }) => time > now - days * dayMs && time <= now);
const named = (events: readonly AtomEvent[], ...names: string[]) => events.filter(({ name }) => names.includes(name));
const usesUserId = ({ userId }: AtomEvent) => userId !== "";

/** One of every sort, each as a marketer writes it and as a programmer would. */
const fixedAudiences: { readonly [id: string]: FixedAudience } = {
  lookers: {
    people: { event: "Product Viewed", within: { days: 30 }, count: { atLeast: 2 } },
    holds: (events, now) => named(since(events, now, 30), "Product Viewed").length >= 2,
  },
  spenders: {
    people: {
      event: ["Order Completed", "Order Refunded"],
      within: { days: 60 },
      sum: { of: "amount", currency: "EUR", atLeast: 20 },
    },
    holds: (events, now) =>
      named(since(events, now, 60), "Order Completed", "Order Refunded")
        .filter(({ order }) => order?.currency === "EUR")
        .reduce((sum, { order }) => sum + order!.amount, 0) >= 20,
  },
  "known-without-order": {
    people: { all: [{ known: true }, { not: { event: "Order Completed", within: { days: 20 } } }] },
    holds: (events, now) => events.some(usesUserId) && named(since(events, now, 20), "Order Completed").length === 0,
  },
  "looked-then-added": {
    people: { sequence: [{ event: "Product Viewed" }, { event: "Product Added" }], within: { days: 7 } },
    holds: (events) =>
      named(events, "Product Viewed").some(({ time }) =>
        named(events, "Product Added").some((added) => added.time > time && added.time <= time + 7 * dayMs),
      ),
  },
  away: {
    people: { notSeen: { for: { days: 10 } } },
    holds: (events, now) => since(events, now, 10).length === 0,
  },
  "plan-1": {
    people: { trait: "plan", is: "p1" },
    holds: (events) => events.findLast(({ traits }) => traits?.["plan"] !== undefined)?.traits?.["plan"] === "p1",
  },
  new: {
    people: { firstSeen: { within: { days: 14 } } },
    holds: (events, now) => events[0]!.time > now - 14 * dayMs,
  },
  "added-last": {
    people: {
      event: ["Product Viewed", "Product Added"],
      last: { within: { days: 30 }, where: [{ column: "name", is: "Product Added" }] },
    },
    holds(events, now) {
      const last = named(events, "Product Viewed", "Product Added").at(-1);
      return last !== undefined && last.name === "Product Added" && last.time > now - 30 * dayMs;
    },
  },
  "lookers-who-spend-not": {
    people: { all: [{ audience: "lookers" }, { not: { audience: "spenders" } }] },
    holds: (events, now) =>
      fixedAudiences["lookers"]!.holds(events, now) && !fixedAudiences["spenders"]!.holds(events, now),
  },
};

const ids = Object.keys(fixedAudiences);
const definitions: ReadonlyMap<string, AudienceDefinition> = new Map(
  ids.map((id) => [id, { people: fixedAudiences[id]!.people }]),
);

/** By audience the numbers of its people: as its definition is answered now, and as the worker keeps it. */
export async function askMembers(clickhouse: ClickHouse, site: string, now: number) {
  const context = { site, now: new Date(now), timezone: "UTC", audiences: definitions, computedTraits: new Map() };
  const defined = await Promise.all(
    ids.map(async (id) => {
      const { sql, params } = compileAudience(definitions.get(id)!, context);
      const rows = await clickhouse.query<{ person_id: number }>(sql, { params });
      return [id, inOrder(rows.map(({ person_id: person }) => person))] as const;
    }),
  );
  const [members, sizes] = await Promise.all([
    clickhouse.query<{ audience: string; person: number }>(
      "SELECT audience, person_id AS person FROM audience_members WHERE site = {site:String}",
      { params: { site } },
    ),
    clickhouse.query<{ audience: string; people: number }>(
      "SELECT audience, people FROM audiences WHERE site = {site:String}",
      { params: { site } },
    ),
  ]);
  const keptOf = (id: string) => members.filter(({ audience }) => audience === id).map(({ person }) => person);
  return {
    audiences: Object.fromEntries(defined),
    members: Object.fromEntries(ids.map((id) => [id, inOrder(keptOf(id))])),
    sizes: Object.fromEntries(ids.map((id) => [id, sizes.find(({ audience }) => audience === id)?.people])),
  };
}

export function membersIn(model: ReferenceModel, now: number, numberOf: (person: string) => number) {
  const audiences = Object.fromEntries(
    ids.map((id) => [id, inOrder(membersOf(model, (events) => fixedAudiences[id]!.holds(events, now)).map(numberOf))]),
  );
  return { audiences, members: audiences, sizes: Object.fromEntries(ids.map((id) => [id, audiences[id]!.length])) };
}

const inOrder = (people: readonly number[]): number[] => people.toSorted((a, b) => a - b);

/** For everybody: no purpose but the one that needs no consent. */
export async function saveAudiences(clickhouse: ClickHouse, site: string, now: number): Promise<void> {
  const store = createAudienceStore(clickhouse);
  for (const id of ids)
    await store.save({
      site,
      audience: id,
      revision: 1,
      version: 1,
      name: id,
      definition: definitions.get(id)!,
      isAnonymous: false,
      purpose: "necessary",
      state: "active",
      everySeconds: 1,
      sizeFloor: 0,
      expiresAt: undefined,
      at: now,
      actor: "proof",
      reason: "to see",
    });
}
