import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createTransport } from "./transport.ts";

const yes = '{"accepted":1,"rejected":[]}';
const no = '{"code":"bad","message":"","docs":""}';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 10, 22, 12) });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const stubFetch = (answer: () => Response | Promise<Response>) => {
  const fetch = vi.fn<(url: string, init: RequestInit) => Promise<Response>>(async () => answer());
  vi.stubGlobal("fetch", fetch);
  return fetch;
};

it("asks for nothing that needs a preflight", async () => {
  const fetch = stubFetch(() => new Response(yes));
  const outcome = await createTransport("https://data.example/v1/batch")("{}");
  expect(outcome).toEqual({ status: 200, retryAfterMs: 0, answer: yes });
  const [url, init] = fetch.mock.calls[0]!;
  expect(url).toBe("https://data.example/v1/batch");
  expect(init).toMatchObject({ method: "POST", credentials: "include", keepalive: true, body: "{}" });
  expect(init.headers).toBeUndefined();
});

it.each([
  ["120", 120_000],
  ["0", 0],
  ["Sun, 22 Nov 2026 12:01:30 GMT", 90_000],
  ["soon", 0],
  ["", 0],
])("reads Retry-After %j", async (value, ms) => {
  stubFetch(() => new Response(no, { status: 429, headers: { "retry-after": value } }));
  const { status, retryAfterMs } = await createTransport("/")("{}");
  expect(status).toBe(429);
  expect(Math.max(0, retryAfterMs)).toBe(ms);
});

it("never takes a date that is over for a wait", async () => {
  stubFetch(() => new Response(no, { status: 503, headers: { "retry-after": "Sun, 22 Nov 2026 11:00:00 GMT" } }));
  expect((await createTransport("/")("{}")).retryAfterMs).toBeLessThanOrEqual(0);
});

it("calls a request without an answer unknown", async () => {
  stubFetch(() => {
    throw new TypeError("Failed to fetch");
  });
  expect(await createTransport("/")("{}")).toEqual({ status: 0, retryAfterMs: 0, answer: "" });
});

it.each([
  [200, "<html>Please sign in</html>"],
  [200, "{}"],
  [204, ""],
  [403, "<h1>Blocked</h1>"],
  [404, "not found"],
  [502, "Bad gateway"],
])("calls %i with %j unknown: no collector says that", async (status, text) => {
  stubFetch(() => new Response(text || null, { status }));
  expect((await createTransport("/")("{}")).status).toBe(0);
});

it.each([
  [200, yes],
  [202, yes],
  [400, no],
  [401, no],
  [413, "<h1>Request Entity Too Large</h1>"],
])("believes %i with %j", async (status, text) => {
  stubFetch(() => new Response(text, { status }));
  expect((await createTransport("/")("{}")).status).toBe(status);
});

it("asks for keepalive only within its budget, which counts bytes and not characters", async () => {
  const fetch = stubFetch(() => new Response(yes));
  const post = createTransport("/");
  await post("e".repeat(50_000));
  await post("é".repeat(50_000));
  expect(fetch.mock.calls.map(([, { keepalive }]) => keepalive)).toEqual([true, false]);
});
