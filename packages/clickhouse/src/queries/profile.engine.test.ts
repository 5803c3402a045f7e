import { emailHash } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { personConsentOf } from "../consent/person-consent-of.ts";
import { reloadIdentities } from "../reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { createComputedTraitStore } from "../traits/computed-trait-store.ts";
import { createReadQueries } from "./create-read-queries.ts";
import type { PersonId, Profile, ReadQueries, TimelinePlace } from "./read-queries.ts";

let database: TestDatabase;
let queries: ReadQueries;
beforeAll(async () => {
  database = await startTestDatabase();
  queries = createReadQueries(database.clickhouse);
});
afterAll(() => database?.stop());

const start = Date.parse("2026-11-22T10:00:00Z");
const timeText = (ms: number): string => new Date(ms).toISOString().slice(0, -1).replace("T", " ");
const limits = { timeline: 50, sessions: 20, devices: 20, choices: 20, now: new Date("2026-11-23T00:00:00Z") };
let offset = 0;
/** `minute` after the start; arrived in the order in which they are made. */
const event = (atom: number, minute: number, overrides: Partial<LoadedEventRow> = {}): LoadedEventRow =>
  buildEventRow({
    _offset: offset++,
    atom,
    message_id: `message-${offset}`,
    anonymous_id: `device-${atom}`,
    time: timeText(start + minute * 60_000),
    ...overrides,
  });
const stating = (
  traits: { [name: string]: string },
  overrides: Partial<LoadedEventRow> = {},
): Partial<LoadedEventRow> => {
  const names = Object.keys(traits);
  return {
    type: "identify",
    name: "identify",
    "traits.name": names,
    "traits.value": Object.values(traits),
    "traits.class": names.map(() => "identity"),
    "traits.purpose": names.map(() => "profile"),
    "traits.personal": names.map(() => 1),
    ...overrides,
  };
};
const insert = (...rows: LoadedEventRow[]) => database.clickhouse.insertBytes("events", rowBytes(rows));
let version = 0;
const assign = async (atoms: readonly number[], person: number): Promise<void> => {
  version += 1;
  await database.clickhouse.insertRows(
    "identity",
    atoms.map((atom) => ({ site: "shop", atom, person, version })),
  );
  await reloadIdentities(database.clickhouse);
};
const byNumber = (value: number): PersonId => ({ by: "person", value });
const profileOf = async (person: number): Promise<Profile> => {
  const found = await queries.profile("shop", byNumber(person), limits);
  if (found === undefined) throw new Error(`nothing of ${person}`);
  return found;
};

describe("a trait", () => {
  it("is what was stated last by the time of the event, whenever it arrives, across the identities of a person", async () => {
    const cityOf = async (person: number) => {
      const city = (await profileOf(person)).traits.find(({ name }) => name === "city");
      return [city?.value, city?.time];
    };
    await insert(event(1000, 10, stating({ city: "Utrecht" })), event(1064, 30, stating({ city: "Gent" })));
    expect(await cityOf(1000)).toEqual(["Utrecht", start + 600_000]);
    await assign([1064], 1000);
    expect(await cityOf(1000)).toEqual(["Gent", start + 1_800_000]);

    // Late, and older than what holds; then late and newer than one of the two.
    await insert(event(1000, 20, stating({ city: "Delft" })));
    expect(await cityOf(1000)).toEqual(["Gent", start + 1_800_000]);
    await assign([1064], 1064);
    expect(await cityOf(1000)).toEqual(["Delft", start + 1_200_000]);
    expect(await cityOf(1064)).toEqual(["Gent", start + 1_800_000]);
    await assign([1064], 1000);
    await insert(event(1000, 40, stating({ city: "Leiden" })));
    expect(await cityOf(1064)).toEqual(["Leiden", start + 2_400_000]);
  });
});

describe("an identifier", () => {
  it("is confirmed by a login or a server, not by a form", async () => {
    await insert(
      event(2000, 0, stating({ email: "typed@shop.example" })),
      event(2000, 5, stating({ email: "said@shop.example" })),
      event(2064, 10, stating({ email: "said@shop.example" }, { anonymous_id: "device-2000", user_id: "user-2" })),
      event(
        2128,
        20,
        stating({ phone: "+31 6 1234" }, { anonymous_id: "", user_id: "user-2", basis: "contract", device: "server" }),
      ),
    );
    await assign([2064, 2128], 2000);
    const { identifiers } = await profileOf(2000);
    expect(identifiers.map(({ kind, value, verification }) => [kind, value, verification])).toEqual([
      ["user_id", "user-2", { isConfirmed: true, rule: "login", time: start + 600_000 }],
      ["anonymous_id", "device-2000", { isConfirmed: true, rule: "login", time: start + 600_000 }],
      // Replaced: there by its hash alone.
      ["email", "", { isConfirmed: false, rule: "form", time: start }],
      ["email", "said@shop.example", { isConfirmed: true, rule: "login", time: start + 600_000 }],
      ["phone", "+31 6 1234", { isConfirmed: true, rule: "server", time: start + 1_200_000 }],
    ]);
    expect(identifiers.filter(({ kind }) => kind === "email").map(({ hash }) => hash)).toEqual(
      ["typed@shop.example", "said@shop.example"].map(emailHash),
    );
  });

  it("that came with a value that stands for nobody at the site is as if typed in", async () => {
    const address = "kim@shop.example";
    const [kiosk, own] = [2_300 * 64, 2_301 * 64];
    await insert(
      event(kiosk, 90, stating({ email: address }, { user_id: " Counter" })),
      event(own, 10, stating({ email: address }, { user_id: "kim" })),
    );
    const ofSite = createReadQueries(database.clickhouse, () => new Map([["shop", { blocked: ["counter"] }]]));
    const found = await ofSite.profile("shop", byNumber(kiosk), limits);
    expect(found?.identifiers.find(({ kind }) => kind === "email")?.verification).toEqual({
      isConfirmed: false,
      rule: "form",
      time: start + 90 * 60_000,
    });
    const stated: PersonId = { by: "email_hash", value: emailHash(address) };
    expect(await ofSite.findPerson("shop", stated)).toBe(own);
    // At a site where it is a user as any other.
    expect(await queries.findPerson("shop", stated)).toBe(kiosk);
  });

  it("that was imported with another is so by an import, until a login says so earlier", async () => {
    const imported = 2_310 * 64;
    const both = { anonymous_id: "device-i", user_id: "user-i" };
    await insert(event(imported, 10, { ...both, library: "polder-import/1" }));
    const rulesOf = async () =>
      (await profileOf(imported)).identifiers.map(({ kind, verification }) => [kind, verification.rule]);
    expect(await rulesOf()).toEqual([
      ["user_id", "import"],
      ["anonymous_id", "import"],
    ]);
    await insert(event(imported, 5, both));
    expect(await rulesOf()).toEqual([
      ["user_id", "login"],
      ["anonymous_id", "login"],
    ]);
  });

  it("that two people state finds the one for whom it is confirmed", async () => {
    await insert(
      event(2200, 0, stating({ email: "two@shop.example" }, { user_id: "user-22" })),
      event(2264, 90, stating({ email: "two@shop.example" })),
    );
    expect(await queries.findPerson("shop", { by: "email_hash", value: emailHash("two@shop.example") })).toBe(2200);
  });
});

describe("a timeline", () => {
  it("comes a page at a time, each event once, while others arrive in between", async () => {
    const own = Array.from({ length: 23 }, (_, i) =>
      event(3000 + (i % 2) * 64, Math.floor(i / 3), { _partition: i % 2 }),
    );
    await insert(...own);
    await assign([3064], 3000);
    const seen: string[] = [];
    let before: TimelinePlace | undefined;
    let late = 0;
    do {
      const page = await queries.timeline("shop", byNumber(3000), { limit: 5, before });
      expect(page?.person).toBe(3000);
      expect(page!.events.length).toBeLessThanOrEqual(5);
      seen.push(...page!.events.map(({ partition, offset: at }) => `${partition}:${at}`));
      before = page!.next;
      // Newer than all, as new as the last one shown, and of somebody else.
      late += 1;
      await insert(
        event(3000, 1_000 + late),
        event(3064, page!.events.at(-1)!.time / 60_000 - start / 60_000 + 0.001),
        event(9_999, 1),
      );
    } while (before !== undefined);
    const expected = own
      .toSorted((a, b) => b.time.localeCompare(a.time) || b._offset - a._offset)
      .map(({ _partition, _offset }) => `${_partition}:${_offset}`);
    expect(seen).toEqual(expected);
  });

  it("is of the types and names asked for, with properties and without bots", async () => {
    await insert(
      event(3200, 0),
      event(3200, 1, { type: "track", name: "Rated", properties: { stars: 4, product: { sku: "s1" } } }),
      event(3200, 2, { type: "track", name: "Rated", bot: "Googlebot" }),
      event(3200, 3, { type: "track", name: "Shared" }),
    );
    const named = async (question: { type?: string; name?: string }) =>
      (await queries.timeline("shop", byNumber(3200), { limit: 10, ...question }))?.events.map(({ name }) => name);
    expect(await named({})).toEqual(["Shared", "Rated", "page"]);
    expect(await named({ type: "track" })).toEqual(["Shared", "Rated"]);
    expect(await named({ type: "track", name: "page" })).toEqual([]);
    const page = await queries.timeline("shop", byNumber(3200), { limit: 10, name: "Rated" });
    expect(page?.events).toMatchObject([{ properties: { stars: 4, product: { sku: "s1" } } }]);
    expect(page?.next).toBeUndefined();
  });
});

describe("somebody who was erased", () => {
  it("is found by no id, at once", async () => {
    await insert(event(4000, 0, stating({ email: "gone@shop.example" }, { user_id: "gone" })));
    const ids: PersonId[] = [
      byNumber(4000),
      { by: "user", value: "gone" },
      { by: "anonymous", value: "device-4000" },
      { by: "email_hash", value: emailHash("gone@shop.example") },
      { by: "any", value: "gone" },
    ];
    for (const id of ids) expect((await queries.profile("shop", id, limits))?.person).toBe(4000);
    await assign([4000], 0);
    for (const id of ids) {
      expect(await queries.findPerson("shop", id)).toBeUndefined();
      expect(await queries.profile("shop", id, limits)).toBeUndefined();
      expect(await queries.timeline("shop", id, { limit: 5 })).toBeUndefined();
    }
  });
});

describe("the totals", () => {
  const name = fc.constantFrom("page", "Clicked", "Order Completed", "Order Completed", "Order Refunded");
  const happening = fc.record({
    atom: fc.constantFrom(0, 64, 128),
    minute: fc.nat(5),
    name,
    order: fc.constantFrom("", "o-1", "o-2"),
    amount: fc.constantFrom("5", "10.1", "0.2"),
    currency: fc.constantFrom("EUR", "USD"),
    channel: fc.constantFrom("", "internal", "search", "mail"),
    session: fc.constantFrom("", "s-1", "s-2"),
    bot: fc.constantFrom("", "", "", "Googlebot"),
  });
  let base = 100_000;

  it("are those that are counted when events are stored, in whatever order they came", async () => {
    await checkAsyncProperty(
      fc.asyncProperty(fc.array(happening, { minLength: 1, maxLength: 30, size: "max" }), async (happenings) => {
        base += 1_024;
        const rows = happenings.map((each) =>
          event(base + each.atom, each.minute, {
            type: each.name === "page" ? "page" : "track",
            name: each.name,
            order_id: each.order,
            amount: each.name === "Order Refunded" ? `-${each.amount}` : each.amount,
            currency: each.name.startsWith("Order") ? each.currency : "",
            channel: each.channel,
            session_id: each.session,
            bot: each.bot,
          }),
        );
        await insert(...rows, event(base, 3));
        await assign([base + 64, base + 128], base);
        const [counted] = await database.clickhouse.query<Record<string, unknown>>(
          `SELECT events, page_views, clicks, sessions, orders, mapApply((currency, amount) -> (currency, toString(amount)), revenue) AS revenue,
             first_channel, last_channel, toUnixTimestamp64Milli(first_seen) AS first, toUnixTimestamp64Milli(last_seen) AS last
           FROM people WHERE site = 'shop' AND person_id = {base:UInt32}`,
          { params: { base } },
        );
        const { counters, revenue, firstTouch, lastTouch, firstSeen, lastSeen } = await profileOf(base);
        expect({
          events: counters.events,
          page_views: counters.pageViews,
          clicks: counters.clicks,
          sessions: counters.sessions,
          orders: counters.orders,
          revenue: Object.fromEntries(revenue.map(({ currency, amount }) => [currency, amount])),
          first_channel: firstTouch.channel,
          last_channel: lastTouch.channel,
          first: firstSeen,
          last: lastSeen,
        }).toEqual(counted);
      }),
      12,
    );
  });

  it("of somebody who did more than is read are as right", async () => {
    const rows = Array.from({ length: 1_100 }, (_, i) =>
      event(5_000, i, {
        session_id: `s-${Math.floor(i / 10)}`,
        ...(i === 3 ? { type: "consent", name: "consent" } : {}),
      }),
    );
    await insert(
      ...rows,
      event(5_000, -1, {
        type: "track",
        name: "Order Completed",
        amount: "7.5",
        currency: "EUR",
        anonymous_id: "first-device",
      }),
    );
    const found = await profileOf(5_000);
    expect(found.counters).toEqual({ events: 1_101, pageViews: 1_099, clicks: 0, sessions: 111, orders: 1 });
    expect(found.revenue).toEqual([{ currency: "EUR", amount: "7.5" }]);
    expect(found.firstSeen).toBe(start - 60_000);
    expect(found.identifiers.map(({ value, firstSeen }) => [value, firstSeen])).toEqual([
      ["first-device", start - 60_000],
      ["device-5000", start],
    ]);
    expect(found.consent).toHaveLength(1);
    expect(found.sessions).toHaveLength(20);
    expect(found.sessions[0]).toMatchObject({ id: "s-109", events: 10 });
  });
});

describe("computed traits", () => {
  it("are in the profile, a change and a removal too, and a version is made once", async () => {
    const store = createComputedTraitStore(database.clickhouse);
    const trait = { site: "shop", name: "views", at: start, actor: "ann", reason: "to see" };
    const views = { compute: "count", event: "page" } as const;
    await insert(event(6_000, 0), event(6_000, 1), event(6_000, 2, { type: "track", name: "Clicked" }));
    // Each as of another second: definitions are remembered for one.
    const shown = async (second: number) => {
      const found = await queries.profile("shop", byNumber(6_000), {
        ...limits,
        now: new Date(start + 86_400_000 + second * 1_000),
      });
      return found?.computedTraits;
    };
    expect(await shown(0)).toEqual([]);
    expect(await store.save({ ...trait, version: 1, definition: views })).toBe(true);
    expect(await store.save({ ...trait, version: 1, definition: { compute: "count", event: "*" }, actor: "bob" })).toBe(
      false,
    );
    expect(await shown(2)).toEqual([{ name: "views", version: 1, type: "number", value: "2" }]);
    // After a week the server has forgotten that there was one.
    const { clickhouse } = database;
    const forgetful = createComputedTraitStore({
      ...clickhouse,
      insertRows: (table, rows) => clickhouse.insertRows(table, rows, { settings: { insert_deduplicate: 0 } }),
    });
    expect(await forgetful.save({ ...trait, version: 1, definition: views, actor: "bob" })).toBe(false);
    expect(
      await store.save({
        ...trait,
        version: 2,
        definition: { compute: "unique_list", event: "*", of: { column: "name" } },
      }),
    ).toBe(true);
    expect(await shown(4)).toEqual([{ name: "views", version: 2, type: "list", value: ["Clicked", "page"] }]);
    expect(await store.save({ ...trait, version: 3, definition: undefined })).toBe(true);
    expect(await shown(6)).toEqual([]);
    expect(await store.list("shop")).toEqual([]);
    expect(
      (await store.versions("shop", "views")).map((each) => [each.version, each.definition?.compute, each.actor]),
    ).toEqual([
      [1, "count", "ann"],
      [2, "unique_list", "ann"],
      [3, undefined, "ann"],
    ]);
  });
});

describe("somebody of more identities than fit in one field of a question", () => {
  it("has a profile, a timeline and purposes as anybody", async () => {
    const [first, many] = [4_000_000_000, 12_000];
    // Ids as long as those of browsers.
    await database.clickhouse.command(
      `INSERT INTO events (site, day, type, name, time, received_at, message_id, anonymous_id, user_id, basis, consent_mask, properties, _partition, _offset, atom)
       SELECT 'shop', toDate('2026-11-22'), 'page', 'page', toDateTime64('${timeText(start)}', 3, 'UTC') + number, now64(3), concat('many-', toString(number)),
         concat('device-', leftPad(toString(number), 36, '0')), 'crowd', 'consent', 63, '{}', 0, ${first} + number, ${first} + number FROM numbers(${many})`,
    );
    version += 1;
    await database.clickhouse.command(
      `INSERT INTO identity (site, atom, person, version) SELECT 'shop', ${first} + number, ${first}, ${version} FROM numbers(1, ${many - 1})`,
    );
    await reloadIdentities(database.clickhouse);
    await createComputedTraitStore(database.clickhouse).save({
      site: "shop",
      name: "crowd_views",
      version: 1,
      at: start,
      actor: "ann",
      reason: "to see",
      definition: { compute: "count", event: "page", where: [{ column: "group_id", exists: false }] },
    });
    const now = new Date(limits.now.getTime() + 3_600_000);
    const found = await queries.profile("shop", byNumber(first), { ...limits, now });
    expect(found?.counters.events).toBe(many);
    expect(found?.identifiers).toHaveLength(many + 1);
    expect(found?.purposes.filter(({ isAllowed }) => isAllowed)).toHaveLength(6);
    expect(found?.computedTraits).toMatchObject([{ name: "crowd_views", value: String(many) }]);
    const page = await queries.timeline("shop", { by: "user", value: "crowd" }, { limit: 3 });
    expect(page?.events.map(({ atom }) => atom)).toEqual([1, 2, 3].map((n) => first + many - n));
    expect(await personConsentOf(database.clickhouse, "shop", first, now.getTime())).toEqual(found?.purposes);
  });
});

describe("a value that stands for nobody", () => {
  it("finds nobody, neither as a user nor as a device, whoever came with it", async () => {
    const [nobody, till, number] = [9_001, 9_002, 9_003].map((n) => n * 64) as [number, number, number];
    await insert(
      event(nobody, 0, { anonymous_id: "null", user_id: "null" }),
      event(till, 0, { anonymous_id: "till-phone", user_id: "Counter" }),
      event(number, 0, { anonymous_id: "", user_id: "0" }),
    );
    const ofSite = createReadQueries(database.clickhouse, () => new Map([["shop", { blocked: ["counter"] }]]));
    for (const by of ["any", "user", "anonymous"] as const)
      for (const value of ["null", "0", "Counter", ""])
        expect(await ofSite.findPerson("shop", { by, value })).toBeUndefined();
    expect(await queries.findPerson("shop", { by: "user", value: "null" })).toBeUndefined();
    expect(await queries.findPerson("shop", { by: "user", value: "Counter" })).toBe(till);
    expect(await ofSite.findPerson("shop", { by: "any", value: "till-phone" })).toBe(till);
    expect(await ofSite.findPerson("shop", { by: "person", value: nobody })).toBe(nobody);
  });
});
