import { connect, type Socket } from "node:net";
import { buildEvent } from "@polder/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { buildCollector, createRecordingLog, writeKey, type TestCollector } from "./collector.test-support.ts";
import type { CollectorOptions } from "./create-collector.ts";

const here = { host: "127.0.0.1", port: 0 };
/** Of clients whose slowness is not what is tested. */
const patient = { headersTimeoutMs: 120_000, requestTimeoutMs: 120_000 };
const open: TestCollector[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(open.splice(0).map(({ collector }) => collector.close()));
});

async function listen(options: Partial<CollectorOptions>): Promise<{ built: TestCollector; url: string }> {
  const built = buildCollector({ options });
  open.push(built);
  return { built, url: (await built.collector.listen(here)).url };
}

/** A connection that says nothing by itself. */
function dial(url: string): { socket: Socket; closed: Promise<string> } {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  sockets.push(socket);
  let heard = "";
  socket.on("data", (bytes) => (heard += bytes.toString()));
  socket.on("error", () => {});
  return { socket, closed: new Promise((resolve) => socket.once("close", () => resolve(heard))) };
}

/** Sends a byte now and then for as long as the connection lasts. */
function drip(socket: Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), 10);
  socket.once("close", () => clearInterval(timer));
}

const body = JSON.stringify({ writeKey, batch: [buildEvent({ messageId: "m-1" })] });
const post = (url: string): Promise<Response> =>
  fetch(`${url}/v1/batch`, { method: "POST", body, headers: { "content-type": "text/plain" } });
const head = (length: number): string =>
  `POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n`;

/** Resolves when the metrics have it. */
const shows = (built: TestCollector, text: RegExp): Promise<void> =>
  vi.waitFor(async () => expect(text.test(await built.registry.metrics()), String(text)).toBe(true), {
    timeout: 120_000,
    interval: 2,
  });

describe("a client that is slow is cut off", () => {
  const impatient = { headersTimeoutMs: 60 };

  it("when it connects and says nothing", async () => {
    const { built, url } = await listen(impatient);
    expect(await dial(url).closed).toMatch(/^(HTTP\/1\.1 408|$)/);
    await shows(built, /connections_cut_total\{reason="slow_sender"\} 1\n/);
  });

  it("when it sends its headers byte by byte", async () => {
    const { built, url } = await listen(impatient);
    const { socket, closed } = dial(url);
    socket.write("POST /v1/batch HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    drip(socket, "x");
    expect(await closed).toMatch(/^(HTTP\/1\.1 408|$)/);
    await shows(built, /connections_cut_total\{reason="slow_sender"\} 1\n/);
  });

  it("when it sends its body byte by byte", async () => {
    const { built, url } = await listen({ ...impatient, requestTimeoutMs: 120 });
    const { socket, closed } = dial(url);
    socket.write(`${head(400_000)}{`);
    drip(socket, " ");
    expect(await closed).not.toContain("200 OK");
    await shows(built, /connections_cut_total\{reason="slow_sender"\} 1\n/);
    await shows(built, /in_flight_bytes 0\n/);
    expect(built.log.rows()).toEqual([]);
  });

  it("when it has been answered and says nothing more, which is no fault of its", async () => {
    const { built, url } = await listen({ keepAliveTimeoutMs: 60 });
    const { socket, closed } = dial(url);
    socket.write("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(await closed).toContain("200 OK");
    expect(await built.registry.metrics()).toContain('connections_cut_total{reason="slow_sender"} 0');
  });

  it("when it asks and asks and does not take the answers", async () => {
    const { built, url } = await listen({ answerTimeoutMs: 80 });
    const { socket } = dial(url);
    socket.pause();
    const ask = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    // Until the kernel takes no more of the answers, and the rest is on our heap.
    const timer = setInterval(() => socket.write(ask), 5);
    socket.once("close", () => clearInterval(timer));
    await shows(built, /connections_cut_total\{reason="slow_reader"\} 1\n/);
    await shows(built, /polder_collector_connections 0\n/);
    clearInterval(timer);
    expect((await post(url)).status).toBe(200);
  });
});

describe("a client that is slow", () => {
  it("takes nothing from others", async () => {
    const { built, url } = await listen({ ...patient, maxInFlightBytes: 20_000 });
    for (let n = 0; n < 20; n++) {
      const { socket } = dial(url);
      socket.write(`${head(400_000)}{`);
      drip(socket, " ");
    }
    await shows(built, /in_flight_requests 20\n/);
    expect((await post(url)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await shows(built, /in_flight_bytes 0\n/);
    expect(built.log.rows()).toHaveLength(1);
  });
});

describe("connections", () => {
  it("are bounded for one address, and not for a proxy of ours", async () => {
    const { built, url } = await listen({ ...patient, maxConnectionsPerAddress: 3 });
    const first = Array.from({ length: 3 }, () => dial(url));
    await shows(built, /polder_collector_connections 3\n/);
    expect(await dial(url).closed).toBe("");
    expect(await built.registry.metrics()).toContain('connections_cut_total{reason="too_many_of_address"} 1');
    first[0]!.socket.destroy();
    await shows(built, /polder_collector_connections 2\n/);
    expect((await post(url)).status).toBe(200);

    const behind = buildCollector({
      options: { ...patient, maxConnectionsPerAddress: 1 },
      edge: () => ({ trustedProxies: ["127.0.0.0/8"] }),
    });
    open.push(behind);
    const proxied = (await behind.collector.listen(here)).url;
    for (let n = 0; n < 5; n++) dial(proxied);
    await shows(behind, /polder_collector_connections 5\n/);
    expect((await post(proxied)).status).toBe(200);
  });

  it("that only wait make room when there are nearly as many as there may be", async () => {
    const { built, url } = await listen({ ...patient, maxConnections: 10 });
    const idle = Array.from({ length: 9 }, () => {
      const { socket, closed } = dial(url);
      socket.write("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
      return { closed, answered: new Promise((resolve) => socket.once("data", resolve)) };
    });
    await Promise.all(idle.map(({ answered }) => answered));
    expect((await post(url)).status).toBe(200);
    for (const { closed } of idle) expect(await closed).toContain("200 OK");
    expect(await built.registry.metrics()).toContain('connections_cut_total{reason="too_many"} 0');
  });
});

describe("close", () => {
  it("does not wait longer than it was told for a client that takes its time", async () => {
    const { built, url } = await listen({ ...patient, drainTimeoutMs: 50 });
    const { socket, closed } = dial(url);
    socket.write(head(1000));
    await shows(built, /in_flight_requests 1\n/);
    await built.collector.close();
    expect(await closed).not.toContain("200 OK");
    expect(built.log.rows()).toEqual([]);
    expect(built.lines.join()).toContain("connections that are still busy are cut");
  });

  it("does not wait for ever for a log that hangs", async () => {
    const built = buildCollector({
      log: createRecordingLog(() => new Promise(() => {})),
      options: { drainTimeoutMs: 50, answerWithinMs: 60_000 },
    });
    const { url } = await built.collector.listen(here);
    const answer = post(url).catch((error: unknown) => error);
    await shows(built, /in_flight_requests 1\n/);
    await built.collector.close();
    expect(await answer).toBeInstanceOf(TypeError);
  });
});
