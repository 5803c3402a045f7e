import { describe, expect, it } from "vitest";
import { limits } from "./limits.ts";
import { parseRequest, type ParsedItem, type ParsedRequest, type RequestRoute } from "./parse-request.ts";

function parse(body: unknown, route: RequestRoute = "batch"): ParsedRequest {
  const result = parseRequest(typeof body === "string" ? body : JSON.stringify(body), route);
  if (!result.ok) throw new Error(`refused as a whole: ${result.code}`);
  return result;
}

function itemsOf(body: unknown, route: RequestRoute = "batch"): ParsedItem[] {
  return parse(body, route).items;
}

/** The only event of the request, which has to be accepted. */
function eventOf(body: unknown, route: RequestRoute = "batch"): { [field: string]: unknown } {
  const [item] = itemsOf(body, route);
  if (item?.ok !== true) throw new Error(`refused: ${JSON.stringify(item)}`);
  return item.event;
}

const track = (fields: object = {}): object => ({
  type: "track",
  messageId: "m1",
  anonymousId: "a1",
  event: "Clicked",
  ...fields,
});
const batch = (...events: unknown[]): object => ({ batch: events });
const nested = (depth: number): unknown => JSON.parse('{"a":'.repeat(depth) + "1" + "}".repeat(depth));

describe("a request", () => {
  it("gives the events of a batch in their order", () => {
    const { items } = parse(batch(track({ messageId: "m1" }), track({ messageId: "m2" })));
    expect(items.map((item) => item.ok && item.event.messageId)).toEqual(["m1", "m2"]);
    expect(items.map((item) => item.index)).toEqual([0, 1]);
  });

  it("gives the key, the time of sending and the receipt", () => {
    const receipt = { queued: 5, sent: 4, retried: 1, dropped: { too_old: 1 } };
    const parsed = parse({ ...batch(track()), writeKey: "pk_1", sentAt: "2026-11-22T20:15:00+01:00", receipt });
    expect(parsed).toMatchObject({ writeKey: "pk_1", sentAt: "2026-11-22T19:15:00.000Z", receipt });
  });

  it.each([
    ["", "not_json"],
    ["{", "not_json"],
    ['{"batch":[{}],}', "not_json"],
    ["[]", "invalid_body"],
    ["null", "invalid_body"],
    ["7", "invalid_body"],
    ["{}", "invalid_body"],
    ['{"batch":{}}', "invalid_body"],
    ['{"batch":[]}', "empty_batch"],
    [`{"batch":[${"1,".repeat(1000)}1]}`, "too_many_events"],
    [" ".repeat(limits.maxRequestBytes + 1), "request_too_large"],
  ])("is refused as a whole (%#)", (text, code) => {
    expect(parseRequest(text, "batch")).toMatchObject({ ok: false, code });
  });

  it("takes 1000 events", () => {
    expect(itemsOf(batch(...Array.from({ length: 1000 }, () => 1)))).toHaveLength(1000);
  });

  it.each([
    ["no object", 7],
    ["a count that is none", { queued: -1, sent: 0, retried: 0, dropped: {} }],
    ["no counts", {}],
  ])("with a broken receipt (%s) keeps its events", (_, receipt) => {
    const parsed = parse({ ...batch(track()), receipt });
    expect(parsed.receipt).toBeUndefined();
    expect(parsed.items[0]?.ok).toBe(true);
  });

  it("keeps only plain words and counts of a receipt's reasons", () => {
    const dropped = { too_old: 1, "user@example.com": 2, full: "many", __proto__x: 3 };
    const receipt = { queued: 1, sent: 1, retried: 0, dropped };
    expect(parse({ ...batch(track()), receipt }).receipt?.dropped).toEqual({ too_old: 1 });
  });
});

describe("a route of one event", () => {
  it("gives the event its type", () => {
    expect(eventOf({ event: "Clicked", type: "page" }, "track")).toMatchObject({ type: "track", event: "Clicked" });
  });

  it("takes the key out of the event", () => {
    const parsed = parse({ event: "Clicked", writeKey: "pk_1" }, "track");
    expect(parsed.writeKey).toBe("pk_1");
    expect(JSON.stringify(parsed.items)).not.toContain("pk_1");
  });

  it("takes the time of sending from the event", () => {
    const parsed = parse({ event: "Clicked", sentAt: "2026-11-22T20:15:00.123Z" }, "track");
    expect(parsed.sentAt).toBe("2026-11-22T20:15:00.123Z");
  });

  it("refuses the event, not the request, when the event is wrong", () => {
    expect(itemsOf({ properties: {} }, "track")).toMatchObject([
      { ok: false, index: 0, type: "track", reason: "name_missing" },
    ]);
  });
});

describe("what the events of a batch share", () => {
  const shared = { page: { path: "/shared" }, locale: "nl-NL" };

  it("is there in each, and the event's own wins field by field", () => {
    const items = itemsOf({
      context: shared,
      ...batch(track(), track({ context: { page: { path: "/own" }, extra: 1 } })),
    });
    const contexts = items.map((item) => item.ok && item.event.context);
    expect(contexts).toEqual([shared, { page: { path: "/own" }, locale: "nl-NL", extra: 1 }]);
  });

  it("stands where the event says null", () => {
    expect(eventOf({ context: shared, ...batch(track({ context: { page: null } })) }).context).toEqual(shared);
  });

  it("is not one object: a change to one event's context stays there", () => {
    const items = itemsOf({ context: shared, ...batch(track(), track()) });
    const [first, second] = items.map((item) => (item.ok ? item.event : undefined));
    if (first?.context !== undefined) first.context.locale = "changed";
    expect(second?.context?.locale).toBe("nl-NL");
  });

  it("includes the time of sending", () => {
    const sentAt = "2026-11-22T20:15:00.000Z";
    const own = "2026-11-22T20:16:00.000Z";
    const items = itemsOf({ sentAt, ...batch(track(), track({ sentAt: own })) });
    expect(items.map((item) => item.ok && item.event.sentAt)).toEqual([sentAt, own]);
  });

  it("counts towards the size of each event, so that a little text cannot become a lot of rows", () => {
    const context = { blob: "x".repeat(20_000) };
    const items = itemsOf({ context, ...batch(track(), track({ properties: { blob: "x".repeat(13_000) } })) });
    expect(items).toMatchObject([{ ok: true }, { ok: false, reason: "event_too_large" }]);
  });

  it.each([
    [{ context: [] }, "invalid_field"],
    [{ context: { page: 1 } }, "invalid_field"],
    [{ context: { a: nested(limits.maxDepth) } }, "too_deep"],
    [{ sentAt: "yesterday" }, "invalid_field"],
  ])("refuses each event when it is wrong (%#)", (common, reason) => {
    const items = itemsOf({ ...common, ...batch(track(), track()) });
    expect(items).toMatchObject([
      { ok: false, reason },
      { ok: false, reason },
    ]);
  });

  it("may not have more fields together than an object may have", () => {
    const fields = (prefix: string, count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`${prefix}${at}`, at]));
    const items = itemsOf({
      context: fields("a", 200),
      ...batch(track({ context: fields("b", 55) }), track({ context: fields("b", 56) })),
    });
    expect(items).toMatchObject([{ ok: true }, { ok: false, reason: "too_many_keys" }]);
  });
});

describe("an event", () => {
  it("keeps fields that nobody knows, at every level", () => {
    const event = track({
      _metadata: { bundled: ["x"] },
      integrations: { All: false },
      context: { app: { build: 7 }, page: { hash: "#a" } },
    });
    expect(eventOf(batch(event))).toEqual(event);
  });

  it("without a message id has an empty one, for the collector to fill", () => {
    expect(eventOf(batch(track({ messageId: undefined }))).messageId).toBe("");
    expect(eventOf(batch(track({ messageId: null }))).messageId).toBe("");
  });

  it("reads null in a known field as absent, and keeps it in the sender's own data", () => {
    const event = eventOf(
      batch(track({ userId: null, category: null, context: { locale: null }, properties: { coupon: null } })),
    );
    expect(event).toEqual(track({ context: {}, properties: { coupon: null } }));
    expect(JSON.stringify(event)).not.toContain("category");
  });

  it("has ids in text", () => {
    expect(eventOf(batch({ type: "identify", userId: 42, messageId: 7 }))).toMatchObject({
      userId: "42",
      messageId: "7",
    });
  });

  it("has times in one form", () => {
    expect(eventOf(batch(track({ timestamp: "2026-11-22 20:15" }))).timestamp).toBe("2026-11-22T20:15:00.000Z");
    expect(eventOf(batch(track({ timestamp: 1_795_378_500_000 }))).timestamp).toBe("2026-11-22T20:15:00.000Z");
  });

  it.each(["track", "page", "screen"])("of type %s may come without any id", (type) => {
    expect(eventOf(batch({ type, event: "Clicked" })).anonymousId).toBeUndefined();
  });

  it("of type consent is the record of the choice it carries", () => {
    const consent = { v: 1, id: "c1", purposes: { measurement: "granted" } };
    expect(eventOf(batch({ type: "consent", context: { consent } }))).toMatchObject({ type: "consent" });
    expect(itemsOf(batch({ type: "consent", context: { consent: {} } }))).toMatchObject([
      { ok: false, reason: "invalid_field" },
    ]);
    expect(itemsOf(batch({ type: "consent" }))).toMatchObject([{ ok: false, reason: "invalid_field" }]);
  });

  it("takes any consent object: what cannot be read is a no, not a fault", () => {
    expect(eventOf(batch(track({ context: { consent: "yes please" } })))).toMatchObject({
      context: { consent: "yes please" },
    });
  });

  it.each([
    ["not_an_object", null],
    ["not_an_object", []],
    ["not_an_object", "track"],
    ["unknown_type", {}],
    ["unknown_type", { type: "Track" }],
    ["unknown_type", { type: ["track"] }],
    ["unknown_type", { type: "toString" }],
    ["missing_id", { type: "identify", traits: {} }],
    ["missing_id", { type: "identify", userId: "", anonymousId: null }],
    ["missing_id", { type: "group", userId: "u" }],
    ["missing_id", { type: "group", groupId: "g" }],
    ["missing_id", { type: "alias", previousId: "a" }],
    ["missing_id", { type: "alias", userId: "u" }],
    ["name_missing", { type: "track" }],
    ["name_missing", { type: "track", event: "" }],
    ["name_too_long", track({ event: "x".repeat(201) })],
    ["name_too_long", { type: "page", name: "x".repeat(201) }],
    ["invalid_field", track({ event: {} })],
    ["invalid_field", track({ messageId: "x".repeat(201) })],
    ["invalid_field", track({ anonymousId: true })],
    ["invalid_field", track({ userId: { $ne: null } })],
    ["invalid_field", track({ userId: 2 ** 60 })],
    ["invalid_field", track({ timestamp: "soon" })],
    ["invalid_field", track({ timestamp: "order 5" })],
    ["invalid_field", track({ properties: [] })],
    ["invalid_field", track({ properties: "{}" })],
    ["invalid_field", track({ context: "here" })],
    ["invalid_field", track({ context: { page: [] } })],
    ["invalid_field", track({ context: { origin: "rumour" } })],
    ["invalid_field", track({ context: { session: { id: "s", start: 1.5, seq: 0 } } })],
    ["too_deep", track({ properties: nested(limits.maxDepth) })],
    [
      "too_many_keys",
      track({ properties: Object.fromEntries(Array.from({ length: 256 }, (_, at) => [`k${at}`, at])) }),
    ],
    ["event_too_large", track({ properties: { text: "x".repeat(limits.maxEventBytes) } })],
    ["event_too_large", track({ properties: { text: "\u20ac".repeat(limits.maxEventBytes / 3) } })],
  ])("is refused as %s (%#)", (reason, event) => {
    expect(itemsOf(batch(event))).toMatchObject([{ ok: false, index: 0, reason }]);
  });

  it.each([
    ["40 levels", track({ properties: nested(limits.maxDepth - 1) })],
    ["255 fields", track({ properties: Object.fromEntries(Array.from({ length: 255 }, (_, at) => [`k${at}`, at])) })],
    ["a name of 200 characters", track({ event: "x".repeat(200) })],
    [
      "32 KiB",
      track({
        properties: {
          text: "x".repeat(limits.maxEventBytes - JSON.stringify(track({ properties: { text: "" } })).length),
        },
      }),
    ],
  ])("may have %s", (_, event) => {
    expect(itemsOf(batch(event))[0]?.ok).toBe(true);
  });

  it("may not be one byte larger than 32 KiB", () => {
    const empty = JSON.stringify(track({ properties: { text: "" } })).length;
    const event = track({ properties: { text: "x".repeat(limits.maxEventBytes - empty + 1) } });
    expect(itemsOf(batch(event))).toMatchObject([{ ok: false, reason: "event_too_large" }]);
  });
});

describe("hostile input", () => {
  it("cannot reach a prototype", () => {
    const text = '{"context":{"a":1},"batch":[{"type":"track","event":"e","context":{"__proto__":{"isAdmin":true}}}]}';
    expect(itemsOf(text)).toMatchObject([{ ok: false, reason: "invalid_field" }]);
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it.each(['"__proto__":1', '"properties":{"__proto__":1}', '"properties":{"a":[{"__proto__":1}]}'])(
    "with %s is refused",
    (field) => {
      expect(itemsOf(`{"batch":[{"type":"track","event":"e",${field}}]}`)).toMatchObject([
        { ok: false, reason: "invalid_field" },
      ]);
    },
  );

  it("with a number beyond all numbers is refused rather than turned to null", () => {
    const [item] = itemsOf('{"batch":[{"type":"track","event":"e","properties":{"price":1e999}}]}');
    expect(item).toMatchObject({
      ok: false,
      reason: "invalid_field",
      body: expect.stringContaining("1e999") as string,
    });
  });

  it("with half a surrogate pair can be encoded", () => {
    const text =
      '{"batch":[{"type":"track","event":"a\\ud800","anonymousId":"\\udc00","properties":{"list":["\\ud83d",{"a":"\\ud83d\\ude00"}]}}]}';
    expect(eventOf(text)).toMatchObject({
      event: "a\ufffd",
      anonymousId: "\ufffd",
      properties: { list: ["\ufffd", { a: "\u{1f600}" }] },
    });
  });

  it("with text that was broken before it came here can be encoded", () => {
    expect(eventOf('{"batch":[{"type":"track","event":"a\ud800"}]}').event).toBe("a\ufffd");
  });

  it("of any depth is refused without a stack overflow", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    const items = itemsOf(
      `{"batch":[{"type":"track","event":"e","properties":{"a":${deep}}},{"type":"track","event":"e"}]}`,
    );
    expect(items).toMatchObject([{ ok: false, reason: "too_deep" }, { ok: true }]);
  });

  it("does not hurt the good events beside it", () => {
    const good = Array.from({ length: 99 }, (_, at) => track({ messageId: `good-${at}` }));
    const items = itemsOf(
      batch(...good.slice(0, 50), { type: "track", event: [], messageId: "bad" }, ...good.slice(50)),
    );
    expect(items.filter((item) => item.ok)).toHaveLength(99);
    expect(items[50]).toMatchObject({ ok: false, index: 50, messageId: "bad" });
  });
});

describe("a refusal", () => {
  const secret = "jane@example.com";
  const refused = (event: unknown) => itemsOf(batch(event))[0];

  it("tells what was sent, as it was sent", () => {
    const event = {
      type: "track",
      messageId: "m1",
      userId: null,
      timestamp: 1_795_378_500_000,
      event: "Clicked",
      properties: [1],
    };
    expect(refused(event)).toEqual({
      ok: false,
      index: 0,
      reason: "invalid_field",
      detail: "`properties` must be an object.",
      messageId: "m1",
      type: "track",
      name: "Clicked",
      body: JSON.stringify(event),
    });
  });

  it("has no message id where none could be read", () => {
    expect(refused({ type: "track", messageId: [] })).toMatchObject({ messageId: null });
    expect(refused(7)).toMatchObject({ messageId: null, type: "", name: "", body: "7" });
  });

  it("cuts the body at 2 KiB", () => {
    const item = refused(track({ properties: { text: "\u20ac".repeat(20_000) } }));
    if (item?.ok !== false) throw new Error("was accepted");
    expect(item.body.length).toBeGreaterThan(600);
    expect(new TextEncoder().encode(item.body).length).toBeLessThanOrEqual(2048);
  });

  it.each([
    track({ event: "x".repeat(300) + secret }),
    track({ userId: [secret] }),
    track({ timestamp: secret }),
    track({ context: { origin: secret } }),
    track({ properties: { [secret]: nested(50) } }),
    { type: secret },
  ])("never repeats in its detail what was sent (%#)", (event) => {
    const item = refused(event);
    expect(item).toMatchObject({ ok: false });
    expect(item).not.toMatchObject({ detail: expect.stringContaining("jane") as string });
  });
});
