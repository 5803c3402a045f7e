import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { grantedConsent } from "../support/load.ts";
import { answers, eventually, freePorts } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";

test.setTimeout(120_000);

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "polder-rolling-"));
const origin = "http://shop.test";
const { config, writeKey } = testConfig([origin]);

interface Collector {
  url: string;
  start(): Promise<void>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  output(): string;
}
const children = new Set<ChildProcess>();

/** A collector as an operator runs it. Both write to the log in one folder, as two would to Kafka. */
function createProcess(port: number, args: string[]): Collector {
  let child: ChildProcess;
  let output = "";
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    output: () => output,
    async start() {
      child = spawn(process.execPath, [built("apps/collector/dist/main.js"), ...args], {
        env: {
          ...process.env,
          KAFKA_BROKERS: "",
          POLDER_CONFIG: join(folder, "polder.config.json"),
          POLDER_DATA: folder,
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
    },
    async stop() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
      return child.exitCode;
    },
  };
}

test.afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** What clients of both heard: they go to the other one, with the same id, when an answer says that they may. */
function startClients(urls: readonly string[], count: number) {
  const accepted = new Set<string>();
  const heard = new Map<string, number>();
  let isDone = false;
  const note = (what: string): unknown => heard.set(what, (heard.get(what) ?? 0) + 1);

  const client = async (index: number): Promise<void> => {
    for (let number = 0; !isDone; number++) {
      const messageId = `${index}-${number}`;
      const at = new Date().toISOString();
      const event = {
        type: "track",
        event: "Product Viewed",
        messageId,
        anonymousId: `visitor-${index}`,
        timestamp: at,
      };
      const body = JSON.stringify({ writeKey, sentAt: at, context: { consent: grantedConsent }, batch: [event] });
      for (let attempt = 0; !accepted.has(messageId); attempt++) {
        const url = urls[(index + number + attempt) % urls.length]!;
        try {
          const answer = await fetch(`${url}/v1/batch`, {
            method: "POST",
            headers: { "content-type": "text/plain", origin },
            body,
            signal: AbortSignal.timeout(10_000),
          });
          const { accepted: stored } = (await answer.json()) as { accepted?: number };
          note(String(answer.status));
          if (answer.status === 200 && stored === 1) accepted.add(messageId);
        } catch (error) {
          note(error instanceof TypeError ? "connection" : String(error));
        }
      }
    }
  };
  const clients = Array.from({ length: count }, (_, index) => client(index));
  return {
    accepted,
    heard,
    async finish() {
      isDone = true;
      await Promise.all(clients);
    },
  };
}

/** Ids in the log, in order. */
async function idsInLog(): Promise<string[]> {
  interface Range {
    records: { headers: { id: string } }[];
  }
  interface Log {
    lag(topic: string, group: string): Promise<Map<number, number>>;
    openReader(options: object): { run(consumer: object): Promise<void>; stop(): Promise<void> };
    close(): Promise<void>;
  }
  const { createLmdbLog } = (await import(built("packages/lmdb/dist/index.js"))) as {
    createLmdbLog(options: object): Log;
  };
  const log = createLmdbLog({ path: join(folder, "log"), logger: { info() {}, warn() {}, error() {} } });
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

test("two collectors are started anew in turn under load: nothing is lost, and clients hear nothing that they could not retry", async () => {
  writeFileSync(join(folder, "polder.config.json"), JSON.stringify(config));
  const [first, second] = (await freePorts(2)) as [number, number];
  const collectors = [createProcess(first, []), createProcess(second, ["--workers", "2"])];
  for (const collector of collectors) await collector.start();

  const clients = startClients(
    collectors.map(({ url }) => url),
    8,
  );
  const moreAccepted = async (count: number): Promise<unknown> => {
    const from = clients.accepted.size;
    return eventually(
      async () => clients.accepted.size,
      (n) => n >= from + count,
    );
  };
  await moreAccepted(300);
  for (let round = 0; round < 2; round++) {
    for (const collector of collectors) {
      expect(await collector.stop(), `drains and ends well:\n${collector.output()}`).toBe(0);
      // The other one carries on alone.
      await moreAccepted(200);
      await collector.start();
      await moreAccepted(200);
    }
  }
  await clients.finish();
  for (const collector of collectors) expect(await collector.stop()).toBe(0);

  const stored = await idsInLog();
  expect([...clients.accepted].filter((id) => !stored.includes(id))).toEqual([]);
  // Answered 200, or told to try again, or refused a connection: never a 4xx, a 500, or silence.
  expect([...clients.heard.keys()].filter((what) => !["200", "503", "connection"].includes(what))).toEqual([]);
  expect(clients.heard.get("200")).toBe(clients.accepted.size);
  for (let index = 0; index < 8; index++) {
    const own = [...new Set(stored.filter((id) => id.startsWith(`${index}-`)))];
    expect(own).toEqual(own.map((_, number) => `${index}-${number}`));
  }
});
