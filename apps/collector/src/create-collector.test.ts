import { setImmediate as turn } from "node:timers/promises";
import { LogUnavailableError } from "@polder/core";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { limits, postRoutes, requestErrors, type PolderEvent } from "@polder/protocol";
import { buildConsent, buildEvent, buildPage, buildSite } from "@polder/testing";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import {
  answerOf,
  buildCollector,
  createRecordingLog,
  errorOf,
  keys,
  serverKey,
  shopOrigin,
  site,
  writeKey,
} from "./collector.test-support.ts";

const many = (count: number): PolderEvent[] =>
  Array.from({ length: count }, (_, n) => buildEvent({ messageId: `m-${n}` }));
/** As many as a request may hold, small enough for one. */
const full = {
  writeKey,
  context: { consent: buildConsent() },
  batch: Array.from({ length: 1000 }, (_, n) => ({ type: "page", messageId: `m-${n}`, anonymousId: `v-${n % 7}` })),
};
const basic = (key: string): { authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${key}:`).toString("base64")}`,
});

describe("what is taken", () => {
  it("answers 200 with what is durable", async () => {
    const { post, log } = buildCollector();
    const response = await post("/v1/batch", { writeKey, batch: many(3) });
    expect(response.status).toBe(200);
    expect(await answerOf(response)).toEqual({ accepted: 3, rejected: [] });
    expect(log.rows().map((row) => row.message_id)).toEqual(["m-0", "m-1", "m-2"]);
  });

  it("takes every address that Segment's clients use", async () => {
    for (const [path, route] of Object.entries(postRoutes)) {
      const { post, log } = buildCollector();
      const event = buildEvent({ userId: "user-1", groupId: "group-1", previousId: "old-1", name: "Home" });
      const isBatch = route === "batch" || route === "import";
      const key = route === "import" ? serverKey : writeKey;
      const response = await post(
        `/v1/${path}`,
        isBatch ? { writeKey: key, batch: [event] } : { ...event, type: undefined, writeKey: key },
      );
      expect([path, response.status, await answerOf(response)]).toEqual([path, 200, { accepted: 1, rejected: [] }]);
      expect(log.rows()[0]!.type).toBe(isBatch ? "track" : route);
    }
  });

  it.each([
    ["Basic", { ...basic(writeKey) }, "/v1/batch"],
    ["a header", { "x-write-key": writeKey }, "/v1/batch"],
    ["the address", {}, `/v1/batch?writeKey=${writeKey}`],
  ])("takes the key by %s", async (_, headers, path) => {
    const { post } = buildCollector();
    expect((await post(path, { batch: [buildEvent()] }, headers)).status).toBe(200);
  });

  it.each([["text/plain;charset=UTF-8"], ["application/json; charset=utf-8"], ["Application/JSON"]])(
    "takes %s",
    async (contentType) => {
      const { post } = buildCollector();
      expect(
        (await post("/v1/batch", { writeKey, batch: [buildEvent()] }, { "content-type": contentType })).status,
      ).toBe(200);
    },
  );

  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ] as const)("inflates %s", async (encoding, compress) => {
    const { post, log } = buildCollector();
    const body = compress(JSON.stringify(full));
    expect((await post("/v1/batch", body, { "content-encoding": encoding })).status).toBe(200);
    expect(log.rows()).toHaveLength(1000);
  });

  it("passes the same message twice on: the loader drops the second", async () => {
    const { post } = buildCollector();
    const response = await post("/v1/batch", { writeKey, batch: [buildEvent(), buildEvent()] });
    expect(await answerOf(response)).toEqual({ accepted: 2, rejected: [] });
  });

  it("keeps the order of a request", async () => {
    const { post, log } = buildCollector();
    await post("/v1/batch", full);
    expect(log.rows().map((row) => row.message_id)).toEqual(full.batch.map((event) => event.messageId));
  });

  it("answers only after the log has confirmed", async () => {
    let confirm = (): void => {};
    const confirmed = new Promise<void>((resolve) => (confirm = resolve));
    const { post } = buildCollector({ log: createRecordingLog(() => confirmed) });
    let isAnswered = false;
    const answer = post("/v1/batch", { writeKey, batch: [buildEvent()] }).then((response) => {
      isAnswered = true;
      return response;
    });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(isAnswered).toBe(false);
    confirm();
    expect((await answer).status).toBe(200);
  });
});

describe("one bad event among good ones", () => {
  it("stores the good ones, and the bad one with its reason, before the answer", async () => {
    const { post, log } = buildCollector();
    const batch: unknown[] = many(100);
    batch[42] = { ...buildEvent({ messageId: "bad" }), event: undefined, properties: { card: "4111 1111 1111 1111" } };
    const answer = await answerOf(await post("/v1/batch", { writeKey, batch }));
    expect(answer.accepted).toBe(99);
    expect(answer.rejected).toEqual([
      { index: 42, messageId: "bad", reason: "name_missing", detail: expect.any(String) },
    ]);
    expect(log.rows()).toHaveLength(99);
    const [rejected] = log.rejectedRows();
    expect(rejected).toMatchObject({
      site: "shop",
      message_id: "bad",
      type: "track",
      reason: "name_missing",
      rule_version: 1,
    });
    expect(rejected!.received_at).toBe("2026-11-22 20:15:00.000");
    expect(rejected!.body).toContain("[card]");
  });

  it("refuses an event of 40 KiB and takes the others", async () => {
    const { post, log } = buildCollector();
    const large = buildEvent({ messageId: "large", properties: { text: "x".repeat(40 * 1024) } });
    const answer = await answerOf(await post("/v1/batch", { writeKey, batch: [buildEvent(), large] }));
    expect(answer).toMatchObject({
      accepted: 1,
      rejected: [{ index: 1, messageId: "large", reason: "event_too_large" }],
    });
    expect(Buffer.byteLength(log.rejectedRows()[0]!.body)).toBeLessThanOrEqual(2048);
  });

  it("keeps nothing of what a sender wrote who could not have been stored", async () => {
    const { post, log } = buildCollector();
    const nobody = { type: "track", messageId: "m", anonymousId: "visitor-1", properties: { note: "private" } };
    const denied = { ...nobody, context: { consent: buildConsent([]) } };
    const measured = { ...nobody, context: { consent: buildConsent(["measurement"]) } };
    await post("/v1/batch", { writeKey, batch: [nobody, denied, measured] });
    expect(log.rejectedRows().map((row) => [row.reason, row.body])).toEqual(
      Array.from({ length: 3 }, () => ["name_missing", ""]),
    );
    expect(JSON.stringify(log.rejectedRows())).not.toMatch(/visitor-1|private/);
  });

  it("keeps no id or name of theirs either: the table would say what they wrote", async () => {
    const { post, log } = buildCollector();
    const sent = [
      { type: "jan@shop.example", event: "ev jan", messageId: "mid-jan" },
      { type: "track", name: "jan", messageId: "mid-jan" },
      { type: "jan", event: "e", messageId: "kept", context: { consent: buildConsent() } },
    ];
    const answer = await answerOf(await post("/v1/batch", { writeKey, batch: sent }));
    // The sender hears which of its events it was.
    expect(answer.rejected.map((each) => each.messageId)).toEqual(["mid-jan", "mid-jan", "kept"]);
    const [unknown, known, allowed] = log.rejectedRows();
    expect(unknown).toMatchObject({ reason: "unknown_type", type: "", name: "", message_id: "", body: "" });
    expect(known).toMatchObject({ reason: "name_missing", type: "track", name: "", message_id: "", body: "" });
    expect(allowed).toMatchObject({ type: "jan", name: "e", message_id: "kept" });
    const records = log.appends.flatMap(({ records: each }) => each);
    for (const { key, headers } of records.slice(0, 2)) expect(`${key}${headers?.["id"]}`).not.toContain("jan");
  });

  it("finds a no in any form of the choice, the event's or its batch's", async () => {
    const { post, log } = buildCollector();
    const bad = { type: "track", messageId: "m", context: { consentManagement: { deniedConsentIds: ["profile"] } } };
    await post("/v1/batch", { writeKey, context: { consent: buildConsent() }, batch: [bad] });
    const shared = { consent: buildConsent(), ...bad.context };
    await post("/v1/batch", { writeKey, context: shared, batch: [{ ...bad, context: { consentManagement: null } }] });
    expect(log.rejectedRows().map((row) => row.body)).toEqual(["", ""]);
    const kept = buildEvent({ context: { consentManagement: null } as never });
    await post("/v1/batch", { writeKey, context: shared, batch: [{ ...kept, messageId: "k" }] });
    expect(log.rows()).toMatchObject([{ message_id: "k", consent_mask: 3 }]);
    expect(JSON.stringify(log.rows())).not.toContain("visitor-1");
  });

  it("finds the choice that a batch shares", async () => {
    const { post, log } = buildCollector();
    const bad = { type: "track", messageId: "m" };
    const context = { consent: buildConsent() };
    await post("/v1/batch", { writeKey, context, batch: [bad, "no object"] });
    // With the context, or it could not be judged again.
    expect(log.rejectedRows().map((row) => row.body)).toEqual([JSON.stringify({ ...bad, context }), '"no object"']);
    await post("/v1/track", { ...bad, writeKey, context: { consent: buildConsent() } });
    expect(log.rejectedRows()[2]!.body).toContain("granted");
  });

  it("keeps what a server with a basis sent, and what a step refused", async () => {
    const { post, log } = buildCollector();
    await post("/v1/batch", { batch: [{ type: "track", messageId: "m" }] }, basic(serverKey));
    await post("/v1/batch", {
      writeKey,
      batch: [buildEvent({ context: { ...buildEvent().context, origin: "third_party" } })],
    });
    expect(log.rejectedRows().map((row) => row.reason)).toEqual(["name_missing", "origin_not_allowed"]);
    for (const row of log.rejectedRows()) expect(row.body).not.toBe("");
  });
});

describe("consent", () => {
  const unasked = buildPage({ context: { page: { url: "https://shop.example/" } } });

  it("stores nothing without a yes: not in the log, not as rejected, not in a cookie", async () => {
    const { post, log, registry } = buildCollector();
    const response = await post("/v1/batch", { writeKey, batch: [unasked] }, { origin: shopOrigin });
    expect(response.status).toBe(200);
    expect(response.headers.getSetCookie()).toEqual([]);
    expect(await answerOf(response)).toMatchObject({ accepted: 0, rejected: [{ index: 0, reason: "no_consent" }] });
    // That one event came and was dropped, and why: a number, and nothing of the event or its visitor.
    const appended = log.appends.flatMap(({ topic, records }) => records.map((record) => ({ topic, record })));
    expect(appended).toEqual([{ topic: "polder.ledger", record: expect.anything() }]);
    const { key, value, headers } = appended[0]!.record;
    expect(JSON.parse(Buffer.from(value).toString())).toEqual({
      site: "shop",
      hour: "2026-11-22 20:00:00",
      outcome: "dropped",
      reason: "no_consent",
      process: key,
      first: [0],
      last: [0],
      counted: 0,
    });
    expect(headers).toEqual({ id: `${key}-0`, site: "shop", anonymousId: "", userId: "" });
    expect(await registry.metrics()).toContain(
      'polder_collector_events_dropped_total{site="shop",reason="no_consent"} 1',
    );
  });

  it("hears Global Privacy Control in the header", async () => {
    const { post, log } = buildCollector();
    const page = { url: "https://shop.example/?gclid=click-1" };
    const event = buildPage({ context: { page, consent: buildConsent(["profile", "ads"]) } });
    const idsWith = async (gpc: string | undefined): Promise<string | undefined> => {
      await post("/v1/batch", { writeKey, batch: [event] }, gpc === undefined ? {} : { "sec-gpc": gpc });
      return log.rows().at(-1)!.click_id;
    };
    expect([await idsWith(undefined), await idsWith("0")]).toEqual(["click-1", "click-1"]);
    // A proxy may have doubled it.
    expect([await idsWith("1"), await idsWith("1, 1"), await idsWith("0,1")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("what is never acceptable", () => {
  const good = { writeKey, batch: [buildEvent()] };
  const cases: [name: keyof typeof requestErrors, path: string, body: unknown, headers: { [name: string]: string }][] =
    [
      ["not_json", "/v1/batch", '{"writeKey":', {}],
      ["invalid_body", "/v1/batch", "[]", {}],
      ["invalid_body", "/v1/batch", { writeKey }, {}],
      ["empty_batch", "/v1/batch", { writeKey, batch: [] }, {}],
      ["broken_encoding", "/v1/batch", "not gzip", { "content-encoding": "gzip" }],
      ["broken_encoding", "/v1/batch", gzipSync(JSON.stringify(good)).subarray(0, 40), { "content-encoding": "gzip" }],
      ["missing_key", "/v1/batch", { batch: [buildEvent()] }, {}],
      ["unknown_key", "/v1/batch", { ...good, writeKey: "pk_wrong" }, {}],
      ["unknown_key", "/v1/batch", good, basic("pk_wrong")],
      ["origin_refused", "/v1/batch", good, { origin: "https://evil.example" }],
      ["origin_refused", "/v1/batch", good, { origin: "null" }],
      ["origin_refused", "/v1/batch", { batch: [buildEvent()] }, { ...basic(serverKey), origin: shopOrigin }],
      ["server_key_required", "/v1/import", good, {}],
      ["not_found", "/v1/nothing", good, {}],
      ["too_many_events", "/v1/batch", { writeKey, batch: Array.from({ length: 1001 }, () => ({})) }, {}],
      ["request_too_large", "/v1/batch", `{"writeKey":"${"x".repeat(limits.maxRequestBytes)}"}`, {}],
      [
        "request_too_large",
        "/v1/batch",
        gzipSync(Buffer.alloc(200 * 1024 * 1024, " ")),
        { "content-encoding": "gzip" },
      ],
      ["unsupported_media_type", "/v1/batch", good, { "content-type": "application/x-www-form-urlencoded" }],
      ["unsupported_media_type", "/v1/batch", good, { "content-type": "text/plainer" }],
      ["unsupported_encoding", "/v1/batch", good, { "content-encoding": "gzip, gzip" }],
    ];

  it.each(cases)("%s: nothing stored, and an answer that says what to do", async (code, path, body, headers) => {
    const { post, log, registry } = buildCollector();
    const response = await post(path, body, headers);
    const error = await errorOf(response);
    expect({ ...error, status: response.status }).toEqual({
      code,
      status: requestErrors[code].status,
      message: expect.stringMatching(/^[A-Z/`].*[.]$/),
      docs: expect.stringMatching(/^docs\/[\w/-]+\.md$/),
    });
    expect(log.appends).toEqual([]);
    if (code !== "not_found")
      expect(await registry.metrics()).toContain(`polder_collector_requests_refused_total{code="${code}"} 1`);
  });

  it("never repeats a key or what was sent", async () => {
    const { post, lines } = buildCollector();
    for (const [, path, body, headers] of cases) {
      const text = await (await post(path, body, headers)).text();
      expect(text).not.toMatch(/pk_wrong|pk_test|sk_test|visitor-1|evil\.example/);
    }
    expect(lines.join()).not.toMatch(/pk_|sk_|visitor-1/);
  });

  it("lets a page read the refusal, or it would try for ever", async () => {
    const { post } = buildCollector();
    const response = await post(
      "/v1/batch",
      { writeKey: "pk_wrong", batch: [buildEvent()] },
      { origin: "https://evil.example" },
    );
    expect(response.headers.get("access-control-allow-origin")).toBe("https://evil.example");
    expect(response.headers.get("access-control-expose-headers")).toContain("Retry-After");
  });
});

describe("what may come again", () => {
  it("answers 429 with when to come back, and takes nothing of it", async () => {
    let ms = 0;
    const slow = buildSite({ maxEventsPerSecond: 100 });
    const { post, log } = buildCollector({
      clock: () => ms,
      sites: { findKey: () => ({ site: slow, kind: "write" }), findSite: () => slow, sites: () => [slow] },
    });
    expect((await post("/v1/batch", full)).status).toBe(200);
    const refused = await post("/v1/batch", { writeKey, batch: many(150) });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "2"]);
    expect((await errorOf(refused)).code).toBe("too_many_requests");
    expect(log.rows()).toHaveLength(1000);
    ms = 2000;
    expect((await post("/v1/batch", { writeKey, batch: many(150) })).status).toBe(200);
  });

  it("lets one visitor take no more than half of what its site may send, and the others all of it", async () => {
    let ms = 0;
    const fast = buildSite({ maxEventsPerSecond: 1000 });
    const { post } = buildCollector({
      clock: () => ms,
      sites: { findKey: () => ({ site: fast, kind: "write" }), findSite: () => fast, sites: () => [fast] },
    });
    const from = async (anonymousId: string, count: number): Promise<number> => {
      const batch = Array.from({ length: count }, () => buildEvent({ anonymousId }));
      return (await post("/v1/batch", { writeKey, batch })).status;
    };
    const answers = { bot: new Map<number, number>(), people: new Map<number, number>() };
    const note = (who: Map<number, number>, status: number): unknown => who.set(status, (who.get(status) ?? 0) + 1);
    for (; ms < 20_000; ms += 100) {
      // The bot asks for twice of what the site may send, and people for a third of it.
      for (let n = 0; n < 2; n++) note(answers.bot, await from("bot", 100));
      for (let n = 0; n < 3; n++) note(answers.people, await from(`person ${(ms / 100 + n * 61) % 211}`, 10));
    }
    expect([...answers.people.keys()]).toEqual([200]);
    expect(new Set(answers.bot.keys())).toEqual(new Set([200, 429]));
    // What people leave is the bot's: nothing is held back for nobody.
    expect(answers.bot.get(200)! * 100).toBeGreaterThan(0.6 * 20 * 1000);
  });

  it("answers 503 when a site holds its share of what is in flight, and takes other sites' events", async () => {
    let confirm = (): void => {};
    const confirmed = new Promise<void>((resolve) => (confirm = resolve));
    const sites = { hot: buildSite({ id: "hot" }), small: buildSite({ id: "small" }) };
    const { post, registry } = buildCollector({
      log: createRecordingLog(() => confirmed),
      sites: {
        findKey: (key) => ({ site: sites[key as keyof typeof sites], kind: "write" }),
        findSite: (id) => sites[id as keyof typeof sites],
        sites: () => Object.values(sites),
      },
      options: { maxInFlightBytes: 100_000, answerWithinMs: 60_000 },
    });
    const send = (key: string): Promise<Response> => post("/v1/batch", { writeKey: key, batch: [buildEvent()] });
    const inFlight = async (): Promise<number> => Number(/in_flight_requests (\d+)/.exec(await registry.metrics())![1]);
    /** Undefined when it was let in, and waits. */
    const refusal = async (answer: Promise<Response>): Promise<number | undefined> => {
      const before = held.length;
      let status: number | undefined;
      void answer.then((response) => (status = response.status));
      while (status === undefined && (await inFlight()) === before) await turn();
      // Let in to be read is not yet let in to wait.
      for (let n = 0; n < 20; n++) await turn();
      if (status === undefined) held.push(answer);
      return status;
    };
    const held: Promise<Response>[] = [];
    while ((await refusal(send("hot"))) === undefined);
    expect(held.length).toBeGreaterThan(5);
    expect(await refusal(send("hot"))).toBe(503);
    expect(await refusal(send("small"))).toBeUndefined();
    confirm();
    for (const answer of held) expect((await answer).status).toBe(200);
  });

  it("counts the rows that a request becomes: what its events share is in each of them", async () => {
    const { post, registry } = buildCollector({
      log: createRecordingLog(() => new Promise(() => {})),
      options: { maxInFlightBytes: 8_000_000, answerWithinMs: 60_000 },
    });
    const page = { url: `https://shop.example/${"p".repeat(4_000)}` };
    const send = () => post("/v1/batch", { ...full, context: { ...full.context, page } });
    void send();
    const bytes = async (): Promise<number> => Number(/in_flight_bytes (\d+)/.exec(await registry.metrics())![1]);
    await vi.waitFor(async () => expect(await bytes()).toBeGreaterThan(4_000_000), { timeout: 120_000 });
    expect((await send()).status).toBe(503);
    expect(await bytes()).toBeLessThan(8_000_000);
  });

  it("answers 503 when the log is away, logs it once, and is well again after", async () => {
    let isAway = true;
    const log = createRecordingLog(() =>
      isAway ? Promise.reject(new LogUnavailableError("gone")) : Promise.resolve(),
    );
    const { post, lines } = buildCollector({ log });
    for (let i = 0; i < 5; i++) {
      const response = await post("/v1/batch", { writeKey, batch: [buildEvent()] }, { origin: shopOrigin });
      expect([response.status, response.headers.get("retry-after")]).toEqual([503, "2"]);
      expect(response.headers.getSetCookie()).toEqual([]);
      expect((await errorOf(response)).code).toBe("log_unavailable");
    }
    expect(lines.filter((line) => line.includes("away"))).toHaveLength(1);
    isAway = false;
    expect((await post("/v1/batch", { writeKey, batch: [buildEvent()] })).status).toBe(200);
    expect(lines.filter((line) => line.includes("back"))).toHaveLength(1);
  });

  it("answers 503 when the disk does not confirm what visitors chose, and is dead when it never does", async () => {
    let ms = 0;
    const ledger = { ...createMemoryConsentLedger(), record: () => new Promise<void>(() => {}) };
    const { post, collector, registry } = buildCollector({ ledger, clock: () => ms, options: { answerWithinMs: 20 } });
    const choice = { type: "consent", anonymousId: "v-1", context: { consent: buildConsent() } };
    const response = await post("/v1/batch", { writeKey, batch: [choice] });
    expect([response.status, (await errorOf(response)).code]).toEqual([503, "log_unavailable"]);
    expect(await registry.metrics()).toContain("polder_collector_in_flight_requests 0");
    const livez = async (): Promise<number> => (await collector.app.request("/livez")).status;
    ms += 119_999;
    expect([await livez(), await collector.problem()]).toEqual([200, undefined]);
    ms += 1;
    expect([await livez(), await collector.problem()]).toEqual([
      503,
      "a record of choices has been under way for 120 s",
    ]);
  });

  it("answers 503 when only the rejected ones could not be stored", async () => {
    const log = createRecordingLog();
    const { append } = log;
    log.append = (topic, records) =>
      topic === "polder.rejected" ? Promise.reject(new LogUnavailableError("gone")) : append(topic, records);
    const { post } = buildCollector({ log });
    expect((await post("/v1/batch", { writeKey, batch: [buildEvent(), {}] })).status).toBe(503);
  });

  it("lets no more in than it can hold", async () => {
    let confirm = (): void => {};
    const confirmed = new Promise<void>((resolve) => (confirm = resolve));
    const { post, registry } = buildCollector({
      log: createRecordingLog(() => confirmed),
      options: { maxInFlightRequests: 2, answerWithinMs: 60_000 },
    });
    const held = [
      post("/v1/batch", { writeKey, batch: [buildEvent()] }),
      post("/v1/batch", { writeKey, batch: [buildEvent()] }),
    ];
    const refused = await post("/v1/batch", { writeKey, batch: [buildEvent()] });
    expect([refused.status, (await errorOf(refused)).code]).toEqual([503, "overloaded"]);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    expect(await registry.metrics()).toContain("polder_collector_in_flight_requests 2");
    confirm();
    for (const response of await Promise.all(held)) expect(response.status).toBe(200);
    expect((await post("/v1/batch", { writeKey, batch: [buildEvent()] })).status).toBe(200);
  });
});

describe("the spool", () => {
  it("makes the answer a 202 with the same body, since all of it is durable", async () => {
    const log = { ...createRecordingLog(), append: () => Promise.resolve("spooled" as const) };
    const response = await buildCollector({ log }).post("/v1/batch", { writeKey, batch: [buildEvent(), {}] });
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ accepted: 1, rejected: [{ index: 1, reason: "unknown_type" }] });
  });
});

describe("cookies", () => {
  const ask = (event: PolderEvent, headers: { [name: string]: string } = {}, path = "http://localhost/v1/batch") =>
    buildCollector().post(
      path,
      { writeKey, batch: [event] },
      { origin: "http://localhost:8080", host: "localhost:8081", ...headers },
    );
  const open = { ...keys[writeKey]!, site: buildSite({ origins: ["*"] }) };

  it("takes both cookies from a visitor who withdraws", async () => {
    const withdrawn = buildEvent({
      type: "consent",
      event: undefined,
      anonymousId: "visitor-1",
      context: { consent: { v: 1, id: "c", purposes: { profile: "withdrawn", measurement: "withdrawn" } } },
    });
    const { post } = buildCollector({
      sites: { findKey: () => open, findSite: () => open.site, sites: () => [open.site] },
    });
    const headers = { origin: "http://localhost:8080", host: "localhost:8081", cookie: "polder_id=visitor-1.abc" };
    const lines = (await post("/v1/batch", { writeKey, batch: [withdrawn] }, headers)).headers.getSetCookie();
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toContain("; Max-Age=0;");
  });

  it("gives a visitor who said yes to a profile both cookies", async () => {
    const { post } = buildCollector({
      sites: { findKey: () => open, findSite: () => open.site, sites: () => [open.site] },
    });
    const headers = { origin: "http://localhost:8080", host: "localhost:8081" };
    const response = await post("/v1/batch", { writeKey, batch: [buildEvent()] }, headers);
    const [readable, hidden] = response.headers.getSetCookie();
    expect(readable).toMatch(/^polder_aid=visitor-1\.[0-9a-z]+; Max-Age=34128000; Path=\/; SameSite=Lax$/);
    expect(hidden).toBe(readable!.replace("polder_aid", "polder_id") + "; HttpOnly");
    const cookie = [readable, hidden].map((line) => line!.split(";")[0]).join("; ");
    const again = await post("/v1/batch", { writeKey, batch: [buildEvent()] }, { ...headers, cookie });
    expect(again.headers.getSetCookie()).toEqual([]);
  });

  it("gives none to a page that may not use the key", async () => {
    expect((await ask(buildEvent())).headers.getSetCookie()).toEqual([]);
  });

  it("gives none without consent for a profile, or to a server", async () => {
    const { post } = buildCollector({
      sites: { findKey: (key) => (key === writeKey ? open : keys[key]), findSite: () => site, sites: () => [site] },
    });
    const headers = { origin: "http://localhost:8080", host: "localhost:8081" };
    const measured = buildPage({ context: { consent: buildConsent(["measurement"]) } });
    const withdrawn = buildEvent({
      type: "consent",
      event: undefined,
      context: { consent: { v: 1, id: "c", purposes: { profile: "withdrawn" } } },
    });
    for (const event of [measured, withdrawn])
      expect((await post("/v1/batch", { writeKey, batch: [event] }, headers)).headers.getSetCookie()).toEqual([]);
    expect((await post("/v1/batch", { batch: [buildEvent()] }, basic(serverKey))).headers.getSetCookie()).toEqual([]);
  });
});

describe("CORS", () => {
  it("answers Segment's preflight", async () => {
    const { collector } = buildCollector();
    const response = await collector.app.request("/v1/t", {
      method: "OPTIONS",
      headers: {
        origin: shopOrigin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-retry-count",
      },
    });
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": shopOrigin,
      "access-control-allow-credentials": "true",
      "access-control-allow-headers": "authorization,content-type,x-retry-count",
      "access-control-allow-methods": expect.stringContaining("POST"),
      vary: expect.stringContaining("Origin"),
    });
  });

  it("lets the allowed page read the answer, with credentials, and names nobody else", async () => {
    const { post } = buildCollector();
    const allowed = await post("/v1/batch", { writeKey, batch: [buildEvent()] }, { origin: shopOrigin });
    expect(allowed.headers.get("access-control-allow-origin")).toBe(shopOrigin);
    expect(allowed.headers.get("access-control-allow-credentials")).toBe("true");
    const server = await post("/v1/batch", { writeKey, batch: [buildEvent()] });
    expect(server.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("the pixel", () => {
  const parameters = (event: object): string =>
    `data=${encodeURIComponent(Buffer.from(JSON.stringify(event)).toString("base64"))}`;
  const context = { consent: buildConsent() };
  const show = async (query: string, headers: { [name: string]: string } = {}) => {
    const built = buildCollector();
    const response = await built.collector.app.request(`/v1/pixel.gif?${query}`, { headers });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/gif"]);
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1", 0, 6)).toBe("GIF89a");
    return { ...built, result: response.headers.get("x-polder-result") };
  };

  it("takes an event in base64", async () => {
    const event = buildEvent({ event: "Email Opened" });
    const { log, result } = await show(`writeKey=${writeKey}&${parameters(event)}`);
    expect(result).toBe("accepted");
    expect(log.rows()[0]).toMatchObject({ name: "Email Opened", message_id: "message-1" });
  });

  it("takes an event as parameters, and the page from the Referer", async () => {
    const query = new URLSearchParams({
      writeKey,
      anonymousId: "a-1",
      context: JSON.stringify(context),
      properties: '{"n":1}',
    });
    const { log } = await show(query.toString(), { referer: "https://shop.example/no-script" });
    expect(log.rows()[0]).toMatchObject({
      type: "page",
      url_path: "/no-script",
      anonymous_id: "a-1",
      properties: { n: 1 },
      message_id: "made-1",
    });
  });

  it.each([
    ["", "missing_key"],
    ["writeKey=pk_wrong", "unknown_key"],
    [`writeKey=${serverKey}&event=a`, "origin_refused"],
    [`writeKey=${writeKey}&data=%00`, "not_an_object"],
    [`writeKey=${writeKey}&event=a`, "no_consent"],
    [`writeKey=${writeKey}&event=a&properties=x`, "invalid_field"],
  ])("is a picture whatever is wrong with %j", async (query, reason) => {
    const { log, result } = await show(query);
    expect(result).toBe(reason);
    expect(log.rows()).toEqual([]);
  });

  it("knows the visitor by our cookie", async () => {
    const created = Math.floor(Date.parse("2026-11-01T00:00:00Z") / 1000).toString(36);
    const { log } = await show(`writeKey=${writeKey}&event=a&context=${JSON.stringify(context)}`, {
      cookie: `x=1; polder_id=v-9.${created}`,
    });
    expect(log.rows()[0]!.anonymous_id).toBe("v-9");
  });
});

describe("what others read", () => {
  it("lets analytics.js boot, pointed at us", async () => {
    const { collector } = buildCollector();
    const response = await collector.app.request(`/v1/projects/${writeKey}/settings`, {
      headers: { host: "data.example:8081", origin: shopOrigin },
    });
    expect(response.headers.get("access-control-allow-origin")).toBe(shopOrigin);
    expect(await response.json()).toMatchObject({
      integrations: { "Segment.io": { apiKey: writeKey, apiHost: "data.example:8081/v1", protocol: "http" } },
      metrics: { sampleRate: 0 },
    });
    for (const key of ["pk_wrong", serverKey])
      expect((await collector.app.request(`/v1/projects/${key}/settings`)).status).toBe(404);
  });

  it("serves the script with its hash, compressed, and not again to who has it", async () => {
    const { collector } = buildCollector();
    const first = await collector.app.request("/polder.js");
    expect(await first.text()).toBe("globalThis.polder = {};");
    expect(first.headers.get("content-type")).toContain("text/javascript");
    // A page that checks its hash (`integrity`) must be able to read it.
    expect(first.headers.get("access-control-allow-origin")).toBe("*");
    expect(first.headers.get("sourcemap")).toBe("polder.js.map");
    expect(first.headers.get("cache-control")).toMatch(/max-age=\d+/);
    const etag = first.headers.get("etag")!;
    expect((await collector.app.request("/polder.js", { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await collector.app.request("/polder.js", { headers: { "if-none-match": '"other"' } })).status).toBe(200);
    const compressed = await collector.app.request("/polder.js", { headers: { "accept-encoding": "gzip, br" } });
    expect(compressed.headers.get("content-encoding")).toBe("br");
    expect(await (await collector.app.request("/polder.js.sri")).json()).toEqual({
      integrity: expect.stringMatching(/^sha384-/),
    });
    expect((await collector.app.request("/polder.js.map")).status).toBe(200);
    expect(await (await collector.app.request("/polder.all.js")).text()).toBe("globalThis.polder = { all: true };");
  });

  it("says how it is, and describes itself", async () => {
    const log = createRecordingLog();
    const { collector } = buildCollector({ log });
    expect((await collector.app.request("/livez")).status).toBe(200);
    expect((await collector.app.request("/readyz")).status).toBe(200);
    log.isReachable = () => Promise.resolve(false);
    expect((await collector.app.request("/readyz")).status).toBe(503);
    expect((await collector.app.request("/livez")).status).toBe(200);
    const document = (await (await collector.app.request("/openapi.json")).json()) as {
      openapi: string;
      paths: object;
    };
    expect(document.openapi).toMatch(/^3\./);
    expect(Object.keys(document.paths)).toContain("/v1/batch");
  });

  it("takes over the id of a request from a proxy that it trusts, and from nobody else", async () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const findKey = () => {
      throw new TypeError("a fault of ours");
    };
    const ask = async (trustedProxies: string[]): Promise<(string | null)[]> => {
      const { collector, lines } = buildCollector({
        sites: { findKey, findSite: () => site, sites: () => [site] },
        edge: () => ({ trustedProxies }),
      });
      const { url } = await collector.listen({ host: "127.0.0.1", port: 0 });
      const headers = { ...basic(writeKey), "x-request-id": trace };
      const response = await fetch(`${url}/v1/batch`, { method: "POST", body: "{}", headers });
      await collector.close();
      const [logged] = lines.map((line) => JSON.parse(line) as { requestId: string });
      return [String(response.status), response.headers.get("x-request-id"), logged!.requestId];
    };
    expect(await ask(["127.0.0.0/8"])).toEqual(["503", trace, trace]);
    const [status, said, logged] = await ask(["10.0.0.0/8"]);
    expect(status).toBe("503");
    expect(said).toMatch(/^made-\d+$/);
    expect(logged).toBe(said);
  });

  it("counts what came, what became of it, and what the clients say", async () => {
    const { post, collector } = buildCollector();
    const receipt = { queued: 5, sent: 3, retried: 1, dropped: { outbox_full: 2 } };
    await post("/v1/batch", { writeKey, receipt, batch: [...many(2), {}, buildPage({ context: {} })] });
    const text = await (await collector.app.request("/metrics")).text();
    for (const line of [
      'polder_collector_events_received_total{site="shop"} 4',
      'polder_collector_events_accepted_total{site="shop"} 2',
      'polder_collector_events_rejected_total{site="shop",reason="unknown_type"} 1',
      'polder_collector_events_dropped_total{site="shop",reason="no_consent"} 1',
      'polder_collector_client_events_total{site="shop",outcome="dropped_outbox_full"} 2',
      'polder_collector_step_passed_total{step="row"} 2',
      'polder_collector_step_stopped_total{step="consent",reason="no_consent"} 1',
      "polder_collector_request_seconds_count 1",
      'polder_collector_append_seconds_count{topic="polder.events",outcome="ok"} 1',
    ])
      expect(text).toContain(line);
  });
});
