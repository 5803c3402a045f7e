import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { createEventStore } from "./event-store.ts";
import { reloadIdentities } from "./reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const tables = [
  "events",
  "atom",
  "profile_state",
  "trait_state",
  "audience_day",
  "session_state",
  "identity_edge",
  "identity",
];

describe("the views", () => {
  let database: TestDatabase;
  let inserts = 0;
  let offset = 0;

  beforeAll(async () => {
    database = await startTestDatabase();
  });
  beforeEach(async () => {
    offset = 0;
    for (const table of tables) await database.clickhouse.command(`TRUNCATE TABLE ${table}`);
    await reloadIdentities(database.clickhouse);
  });
  afterAll(() => database?.stop());

  const insert = async (...rows: Partial<LoadedEventRow>[]): Promise<void> => {
    const store = createEventStore({ clickhouse: database.clickhouse });
    const complete = rows.map((row) => {
      offset += 1;
      return buildEventRow({ _offset: offset, message_id: `message-${offset}`, ...row });
    });
    inserts += 1;
    expect(await store.insert("events", `insert-${inserts}`, rowBytes(complete))).toEqual({ ok: true });
  };
  const decide = async (...overrides: [atom: number, person: number][]): Promise<void> => {
    inserts += 1;
    const rows = overrides.map(([atom, person]) => ({ site: "shop", atom, person, version: inserts }));
    await database.clickhouse.insertRows("identity", rows);
    await reloadIdentities(database.clickhouse);
  };
  const ask = <Row = Record<string, unknown>>(sql: string) => database.clickhouse.query<Row>(sql);
  const one = async (sql: string): Promise<Record<string, unknown>> => {
    const rows = await ask(sql);
    expect(rows).toHaveLength(1);
    return rows[0] ?? {};
  };

  const order = (id: string, amount: string, more: Partial<LoadedEventRow> = {}): Partial<LoadedEventRow> => ({
    type: "track",
    name: "Order Completed",
    order_id: id,
    amount,
    currency: "EUR",
    ...more,
  });

  describe("people", () => {
    it("are one after a merge and two again after an unmerge, with every figure as if it had always been so", async () => {
      const phone = { atom: 64, anonymous_id: "phone", session_id: "on-phone" };
      const laptop = { atom: 128, anonymous_id: "laptop", session_id: "on-laptop" };
      await insert(
        { ...phone, time: "2026-11-20 10:00:00.000", channel: "search", device: "mobile" },
        { ...phone, ...order("a", "10.50"), time: "2026-11-20 10:05:00.000" },
        { ...laptop, time: "2026-11-21 09:00:00.000", channel: "mail", utm_campaign: "autumn", country: "BE" },
        { ...laptop, type: "track", name: "Clicked", time: "2026-11-21 09:01:00.000" },
        { ...laptop, ...order("b", "4.25"), time: "2026-11-21 09:02:00.000" },
      );
      const figures =
        "events, page_views, clicks, sessions, orders, revenue, first_channel, last_channel, last_campaign, devices, country";
      const apart = [
        {
          person_id: 64,
          events: 2,
          page_views: 1,
          clicks: 0,
          sessions: 1,
          orders: 1,
          revenue: { EUR: 10.5 },
          first_channel: "search",
          last_channel: "direct",
          last_campaign: "",
          devices: 1,
          country: "NL",
        },
        {
          person_id: 128,
          events: 3,
          page_views: 1,
          clicks: 1,
          sessions: 1,
          orders: 1,
          revenue: { EUR: 4.25 },
          first_channel: "mail",
          last_channel: "direct",
          last_campaign: "",
          devices: 1,
          country: "NL",
        },
      ];
      expect(await ask(`SELECT person_id, ${figures} FROM people ORDER BY person_id`)).toEqual(apart);
      await decide([128, 64]);
      expect(await ask(`SELECT person_id, ${figures} FROM people`)).toEqual([
        {
          person_id: 64,
          events: 5,
          page_views: 2,
          clicks: 1,
          sessions: 2,
          orders: 2,
          revenue: { EUR: 14.75 },
          first_channel: "search",
          last_channel: "direct",
          last_campaign: "",
          devices: 2,
          country: "NL",
        },
      ]);
      await decide([128, 128]);
      expect(await ask(`SELECT person_id, ${figures} FROM people ORDER BY person_id`)).toEqual(apart);
    });

    it("are still one after the server was killed: it reads who is who again", async () => {
      await insert({ atom: 64 }, { atom: 128, anonymous_id: "laptop" });
      await decide([128, 64]);
      const restarted = new Promise<void>((done) => database.engine.onRestart(done));
      process.kill(database.engine.pid() ?? 0, "SIGKILL");
      await restarted;
      expect(await ask("SELECT person_id, events FROM people")).toEqual([{ person_id: 64, events: 2 }]);
    });

    it("have one visit when they log in during it, and one order when it is sent from two devices' atoms", async () => {
      await insert(
        { atom: 64 },
        order("a", "10", { atom: 64 }),
        { atom: 128, user_id: "ada", type: "identify", name: "identify" },
        order("a", "10", { atom: 128, user_id: "ada" }),
      );
      await decide([128, 64]);
      expect(await one("SELECT person_id, user_ids, sessions, orders, revenue, events FROM people")).toEqual({
        person_id: 64,
        user_ids: ["ada"],
        sessions: 1,
        orders: 1,
        revenue: { EUR: 10 },
        events: 4,
      });
      expect(await one("SELECT session_id, person_id, events, orders FROM sessions")).toEqual({
        session_id: "session-1",
        person_id: 64,
        events: 4,
        orders: 1,
      });
    });

    it("have their money by currency, exactly, less refunds", async () => {
      await insert(
        ...Array.from({ length: 10 }, (_, index) => order(`o${index}`, "0.1")),
        order("dollars", "99.9999", { currency: "USD" }),
        { type: "track", name: "Order Refunded", order_id: "o1", amount: "-0.1", currency: "EUR" },
      );
      expect(await one("SELECT toString(revenue) AS revenue, orders FROM people")).toEqual({
        revenue: "{'EUR':0.9,'USD':99.9999}",
        orders: 11,
      });
    });

    it("have the trait that was stated last by the time of the event, whatever came in first", async () => {
      const traits = (value: string, time: string, more: Partial<LoadedEventRow> = {}): Partial<LoadedEventRow> => ({
        type: "identify",
        name: "identify",
        time,
        "traits.name": ["city"],
        "traits.value": [value],
        "traits.class": ["descriptive"],
        "traits.purpose": ["profile"],
        "traits.personal": [1],
        ...more,
      });
      await insert(traits("Utrecht", "2026-11-22 12:00:00.000"));
      await insert(
        traits("Delft", "2026-11-22 11:00:00.000"),
        traits("Gouda", "2026-11-22 12:00:00.000", { atom: 128, _offset: 1_000 }),
      );
      expect(await ask("SELECT person_id, traits FROM people ORDER BY person_id")).toEqual([
        { person_id: 64, traits: { city: "Utrecht" } },
        { person_id: 128, traits: { city: "Gouda" } },
      ]);
      await decide([128, 64]);
      expect(await one("SELECT traits FROM people")).toEqual({ traits: { city: "Gouda" } });
    });

    it("are neither bots nor events without identity, which are still events", async () => {
      await insert(
        { atom: 64 },
        { atom: 128, bot: "Googlebot", anonymous_id: "robot", user_id: "robot" },
        { atom: 0, anonymous_id: "", session_id: "", consent_mask: 2 },
      );
      expect(await ask("SELECT person_id FROM people")).toEqual([{ person_id: 64 }]);
      expect(await ask("SELECT session_id, events FROM sessions")).toEqual([{ session_id: "session-1", events: 1 }]);
      expect(await ask("SELECT person_id FROM page_views ORDER BY person_id")).toEqual([
        { person_id: 0 },
        { person_id: 64 },
      ]);
      expect(await one("SELECT events, people FROM audience_days WHERE dimension = 'all'")).toEqual({
        events: 2,
        people: 1,
      });
      expect(await ask("SELECT bot FROM events_v ORDER BY bot")).toEqual([
        { bot: "" },
        { bot: "" },
        { bot: "Googlebot" },
      ]);
      expect(await ask("SELECT * FROM identity_edge")).toEqual([]);
    });
  });

  it("count people of an audience once a day and value, as known now", async () => {
    await insert(
      { atom: 64, country: "NL", utm_campaign: "autumn" },
      { atom: 64, country: "NL" },
      { atom: 128, country: "NL", anonymous_id: "visitor-2", session_id: "s2" },
      { atom: 192, country: "", anonymous_id: "visitor-3", session_id: "s3", day: "2026-11-23" },
    );
    const count =
      "SELECT toString(day) AS day, dimension, value, events, people FROM audience_days WHERE dimension IN ('all', 'country', 'campaign') ORDER BY day, dimension";
    const expected = (people: number) => [
      { day: "2026-11-22", dimension: "all", value: "all", events: 3, people },
      { day: "2026-11-22", dimension: "campaign", value: "autumn", events: 1, people: 1 },
      { day: "2026-11-22", dimension: "country", value: "NL", events: 3, people },
      { day: "2026-11-23", dimension: "all", value: "all", events: 1, people: 1 },
    ];
    expect(await ask(count)).toEqual(expected(2));
    await decide([128, 64]);
    expect(await ask(count)).toEqual(expected(1));
  });

  it("tell a visit from its first event to its last, in the day of the site even across midnight", async () => {
    await insert(
      {
        time: "2026-11-22 22:59:50.000",
        day: "2026-11-22",
        url_path: "/",
        channel: "search",
        referrer_host: "search.example",
      },
      { time: "2026-11-22 23:00:10.500", day: "2026-11-23", url_path: "/checkout", channel: "internal" },
      {
        time: "2026-11-22 23:00:20.000",
        day: "2026-11-23",
        type: "track",
        name: "Clicked",
        url_path: "/checkout",
        channel: "internal",
      },
    );
    expect(
      await one(
        "SELECT toString(day) AS day, seconds, events, page_views, clicks, entry_page, exit_page, channel, referrer FROM sessions",
      ),
    ).toEqual({
      day: "2026-11-22",
      seconds: 30,
      events: 3,
      page_views: 2,
      clicks: 1,
      entry_page: "/",
      exit_page: "/checkout",
      channel: "search",
      referrer: "search.example",
    });
  });

  it("tell one order of one that was sent twice, with what was refunded of it", async () => {
    await insert(
      order("a", "20", { time: "2026-11-22 10:00:00.000" }),
      order("a", "20", { time: "2026-11-22 10:30:00.000" }),
      order("", "5", { message_id: "no-id" }),
      { type: "track", name: "Order Refunded", order_id: "a", amount: "-7.5", currency: "EUR" },
      { type: "track", name: "Order Refunded", order_id: "never-seen", amount: "-1", currency: "EUR" },
    );
    expect(
      await ask("SELECT order_id, amount, refunded, times_sent, toString(time) AS time FROM orders ORDER BY order_id"),
    ).toEqual([
      { order_id: "a", amount: 20, refunded: -7.5, times_sent: 2, time: "2026-11-22 10:00:00.000" },
      { order_id: "no-id", amount: 5, refunded: 0, times_sent: 1, time: "2026-11-22 20:15:00.000" },
    ]);
  });

  it("tell every purpose of a choice, in the words that were shown where they are on file", async () => {
    const filed = { site: "shop", hash: "a".repeat(64), language: "nl", title: "Tellen", text: "Wij tellen." };
    // Filed twice, as by two workers, and for another site: a choice is still one row a purpose.
    for (const site of ["shop", "shop", "blog"])
      await database.clickhouse.insertRows("consent_notice", [
        { ...filed, site, purpose: "measurement", first_seen: "2026-11-22 10:00:00.000" },
      ]);
    const choice: Partial<LoadedEventRow> = {
      type: "consent",
      name: "consent",
      atom: 0,
      anonymous_id: "",
      "choice.purpose": ["measurement", "profile"],
      "choice.state": ["granted", "denied"],
    };
    const texts = { measurement: filed.hash, profile: "b".repeat(64) };
    await insert({ ...choice, notice: JSON.stringify({ version: "3", language: "nl", variant: "bar", texts }) });
    const columns = "purpose, state, person_id, notice_version, language, variant, title, text";
    const shown = { person_id: 0, notice_version: "3", language: "nl", variant: "bar" };
    expect(await ask(`SELECT ${columns} FROM consent_choices ORDER BY purpose`)).toEqual([
      { ...shown, purpose: "measurement", state: "granted", title: "Tellen", text: "Wij tellen." },
      { ...shown, purpose: "profile", state: "denied", title: "", text: "" },
    ]);
  });

  it("tell a choice that stated nothing of what was shown", async () => {
    await insert({
      type: "consent",
      name: "consent",
      notice: "",
      "choice.purpose": ["measurement"],
      "choice.state": ["granted"],
    });
    expect(await ask("SELECT purpose, notice, notice_version, language, title FROM consent_choices")).toEqual([
      { purpose: "measurement", notice: "", notice_version: "", language: "", title: "" },
    ]);
  });

  it("keep one row a pair of ids and insert, from the event that said it first", async () => {
    await insert(
      { user_id: "ada", time: "2026-11-22 12:00:02.000" },
      { user_id: "ada", time: "2026-11-22 12:00:01.000" },
      { user_id: "bob", time: "2026-11-22 12:00:03.000" },
      { user_id: "" },
      { user_id: "ada", anonymous_id: "" },
    );
    expect(
      await ask("SELECT anonymous_id, user_id, kind, message_id, _offset FROM identity_edge ORDER BY user_id"),
    ).toEqual([
      { anonymous_id: "visitor-1", user_id: "ada", kind: "login", message_id: "message-2", _offset: 2 },
      { anonymous_id: "visitor-1", user_id: "bob", kind: "login", message_id: "message-3", _offset: 3 },
    ]);
  });

  it("give properties back as they were sent", async () => {
    const properties = {
      text: "2026-11-22T10:00:00Z",
      date: "2026-11-22",
      number: 1,
      fraction: 1.5,
      large: 9_007_199_254_740_991,
      yes: true,
      list: [1, "two", null, { three: 3 }],
      nested: { deep: { deeper: "value" } },
      "with space and 'quote'": "x",
      "\u{1F600}": "\u{1F600}",
      looksLikeNumber: "007",
    };
    await insert({ properties });
    expect(await one("SELECT properties FROM events_v")).toEqual({ properties });
  });

  it("keep every property of events that have hundreds of different ones", async () => {
    const many = Array.from({ length: 50 }, (_, event) => ({
      properties: Object.fromEntries(Array.from({ length: 20 }, (__, index) => [`key_${event}_${index}`, index])),
    }));
    await insert(...many);
    const rows = await ask<{ properties: object }>("SELECT properties FROM events ORDER BY _offset");
    expect(rows).toEqual(many);
  });

  it("let a clash of a dotted key and a path cost the clash, not the event", async () => {
    await insert({ properties: { "a.b": 1, a: { b: 2 } } });
    expect(await ask("SELECT properties.a.b::Int64 AS value FROM events")).toEqual([{ value: 1 }]);
  });
});
