import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { grantedConsent } from "../support/load.ts";
import { eventually, startStack, type Stack } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";

const origin = "http://shop.test";
const { config, writeKey } = testConfig([origin]);
const seed = 20_261_122;

let stack: Stack;
test.beforeEach(async () => {
  stack = await startStack({ config: () => config });
});
test.afterEach(() => stack.remove());

/** Numbers from 0 to 1, the same for the same seed. */
function createRandom(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface SentEvent {
  messageId: string;
  event: string;
  context: { consent?: object };
  [field: string]: unknown;
}

const isGood = ({ event, context }: SentEvent): boolean => event !== "" && context.consent !== undefined;

interface Counts {
  accepted: number;
  rejected: number;
  dropped: number;
}

/** Clients that send all sorts of things, some of it twice, and keep sending a request until it is answered. */
function startClients(count: number) {
  const told: Counts = { accepted: 0, rejected: 0, dropped: 0 };
  /** What was in every request that ever left, answered or not: no more can have arrived. */
  const left: Counts = { accepted: 0, rejected: 0, dropped: 0 };
  const ids = new Set<string>();
  let isDone = false;

  const client = async (index: number): Promise<void> => {
    const random = createRandom(seed + index);
    let number = 0;
    let before: SentEvent[] = [];
    while (!isDone) {
      const batch = Array.from({ length: 1 + Math.floor(random() * 6) }, (): SentEvent => {
        const event = {
          type: "track",
          event: "Product Viewed",
          messageId: `m-${index}-${number++}`,
          anonymousId: `visitor-${index}-${number % 5}`,
          timestamp: new Date().toISOString(),
          context: { consent: grantedConsent, session: { id: `visit-${index}`, start: Date.now(), seq: number } },
        };
        const kind = random();
        if (kind < 0.1) return { ...event, event: "" };
        if (kind < 0.2) return { ...event, context: {} };
        if (kind < 0.35 && before.length > 0) return before[Math.floor(random() * before.length)]!;
        return event;
      });
      await deliver(batch);
      before = batch.filter(isGood);
    }
  };

  const deliver = async (batch: SentEvent[]): Promise<void> => {
    const body = JSON.stringify({ writeKey, sentAt: new Date().toISOString(), batch });
    const rejected = batch.filter(({ event }) => event === "");
    const dropped = batch.filter(({ context }) => context.consent === undefined);
    const accepted = batch.filter(isGood);
    for (;;) {
      left.rejected += rejected.length;
      left.dropped += dropped.length;
      left.accepted += accepted.length;
      const answer = await fetch(`${stack.collectorUrl}/v1/batch`, {
        method: "POST",
        headers: { "content-type": "text/plain", origin },
        body,
        signal: AbortSignal.timeout(10_000),
      })
        .then(async (response) => ({ status: response.status, body: (await response.json()) as { accepted: number } }))
        .catch(() => undefined);
      if (answer?.status === 200) {
        expect(answer.body.accepted).toBe(accepted.length);
        told.accepted += accepted.length;
        told.rejected += rejected.length;
        told.dropped += dropped.length;
        for (const { messageId } of accepted) ids.add(messageId);
        return;
      }
      expect([undefined, 503]).toContain(answer?.status);
      await new Promise((resolve) => setTimeout(resolve, 20)); // not a wait: a client's backoff
    }
  };

  const clients = Array.from({ length: count }, (_, index) => client(index));
  // An answer that cannot be is told by `finish`, and not before.
  for (const one of clients) one.catch(() => {});
  return {
    told,
    left,
    ids,
    async finish() {
      isDone = true;
      await Promise.all(clients);
    },
  };
}

/** Rows that ClickHouse will not take, as a collector with a fault would write them. */
async function appendRefused(count: number): Promise<void> {
  const built = fileURLToPath(new URL("../../packages/lmdb/dist/index.js", import.meta.url));
  const { createLmdbLog } = (await import(built)) as {
    createLmdbLog(options: object): { append(topic: string, records: object[]): Promise<void>; close(): Promise<void> };
  };
  const log = createLmdbLog({ path: join(stack.dataPath, "log"), logger: { info() {}, warn() {}, error() {} } });
  const received = new Date().toISOString().slice(0, 23).replace("T", " ");
  const records = Array.from({ length: count }, (_, index) => ({
    key: `refused-${index}`,
    value: Buffer.from(JSON.stringify({ site: "test", received_at: received, time: "soon" })),
    headers: { id: `refused-${index}`, site: "test", anonymousId: "", userId: "" },
  }));
  await log.append("polder.events", records);
  await log.close();
}

interface Sums {
  received: number;
  stored: number;
  rejected: number;
  duplicate: number;
  dropped: number;
  in_flight: number;
  off: number;
  refused: number;
  rows: number;
}
const sums = (): Promise<Sums[]> =>
  stack.sql<Sums>(`SELECT sum(received) AS received, sum(stored) AS stored, sum(rejected) AS rejected,
    sum(duplicate) AS duplicate, sum(dropped) AS dropped, sum(in_flight) AS in_flight, sum(abs(difference)) AS off,
    sum(rejected_by_reason['refused_by_store']) AS refused, (SELECT count() FROM polder.events) AS rows
    FROM polder.loss_ledger WHERE site = 'test'`);

test("the loss ledger balances to zero after all sorts of traffic, retries, refused rows and three kill -9", async () => {
  console.info(`Random traffic with the seed ${seed}.`);
  const clients = startClients(4);
  const reach = (count: number): Promise<number> =>
    eventually(
      async () => clients.told.accepted,
      (told) => told >= count,
    );
  for (let round = 1; round <= 3; round++) {
    await reach(clients.told.accepted + 300);
    await stack.kill();
    await stack.start();
  }
  await appendRefused(3);
  await reach(clients.told.accepted + 300);
  await clients.finish();
  // Ctrl-C loads what is in the log, what was counted included.
  expect(await stack.stop()).toBe(0);
  await stack.start();

  const [found] = await eventually(
    sums,
    ([row]) => row!.in_flight === 0 && row!.off === 0 && row!.refused === 3 && row!.stored >= row!.rows,
  );
  const { received, stored, rejected, duplicate, dropped, refused, rows } = found!;
  expect(received).toBe(stored + rejected + duplicate + dropped);
  expect(stored).toBe(rows);
  // What clients were told is the least. A request whose answer was cut off may have arrived as well; none that never left.
  const { told, left, ids } = clients;
  expect(stored).toBeGreaterThanOrEqual(ids.size);
  expect(duplicate).toBeGreaterThan(0);
  for (const [there, kind] of [
    [stored + duplicate, "accepted"],
    [rejected - refused, "rejected"],
    [dropped, "dropped"],
  ] as const) {
    expect(there, kind).toBeGreaterThanOrEqual(told[kind]);
    expect(there, kind).toBeLessThanOrEqual(left[kind]);
    expect(told[kind], kind).toBeGreaterThan(50);
  }

  // It gives nobody more than seconds for an answer, and says so.
  const doctor = await eventually(runDoctor, (said) =>
    said.includes("Everything that was answered for is in ClickHouse."),
  );
  expect(doctor).toContain(
    `Of ${received} events of test received in the last 24 hours ${stored} are in ClickHouse, ${rejected} were rejected (most often name_missing), ` +
      `${dropped} were dropped (most often no_consent), ${duplicate} were sent again and are there once.`,
  );
  expect(doctor).not.toMatch(/are nowhere|more than once/);
});

/** What `polder doctor` prints of the stack, whatever it thinks of this machine's disk. */
function runDoctor(): Promise<string> {
  const command = fileURLToPath(new URL("../../apps/polder/bin/polder.mjs", import.meta.url));
  const port = (url: string): string => new URL(url).port;
  const args = ["doctor", "--config", join(stack.dataPath, "test.config.json"), "--data", stack.dataPath];
  const ports = [
    "--collector-port",
    port(stack.collectorUrl),
    "--api-port",
    port(stack.apiUrl),
    "--sql-port",
    port(stack.sqlUrl),
  ];
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args, ...ports], (_error, out) => resolve(out));
  });
}
