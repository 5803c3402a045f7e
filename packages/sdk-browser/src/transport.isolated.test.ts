import { afterEach, expect, it, vi } from "vitest";
import { createTransport } from "./transport.ts";

afterEach(() => vi.unstubAllGlobals());

const stubFetch = (answer: () => Response | Promise<Response>) => {
  const fetch = vi.fn<(url: string, init: RequestInit) => Promise<Response>>(async () => answer());
  vi.stubGlobal("fetch", fetch);
  return fetch;
};

it("asks for nothing that needs a preflight", async () => {
  const fetch = stubFetch(() => new Response("{}"));
  expect(await createTransport("https://data.example/v1/batch")("{}")).toEqual({ status: 200, retryAfterMs: 0 });
  const [url, init] = fetch.mock.calls[0]!;
  expect(url).toBe("https://data.example/v1/batch");
  expect(init).toMatchObject({ method: "POST", credentials: "include", keepalive: true, body: "{}" });
  expect(init.headers).toBeUndefined();
});

it.each([
  ["120", 120_000],
  ["soon", 0],
])("reads Retry-After %s", async (value, ms) => {
  stubFetch(() => new Response("", { status: 429, headers: { "retry-after": value } }));
  expect(await createTransport("/")("{}")).toEqual({ status: 429, retryAfterMs: ms });
});

it("calls a request without an answer unknown", async () => {
  stubFetch(() => {
    throw new TypeError("Failed to fetch");
  });
  expect(await createTransport("/")("{}")).toEqual({ status: 0, retryAfterMs: 0 });
});

it("shares the keepalive budget between requests, and has it back when an answer is read", async () => {
  const answers: ((response: Response) => void)[] = [];
  const fetch = stubFetch(() => new Promise((resolve) => answers.push(resolve)));
  const post = createTransport("/");
  const isKeptAlive = (call: number): boolean | undefined => fetch.mock.calls[call]![1].keepalive;
  // Two bytes a character.
  const half = "é".repeat(16_000);
  const first = post(half);
  const second = post(half);
  expect([isKeptAlive(0), isKeptAlive(1)]).toEqual([true, false]);
  for (const answer of answers) answer(new Response("{}"));
  await Promise.all([first, second]);
  void post(half);
  expect(isKeptAlive(2)).toBe(true);
});
