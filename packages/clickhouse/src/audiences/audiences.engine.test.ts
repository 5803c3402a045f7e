import {
  parseAudience,
  parseComputedTrait,
  readyMadeAudiences,
  type AudienceDefinition,
  type ComputedTrait,
} from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reloadIdentities } from "../reload-identities.ts";
import { startTestDatabase, type TestDatabase } from "../test-support/start-test-database.ts";
import { AudienceError, compileAudience, type AudienceContext } from "./compile-audience.ts";
import { createAudiencePreviews } from "./preview.ts";

const now = new Date("2026-11-22T12:00:00Z");
const hour = 1;
const day = 24 * hour;

let database: TestDatabase;
let offset = 0;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());

/** `ago` in hours. */
type Story = Partial<LoadedEventRow> & { ago?: number };
const insert = async (site: string, stories: readonly (Story & { atom: number })[]): Promise<void> => {
  const rows = stories.map(({ ago = 1, ...story }) => {
    offset += 1;
    const time = new Date(now.getTime() - ago * 3_600_000).toISOString();
    return buildEventRow({
      site,
      _offset: offset,
      message_id: `message-${offset}`,
      anonymous_id: `device-${story.atom}`,
      session_id: "",
      channel: "",
      time: time.replace("T", " ").slice(0, -1),
      day: time.slice(0, 10),
      ...story,
    });
  });
  await database.clickhouse.insertBytes("events", rowBytes(rows), {
    settings: { input_format_try_infer_dates: 0, input_format_try_infer_datetimes: 0 },
  });
};
const track = (name: string, ago: number, more: Story = {}): Story => ({ type: "track", name, ago, ...more });
const ordered = (ago: number, amount = "20", more: Story = {}): Story =>
  track("Order Completed", ago, { amount, currency: "EUR", ...more });

const contextOf = (site: string, more: Partial<AudienceContext> = {}): AudienceContext => ({
  site,
  now,
  timezone: "Europe/Amsterdam",
  audiences: new Map(),
  computedTraits: new Map(),
  ...more,
});
const definitionOf = (people: unknown): AudienceDefinition => {
  const result = parseAudience({ people });
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.definition;
};
const membersOf = async (definition: AudienceDefinition, context: AudienceContext): Promise<number[]> => {
  const { sql, params } = compileAudience(definition, context);
  const rows = await database.clickhouse.query<{ person_id: number }>(sql, { params });
  return rows.map(({ person_id }) => person_id).toSorted((a, b) => a - b);
};

describe("the ready-made audiences", () => {
  const newsletter = {
    "traits.name": ["newsletter"],
    "traits.class": ["descriptive"],
    "traits.purpose": ["profile"],
    "traits.personal": [0],
  };
  const page = (ago: number, more: Story = {}): Story => ({ ago, ...more });
  const read = (ago: number, seconds: number): Story =>
    track("Page Engagement", ago, { properties: { active_seconds: seconds, visible_seconds: 999 } });
  const ticket = (ago: number): Story => track("Ticket Opened", ago, { library: "polder-import/1", device: "server" });

  /** People by what they did: those who are in, and those who are not. */
  const stories: Record<string, { in: Story[][]; out: Story[][] }> = {
    "new-visitors": {
      in: [[page(hour)], [page(7 * day - hour), page(hour)]],
      out: [[page(7 * day)], [page(30 * day), page(hour)]],
    },
    returning: {
      in: [[page(8 * day), page(hour)]],
      out: [[page(hour)], [page(30 * day), page(8 * day)]],
    },
    "cart-abandoners": {
      in: [
        [track("Product Added", 2 * hour)],
        [ordered(10 * day), track("Product Added", 2 * day)],
        // Sent again when something new lay in the cart: it is the order from before.
        [
          ordered(5 * hour, "20", { order_id: "again" }),
          track("Product Added", 3 * hour),
          ordered(2 * hour, "20", { order_id: "again" }),
        ],
      ],
      out: [
        [track("Product Added", 0.5)],
        [track("Product Added", 2 * hour), ordered(1.5 * hour)],
        [track("Product Added", 4 * day)],
        [track("Product Added", 5 * hour), track("Product Added", 0.5)],
        [page(2 * hour)],
      ],
    },
    "recent-buyers": {
      in: [[ordered(29 * day)], [ordered(300 * day), ordered(hour)]],
      out: [[ordered(30 * day)], [page(hour)], [track("Order Refunded", hour, { amount: "-5", currency: "EUR" })]],
    },
    "lapsing-customers": {
      in: [[ordered(61 * day)], [ordered(300 * day), ordered(179 * day), page(hour)]],
      out: [[ordered(59 * day), ordered(100 * day)], [ordered(181 * day)], [page(90 * day)]],
    },
    "high-value": {
      in: [
        [ordered(day, "125"), ordered(300 * day, "125")],
        [ordered(day, "300", { currency: "EUR" }), track("Order Refunded", hour, { amount: "-50", currency: "EUR" })],
      ],
      out: [
        [ordered(day, "300"), track("Order Refunded", hour, { amount: "-50.01", currency: "EUR" })],
        [ordered(day, "200", { order_id: "twice" }), ordered(hour, "200", { order_id: "twice" })],
        [ordered(day, "200"), ordered(day, "200", { currency: "USD" })],
        [ordered(366 * day, "900")],
      ],
    },
    "newsletter-without-order": {
      in: [
        [page(hour, { url_path: "/newsletter" })],
        [{ type: "identify", name: "identify", ...newsletter, "traits.value": ["true"] }],
      ],
      out: [
        [page(hour, { url_path: "/newsletter" }), ordered(hour)],
        [
          { type: "identify", name: "identify", ...newsletter, "traits.value": ["true"], ago: 2 * hour },
          { type: "identify", name: "identify", ...newsletter, "traits.value": ["false"] },
        ],
        [page(hour, { url_path: "/newsletters" })],
      ],
    },
    "support-trouble": {
      in: [
        [ticket(89 * day), ticket(hour)],
        [ordered(20 * day), ticket(6 * day)],
      ],
      out: [
        [ticket(hour)],
        [ticket(91 * day), ticket(hour)],
        [ordered(20 * day), ticket(5 * day)],
        [ticket(7 * day), ordered(6 * day)],
      ],
    },
    "campaign-responders": {
      in: [[page(29 * day, { channel: "mail", utm_campaign: "autumn" }), page(hour)]],
      out: [
        [page(31 * day, { channel: "mail", utm_campaign: "autumn" }), page(hour)],
        [page(hour, { channel: "search" })],
        // A link within the site that carries a campaign is no visit from outside.
        [page(hour, { channel: "internal", utm_campaign: "autumn" })],
      ],
    },
    "engaged-readers": {
      in: [[read(hour, 200.5), read(29 * day, 99.5)]],
      out: [[read(hour, 299.9)], [read(hour, 200), read(31 * day, 200)]],
    },
    "one-time-buyers": {
      in: [[ordered(200 * day)], [ordered(day, "20", { order_id: "o" }), ordered(hour, "20", { order_id: "o" })]],
      out: [[ordered(day), ordered(hour)], [page(hour)]],
    },
    "win-back": {
      in: [[ordered(181 * day), page(day)]],
      out: [[ordered(181 * day)], [ordered(181 * day), ordered(179 * day), page(day)], [page(181 * day), page(day)]],
    },
  };

  it("are twelve, each with people who are in and people who are not", () => {
    expect(readyMadeAudiences).toHaveLength(12);
    expect(Object.keys(stories).toSorted()).toEqual(readyMadeAudiences.map(({ id }) => id).toSorted());
  });

  it.each(readyMadeAudiences.map(({ id, definition }) => [id, definition] as const))("%s", async (id, definition) => {
    const base = 1_000 * (1 + readyMadeAudiences.findIndex((each) => each.id === id));
    const people = [...stories[id]!.in, ...stories[id]!.out];
    await insert(
      id,
      people.flatMap((events, index) => events.map((event) => ({ ...event, atom: base + index }))),
    );
    // The same, seen by a bot.
    await insert(
      id,
      stories[id]!.in.flat().map((event) => ({ ...event, atom: base + 500, bot: "Googlebot" })),
    );
    expect(await membersOf(definition, contextOf(id))).toEqual(stories[id]!.in.map((_, index) => base + index));
  });
});

describe("a hostile definition", () => {
  const hostile = [
    "'; DROP TABLE events; --",
    "' OR 1=1 --",
    "\\' OR 1=1 /*",
    '"quoted" AND sleep(3)',
    "/* comment */ -- # {site:String}",
    "{p0:String}{now:Int64}",
    "$$heredoc$$",
    "file('/etc/passwd')",
    "') UNION ALL SELECT person_id FROM identity WHERE ('1'='1",
    "line\nbreak\ttab\r",
    "\\N",
    "\\x27\\u0027",
    "%_%",
    "null",
    "ünïcødé 😀 ‮right to left",
    "a".repeat(200),
  ];
  const words =
    /DROP|sleep|passwd|heredoc|comment|quoted|break|x27|UNION ALL SELECT person_id FROM identity|OR 1=1|😀|aaaa/;
  const places: Record<string, (text: string) => unknown> = {
    "the name of a trait": (text) => ({ trait: text, exists: true }),
    "the value of a trait": (text) => ({ trait: "hostile", is: text }),
    "the name of an event": (text) => ({ event: text }),
    "names of events": (text) => ({ event: [text, "Nothing"], count: { atLeast: 1 } }),
    "a filter by a column": (text) => ({ event: "Marked", where: [{ column: "utm_campaign", in: [text, text] }] }),
    "a filter by a property": (text) => ({
      event: "Marked",
      where: [{ property: "hostile", is: text, contains: text, startsWith: text, endsWith: text }],
    }),
    "a property in a list": (text) => ({ event: "Marked", where: [{ property: "list[].text", is: text }] }),
    "a touch": (text) => ({ touch: "any", campaign: { is: text } }),
    "the first of events": (text) => ({
      event: text,
      first: { within: { days: 1 }, where: [{ column: "name", is: text }] },
    }),
    "a step": (text) => ({ sequence: [{ event: text }, { event: "Marked" }], within: { days: 1 } }),
  };
  const atomOf = (index: number): number => 50_000 + index;

  beforeAll(async () => {
    await insert(
      "hostile",
      hostile.flatMap((text, index) => [
        {
          ...track(text, 2),
          atom: atomOf(index),
          "traits.name": ["hostile", text],
          "traits.value": [text, "there"],
          "traits.class": ["descriptive", "descriptive"],
          "traits.purpose": ["profile", "profile"],
          "traits.personal": [0, 0],
        },
        {
          ...track("Marked", 1, { channel: "mail", utm_campaign: text }),
          atom: atomOf(index),
          properties: { hostile: text, list: [{ text }] },
        },
      ]),
    );
  });

  it.each(Object.entries(places))("is only a value as %s", async (_, place) => {
    const { sql: harmless } = compileAudience(definitionOf(place("x")), contextOf("hostile"));
    expect(harmless).not.toMatch(words);
    for (const [index, text] of hostile.entries()) {
      const definition = definitionOf(place(text));
      expect(compileAudience(definition, contextOf("hostile")).sql).toBe(harmless);
      expect(await membersOf(definition, contextOf("hostile")), text).toEqual([atomOf(index)]);
    }
  });

  it("has a path that is a value, or no path at all", async () => {
    const paths = ["it's", "a\\'b", "x') OR (1=1", "--", "{p0:String}", "größe", "null", "size0", "😀"];
    await insert(
      "paths",
      paths.map((path, index) => ({
        ...track("Marked", 1),
        atom: atomOf(index),
        properties: { [path]: 1, number: index },
      })),
    );
    const of = (property: string) => definitionOf({ event: "Marked", where: [{ property, is: 1 }] });
    const added = (property: string) => definitionOf({ event: "Marked", sum: { of: { property }, is: 1 } });
    for (const [index, path] of paths.entries()) {
      for (const make of [of, added]) {
        expect(compileAudience(make(path), contextOf("paths")).sql).toBe(
          compileAudience(make("x"), contextOf("paths")).sql,
        );
        expect(await membersOf(make(path), contextOf("paths")), path).toEqual([atomOf(index)]);
      }
    }
    for (const path of ["a`b", "a.:Int64", "^a", "a[0]", "a[].b[]", "..", "", "a\nb", "x".repeat(201)])
      expect(parseAudience({ people: { event: "Marked", where: [{ property: path, is: 1 }] } }), path).toMatchObject({
        ok: false,
      });
  });

  it("may be as large as it may", async () => {
    const text = "\\'".repeat(15);
    const values = Array.from({ length: 1_000 }, () => text);
    expect(await membersOf(definitionOf({ trait: "hostile", in: values }), contextOf("hostile"))).toEqual([]);
    const many = { any: Array.from({ length: 50 }, (_, index) => ({ event: `e${index}`, count: { atLeast: 2 } })) };
    expect(await membersOf(definitionOf(many), contextOf("hostile"))).toEqual([]);
    const deep = (depth: number): unknown => (depth === 0 ? { known: true } : { not: deep(depth - 1) });
    expect(await membersOf(definitionOf(deep(11)), contextOf("hostile"))).toHaveLength(hostile.length);
  });

  it("is refused when it is too large for one statement", () => {
    const filters = Array.from({ length: 20 }, (_, index) => ({
      property: `p${index}[].q`,
      is: index,
      isNot: "x",
      contains: "y",
    }));
    const many = (letter: string) =>
      definitionOf({
        any: Array.from({ length: 50 }, (_, index) => ({ event: `${letter}${index}`, where: filters })),
      });
    expect(() => compileAudience(many("a"), contextOf("hostile"))).toThrow(AudienceError);
  });

  it("is refused when it stands on itself or on nothing", () => {
    const audiences = new Map([
      ["a", definitionOf({ audience: "b" })],
      ["b", definitionOf({ not: { audience: "a" } })],
    ]);
    expect(() => compileAudience(definitionOf({ audience: "a" }), contextOf("hostile", { audiences }))).toThrow(
      /a → b → a/,
    );
    expect(() => compileAudience(definitionOf({ audience: "c" }), contextOf("hostile", { audiences }))).toThrow(
      /name of no audience/,
    );
    expect(() => compileAudience(definitionOf({ computedTrait: "c", is: 1 }), contextOf("hostile"))).toThrow(
      /name of no computed trait/,
    );
  });
});

describe("a window to the millisecond", () => {
  const site = "edges";
  const dayMs = 86_400_000;
  const end = now.getTime();
  const at = (ms: number): Story => {
    const time = new Date(ms).toISOString();
    return { time: time.replace("T", " ").slice(0, -1), day: time.slice(0, 10) };
  };
  const moments = { start: end - dayMs, afterStart: end - dayMs + 1, end, afterEnd: end + 1 };
  const atomsOf = (...which: (keyof typeof moments)[]): number[] =>
    which.map((name) => 70_001 + Object.keys(moments).indexOf(name));
  beforeAll(async () => {
    await insert(
      site,
      Object.values(moments).flatMap((ms, index) => [
        { ...track("Product Added", 0, at(ms)), channel: "mail", atom: 70_001 + index },
        { ...ordered(0, "5", at(ms)), atom: 70_001 + index },
      ]),
    );
    await insert("edges of a sequence", [
      { ...track("Product Added", 0, at(end - 3_600_000)), atom: 70_011 },
      { ...track("page", 0, at(end)), atom: 70_011 },
      { ...track("Product Added", 0, at(end - 3_600_001)), atom: 70_012 },
      { ...track("page", 0, at(end)), atom: 70_012 },
    ]);
  });
  const within = { hours: 24 };
  const conditions: [string, unknown][] = [
    ["an event", { event: "Product Added", within }],
    ["an order", { event: "Order Completed", within }],
    ["whatever", { event: "*", within }],
    ["a count", { event: "Product Added", within, count: { atLeast: 1 } }],
    ["a sum", { event: "Order Completed", within, sum: { of: "amount", currency: "EUR", atLeast: 1 } }],
    ["the first one", { event: "Product Added", first: { within } }],
    ["the last order", { event: "Order Completed", last: { within } }],
    [
      "a sequence",
      {
        sequence: [{ event: "Product Added" }, { event: "Order Completed" }],
        within: { hours: 1 },
        during: within,
      },
    ],
    ["a touch", { touch: "any", channel: { is: "mail" }, within }],
    ["the first event of all", { firstSeen: { within } }],
  ];
  const of = (people: unknown, where = site): Promise<number[]> => membersOf(definitionOf(people), contextOf(where));

  it.each(conditions)("is open at its start and closed at its end for %s", async (_, people) => {
    expect(await of(people)).toEqual(atomsOf("afterStart", "end"));
  });

  it("ends at the same moment for who was seen", async () => {
    expect(await of({ seen: { within } })).toEqual(atomsOf("afterStart", "end"));
    expect(await of({ notSeen: { for: within } })).toEqual(atomsOf("start"));
  });

  it("is closed on both sides between the steps of a sequence", async () => {
    const sequence = [{ event: "Product Added" }, { event: "page" }];
    expect(await of({ sequence, within: { hours: 1 } }, "edges of a sequence")).toEqual([70_011]);
  });
});

describe("what is still to come, by a clock that is ahead or by an import,", () => {
  const site = "to come";
  const later = -2 * hour;
  const stated = (ago: number, plan: string): Story => ({
    type: "identify",
    name: "identify",
    ago,
    "traits.name": ["plan"],
    "traits.value": [plan],
    "traits.class": ["descriptive"],
    "traits.purpose": ["profile"],
    "traits.personal": [0],
  });
  beforeAll(() =>
    insert(site, [
      { ...stated(day, "free"), atom: 71_001 },
      { ...track("Looked", day, { country: "NL", channel: "mail" }), atom: 71_001 },
      { ...stated(later, "gold"), atom: 71_001 },
      { ...track("Looked", later, { country: "BE", channel: "search" }), atom: 71_001 },
      { ...ordered(day, "10", { order_id: "o" }), atom: 71_001 },
      { ...ordered(later, "30", { order_id: "o", country: "BE" }), atom: 71_001 },
      { ...track("Looked", later, { user_id: "u" }), atom: 71_002 },
    ]),
  );
  const of = (people: unknown, at = now): Promise<number[]> =>
    membersOf(definitionOf(people), contextOf(site, { now: at }));
  const afterwards = new Date(now.getTime() + 3 * 3_600_000);
  const conditions: [unknown, number[], number[]][] = [
    [{ event: "Looked" }, [71_001], [71_001, 71_002]],
    [{ event: "Looked", count: { is: 1 } }, [71_001], [71_002]],
    [{ event: "Looked", within: { to: "2027-01-01" }, count: { is: 1 } }, [71_001], [71_002]],
    [{ event: "Order Completed", sum: { of: "amount", currency: "EUR", is: 10 } }, [71_001], []],
    [{ event: "Looked", last: { where: [{ column: "country", is: "NL" }] } }, [71_001], [71_002]],
    [{ sequence: [{ event: "Looked" }, { event: "Looked" }], within: { days: 2 } }, [], [71_001]],
    [{ trait: "plan", is: "free" }, [71_001], []],
    [{ trait: "plan", exists: true }, [71_001], [71_001]],
    [{ country: { is: "NL" } }, [71_001], [71_002]],
    [{ touch: "last", channel: { is: "mail" } }, [71_001], []],
    [{ touch: "any", channel: { is: "search" } }, [], [71_001]],
    [{ known: true }, [], [71_002]],
    [{ seen: { within: { hours: 20 } } }, [], [71_001, 71_002]],
    [{ notSeen: { for: { hours: 20 } } }, [71_001], []],
    [{ firstSeen: { within: { from: "2026-01-01" } } }, [71_001], [71_001, 71_002]],
    [{ not: { event: "Nothing" } }, [71_001], [71_001, 71_002]],
  ];

  it.each(conditions)("has not happened before its time: %j", async (people, before, after) => {
    expect(await of(people)).toEqual(before);
    expect(await of(people, afterwards)).toEqual(after);
  });
});

describe("people", () => {
  const site = "people";
  beforeAll(async () => {
    await insert(site, [
      { ...ordered(20 * day, "10", { order_id: "x" }), atom: 60_001 },
      { ...ordered(10 * day, "15", { order_id: "x" }), atom: 60_002, user_id: "u1" },
      { ...ordered(3 * day, "5", { order_id: "y" }), atom: 60_002, user_id: "u1" },
      { ...ordered(3 * day, "5", { order_id: "z" }), atom: 60_003 },
      { ...ordered(3 * day, "99", { order_id: "z" }), atom: 60_004 },
    ]);
    await insert("people elsewhere", [{ ...ordered(day, "1"), atom: 60_005 }]);
  });
  const become = async (atom: number, person: number, version: number): Promise<void> => {
    await database.clickhouse.insertRows("identity", [{ site, atom, person, version }]);
    await reloadIdentities(database.clickhouse);
  };
  const buyers = definitionOf({ event: "Order Completed" });
  const twice = definitionOf({ event: "Order Completed", count: { atLeast: 2 } });
  const fifteen = definitionOf({
    event: "Order Completed",
    sum: { of: "amount", currency: "EUR", is: 15 },
    within: { days: 30 },
  });

  it("are one after a merge, two again after an unmerge, and nobody after an erasure", async () => {
    const of = (definition: AudienceDefinition): Promise<number[]> => membersOf(definition, contextOf(site));
    expect(await of(buyers)).toEqual([60_001, 60_002, 60_003, 60_004]);
    expect(await of(twice)).toEqual([60_002]);
    expect(await of(fifteen)).toEqual([]);

    await become(60_002, 60_001, 1);
    expect(await of(buyers)).toEqual([60_001, 60_003, 60_004]);
    // The order that both had is one: 15 for it and 5.
    expect(await of(twice)).toEqual([60_001]);
    expect(
      await of(definitionOf({ event: "Order Completed", sum: { of: "amount", currency: "EUR", is: 20 } })),
    ).toEqual([60_001]);
    // It happened when its first copy did.
    expect(await of(definitionOf({ event: "Order Completed", within: { days: 12 }, count: { is: 1 } }))).toEqual([
      60_001, 60_003, 60_004,
    ]);

    await become(60_002, 60_002, 2);
    expect(await of(twice)).toEqual([60_002]);

    await become(60_004, 0, 3);
    expect(await of(buyers)).toEqual([60_001, 60_002, 60_003]);
    expect(await of(definitionOf({ not: { event: "Nothing" } }))).toEqual([60_001, 60_002, 60_003]);
    expect(await of(definitionOf({ known: false }))).toEqual([60_001, 60_003]);
  });

  it("were last seen where any of their identities was, also when only another one did what is asked for besides", async () => {
    const other = "seen last";
    await insert(other, [
      { ...track("Looked", 2 * day, { country: "NL" }), atom: 62_001 },
      { ...track("Clicked", day, { country: "BE" }), atom: 62_002 },
      { ...track("Clicked", 3 * day, { country: "NL" }), atom: 62_003 },
      { ...track("Looked", 3 * day, { country: "" }), atom: 62_003 },
      { ...track("Clicked", day, { country: "NL" }), atom: 62_004 },
      { ...track("Looked", day, { country: "" }), atom: 62_005 },
    ]);
    await database.clickhouse.insertRows("identity", [{ site: other, atom: 62_002, person: 62_001, version: 1 }]);
    await reloadIdentities(database.clickhouse);
    const of = (country: unknown): Promise<number[]> =>
      membersOf(definitionOf({ all: [{ event: "Looked" }, { country }] }), contextOf(other));
    expect(await of({ is: "BE" })).toEqual([62_001]);
    expect(await of({ is: "NL" })).toEqual([62_003]);
    expect(await of({ exists: true })).toEqual([62_001, 62_003]);
    expect(await of({ exists: false })).toEqual([62_005]);
  });

  it("are those of whom something is stored: after a withdrawal the events are counted and nobody is behind them", async () => {
    await insert("withdrawn", [
      { ...ordered(day), atom: 61_001 },
      { ...ordered(day), atom: 61_002 },
    ]);
    const of = (): Promise<number[]> => membersOf(buyers, contextOf("withdrawn"));
    expect(await of()).toEqual([61_001, 61_002]);
    // As a withdrawal leaves it.
    await database.clickhouse.insertRows("atom", [{ site: "withdrawn", key: 0, atom: 61_002 }]);
    await database.clickhouse.command(
      "ALTER TABLE profile_state DELETE WHERE atom = 61002 SETTINGS mutations_sync = 2",
    );
    expect(await of()).toEqual([61_001]);
    // Until its identities are settled anew, whoever has another name left is somebody.
    await insert("withdrawn", [{ ...track("page", 1), atom: 61_003 }]);
    for (const [version, person] of [61_002, 61_003].entries()) {
      await database.clickhouse.insertRows("identity", [
        { site: "withdrawn", atom: 61_003, person, version: version + 1 },
      ]);
      await reloadIdentities(database.clickhouse);
      expect(await of()).toEqual(person === 61_002 ? [61_001, 61_002] : [61_001]);
    }
  });

  it("have computed traits, a list by what is in it", async () => {
    const traitOf = (definition: unknown): ComputedTrait => {
      const result = parseComputedTrait(definition);
      if (!result.ok) throw new Error(JSON.stringify(result.faults));
      return result.definition;
    };
    const computedTraits = new Map([
      ["orders", traitOf({ compute: "count", event: "Order Completed" })],
      ["order ids", traitOf({ compute: "unique_list", event: "Order Completed", of: { column: "order_id" } })],
    ]);
    const of = (people: unknown): Promise<number[]> =>
      membersOf(definitionOf(people), contextOf(site, { computedTraits }));
    expect(await of({ computedTrait: "orders", atLeast: 2 })).toEqual([60_002]);
    expect(await of({ computedTrait: "order ids", is: "y" })).toEqual([60_002]);
    expect(await of({ computedTrait: "order ids", isNot: "x" })).toEqual([60_002, 60_003]);
    expect(
      await of({
        all: [
          { computedTrait: "order ids", exists: true },
          { computedTrait: "orders", lessThan: 2 },
        ],
      }),
    ).toEqual([60_001, 60_003]);
  });

  it("are previewed: how many, some of them, and what they may be used for", async () => {
    const previews = createAudiencePreviews(database.clickhouse);
    const found = await previews.preview(buyers, contextOf(site), { sample: 2, timeoutMs: 120_000 });
    expect(found).toMatchObject({
      people: 3,
      // Their events were collected for measurement and profile, and nobody said more.
      consent: { measurement: 3, profile: 3, ads: 0 },
    });
    expect(found?.sample).toHaveLength(2);
    const all = await previews.preview(buyers, contextOf(site), { sample: 10, timeoutMs: 120_000 });
    expect(all?.sample).toContainEqual({
      person: 60_002,
      userIds: ["u1"],
      firstSeen: now.getTime() - 10 * 86_400_000,
      lastSeen: now.getTime() - 3 * 86_400_000,
      events: 2,
      orders: 2,
    });
    expect(
      await previews.preview(definitionOf({ event: "Nothing" }), contextOf(site), { sample: 2, timeoutMs: 120_000 }),
    ).toMatchObject({ people: 0, sample: [] });
  });

  it("are not previewed for longer than that", async () => {
    const previews = createAudiencePreviews({
      ...database.clickhouse,
      // Every row of a person takes a second: nothing else makes so small a table slow.
      query: (sql, options) => database.clickhouse.query(`SELECT sleepEachRow(1) AS slow, * FROM (${sql})`, options),
    });
    expect(await previews.preview(buyers, contextOf(site), { sample: 2, timeoutMs: 100 })).toBeUndefined();
  });
});
