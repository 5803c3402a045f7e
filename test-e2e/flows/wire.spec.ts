import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { expect, test } from "@playwright/test";
import { grantedConsent } from "../support/load.ts";
import { rowsOfEngine } from "../support/operator.ts";
import { eventually, startStack, type Stack } from "../support/stack.ts";
import { untilTaken } from "../support/until-taken.ts";

let stack: Stack;
test.beforeAll(async () => {
  stack = await startStack();
});
test.afterAll(() => stack.remove());

const event = (over: Record<string, unknown> = {}) => ({
  type: "track",
  event: "Wire Tested",
  messageId: randomUUID(),
  anonymousId: "wire-visitor",
  timestamp: new Date().toISOString(),
  context: { consent: grantedConsent },
  ...over,
});

const post = (body: string | Buffer, over: Record<string, string> = {}, path = "/v1/batch") =>
  untilTaken(() =>
    fetch(`${stack.collectorUrl}${path}`, {
      method: "POST",
      headers: { "content-type": "text/plain;charset=UTF-8", origin: stack.shopUrl, ...over },
      body: body as string,
    }),
  );

const batch = (events: unknown[], writeKey = stack.writeKey) =>
  JSON.stringify({ writeKey, sentAt: new Date().toISOString(), batch: events });

const storedIds = async (ids: string[]) =>
  (
    await stack.sql<{ message_id: string }>(
      `SELECT message_id FROM polder.events WHERE message_id IN (${ids.map((id) => `'${id}'`).join(",")})`,
    )
  ).map((row) => row.message_id);

/** A later event that is stored tells that everything before it has been through. */
async function settle(): Promise<void> {
  const marker = event();
  expect((await post(batch([marker]))).status).toBe(200);
  await eventually(
    () => storedIds([marker.messageId]),
    (ids) => ids.length === 1,
  );
}

test("a good event is answered 200 and queryable within two seconds", async () => {
  const one = event();
  const from = performance.now();
  const answer = await post(batch([one]));
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ accepted: 1, rejected: [] });
  await eventually(
    () => storedIds([one.messageId]),
    (ids) => ids.length === 1,
  );
  test
    .info()
    .annotations.push({ type: "event to queryable", description: `${Math.round(performance.now() - from)} ms` });
});

for (const [what, send, status, code] of [
  ["an unknown key", () => post(batch([event()], "pk_nobody")), 401, "unknown_key"],
  ["no key", () => post(JSON.stringify({ batch: [event()] })), 401, "missing_key"],
  ["a wrong origin", () => post(batch([event()]), { origin: "https://evil.example" }), 403, "origin_refused"],
  ["broken JSON", () => post(`{"writeKey":"${stack.writeKey}","batch":[{`), 400, "not_json"],
  ["an empty batch", () => post(batch([])), 400, "empty_batch"],
  ["1,001 events", () => post(batch(Array.from({ length: 1001 }, () => ({ type: "page" })))), 413, "too_many_events"],
  [
    "a body over 500 KiB",
    () => post(batch([event({ properties: { text: "x".repeat(520 * 1024) } })])),
    413,
    "request_too_large",
  ],
  [
    "a gzip bomb",
    () => post(gzipSync(Buffer.alloc(60 * 1024 * 1024, " ")), { "content-encoding": "gzip" }),
    413,
    "request_too_large",
  ],
  ["broken gzip", () => post(Buffer.from("not gzip"), { "content-encoding": "gzip" }), 400, "broken_encoding"],
  ["a picture", () => post(batch([event()]), { "content-type": "image/png" }), 415, "unsupported_media_type"],
  ["an unknown path", () => post("{}", {}, "/v1/nothing"), 404, "not_found"],
] as const) {
  test(`${what} is answered ${status} ${code} and stores nothing`, async () => {
    const [before] = await stack.sql<{ n: number }>(
      "SELECT (SELECT count() FROM polder.events WHERE name = 'Wire Tested') AS n",
    );
    const answer = await send();
    expect(answer.status).toBe(status);
    const body = (await answer.json()) as Record<string, string>;
    expect(body).toMatchObject({ code });
    expect(body.message!.length, "says what to do").toBeGreaterThan(20);
    expect(body.docs).toMatch(/\S/);
    await settle();
    const [after] = await stack.sql<{ n: number }>(
      "SELECT (SELECT count() FROM polder.events WHERE name = 'Wire Tested') AS n",
    );
    expect(after!.n).toBe(before!.n + 1); // the marker alone
  });
}

test("one bad event among 99 good ones: the good ones are stored, the bad one is in rejected with its reason", async () => {
  const events = Array.from({ length: 100 }, () => event());
  const bad = { ...events[41]!, event: undefined };
  const answer = await post(batch([...events.slice(0, 41), bad, ...events.slice(42)]));
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({
    accepted: 99,
    rejected: [{ index: 41, messageId: bad.messageId, reason: "name_missing" }],
  });
  await eventually(
    () => storedIds(events.map(({ messageId }) => messageId)),
    (ids) => ids.length === 99,
  );
  const rejected = await eventually(
    () =>
      rowsOfEngine<{ reason: string; body: string }>(
        stack,
        `SELECT reason, body FROM polder.rejected WHERE message_id = '${bad.messageId}'`,
      ),
    (rows) => rows.length > 0,
  );
  expect(rejected).toHaveLength(1);
  expect(rejected[0]).toMatchObject({ reason: "name_missing" });
  expect(rejected[0]!.body).toContain(bad.messageId);
});

test("an event of 40 KiB is rejected alone", async () => {
  const [small, large] = [event(), event({ properties: { text: "x".repeat(40 * 1024) } })];
  const answer = await post(batch([small, large]));
  expect(await answer.json()).toMatchObject({
    accepted: 1,
    rejected: [{ index: 1, messageId: large.messageId, reason: "event_too_large" }],
  });
  await eventually(
    () => storedIds([small.messageId, large.messageId]),
    (ids) => ids.length === 1,
  );
});

test("an event without consent is refused and nothing of it is kept", async () => {
  const secret = `no-consent-${randomUUID()}`;
  const one = event({ context: {}, anonymousId: secret });
  const answer = await post(batch([one]));
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ accepted: 0, rejected: [{ index: 0, reason: "no_consent" }] });
  await settle();
  expect(await storedIds([one.messageId])).toEqual([]);
  expect(
    await rowsOfEngine(
      stack,
      `SELECT 1 FROM polder.rejected WHERE message_id = '${one.messageId}' OR position(body, '${secret}') > 0`,
    ),
  ).toEqual([]);
});

test("a retry of the same message is stored once, also within one request", async () => {
  const one = event();
  await post(batch([one, one]));
  await post(batch([one]));
  await settle();
  expect(await storedIds([one.messageId])).toEqual([one.messageId]);
});

test("card numbers, secrets in addresses and full IP addresses are not stored", async () => {
  const one = event({
    type: "page",
    event: undefined,
    properties: { note: "my card is 4111 1111 1111 1111" },
    context: {
      consent: grantedConsent,
      page: { url: `${stack.shopUrl}/pay?token=s3cret&utm_source=mail&email=jan@example.com`, title: "Pay" },
    },
  });
  expect((await post(batch([one]))).status).toBe(200);
  const [row] = await eventually(
    () => stack.sql<Record<string, unknown>>(`SELECT * FROM polder.events WHERE message_id = '${one.messageId}'`),
    (rows) => rows.length === 1,
  );
  const text = JSON.stringify(row);
  expect(text).not.toContain("4111");
  expect(text).not.toContain("s3cret");
  expect(text).not.toContain("jan@example.com");
  expect(text).not.toContain("127.0.0.1");
  expect(row).toMatchObject({ utm_source: "mail", url_path: "/pay" });
});

test("the pixel answers a picture whatever it is given, and stores what it may", async () => {
  const answer = await fetch(`${stack.collectorUrl}/v1/pixel.gif?writeKey=pk_nobody`);
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "image/gif"]);
});

test("the script comes with cache headers, a source map and its integrity hash", async () => {
  const script = await fetch(`${stack.collectorUrl}/polder.js`);
  expect(script.status).toBe(200);
  expect(script.headers.get("cache-control")).toMatch(/max-age=\d+/);
  expect(script.headers.get("etag")).toBeTruthy();
  expect(
    (await fetch(`${stack.collectorUrl}/polder.js`, { headers: { "if-none-match": script.headers.get("etag")! } }))
      .status,
  ).toBe(304);
  expect((await fetch(`${stack.collectorUrl}/polder.js.map`)).status).toBe(200);
});
