import { emailHash } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { reloadIdentities } from "../reload-identities.ts";
import { createReadQueries } from "./create-read-queries.ts";
import type { ReadQueries } from "./read-queries.ts";

const at = (clock: string) => Date.parse(`2026-11-22T${clock}Z`);
const moment = (clock: string) => `2026-11-22 ${clock}.000`;
const limits = { timeline: 3, sessions: 10, devices: 10, choices: 10, now: new Date(at("12:00:00")) };
const confirmed = (clock: string) => ({ isConfirmed: true, rule: "login", time: at(clock) });

let database: TestDatabase;
let queries: ReadQueries;
const insert = (rows: LoadedEventRow[]) => database.clickhouse.insertBytes("events", rowBytes(rows));

// One customer on two devices (atoms 64 and 128, the second one logged in as 192 and 256), a bot, somebody without consent for a profile.
const phone = {
  atom: 128,
  anonymous_id: "phone-1",
  device: "mobile",
  browser: "Safari",
  os: "iOS",
  session_id: "visit-2",
};
const rows: LoadedEventRow[] = [
  buildEventRow({
    _offset: 0,
    channel: "search",
    referrer_host: "search.example",
    time: moment("10:00:00"),
    received_at: moment("10:00:01"),
  }),
  buildEventRow({
    _offset: 1,
    type: "identify",
    name: "identify",
    atom: 192,
    user_id: "customer-7",
    channel: "",
    time: moment("10:01:00"),
    received_at: moment("10:01:01"),
    "traits.name": ["email", "plan"],
    "traits.value": ["old@shop.example", "basic"],
    "traits.class": ["identity", "descriptive"],
    "traits.purpose": ["profile", "profile"],
    "traits.personal": [1, 0],
    origin: "declared",
  }),
  buildEventRow({
    _offset: 2,
    ...phone,
    type: "consent",
    name: "consent",
    channel: "",
    time: moment("11:00:00"),
    received_at: moment("11:00:01"),
    "choice.purpose": ["measurement", "profile", "ads"],
    "choice.state": ["granted", "granted", "denied"],
    notice: "v3",
  }),
  buildEventRow({
    _offset: 3,
    ...phone,
    atom: 256,
    user_id: "customer-7",
    type: "track",
    name: "Order Completed",
    url_path: "/thanks",
    channel: "mail",
    utm_source: "news",
    order_id: "o-1",
    amount: "19.95",
    currency: "EUR",
    time: moment("11:02:00"),
    received_at: moment("11:02:01"),
    "traits.name": ["email"],
    "traits.value": ["new@shop.example"],
    "traits.class": ["identity"],
    "traits.purpose": ["profile"],
    "traits.personal": [1],
  }),
  // The same order again, and a refund in another currency.
  buildEventRow({
    _offset: 4,
    ...phone,
    atom: 256,
    user_id: "customer-7",
    type: "track",
    name: "Order Completed",
    channel: "",
    order_id: "o-1",
    amount: "19.95",
    currency: "EUR",
    time: moment("11:02:05"),
    received_at: moment("11:02:06"),
  }),
  buildEventRow({
    _offset: 5,
    ...phone,
    atom: 256,
    user_id: "customer-7",
    type: "track",
    name: "Order Refunded",
    channel: "",
    order_id: "o-0",
    amount: "-5",
    currency: "USD",
    time: moment("11:03:00"),
    received_at: moment("11:03:01"),
  }),
  buildEventRow({
    _offset: 6,
    atom: 0,
    anonymous_id: "",
    session_id: "",
    consent_mask: 2,
    time: moment("11:04:00"),
    received_at: moment("11:04:01"),
  }),
  buildEventRow({
    _offset: 7,
    atom: 320,
    anonymous_id: "bot-1",
    bot: "Googlebot",
    device: "bot",
    time: moment("11:05:00"),
    received_at: moment("11:05:01"),
  }),
  buildEventRow({
    _offset: 8,
    atom: 384,
    site: "other",
    anonymous_id: "elsewhere",
    time: moment("11:06:00"),
    received_at: moment("11:06:01"),
  }),
  buildEventRow({
    _offset: 9,
    atom: 448,
    anonymous_id: "visitor-9",
    country: "BE",
    time: moment("11:07:00"),
    received_at: moment("11:07:01"),
  }),
];

beforeAll(async () => {
  database = await startTestDatabase();
  queries = createReadQueries(database.clickhouse);
  await insert(rows);
  await database.clickhouse.insertRows(
    "identity",
    [128, 192, 256].map((atom) => ({ atom, person: 64, version: 1 })),
  );
  await reloadIdentities(database.clickhouse);
});
afterAll(() => database.stop());

describe("who has an id", () => {
  it.each([
    [{ by: "any", value: "customer-7" } as const, 64],
    [{ by: "any", value: "phone-1" } as const, 64],
    [{ by: "any", value: "128" } as const, 64],
    [{ by: "id", value: "customer-7" } as const, 64],
    [{ by: "id", value: "phone-1" } as const, 64],
    [{ by: "id", value: "128" } as const, undefined],
    [{ by: "person", value: 256 } as const, 64],
    [{ by: "user", value: "customer-7" } as const, 64],
    [{ by: "anonymous", value: "visitor-9" } as const, 448],
    [{ by: "email_hash", value: emailHash(" New@Shop.example ") } as const, 64],
    [{ by: "email_hash", value: emailHash("old@shop.example") } as const, 64],
    [{ by: "any", value: emailHash("new@shop.example") } as const, 64],
    [{ by: "email_hash", value: emailHash("nobody@shop.example") } as const, undefined],
    [{ by: "user", value: "phone-1" } as const, undefined],
    [{ by: "anonymous", value: "customer-7" } as const, undefined],
    [{ by: "any", value: "nobody" } as const, undefined],
    [{ by: "any", value: "" } as const, undefined],
    [{ by: "any", value: "elsewhere" } as const, undefined],
    [{ by: "person", value: 384 } as const, undefined],
    [{ by: "any", value: "x' OR 1 = 1 --" } as const, undefined],
    [{ by: "any", value: "99999999999" } as const, undefined],
  ])("%j is %s", async (id, person) => {
    expect(await queries.findPerson("shop", id)).toBe(person);
  });
});

describe("a profile", () => {
  it("is that of the person: all their devices and ids together", async () => {
    const profile = await queries.profile("shop", { by: "person", value: 64 }, limits);
    expect(profile).toEqual({
      person: 64,
      site: "shop",
      firstSeen: at("10:00:00"),
      lastSeen: at("11:03:00"),
      identifiers: [
        {
          kind: "user_id",
          value: "customer-7",
          hash: "",
          firstSeen: at("10:01:00"),
          verification: confirmed("10:01:00"),
        },
        {
          kind: "anonymous_id",
          value: "visitor-1",
          hash: "",
          firstSeen: at("10:00:00"),
          verification: confirmed("10:01:00"),
        },
        {
          kind: "anonymous_id",
          value: "phone-1",
          hash: "",
          firstSeen: at("11:00:00"),
          verification: confirmed("11:02:00"),
        },
        {
          kind: "email",
          value: "",
          hash: emailHash("old@shop.example"),
          firstSeen: at("10:01:00"),
          verification: confirmed("10:01:00"),
        },
        {
          kind: "email",
          value: "new@shop.example",
          hash: emailHash("new@shop.example"),
          firstSeen: at("11:02:00"),
          verification: confirmed("11:02:00"),
        },
      ],
      traits: [
        {
          name: "email",
          value: "new@shop.example",
          origin: "observed",
          class: "identity",
          purpose: "profile",
          isPersonal: true,
          time: at("11:02:00"),
        },
        {
          name: "plan",
          value: "basic",
          origin: "declared",
          class: "descriptive",
          purpose: "profile",
          isPersonal: false,
          time: at("10:01:00"),
        },
      ],
      computedTraits: [],
      counters: { events: 6, pageViews: 1, clicks: 0, sessions: 2, orders: 1 },
      revenue: [
        { currency: "EUR", amount: "19.95" },
        { currency: "USD", amount: "-5" },
      ],
      firstTouch: {
        channel: "search",
        referrerHost: "search.example",
        utmSource: "",
        utmMedium: "",
        utmCampaign: "",
        landingPage: "shop.example/product/p1",
      },
      lastTouch: {
        channel: "mail",
        referrerHost: "",
        utmSource: "news",
        utmMedium: "",
        utmCampaign: "",
        landingPage: "shop.example/thanks",
      },
      devices: [
        { device: "mobile", browser: "Safari", os: "iOS", country: "NL", events: 4, lastSeen: at("11:03:00") },
        { device: "desktop", browser: "Firefox", os: "Linux", country: "NL", events: 2, lastSeen: at("10:01:00") },
      ],
      sessions: [
        {
          id: "visit-2",
          start: at("11:00:00"),
          end: at("11:03:00"),
          events: 4,
          pageViews: 0,
          entryPath: "",
          exitPath: "",
          channel: "mail",
        },
        {
          id: "session-1",
          start: at("10:00:00"),
          end: at("10:01:00"),
          events: 2,
          pageViews: 1,
          entryPath: "/product/p1",
          exitPath: "/product/p1",
          channel: "search",
        },
      ],
      audiences: [],
      consent: [
        {
          time: at("11:00:00"),
          consentId: "consent-1",
          regime: "opt_in",
          notice: "v3",
          choices: [
            { purpose: "measurement", state: "granted" },
            { purpose: "profile", state: "granted" },
            { purpose: "ads", state: "denied" },
          ],
        },
      ],
      purposes: [
        { purpose: "necessary", isAllowed: true, why: "necessary" },
        { purpose: "measurement", isAllowed: true, why: "granted", device: "device:phone-1", at: at("11:00:00") },
        { purpose: "profile", isAllowed: true, why: "granted", device: "device:phone-1", at: at("11:00:00") },
        { purpose: "personalisation", isAllowed: false, why: "no_consent" },
        { purpose: "prediction", isAllowed: false, why: "no_consent" },
        { purpose: "ads", isAllowed: false, why: "denied", device: "device:phone-1", at: at("11:00:00") },
      ],
      timeline: [5, 4, 3].map((offset) => expect.objectContaining({ offset, atom: 256 })),
      next: { time: at("11:02:00"), partition: 0, offset: 3 },
    });
  });

  it("is undefined for nobody, another site and bots", async () => {
    expect(await queries.profile("shop", { by: "person", value: 999 }, limits)).toBeUndefined();
    expect(await queries.profile("other", { by: "person", value: 64 }, limits)).toBeUndefined();
    expect(await queries.profile("shop", { by: "person", value: 320 }, limits)).toBeUndefined();
  });
});

describe("counts", () => {
  it("count people once, however many identities they have, and no bots", async () => {
    const found = await queries.audiences("shop", "2026-11-22", 10);
    const of = (dimension: string) =>
      found.filter((each) => each.dimension === dimension).map(({ value, people, events }) => [value, people, events]);
    expect(of("country")).toEqual([
      ["NL", 1, 7],
      ["BE", 1, 1],
    ]);
    expect(of("device")).toEqual([
      ["desktop", 2, 4],
      ["mobile", 1, 4],
    ]);
    expect(of("event").slice(0, 2)).toEqual([
      ["page", 2, 3],
      ["Order Completed", 1, 2],
    ]);
    expect(of("all")).toEqual([]);
    expect(await queries.audiences("shop", "2026-11-21", 10)).toEqual([]);
    expect(new Set((await queries.audiences("shop", "2026-11-22", 1)).map(({ dimension }) => dimension)).size).toBe(
      (await queries.audiences("shop", "2026-11-22", 1)).length,
    );
  });

  it("sum a day up", async () => {
    await database.clickhouse.insertRows("rejected", [
      { site: "shop", received_at: moment("11:00:00"), reason: "too_deep", _partition: 0, _offset: 1 },
      { site: "shop", received_at: moment("11:00:00"), reason: "too_deep", _partition: 0, _offset: 2 },
    ]);
    expect(await queries.summary("shop", "2026-11-22", { now: at("12:00:00"), since: at("11:04:00") })).toEqual({
      events: 8,
      people: 2,
      pageViews: 3,
      newestReceivedAt: at("11:07:01"),
      seconds: [at("11:04:01"), at("11:05:01"), at("11:07:01")].map((time) => ({ second: time / 1000, count: 1 })),
      rejected: [{ reason: "too_deep", count: 2 }],
    });
    expect(await queries.summary("nothing", "2026-11-22", { now: at("12:00:00"), since: at("11:04:00") })).toEqual({
      events: 0,
      people: 0,
      pageViews: 0,
      newestReceivedAt: undefined,
      seconds: [],
      rejected: [],
    });
  });
});

describe("what is new", () => {
  it("comes after the positions, in order, with the newest given and all counted", async () => {
    const found = await queries.newEvents(new Map([[0, 4]]), 3);
    expect(found.events.map(({ offset }) => offset)).toEqual([7, 8, 9]);
    expect(found.count).toBe(5);
    expect(found.positions).toEqual(new Map([[0, 9]]));
    expect(found.seconds.reduce((sum, { count }) => sum + count, 0)).toBe(5);
    expect(found.seconds).toContainEqual({ site: "other", second: at("11:06:01") / 1000, count: 1 });
    expect(found.events[2]).toMatchObject({
      person: 448,
      country: "BE",
      time: at("11:07:00"),
      receivedAt: at("11:07:01"),
      consentMask: 6,
      choices: [],
    });
  });

  it("is nothing at the end, and nothing without a partition", async () => {
    expect((await queries.newEvents(new Map([[0, 9]]), 10)).count).toBe(0);
    expect((await queries.newEvents(new Map(), 10)).count).toBe(0);
  });

  it("carries the atom, so that whose it is can be asked again after a merge", async () => {
    const { events } = await queries.newEvents(new Map([[0, 8]]), 1);
    expect(events).toMatchObject([{ atom: 448, person: 448 }]);
    const rival = { atom: 448, person: 64, version: 2 };
    await database.clickhouse.insertRows("identity", [rival]);
    expect(await queries.personsOf([448, 256, 320])).toEqual(new Map([[448, 448], [256, 64], [320, 320]])); // oxfmt-ignore
    await reloadIdentities(database.clickhouse);
    expect(await queries.personsOf([448, 256, 320])).toEqual(new Map([[448, 64], [256, 64], [320, 320]])); // oxfmt-ignore
    expect(await queries.personsOf([])).toEqual(new Map());
  });

  it("includes partitions that appear later", async () => {
    expect(await queries.endPositions()).toEqual(new Map([[0, 9]]));
    await insert([
      buildEventRow({ _partition: 3, _offset: 0, atom: 67, anonymous_id: "third", received_at: moment("11:08:00") }),
    ]);
    expect(await queries.otherPartitions([0])).toEqual([3]);
    expect(await queries.otherPartitions([0, 3])).toEqual([]);
    const found = await queries.newEvents(new Map([[0, 8], [3, -1]]), 10); // oxfmt-ignore
    expect(found.events.map(({ partition, offset }) => [partition, offset])).toEqual([
      [0, 9],
      [3, 0],
    ]);
    expect(found.positions).toEqual(new Map([[0, 9], [3, 0]])); // oxfmt-ignore
  });
});
