import { computedTraitType, parseComputedTrait, type ComputedTrait } from "@polder/core";
import { buildEventRow, rowBytes } from "@polder/core/contracts";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  atomsPerWorld,
  eventNames,
  maybe,
  randomNow,
  randomWorld,
  where,
  window,
  type RandomWorld,
} from "../audiences/random-audience.test-support.ts";
import { reloadIdentities } from "../reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { compileComputedTrait } from "./compile-computed-trait.ts";
import { compileTraitsOfPerson } from "./compile-traits-of-person.ts";
import { evaluateComputedTrait } from "./evaluate-computed-trait.test-support.ts";
import { readComputedTraits } from "./read-computed-traits.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());

const money = fc.record({ of: fc.constant({ column: "amount" as const }), currency: fc.constantFrom("EUR", "USD") });
const price = fc.constant({ of: { property: "price" } });
const text = fc.constantFrom(
  { of: { property: "category" } },
  { of: { property: "address.city" } },
  { of: { property: "ok" } },
  { of: { column: "channel" as const } },
  { of: { column: "order_id" as const } },
);
const about = fc.oneof(
  fc.tuple(eventNames, maybe("where", where), maybe("within", window)),
  fc.tuple(fc.constantFrom<string>("*", "Order Completed"), fc.constant({}), fc.constant({})),
);
const definition: fc.Arbitrary<ComputedTrait> = fc
  .tuple(
    about,
    fc.oneof(
      fc.constantFrom<object>({ compute: "count" }, { compute: "days_since" }),
      fc
        .tuple(fc.constantFrom("sum", "average", "min", "max"), fc.oneof(money, price))
        .map(([compute, of]) => ({ compute, ...of })),
      fc
        .tuple(fc.constantFrom("first", "last", "most_frequent", "unique_list"), text)
        .map(([compute, of]) => ({ compute, ...of })),
      text.map((of) => ({ compute: "unique_list", most: 1, ...of })),
      fc.constantFrom({ compute: "lifetime_value", currency: "EUR" }),
    ),
  )
  .map(([[event, ...more], computed]) =>
    Object.assign(
      {},
      computed,
      ...more,
      "compute" in computed && computed.compute === "lifetime_value" ? {} : { event },
    ),
  );

describe("random computed traits of random events", () => {
  let worlds = 0;

  const load = async ({ events, people }: RandomWorld) => {
    worlds += 1;
    const site = `world-${worlds}`;
    const base = worlds * atomsPerWorld;
    const numberOf = (atom: number): number => (atom === 0 ? 0 : base + atom);
    const persons = new Map(
      people.map((person, atom) => [
        numberOf(atom),
        person === "erased" ? 0 : person === 0 ? numberOf(atom) : numberOf(person),
      ]),
    );
    const rows = events.map((row) => ({ ...row, site, atom: numberOf(row.atom) }));
    await database.clickhouse.insertBytes("events", rowBytes(rows), {
      settings: { input_format_try_infer_dates: 0, input_format_try_infer_datetimes: 0 },
    });
    await database.clickhouse.insertRows(
      "identity",
      [...persons]
        .filter(([atom, person]) => atom !== person)
        .map(([atom, person]) => ({ site, atom, person, version: 1 })),
    );
    await reloadIdentities(database.clickhouse);
    const personOf = (atom: number): number => persons.get(atom) ?? atom;
    return { site, now: randomNow, events: rows, personOf, atoms: [...persons.keys()].filter((atom) => atom !== 0) };
  };
  type Loaded = Awaited<ReturnType<typeof load>>;

  const read = (trait: ComputedTrait, value: string): string | number | string[] => {
    const type = computedTraitType(trait);
    return type === "number" ? Number(value) : type === "list" ? (JSON.parse(value) as string[]) : value;
  };
  const valuesOf = async (trait: ComputedTrait, { site, now }: Loaded) => {
    const { sql, params } = compileComputedTrait(trait, { site, now: new Date(now) });
    const rows = await database.clickhouse.query<{ person_id: number; value: string }>(sql, { params });
    expect(new Set(rows.map((row) => row.person_id)).size).toBe(rows.length);
    return new Map(rows.map(({ person_id, value }) => [person_id, read(trait, value)]));
  };

  it("have the values that reading the events one after another finds, for all people and in a profile", async () => {
    let values = 0;
    let missing = 0;
    await checkAsyncProperty(
      fc.asyncProperty(
        randomWorld,
        fc.array(definition, { minLength: 4, maxLength: 8, size: "max" }),
        async (random, definitions) => {
          const world = await load(random);
          const expected = definitions.map((each) => evaluateComputedTrait(each, world));
          const found = await Promise.all(definitions.map((each) => valuesOf(each, world)));
          for (const [index, each] of definitions.entries()) {
            expect(parseComputedTrait(structuredClone(each))).toEqual({ ok: true, definition: each });
            expect(found[index], JSON.stringify(each)).toEqual(expected[index]);
            values += expected[index]!.size;
            missing += expected[index]!.size === 0 ? 1 : 0;
          }
          const person = world.personOf(world.atoms[worlds % 5]!);
          if (person === 0) return;
          const atoms = world.atoms.filter((atom) => world.personOf(atom) === person);
          const named = new Map(definitions.map((each, index) => [`t${index}`, each]));
          const shown = await readComputedTraits(database.clickhouse, world.site, atoms, named, new Date(world.now));
          expect(
            new Map(shown.map(({ name, type, value }) => [name, type === "number" ? Number(value) : value])),
          ).toEqual(
            new Map(
              expected.flatMap((ofAll, index) => {
                const value = ofAll.get(person);
                return value === undefined ? [] : [[`t${index}`, value] as const];
              }),
            ),
          );
        },
      ),
      16,
    );
    // Neither everybody nor nobody: else the comparison would say little.
    expect(values).toBeGreaterThan(100);
    expect(missing).toBeGreaterThan(5);
  });
});

it("works out more traits than fit in one statement", async () => {
  const site = "many-traits";
  const filters = Array.from({ length: 20 }, (_, n) => ({ property: `products[].p${n}`, is: 1 }));
  const definitions = new Map(
    Array.from({ length: 6 }, (_, n) => {
      const trait = parseComputedTrait({ compute: "sum", event: "*", of: { property: `q${n}` }, where: filters });
      if (!trait.ok) throw new Error(JSON.stringify(trait.faults));
      return [`t${5 - n}`, trait.definition];
    }),
  );
  const product = Object.fromEntries(filters.map((_, n) => [`p${n}`, 1]));
  const properties = { products: [product], ...Object.fromEntries([...definitions].map((_, n) => [`q${n}`, n])) };
  const row = buildEventRow({
    site,
    atom: 9_000_000,
    name: "Bought",
    type: "track",
    time: "2026-01-01 00:00:00",
    properties,
  });
  await database.clickhouse.insertBytes("events", rowBytes([row]));
  // Beside many numbers a server takes less of a statement.
  const atoms = Array.from({ length: 3_000 }, (_, n) => row.atom + n);
  const shown = await readComputedTraits(database.clickhouse, site, atoms, definitions, new Date(randomNow));
  expect(shown.map(({ name, value }) => [name, value])).toEqual(
    Array.from({ length: 6 }, (_, n) => [`t${n}`, `${5 - n}`]),
  );
});

it("counts once, of one person, what recovery has brought twice and an order that was sent twice", async () => {
  const atom = 9_100_000;
  const [site, now] = ["brought-twice", new Date(randomNow)];
  const one = { site, atom, type: "track", time: "2026-01-01 00:00:00" } as const;
  const order = { ...one, name: "Order Completed", order_id: "o1", currency: "EUR" };
  // As long as they are not merged.
  await database.clickhouse.command("SYSTEM STOP MERGES atom_event");
  await database.clickhouse.insertBytes(
    "events",
    rowBytes([
      buildEventRow({ ...one, name: "Viewed", message_id: "m1", _offset: 1 }),
      // Of one moment and offset, from another partition.
      buildEventRow({ ...one, name: "Viewed", message_id: "m2", _offset: 1, _partition: 1 }),
      buildEventRow({ ...order, message_id: "m3", _offset: 2, amount: "5" }),
      buildEventRow({ ...order, message_id: "m4", _offset: 3, amount: "7.5" }),
    ]),
  );
  await database.clickhouse.command(
    "INSERT INTO atom_event SELECT * FROM atom_event WHERE site = {site:String} SETTINGS insert_deduplicate = 0",
    { params: { site } },
  );
  const definitions = new Map<string, ComputedTrait>([
    ["all", { compute: "count", event: "*" }],
    ["orders", { compute: "count", event: "Order Completed" }],
    ["spent", { compute: "lifetime_value", currency: "EUR" }],
    ["views", { compute: "count", event: "Viewed", where: [{ column: "order_id", exists: false }] }],
  ]);
  const copies = await database.clickhouse.query("SELECT count() AS n FROM atom_event WHERE atom = {atom:UInt32}", {
    params: { atom },
  });
  expect(copies).toEqual([{ n: 8 }]);
  const shown = await readComputedTraits(database.clickhouse, site, [atom], definitions, now);
  expect(shown.map(({ name, value }) => [name, value])).toEqual([
    ["all", "3"],
    ["orders", "1"],
    ["spent", "7.5"],
    ["views", "2"],
  ]);
  await database.clickhouse.command("SYSTEM START MERGES atom_event");
});

it("takes whatever a definition says for a value, never for a part of the statement", async () => {
  const hostile = `x') OR 1 = 1; DROP TABLE events; -- \\' \` {site:String} {p0:String} /*`;
  const trait = parseComputedTrait({
    compute: "unique_list",
    event: [hostile, "*"],
    where: [
      { property: "a'b\\c{p0:String}", isNot: hostile },
      { column: "name", in: [hostile, "it's"] },
    ],
    of: { property: "weird'path{x:String}" },
  });
  if (!trait.ok) throw new Error(JSON.stringify(trait.faults));
  const context = { site: "sh'op", now: new Date(randomNow) };
  const ofAll = compileComputedTrait(trait.definition, context);
  const ofOne = compileTraitsOfPerson([trait.definition], { ...context, atoms: [64], from: "atom_event" });
  for (const { sql } of [ofAll, ofOne])
    for (const word of ["DROP", "weird", "it's", "sh'op", "a'b"]) expect(sql).not.toContain(word);
  expect(await database.clickhouse.query(ofAll.sql, { params: ofAll.params })).toEqual([]);
  expect(await database.clickhouse.query(ofOne.sql, { params: ofOne.params })).toEqual([{ values: [""] }]);
  expect(await database.clickhouse.query("EXISTS TABLE events")).toEqual([{ result: 1 }]);
});
