import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { grantedConsent } from "../support/load.ts";
import { answers, eventually, freePorts } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
let folder: string;
const origin = "http://shop.test";
const { config, writeKey } = testConfig([origin]);

interface Collector {
  url: string;
  start(): Promise<void>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  /** From SIGTERM until it runs again. */
  isStopping(): boolean;
  output(): string;
}
const children = new Set<ChildProcess>();

/** A collector as an operator runs it. */
function createProcess(port: number, args: string[], env: Record<string, string>): Collector {
  let child: ChildProcess;
  let output = "";
  let isStopping = false;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    output: () => output,
    isStopping: () => isStopping,
    async start() {
      child = spawn(process.execPath, [built("apps/collector/dist/main.js"), ...args], {
        env: {
          ...process.env,
          ...env,
          POLDER_CONFIG: join(folder, "polder.config.json"),
          POLDER_COLLECTOR_PORT: String(port),
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.add(child);
      for (const stream of [child.stdout!, child.stderr!])
        stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
      const ended = once(child, "exit").then(() => {
        throw new Error(`the collector ended by itself:\n${output}`);
      });
      await Promise.race([ended, answers(`${url}/readyz`)]);
      ended.catch(() => {});
      isStopping = false;
    },
    async stop() {
      isStopping = true;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
      return child.exitCode;
    },
  };
}

test.afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  // Those that a test left write there until they have ended.
  rmSync(folder, { recursive: true, force: true, maxRetries: 50 });
});

test.beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-rolling-"));
  writeFileSync(join(folder, "polder.config.json"), JSON.stringify(config));
});

const bodyOf = (messageId: string, visitor: string): string => {
  const at = new Date().toISOString();
  const event = {
    type: "track",
    event: "Product Viewed",
    messageId,
    anonymousId: visitor,
    timestamp: at,
  };
  return JSON.stringify({ writeKey, sentAt: at, context: { consent: grantedConsent }, batch: [event] });
};

/** The status and how many events it accepts; or what became of the connection. */
type Answer = { status: number; accepted: number } | { fault: string };

async function read(response: IncomingMessage): Promise<Answer> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
  const { accepted = 0 } = JSON.parse(text) as { accepted?: number };
  return { status: response.statusCode!, accepted };
}

/**
 * Over kept connections, as browsers and proxies do. A server that stops closes connections on which it has read nothing yet, at the moment when one
 * of them is used, and whoever sends to it has to reckon with that. Anything else than that and a refused connection is an answer that was owed.
 */
function post(collector: Collector, agent: Agent, body: string): Promise<Answer> {
  return new Promise((resolve) => {
    const asked = request(`${collector.url}/v1/batch`, {
      method: "POST",
      agent,
      headers: { "content-type": "text/plain", origin },
      timeout: 60_000,
    });
    const failed = (error: NodeJS.ErrnoException): void => {
      const what = error.code ?? error.message;
      resolve({ fault: what === "ECONNRESET" && collector.isStopping() ? "closed as it stops" : what });
    };
    asked.on("timeout", () => asked.destroy(new Error("no answer within a minute")));
    asked.on("error", failed);
    asked.on("response", (response) => void read(response).then(resolve, failed));
    asked.end(body);
  });
}

/** What clients of both heard: they go to the other one, with the same id, when an answer says that they may. */
function startClients(collectors: readonly Collector[], count: number) {
  /** By id: who answered, and when. */
  const accepted = new Map<string, string>();
  const heard = new Map<string, number>();
  let isDone = false;

  const client = async (index: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let number = 0; !isDone; number++) {
      const messageId = `${index}-${number}`;
      const body = bodyOf(messageId, `visitor-${index}`);
      for (let attempt = 0; !accepted.has(messageId); attempt++) {
        const collector = collectors[(index + number + attempt) % collectors.length]!;
        const answer = await post(collector, agent, body);
        const what = "fault" in answer ? answer.fault : String(answer.status);
        heard.set(what, (heard.get(what) ?? 0) + 1);
        if ("status" in answer && answer.status < 300 && answer.accepted === 1)
          accepted.set(messageId, `${answer.status} from ${collector.url} at ${new Date().toISOString()}`);
      }
    }
    agent.destroy();
  };
  const clients = Array.from({ length: count }, (_, index) => client(index));
  return {
    accepted,
    heard,
    async more(events: number, what?: string): Promise<void> {
      const soFar = (): number => (what === undefined ? accepted.size : (heard.get(what) ?? 0));
      const from = soFar();
      await eventually(
        async () => soFar(),
        (n) => n >= from + events,
      );
    },
    async finish() {
      isDone = true;
      await Promise.all(clients);
    },
  };
}

/**
 * Stops a collector that has read half of a request. The other half is sent when nobody can connect any more: an answer that is owed is given,
 * however late it is asked for.
 */
async function stopWithin(collector: Collector, messageId: string): Promise<Answer> {
  const body = bodyOf(messageId, "visitor-of-the-last-moment");
  const asked = request(`${collector.url}/v1/batch`, {
    method: "POST",
    headers: {
      "content-type": "text/plain",
      origin,
      "content-length": Buffer.byteLength(body),
      expect: "100-continue",
    },
  });
  const answer = new Promise<Answer>((resolve) => {
    asked.on("error", (error: NodeJS.ErrnoException) => resolve({ fault: error.code ?? error.message }));
    asked.on("response", (response) => resolve(read(response)));
  });
  asked.flushHeaders();
  // It has begun with the request when it says so.
  await once(asked, "continue");
  asked.write(body.slice(0, 20));
  const stopped = collector.stop();
  await eventually(
    () => takesConnections(collector.url),
    (isTaken) => !isTaken,
  );
  asked.end(body.slice(20));
  const given = await answer;
  expect(await stopped, `drains and ends well:\n${collector.output()}`).toBe(0);
  return given;
}

function takesConnections(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    const end = (isTaken: boolean): void => {
      socket.destroy();
      resolve(isTaken);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

interface Log {
  lag(topic: string, group: string): Promise<Map<number, number>>;
  openReader(options: object): { run(consumer: object): Promise<void>; stop(): Promise<void> };
  close(): Promise<void>;
}
const logger = { info() {}, warn() {}, error() {} };

/** Ids in the log, in order. */
async function idsIn(log: Log): Promise<string[]> {
  interface Range {
    records: { headers: { id: string } }[];
  }
  const expected = [...(await log.lag("polder.events", "test")).values()].reduce((sum, n) => sum + n, 0);
  const ids: string[] = [];
  const reader = log.openReader({ topic: "polder.events", group: "test", maxRecords: 1e5, maxBytes: 1e8, lingerMs: 0 });
  await reader.run({
    assigned: async () => 0,
    async consume({ records }: Range) {
      ids.push(...records.map(({ headers }) => headers.id));
      if (ids.length >= expected) void reader.stop();
    },
    revoked() {},
  });
  await log.close();
  return ids;
}

const lost = (accepted: readonly (readonly [id: string, how: string])[], stored: ReadonlySet<string>): string[] =>
  accepted.filter(([id]) => !stored.has(id)).map(([id, how]) => `${id}: ${how}`);

/** Answered, or told to try again, or refused a connection: never a 4xx, a 500, silence, or a connection that ends instead of an answer. */
const unexpected = (heard: ReadonlyMap<string, number>, taken: readonly string[]): string[] =>
  [...heard.keys()].filter((what) => ![...taken, "503", "ECONNREFUSED", "closed as it stops"].includes(what));

test("two collectors are started anew in turn under load: nothing is lost, and clients hear nothing that they could not retry", async () => {
  const [first, second] = (await freePorts(2)) as [number, number];
  // Both write to the log in one folder.
  const env = { KAFKA_BROKERS: "", POLDER_DATA: folder };
  const collectors = [createProcess(first, [], env), createProcess(second, ["--workers", "2"], env)];
  for (const collector of collectors) await collector.start();

  const clients = startClients(collectors, 8);
  await clients.more(300);
  const last: string[] = [];
  for (let round = 0; round < 2; round++) {
    for (const [index, collector] of collectors.entries()) {
      last.push(`last-${round}-${index}`);
      expect(await stopWithin(collector, last.at(-1)!)).toEqual({ status: 200, accepted: 1 });
      // The other one carries on alone.
      await clients.more(200);
      await collector.start();
      await clients.more(200);
    }
  }
  await clients.finish();
  for (const collector of collectors) expect(await collector.stop()).toBe(0);

  const { createLmdbLog } = (await import(built("packages/lmdb/dist/index.js"))) as {
    createLmdbLog(options: object): Log;
  };
  const stored = await idsIn(createLmdbLog({ path: join(folder, "log"), logger }));
  expect(lost([...clients.accepted, ...last.map((id) => [id, "the last moment"] as const)], new Set(stored))).toEqual(
    [],
  );
  expect(unexpected(clients.heard, ["200"])).toEqual([]);
  expect(clients.heard.get("200")).toBe(clients.accepted.size);
  for (let index = 0; index < 8; index++) {
    const own = [...new Set(stored.filter((id) => id.startsWith(`${index}-`)))];
    expect(own).toEqual(own.map((_, number) => `${index}-${number}`));
  }
});

test("two collectors on Kafka are started anew in turn, also one that keeps events while Kafka is away: all of them are in Kafka in the end", async () => {
  const { startKafkaBroker } = (await import(built("scripts/kafka-broker.mjs"))) as {
    startKafkaBroker(): Promise<Broker | { skipped: string }>;
  };
  const broker = await startKafkaBroker();
  if ("skipped" in broker) return test.skip(true, broker.skipped);
  try {
    const ports = (await freePorts(2)) as [number, number];
    const kafka = { KAFKA_BROKERS: broker.brokers, POLDER_PARTITIONS: "3", POLDER_REPLICATION: "1" };
    const collectors = ports.map((port, index) => {
      const dataPath = join(folder, `collector-${index}`);
      mkdirSync(dataPath);
      return createProcess(port, [], { ...kafka, POLDER_DATA: dataPath });
    });
    await Promise.all(collectors.map((collector) => collector.start()));
    const clients = startClients(collectors, 8);
    await clients.more(200, "200");
    const last: string[] = [];
    const restart = async (collector: Collector): Promise<void> => {
      last.push(`last-${last.length}`);
      // 200, or 202 where Kafka takes its time: kept either way, and told so.
      const answer = await stopWithin(collector, last.at(-1)!);
      expect([200, 202].map((status) => ({ status, accepted: 1 }))).toContainEqual(answer);
      await clients.more(50);
      await collector.start();
    };
    for (const collector of collectors) await restart(collector);

    await broker.kill();
    await clients.more(100, "202");
    last.push("last-in-the-spool");
    expect(await stopWithin(collectors[0]!, last.at(-1)!)).toEqual({ status: 202, accepted: 1 });
    await clients.more(100, "202");
    const [, , started] = await Promise.all([broker.start(), collectors[0]!.start(), clients.more(200, "200")]);
    expect(started).toBeUndefined();
    for (const collector of collectors) await restart(collector);
    await clients.finish();
    await Promise.all(
      collectors.map(({ url }) =>
        eventually(
          () => spooledAt(url),
          (records) => records === 0,
        ),
      ),
    );
    for (const collector of collectors) expect(await collector.stop()).toBe(0);

    const { createKafkaLog } = (await import(built("packages/kafka/dist/index.js"))) as {
      createKafkaLog(options: object): Log;
    };
    const settings = { clientId: "test", replicationFactor: 1, partitions: 3, createTopics: false, logger };
    const stored = new Set(await idsIn(createKafkaLog({ ...settings, brokers: [broker.brokers] })));
    expect(lost([...clients.accepted, ...last.map((id) => [id, "the last moment"] as const)], stored)).toEqual([]);
    expect(unexpected(clients.heard, ["200", "202"])).toEqual([]);
  } finally {
    await broker.stop();
  }
});

interface Broker {
  brokers: string;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

async function spooledAt(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith("polder_collector_spool_records"));
  return lines.length === 0 ? Number.NaN : lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
