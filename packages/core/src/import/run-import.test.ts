import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ImportStore, StoredVersion } from "../ports/import-store.ts";
import type { ImportKind } from "./import-kinds.ts";
import { openImport } from "./open-import.ts";
import type { ImportEvent } from "./plan-row.ts";
import { runImport, type ImportOutcome, type RefusedRow } from "./run-import.ts";

const site = { timezone: "UTC", currency: "EUR" };
const now = Date.parse("2026-11-23T12:00:00Z");
const day = (n: number): number => Date.parse("2026-11-01T00:00:00Z") + n * 86_400_000;

/** The tables, as the store tells of them and as questions sum them up. What was sent may wait in the log. */
function createTables() {
  const stored = new Map<string, ImportEvent>();
  const waiting: ImportEvent[] = [];
  const load = (): void => {
    // A message of the same id is there once.
    for (const event of waiting.splice(0)) if (!stored.has(event.messageId)) stored.set(event.messageId, event);
  };
  const versionOf = ({ messageId, timestamp, event, properties }: ImportEvent): StoredVersion | undefined => {
    const [mark, subject, key, number, fixed = "", content = ""] = messageId.split(":");
    if (mark !== "import") return undefined;
    const isMoney = event === "Order Completed" || event === "Order Refunded";
    const amount = isMoney ? String(properties!["total"] as number) : "0";
    return { id: `${subject}:${key}`, number: Number(number), fixed, content, time: Date.parse(timestamp), amount };
  };
  const store: ImportStore = {
    async versions(_site, ids) {
      return [...stored.values()].flatMap((event) => versionOf(event) ?? []).filter(({ id }) => ids.includes(id));
    },
    async knownPeople(_site, { userIds, anonymousIds }) {
      const all = [...stored.values()];
      return {
        userIds: userIds.filter((id) => all.some(({ userId }) => userId === id)),
        anonymousIds: anonymousIds.filter((id) => all.some(({ anonymousId }) => anonymousId === id)),
      };
    },
    countStored: async () => stored.size,
    imports: async () => [],
  };
  const events = (): ImportEvent[] => [...stored.values()].filter(({ messageId }) => messageId.startsWith("import:"));
  return {
    store,
    load,
    send: (some: readonly ImportEvent[]) => void waiting.push(...structuredClone(some)),
    events,
    marks: () => [...stored.values()].filter(({ messageId }) => messageId.startsWith("import-mark:")),
    /** As the view `orders` has them. */
    orders() {
      const orders: { [id: string]: { amount: number; refunded: number } } = {};
      for (const { event, properties } of events()) {
        const id = properties!["order_id"] as string;
        const order = (orders[id] ??= { amount: 0, refunded: 0 });
        if (event === "Order Completed") order.amount = Math.max(order.amount, properties!["total"] as number);
        if (event === "Order Refunded")
          order.refunded = Math.round((order.refunded + (properties!["total"] as number)) * 100) / 100;
      }
      return orders;
    },
    /** As the view `people` has them. */
    traits() {
      const traits: { [id: string]: { [name: string]: unknown } } = {};
      for (const { userId = "", traits: stated } of events().toSorted(
        (a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp),
      ))
        Object.assign((traits[userId] ??= {}), stated);
      return traits;
    },
  };
}

interface Given {
  tables: ReturnType<typeof createTables>;
  text: string;
  kind?: ImportKind;
  asOf?: number;
  /** Of an operator who stops it after so many batches. */
  stopAfter?: number;
  isDryRun?: boolean;
  batch?: number;
  remembered?: number;
}

async function importText({
  tables,
  text,
  kind = "orders",
  asOf = day(20),
  stopAfter = Infinity,
  isDryRun = false,
  batch = 3,
  remembered = 100,
}: Given) {
  async function* bytes() {
    yield new TextEncoder().encode(text);
  }
  const opened = await openImport({ bytes: bytes(), kind, mapping: undefined, site, asOf, now: () => now });
  if (!opened.ok) throw new Error(JSON.stringify(opened.faults));
  const refused: RefusedRow[] = [];
  const planned: number[] = [];
  let batches = 0;
  const outcome: ImportOutcome = await runImport({
    rows: opened.file.rows,
    plan: opened.plan,
    site: "shop",
    store: tables.store,
    send: isDryRun
      ? undefined
      : async (events) => {
          tables.send(events);
          return { accepted: events.length, refused: [] };
        },
    asOf,
    mark: { importId: "i-1", kind, actor: "femke", fileName: "file.csv" },
    now: () => now,
    onRefused: (row) => refused.push(row),
    onPlanned: (_, line) => planned.push(line),
    isStopped: () => ++batches >= stopAfter,
    limits: { eventsPerBatch: batch, remembered },
  });
  return { ...outcome, refused: refused.map(({ line, reason }) => `${line} ${reason}`), planned };
}

const header = "order id,date,total,store\n";
const order = (id: number, total: number, store = "web"): string =>
  `${id},2026-10-0${(id % 9) + 1},${total.toFixed(2)},${store}\n`;

describe("a file", () => {
  it("is sent once, with marks at both ends; a second time nothing is sent at all", async () => {
    const tables = createTables();
    const text = header + order(1, 5) + order(2, 6) + order(3, 7) + order(4, 8);
    expect(await importText({ tables, text })).toMatchObject({
      counts: { rows: 4, events: { new: 4, corrected: 0, known: 0 }, accepted: 4 },
    });
    tables.load();
    expect(tables.marks().map(({ event }) => event)).toEqual(["Import Started", "Import Finished"]);
    expect(tables.events().map(({ properties }) => properties)).toContainEqual({
      order_id: "2",
      total: 6,
      currency: "EUR",
      store: "web",
      import_id: "i-1",
      import_line: 3,
    });
    const before = tables.events();
    expect(await importText({ tables, text })).toMatchObject({
      counts: { events: { new: 0, corrected: 0, known: 4 }, accepted: 0 },
    });
    tables.load();
    expect(tables.events()).toEqual(before);
    expect(tables.marks()).toHaveLength(2);
  });

  it("says the same of one row as often as it stands there, and refuses the second of two that differ", async () => {
    const tables = createTables();
    const text = header + order(1, 5) + order(1, 5) + order(2, 6) + order(2, 9);
    expect(await importText({ tables, text })).toMatchObject({
      counts: { refusedRows: 1, events: { new: 2, known: 1 } },
      refused: ["5 repeated_key"],
    });
    expect(await importText({ tables, text: header + order(3, 9) + order(3, 5) })).toMatchObject({
      refused: ["3 repeated_key"],
    });
  });

  it("looks, sends nothing, and counts people once", async () => {
    const tables = createTables();
    await importText({ tables, kind: "contacts", text: "user id,city\nk-1,Delft\n" });
    tables.load();
    const text = "user id,city\nk-1,Delft\nk-2,Gouda\nk-2,Delft\n";
    expect(await importText({ tables, kind: "contacts", text, isDryRun: true })).toMatchObject({
      counts: { people: { new: 1, known: 1, isAtLeast: false }, accepted: 0 },
      planned: [3, 4],
    });
    tables.load();
    expect(tables.events()).toHaveLength(1);
  });
});

describe("a corrected row", () => {
  const given = async (first: string, second: string, kind: ImportKind = "orders") => {
    const tables = createTables();
    await importText({ tables, text: first, kind, asOf: day(10) });
    tables.load();
    const outcome = await importText({ tables, text: second, kind, asOf: day(12) });
    tables.load();
    return { tables, ...outcome };
  };

  it("of an order that is worth more raises it; worth less it is refused, since the greatest counts", async () => {
    const more = await given(header + order(1, 5), header + order(1, 7.5));
    expect(more.tables.orders()).toEqual({ 1: { amount: 7.5, refunded: 0 } });
    const less = await given(header + order(1, 5), header + order(1, 4));
    expect(less.refused).toEqual(["2 amount_lowered"]);
    expect(less.tables.orders()).toEqual({ 1: { amount: 5, refunded: 0 } });
  });

  it("that says something else of the same order is an update, which counts for nothing", async () => {
    const { tables } = await given(header + order(1, 5), header + order(1, 5, "Delft"));
    expect(tables.events().map(({ event }) => event)).toEqual(["Order Completed", "Order Updated"]);
    expect(tables.events()[1]).toMatchObject({
      timestamp: new Date(day(12)).toISOString(),
      properties: { store: "Delft" },
    });
  });

  it("with another time, person or currency is refused: no event can take the first one back", async () => {
    const { refused } = await given(
      `${header}1,2026-10-01,5,web\n2,2026-10-01,5,web\n`,
      `${header}1,2026-10-02,5,web\n2,2026-10-01,USD 5,web\n`,
    );
    expect(refused).toEqual(["2 not_correctable", "3 not_correctable"]);
  });

  it("of a return adds the difference, so that the sum is right", async () => {
    const returns = "return id,order id,date,amount\n";
    const row = (amount: string): string => `${returns}R-1,1,2026-10-05,${amount}\n`;
    const { tables } = await given(row("5"), row("7.25"), "returns");
    expect(tables.orders()).toEqual({ 1: { amount: 0, refunded: 7.25 } });
    await importText({ tables, text: row("8.10"), kind: "returns", asOf: day(13) });
    tables.load();
    expect(tables.orders()["1"]!.refunded).toBe(8.1);
    expect((await importText({ tables, text: row("8"), kind: "returns", asOf: day(14) })).refused).toEqual([
      "2 amount_lowered",
    ]);
  });

  it("of a ticket that has closed since adds that it closed, and opens it no second time", async () => {
    const tickets = "ticket id,opened at,closed at,subject\n";
    const { tables } = await given(
      `${tickets}T-1,2026-10-01,,Late\n`,
      `${tickets}T-1,2026-10-01,2026-10-03,Late\n`,
      "tickets",
    );
    expect(tables.events().map(({ event }) => event)).toEqual(["Ticket Opened", "Ticket Closed"]);
  });

  it("can be taken back by a newer file, and not by an older one", async () => {
    const { tables } = await given(header + order(1, 5), header + order(1, 5, "Delft"));
    const again = await importText({ tables, text: header + order(1, 5), asOf: day(11) });
    expect(again.counts.events).toEqual({ new: 0, corrected: 0, known: 1 });
    expect((await importText({ tables, text: header + order(1, 5), asOf: day(13) })).counts.events.corrected).toBe(1);
    tables.load();
    expect(tables.events().at(-1)).toMatchObject({ event: "Order Updated", properties: { store: "web" } });
  });
});

const steps = fc.array(
  fc.record({
    /** By id of an order, what it is worth from now on. */
    raised: fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 500 })), { maxLength: 6 }),
    moved: fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.constantFrom("web", "Delft", "Gouda")), {
      maxLength: 4,
    }),
    stops: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    isShuffled: fc.boolean(),
    batch: fc.integer({ min: 1, max: 5 }),
    remembered: fc.integer({ min: 2, max: 20 }),
  }),
  { minLength: 1, maxLength: 5 },
);

it("comes to what the last file says, however often it was stopped and run again", async () => {
  await checkAsyncProperty(
    fc.asyncProperty(steps, async (all) => {
      const tables = createTables();
      const wanted = new Map<number, { total: number; store: string }>();
      for (const [index, { raised, moved, stops, isShuffled, batch, remembered }] of all.entries()) {
        for (const [id, cents] of raised) {
          const known = wanted.get(id);
          wanted.set(id, {
            store: known?.store ?? "web",
            total: Math.round(((known?.total ?? 0) + cents / 100) * 100) / 100,
          });
        }
        for (const [id, store] of moved) if (wanted.has(id)) wanted.set(id, { ...wanted.get(id)!, store });
        if (wanted.size === 0) continue;
        const lines = [...wanted].map(([id, { total, store }]) => order(id, total, store));
        if (isShuffled) lines.reverse();
        const given = { tables, text: header + lines.join(""), asOf: day(index + 1), batch, remembered };
        for (const stopAfter of stops) {
          await importText({ ...given, stopAfter });
          // Some runs begin before what the one before sent is loaded.
          if (stopAfter % 2 === 0) tables.load();
        }
        const { refused } = await importText(given);
        expect(refused).toEqual([]);
        tables.load();
        const after = tables.events();
        expect((await importText(given)).counts.accepted).toBe(0);
        tables.load();
        expect(tables.events()).toEqual(after);
      }
      expect(tables.orders()).toEqual(
        Object.fromEntries([...wanted].map(([id, { total }]) => [String(id), { amount: total, refunded: 0 }])),
      );
      const stores = new Map<string, unknown>();
      for (const { properties } of tables.events()) stores.set(properties!["order_id"] as string, properties!["store"]);
      expect(Object.fromEntries(stores)).toEqual(
        Object.fromEntries([...wanted].map(([id, { store }]) => [String(id), store])),
      );
    }),
    60,
  );
});

it("lets the newest word on a trait hold, whatever the order of files", async () => {
  const cities = ["Delft", "Gouda", "Leiden", "Breda", "Venlo"];
  const files = fc
    .uniqueArray(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: cities.length })
    .map((days) => days.map((each, index) => ({ day: each, city: cities[index]! })));
  await checkAsyncProperty(
    fc.asyncProperty(files, async (all) => {
      const tables = createTables();
      // Each of them once more at the end, which changes nothing.
      for (const { day: asOf, city } of [...all, ...all]) {
        const given = { tables, kind: "contacts" as const, text: `user id,city\nk-1,${city}\n`, asOf: day(asOf) };
        await importText(given);
        tables.load();
        expect((await importText(given)).counts.accepted).toBe(0);
      }
      const newest = all.toSorted((a, b) => b.day - a.day)[0]!;
      expect(tables.traits()).toEqual({ "k-1": { city: newest.city } });
      expect(tables.events()).toHaveLength(all.length);
    }),
    60,
  );
});
