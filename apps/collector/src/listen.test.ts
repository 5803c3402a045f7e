import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { LogRange } from "@polder/core";
import { createLmdbLog } from "@polder/lmdb";
import { buildEvent } from "@polder/testing";
import { limits } from "@polder/protocol";
import { afterEach, describe, expect, it } from "vitest";
import type { Collector } from "./create-collector.ts";
import {
  answerOf,
  buildCollector,
  createRecordingLog,
  errorOf,
  serverKey,
  writeKey,
  type TestCollector,
} from "./collector.test-support.ts";

const here = { host: "127.0.0.1", port: 0 };
const open: Collector[] = [];
afterEach(async () => void (await Promise.all(open.splice(0).map((collector) => collector.close()))));

async function listen(built: TestCollector): Promise<string> {
  open.push(built.collector);
  return (await built.collector.listen(here)).url;
}

const send = (url: string, body: BodyInit, headers: { [name: string]: string } = {}): Promise<Response> =>
  fetch(`${url}/v1/batch`, {
    method: "POST",
    body,
    headers: { "content-type": "text/plain", ...headers },
    duplex: "half",
  } as RequestInit);
const batchOf = (...ids: string[]): string =>
  JSON.stringify({ writeKey, batch: ids.map((messageId) => buildEvent({ messageId })) });

/** What the server says to these bytes until it closes the connection. */
const say = (url: string, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let heard = "";
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
    socket.on("data", (bytes) => (heard += bytes.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
  });

describe("over a connection", () => {
  it("stores what it answers 200, with the network that it came from", async () => {
    const built = buildCollector();
    const url = await listen(built);
    const response = await send(url, batchOf("m-1"), { "user-agent": "curl/8.5.0" });
    expect(await answerOf(response)).toEqual({ accepted: 1, rejected: [] });
    expect(built.log.rows()[0]).toMatchObject({ message_id: "m-1", ip: "127.0.0.0", bot: "curl" });
  });

  it("takes a body of unknown length, up to the limit", async () => {
    const built = buildCollector();
    const url = await listen(built);
    const stream = (text: string, times: number): ReadableStream =>
      new ReadableStream({
        pull(controller) {
          if (times-- > 0) controller.enqueue(Buffer.from(text));
          else controller.close();
        },
      });
    expect((await send(url, stream(batchOf("m-1"), 1))).status).toBe(200);
    const refused = await send(url, stream("x".repeat(64 * 1024), 20)).then(errorOf, (error: unknown) => error);
    // The client is cut off while it sends: it hears the answer, or that the connection is gone.
    expect(refused).toSatisfy(
      (answer: object) => answer instanceof TypeError || ("code" in answer && answer.code === "request_too_large"),
    );
    expect(built.log.rows()).toHaveLength(1);
  });

  it("refuses a body that says it is too long before it comes", async () => {
    const url = await listen(buildCollector());
    const answer = await say(
      url,
      `POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: ${limits.maxRequestBytes + 1}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*request_too_large/s);
  });

  it("stops a bomb while it inflates", async () => {
    const url = await listen(buildCollector());
    const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(limits.maxRequestBytes);
    const before = process.memoryUsage().arrayBuffers;
    const refused = await send(url, bomb, { "content-encoding": "gzip" });
    expect([refused.status, (await errorOf(refused)).code]).toEqual([413, "request_too_large"]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
  });

  it("reads proxies' headers only from proxies", async () => {
    const trusted = buildCollector({ edge: () => ({ trustedProxies: ["127.0.0.1"], countryHeader: "x-country" }) });
    const url = await listen(trusted);
    await send(url, batchOf("m-1"), { "x-forwarded-for": "145.97.39.155", "x-country": "BE" });
    const other = buildCollector();
    await send(await listen(other), batchOf("m-1"), { "x-forwarded-for": "145.97.39.155", "x-country": "BE" });
    expect(trusted.log.rows()[0]).toMatchObject({ ip: "145.97.39.0", country: "BE" });
    expect(other.log.rows()[0]).toMatchObject({ ip: "127.0.0.0", country: "NL" });
  });

  it("gives up on clients that are too slow with their headers", async () => {
    const url = await listen(buildCollector({ options: { headersTimeoutMs: 50, requestTimeoutMs: 100 } }));
    expect(await say(url, "POST /v1/batch HTTP/1.1\r\nHost: a\r\n")).toMatch(/^(HTTP\/1\.1 408|$)/);
  });

  it("counts nothing against its bounds for a client that went away in the middle", async () => {
    const built = buildCollector();
    const url = await listen(built);
    const inFlight = async (count: number) => {
      while (!(await built.registry.metrics()).includes(`in_flight_requests ${count}\n`)) await turn();
    };
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write("POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n{");
    await inFlight(1);
    socket.destroy();
    await inFlight(0);
    expect(built.lines).toEqual([]);
  });

  it("says that a port is taken", async () => {
    const url = await listen(buildCollector());
    await expect(
      buildCollector().collector.listen({ host: "127.0.0.1", port: Number(new URL(url).port) }),
    ).rejects.toThrow("EADDRINUSE");
  });
});

describe("close", () => {
  it("answers what is on its way, refuses what comes after, and loses nothing that was answered", async () => {
    let confirm = (): void => {};
    const confirmed = new Promise<void>((resolve) => (confirm = resolve));
    const built = buildCollector({ log: createRecordingLog(() => confirmed), options: { answerWithinMs: 60_000 } });
    const { url } = await built.collector.listen(here);
    const answers = Array.from({ length: 20 }, (_, n) => send(url, batchOf(`m-${n}`)));
    while (!/in_flight_requests 20\n/.test(await built.registry.metrics())) await turn();
    const closed = built.collector.close();
    expect((await built.post("/v1/batch", batchOf("late"))).status).toBe(503);
    expect((await built.collector.app.request("/readyz")).status).toBe(503);
    confirm();
    for (const response of await Promise.all(answers)) expect(response.status).toBe(200);
    await closed;
    expect(
      built.log
        .rows()
        .map((row) => row.message_id)
        .toSorted(),
    ).toEqual(Array.from({ length: 20 }, (_, n) => `m-${n}`).toSorted());
    await expect(send(url, batchOf("late"))).rejects.toThrow();
  });

  it("under load, ends with exactly what was answered in the log", async () => {
    const built = buildCollector();
    const { url } = await built.collector.listen(here);
    const answered: string[] = [];
    let isOver = false;
    const visitor = async (name: string): Promise<void> => {
      for (let n = 0; !isOver; n++) {
        const id = `${name}-${n}`;
        const response = await send(url, batchOf(id)).catch(() => undefined);
        if (response === undefined) return;
        if (response.status === 200) answered.push(id);
        else expect(response.status).toBe(503);
        await response.arrayBuffer();
      }
    };
    const visitors = Array.from({ length: 10 }, (_, n) => visitor(`v${n}`));
    while (answered.length < 200) await turn();
    await built.collector.close();
    isOver = true;
    await Promise.all(visitors);
    const stored = new Set(built.log.rows().map((row) => row.message_id));
    expect(answered.filter((id) => !stored.has(id))).toEqual([]);
  });
});

it("keeps events and rejected ones in a real log", async () => {
  const path = mkdtempSync(join(tmpdir(), "polder-collector-"));
  const log = createLmdbLog({ path, logger: { info: () => {}, warn: () => {}, error: () => {} } });
  try {
    const built = buildCollector({ log: Object.assign(createRecordingLog(), { append: log.append }) });
    const body = JSON.stringify({
      writeKey,
      batch: [buildEvent({ messageId: "m-1" }), buildEvent({ messageId: "m-2", event: undefined })],
    });
    expect(await answerOf(await send(await listen(built), body))).toMatchObject({
      accepted: 1,
      rejected: [{ messageId: "m-2" }],
    });
    for (const [topic, id] of [
      ["polder.events", "m-1"],
      ["polder.rejected", "m-2"],
    ] as const) {
      const reader = log.openReader({ topic, group: "test", maxRecords: 10, maxBytes: 1_000_000, lingerMs: 1 });
      const range = await new Promise<LogRange>((resolve, reject) => {
        reader
          .run({
            assigned: (_, __, { start }) => Promise.resolve(start),
            consume: (read) => Promise.resolve(resolve(read)),
            revoked: () => {},
          })
          .catch(reject);
      });
      await reader.stop();
      expect(range.records.map(({ headers }) => headers.id)).toEqual([id]);
      expect(JSON.parse(Buffer.from(range.records[0]!.value).toString())).toMatchObject({
        message_id: id,
        site: "shop",
      });
    }
  } finally {
    await log.close();
    rmSync(path, { recursive: true });
  }
});

it("takes what Segment's server library sends, with a server key of the past", async () => {
  const built = buildCollector();
  const url = await listen(built);
  const response = await fetch(`${url}/v1/import`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Basic ${btoa(`${serverKey}:`)}` },
    body: JSON.stringify({
      batch: [buildEvent({ timestamp: "2020-01-02T03:04:05.000Z", context: { ip: "145.97.39.155" } })],
    }),
  });
  expect(response.status).toBe(200);
  expect(built.log.rows()[0]).toMatchObject({
    time: "2020-01-02 03:04:05.000",
    ip: "145.97.39.0",
    device: "server",
    basis: "contract",
  });
});
