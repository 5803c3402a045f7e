import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "@playwright/test";
import { startLoad } from "../support/load.ts";
import { patientSecondMs } from "../support/patience.ts";
import { answers, eventually, freePorts } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";
import { untilTaken } from "../support/until-taken.ts";

const brokers = process.env.KAFKA_BROKERS;
test.skip(!brokers, "no Kafka broker: set KAFKA_BROKERS, or install Java 17 and Maven and run npm test");

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
let folder: string;
const processes = new Map<string, ChildProcess>();
const logs = new Map<string, string>();
const origin = "http://shop.test";
const { config, writeKey } = testConfig([origin]);
let engine: { url: string; admin: { username: string; password: string }; stop(): Promise<void> };
let ports: number[];

const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  KAFKA_BROKERS: brokers!,
  POLDER_TOPIC_PREFIX: `scaled-${process.pid}.`,
  POLDER_PARTITIONS: "4",
  POLDER_REPLICATION: "1",
  CLICKHOUSE_URL: engine.url,
  CLICKHOUSE_USER: engine.admin.username,
  CLICKHOUSE_PASSWORD: engine.admin.password,
  POLDER_CONFIG: join(folder, "polder.config.json"),
});

/** A part as an operator runs it: the app's own main, configured by the environment. */
async function startPart(name: string, app: string, env: Record<string, string>, readyUrl: string): Promise<void> {
  const child = spawn(process.execPath, [built(`apps/${app}/dist/main.js`)], {
    env: { ...environment(), POLDER_DATA: join(folder, name), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  processes.set(name, child);
  for (const stream of [child.stdout!, child.stderr!])
    stream.on("data", (chunk: Buffer) => logs.set(name, (logs.get(name) ?? "") + chunk.toString()));
  const ended = once(child, "exit").then(() => {
    throw new Error(`${name} ended by itself:\n${logs.get(name)}`);
  });
  await Promise.race([ended, answers(readyUrl)]);
  ended.catch(() => {});
}

async function stopPart(name: string, signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
  const child = processes.get(name)!;
  processes.delete(name);
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
  return child.exitCode;
}

test.beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "polder-scaled-"));
  writeFileSync(join(folder, "polder.config.json"), JSON.stringify(config));
  const quiet = { info() {}, warn() {}, error() {} };
  const { startEngine } = (await import(built("packages/engine/dist/index.js"))) as {
    startEngine(options: object): Promise<typeof engine>;
  };
  engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger: quiet });
  ports = await freePorts(6);
});
test.afterEach(async () => {
  for (const name of processes.keys()) await stopPart(name, "SIGKILL");
});
test.afterAll(async () => {
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 50 });
});

const ready = (port: number): string => `http://127.0.0.1:${port}/readyz`;

async function query<Row>(statement: string): Promise<Row[]> {
  const answer = await fetch(`${engine.url}/?default_format=JSONEachRow&output_format_json_quote_64bit_integers=0`, {
    method: "POST",
    body: statement,
    headers: { "x-clickhouse-user": engine.admin.username, "x-clickhouse-key": engine.admin.password },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

test("two collectors, Kafka, two loaders, a worker and an api: every accepted event once, also when a loader is killed", async () => {
  const [c1, c2, l1, l2, w, a] = ports as [number, number, number, number, number, number];
  await startPart("loader-1", "loader", { POLDER_LOADER_PORT: String(l1) }, ready(l1));
  await Promise.all([
    startPart("loader-2", "loader", { POLDER_LOADER_PORT: String(l2) }, ready(l2)),
    startPart("collector-1", "collector", { POLDER_COLLECTOR_PORT: String(c1) }, ready(c1)),
    startPart("collector-2", "collector", { POLDER_COLLECTOR_PORT: String(c2) }, ready(c2)),
    startPart("worker", "worker", { POLDER_WORKER_PORT: String(w) }, ready(w)),
    startPart("api", "api", { POLDER_API_PORT: String(a) }, ready(a)),
  ]);

  const loads = [c1, c2].map((port) =>
    startLoad({ url: `http://127.0.0.1:${port}`, writeKey, origin, clients: 3, eventsPerRequest: 5 }),
  );
  const accepted = (): number => loads.reduce((sum, load) => sum + load.accepted.size, 0);
  await eventually(
    async () => accepted(),
    (n) => n > 1_000,
  );
  await stopPart("loader-1", "SIGKILL");
  await eventually(
    async () => accepted(),
    (n) => n > 2_000,
  );
  await Promise.all(loads.map((load) => load.finish()));

  await eventually(
    () => query<{ n: number }>("SELECT uniqExact(message_id) AS n FROM polder.events"),
    ([row]) => row!.n >= accepted(),
  );
  const rows = await query<{ message_id: string }>("SELECT message_id FROM polder.events");
  const ids = new Set(rows.map((row) => row.message_id));
  expect(rows.length, "no event is stored twice").toBe(ids.size);
  for (const load of loads) expect([...load.accepted].filter((id) => !ids.has(id))).toEqual([]);
  const sent = new Set(loads.flatMap((load) => [...load.sent]));
  expect([...ids].filter((id) => !sent.has(id))).toEqual([]);
  // The views of an insert are filled some milliseconds after its table.
  const [views] = await eventually(
    () =>
      query<Record<string, number>>(`
    SELECT (SELECT count() FROM polder.events) AS events,
      (SELECT sum(events) FROM polder.profile_state) AS in_profiles,
      (SELECT sum(events) FROM polder.audience_day WHERE dimension = 'event') AS in_audiences,
      (SELECT uniqExact(_partition) FROM polder.events) AS partitions`),
    ([found]) => found!["in_profiles"]! >= rows.length && found!["in_audiences"]! >= rows.length,
  );
  expect(views).toEqual({ events: rows.length, in_profiles: rows.length, in_audiences: rows.length, partitions: 4 });

  const unheard = loads.reduce((sum, load) => sum + load.unheard(), 0);
  // What was counted is loaded as well, within a second or two; a loader enters a range after its rows are in.
  const [ledger] = await eventually(
    () =>
      query<
        Record<string, number>
      >(`SELECT sum(received) AS received, sum(stored) AS stored, sum(duplicate) AS duplicate,
        sum(in_flight) AS in_flight, sum(abs(difference)) AS off, sum(unanswered) AS unanswered FROM polder.loss_ledger`),
    // Books of which the last page is missing on both sides balance, too.
    ([found]) =>
      // A collector that could not make them durable within a second said so: they are in the log twice.
      found!["unanswered"]! <= unheard &&
      found!["in_flight"] === 0 &&
      found!["off"] === 0 &&
      found!["stored"]! >= rows.length &&
      found!["received"]! >= rows.length + found!["duplicate"]!,
  );
  expect(ledger!["stored"]).toBe(rows.length);
  expect(ledger!["received"]).toBe(rows.length + ledger!["duplicate"]!);

  await answers(`http://127.0.0.1:${a}/v1/people/visitor-0-1?site=test`);
  for (const name of ["collector-1", "collector-2", "loader-2", "worker", "api"])
    expect(await stopPart(name), `${name} drains:\n${logs.get(name)}`).toBe(0);
});

test("what a visitor chose at one collector is obeyed by the other within a second, is on record, and what was withdrawn is removed", async () => {
  const [c1, c2, l, , w, a] = ports as [number, number, number, number, number, number];
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  await Promise.all([
    startPart("loader-1", "loader", { POLDER_LOADER_PORT: String(l) }, ready(l)),
    startPart("collector-1", "collector", { POLDER_COLLECTOR_PORT: String(c1) }, ready(c1)),
    startPart("collector-2", "collector", { POLDER_COLLECTOR_PORT: String(c2) }, ready(c2)),
    startPart("worker", "worker", { POLDER_WORKER_PORT: String(w) }, ready(w)),
    startPart("api", "api", { POLDER_API_PORT: String(a), POLDER_COLLECTOR_URL: url(c1) }, ready(a)),
  ]);

  const browser = { origin, "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0 Safari/537.36" };
  const taken: string[] = [];
  const refused: string[] = [];
  const send = async (port: number, anonymousId: string, type: string, state: string): Promise<boolean> => {
    const at = new Date().toISOString();
    const messageId = randomUUID();
    const consent = {
      v: 1,
      id: type === "consent" ? randomUUID() : "claimed",
      purposes: { measurement: state, profile: state, ads: state },
      at,
    };
    const answer = await untilTaken(() =>
      fetch(`${url(port)}/v1/batch`, {
        method: "POST",
        headers: { ...browser, "content-type": "text/plain" },
        body: JSON.stringify({
          writeKey,
          sentAt: at,
          batch: [{ type, event: "Product Viewed", messageId, anonymousId, timestamp: at, context: { consent } }],
        }),
      }),
    );
    const { accepted, rejected } = (await answer.json()) as { accepted: number; rejected: { reason: string }[] };
    // 202: Kafka took its time, and the collector keeps it meanwhile.
    expect([200, 202]).toContain(answer.status);
    (accepted === 1 ? taken : refused).push(messageId);
    if (accepted === 0) expect(rejected.map(({ reason }) => reason)).toEqual(["consent_withdrawn"]);
    return accepted === 1;
  };
  /** Milliseconds until a collector refuses what claims a yes. */
  const refusedAfter = async (port: number, anonymousId: string): Promise<number> => {
    const from = performance.now();
    await eventually(
      () => send(port, anonymousId, "track", "granted"),
      (wasTaken) => !wasTaken,
    );
    return performance.now() - from;
  };

  // At one, at the other, and on the visitor's own page, which is the api's.
  const withdraw = {
    "visitor-1": () => send(c1, "visitor-1", "consent", "withdrawn"),
    "visitor-2": () => send(c2, "visitor-2", "consent", "withdrawn"),
    async "visitor-3"() {
      const answer = await untilTaken(() =>
        fetch(`${url(a)}/v1/consent`, {
          method: "POST",
          headers: { ...browser, cookie: `polder_id=visitor-3.${Math.floor(Date.now() / 1000).toString(36)}` },
          body: JSON.stringify({ writeKey, purposes: {} }),
        }),
      );
      expect(answer.status).toBe(200);
      return true;
    },
  };
  for (const [anonymousId, withdrawn] of Object.entries(withdraw)) {
    expect(await send(c1, anonymousId, "consent", "granted")).toBe(true);
    for (const port of [c1, c2]) expect(await send(port, anonymousId, "track", "granted")).toBe(true);
    const granted = await eventually(
      () =>
        query<{ n: number }>(
          `SELECT count() AS n FROM polder.consent_log WHERE atom IN (SELECT atom FROM polder.atom WHERE anonymous_id = '${anonymousId}')`,
        ),
      ([row]) => row!.n === 1,
    );
    expect(granted).toEqual([{ n: 1 }]);
    expect(await withdrawn()).toBe(true);
    for (const port of [c1, c2]) expect(await refusedAfter(port, anonymousId)).toBeLessThan(patientSecondMs);
    for (const port of [c1, c2]) expect(await send(port, anonymousId, "track", "granted")).toBe(false);
  }
  // Who chose nothing of the kind is not in the way of it.
  expect(await send(c2, "visitor-4", "track", "granted")).toBe(true);

  const choices = () =>
    query<{ n: number }>("SELECT count() AS n FROM polder.consent_log WHERE has(`choice.state`, 'withdrawn')");
  await eventually(choices, ([row]) => row!.n === 3);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [built("apps/polder/bin/polder.mjs"), "consent", "verify"],
    {
      env: environment(),
    },
  );
  expect(stdout).toMatch(/test: 6 records, whole\. Head 6:[0-9a-f]{64}/);

  // The next round is a minute away; the first one of a worker is at once.
  expect(await stopPart("worker")).toBe(0);
  await startPart("worker", "worker", { POLDER_WORKER_PORT: String(w) }, ready(w));
  await eventually(
    () =>
      query<{ n: number }>(
        "SELECT count() AS n FROM polder.consent_receipt FINAL WHERE table_name = '' AND is_done = 1",
      ),
    ([row]) => row!.n === 3,
  );
  // Two loaders' worth of partitions, and what a collector kept while Kafka was slow, come in no order.
  const named = await eventually(
    async () => {
      const rows = await query<{ id: string; anonymous_id: string }>(
        "SELECT message_id AS id, anonymous_id FROM polder.events",
      );
      return new Map(rows.map((row) => [row.id, row.anonymous_id]));
    },
    (found) => taken.every((id) => found.has(id)) && ![...found.values()].some((id) => id in withdraw),
  );
  expect(refused.filter((id) => named.has(id))).toEqual([]);
});
