import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { startLoad } from "../support/load.ts";
import { answers, eventually, freePorts } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";

const brokers = process.env.KAFKA_BROKERS;
test.skip(!brokers, "no Kafka broker: set KAFKA_BROKERS, or install Java 17 and Maven and run npm test");
test.setTimeout(150_000);

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "polder-scaled-"));
const processes = new Map<string, ChildProcess>();
const logs = new Map<string, string>();
const origin = "http://shop.test";
const { config, writeKey } = testConfig([origin]);
let engine: { url: string; admin: { username: string; password: string }; stop(): Promise<void> };
let ports: number[];

/** A part as an operator runs it: the app's own main, configured by the environment. */
async function startPart(name: string, app: string, env: Record<string, string>, readyUrl: string): Promise<void> {
  const child = spawn(process.execPath, [built(`apps/${app}/dist/main.js`)], {
    env: {
      ...process.env,
      KAFKA_BROKERS: brokers!,
      POLDER_TOPIC_PREFIX: `scaled-${process.pid}.`,
      POLDER_PARTITIONS: "4",
      POLDER_REPLICATION: "1",
      CLICKHOUSE_URL: engine.url,
      CLICKHOUSE_USER: engine.admin.username,
      CLICKHOUSE_PASSWORD: engine.admin.password,
      POLDER_CONFIG: join(folder, "polder.config.json"),
      POLDER_DATA: join(folder, name),
      ...env,
    },
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
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
  return child.exitCode;
}

test.beforeAll(async () => {
  writeFileSync(join(folder, "polder.config.json"), JSON.stringify(config));
  const quiet = { info() {}, warn() {}, error() {} };
  const { startEngine } = (await import(built("packages/engine/dist/index.js"))) as {
    startEngine(options: object): Promise<typeof engine>;
  };
  engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger: quiet });
  ports = await freePorts(6);
});
test.afterAll(async () => {
  for (const name of processes.keys()) await stopPart(name, "SIGKILL");
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

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
  const ready = (port: number): string => `http://127.0.0.1:${port}/readyz`;
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

  // What was counted is loaded as well, within a second or two.
  const [ledger] = await eventually(
    () =>
      query<
        Record<string, number>
      >(`SELECT sum(received) AS received, sum(stored) AS stored, sum(duplicate) AS duplicate,
        sum(in_flight) AS in_flight, sum(abs(difference)) AS off, sum(unanswered) AS unanswered FROM polder.loss_ledger`),
    ([found]) => found!["unanswered"] === 0,
  );
  expect(ledger).toMatchObject({ stored: rows.length, in_flight: 0, off: 0 });
  expect(ledger!["received"]).toBe(rows.length + ledger!["duplicate"]!);

  const answer = await fetch(`http://127.0.0.1:${a}/v1/people/visitor-0-1?site=test`);
  expect(answer.status).toBe(200);
  for (const name of ["collector-1", "collector-2", "loader-2", "worker", "api"])
    expect(await stopPart(name), `${name} drains:\n${logs.get(name)}`).toBe(0);
});
