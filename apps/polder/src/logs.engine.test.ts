import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createClickHouse, type ClickHouse } from "@polder/clickhouse";
import { createLmdbConsentLedger, createLmdbLog } from "@polder/lmdb";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createFakeContext, type FakeContext } from "./cli/fake-context.ts";
import { runCli } from "./cli/run-cli.ts";
import { sendPatiently } from "./send-patiently.test-support.ts";

/** What a visitor may tell us in one way or another, and no log may repeat. */
const planted = {
  email: "jane.planted@example.com",
  name: "Janeplanted Doeplanted",
  userId: "user-planted-4711",
  anonymousId: "device-planted-0815",
  consentId: "choice-planted-2342",
  messageId: "message-planted-99",
  orderId: "order-planted-1234",
  address: "203.0.113.77",
  key: "pk_planted_by_a_stranger",
  page: "/planted/path",
  secret: "hunter2planted",
};
const words = Object.values(planted);

const silent = { info() {}, warn() {}, error() {} };
let cwd = "";
let stop: (() => Promise<unknown>) | undefined;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-logs-"));
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  await rm(cwd, { recursive: true, force: true });
});

interface Started {
  context: FakeContext;
  shop: string;
  live: string;
  collector: string;
  sql: string;
  writeKey: string;
  stop(): Promise<number>;
}

async function start(env: { [name: string]: string } = {}): Promise<Started> {
  const ports = { POLDER_SHOP_PORT: "0", POLDER_COLLECTOR_PORT: "0", POLDER_API_PORT: "0", POLDER_SQL_PORT: "0" };
  const context = createFakeContext({ cwd, env: { ...ports, ...env } });
  const ended = runCli(["start", "--demo"], context);
  await Promise.race([
    context.sees(/Ctrl-C drains/),
    ended.then((code) => {
      throw new Error(`ended with ${code}: ${context.complained()}`);
    }),
  ]);
  const found = (pattern: RegExp): string => pattern.exec(context.printed())?.[1] ?? "";
  let stopped: Promise<number> | undefined;
  const started = {
    context,
    shop: found(/^ +Shop +(http\S+)$/m),
    live: found(/^ +Live page +(http\S+)$/m),
    collector: found(/^ +Collector +(http\S+)$/m),
    sql: found(/^ +SQL +(http\S+)$/m),
    writeKey: found(/data-site="([^"]+)"/),
    stop: () => {
      if (stopped === undefined) context.interrupt();
      return (stopped ??= ended);
    },
  };
  stop = started.stop;
  return started;
}

const logText = (): string => readFileSync(join(cwd, ".polder", "polder.log"), "utf8");
interface Line {
  time?: string;
  level?: string;
  name?: string;
  message?: string;
  [field: string]: unknown;
}
const logLines = (): Line[] =>
  logText()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
const said = (message: string): Promise<Line> =>
  vi.waitFor(
    () => {
      const line = logLines().find((each) => each.message?.includes(message));
      if (line === undefined) throw new Error(`“${message}” is not in the log`);
      return line;
    },
    { timeout: 120_000 },
  );

/** All that may end up on a terminal or in a file. */
function expectNothingPlanted({ context }: Started): void {
  const all = `${logText()}\n${context.printed()}\n${context.complained()}`;
  for (const word of words) expect(all, word).not.toContain(word);
  for (const line of logLines()) {
    expect(line).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: expect.stringMatching(/^(info|warn|error)$/),
      name: expect.any(String),
      message: expect.any(String),
    });
  }
}

const post = (
  { collector, shop }: Started,
  body: string | Uint8Array<ArrayBuffer>,
  headers: { [name: string]: string } = {},
): Promise<Response> =>
  sendPatiently(`${collector}/v1/batch`, {
    method: "POST",
    body,
    headers: {
      "content-type": "text/plain",
      origin: shop,
      "x-forwarded-for": planted.address,
      "x-request-id": planted.userId,
      "user-agent": `Mozilla/5.0 ${planted.name}`,
      ...headers,
    },
  });

const consent = (): object => ({
  v: 1,
  id: planted.consentId,
  at: new Date().toISOString(),
  purposes: { measurement: "granted", profile: "granted" },
});
const event = (more: object = {}): object => ({
  type: "identify",
  messageId: planted.messageId,
  anonymousId: planted.anonymousId,
  userId: planted.userId,
  traits: { email: planted.email, name: planted.name },
  context: { consent: consent(), ip: planted.address, page: { url: `https://shop.example${planted.page}` } },
  ...more,
});
const batch = ({ writeKey }: Started, ...events: object[]): string => JSON.stringify({ writeKey, batch: events });

async function admin(): Promise<ClickHouse> {
  const text = await readFile(join(cwd, ".polder", "clickhouse", "engine.json"), "utf8");
  const engine = JSON.parse(text) as { port: number; admin: { username: string; password: string } };
  return createClickHouse({
    url: `http://127.0.0.1:${engine.port}`,
    ...engine.admin,
    database: "polder",
    logger: silent,
  });
}

it("say nothing of a visitor, whatever goes wrong in the collector, the loader, the worker and the api", async () => {
  const polder = await start();
  const clickhouse = await admin();

  // What is fine.
  expect((await post(polder, batch(polder, event()))).status).toBe(200);
  expect((await post(polder, batch(polder, event({ type: "consent", messageId: "c1" })))).status).toBe(200);
  await vi.waitFor(
    async () =>
      expect(await clickhouse.query("SELECT user_id FROM events WHERE type = 'identify'")).toEqual([
        { user_id: planted.userId },
      ]),
    { timeout: 120_000 },
  );

  // What is refused by the collector: as a whole, in part, before it is read, and while it is read.
  const broken = `{"writeKey":"${polder.writeKey}","batch":[{"email":"${planted.email}" ${planted.name}`;
  expect((await post(polder, broken)).status).toBe(400);
  expect((await post(polder, gzipSync(broken).subarray(0, 40), { "content-encoding": "gzip" })).status).toBe(400);
  expect((await post(polder, batch({ ...polder, writeKey: planted.key }, event()))).status).toBe(401);
  const elsewhere = { origin: `https://${planted.secret}.example` };
  expect((await post(polder, batch(polder, event()), elsewhere)).status).toBe(403);
  const wrong = event({ type: planted.name, traits: planted.email, timestamp: planted.secret, messageId: "m2" });
  expect(((await (await post(polder, batch(polder, wrong))).json()) as { rejected: object[] }).rejected).toHaveLength(
    1,
  );
  expect((await post(polder, batch(polder, event({ messageId: planted.email.repeat(40) })))).status).toBe(200);
  await fetch(`${polder.collector}/v1/pixel.gif?writeKey=${planted.key}&userId=${planted.userId}`);
  await fetch(`${polder.collector}/${planted.email}?${planted.name}`);

  // What ClickHouse refuses: it quotes the value.
  const log = createLmdbLog({ path: join(cwd, ".polder", "log"), logger: silent });
  const row = { site: "shop", type: "track", name: "Poison", time: planted.email, amount: planted.secret };
  await log.append("polder.events", [
    {
      key: `shop:${planted.anonymousId}`,
      value: new TextEncoder().encode(JSON.stringify(row)),
      headers: { id: `${planted.messageId}-2`, site: "shop", anonymousId: planted.anonymousId, userId: planted.userId },
    },
  ]);
  await log.close();
  expect(await said("ClickHouse refused a row")).toMatchObject({ name: "loader", level: "error" });

  // What the worker cannot write: it quotes that, too.
  for (const change of ["DROP INDEX consent_ids", "DROP COLUMN consent_id", "ADD COLUMN consent_id UInt8"])
    await clickhouse.command(`ALTER TABLE consent_log ${change} SETTINGS mutations_sync = 1`);
  const consentRow = { site: "shop", n: 99, consent_id: planted.consentId };
  await expect(clickhouse.insertRows("consent_log", [consentRow])).rejects.toThrow(planted.consentId.slice(0, 6));
  expect((await post(polder, batch(polder, event({ type: "consent", messageId: "c2" })))).status).toBe(200);
  expect(await said("choices could not be recorded")).toMatchObject({ name: "worker", level: "warn" });

  // What the api cannot answer.
  await clickhouse.command("RENAME TABLE person_atom TO person_atom_away");
  const id = encodeURIComponent(planted.userId);
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const failed = await fetch(`${polder.live}/v1/people/${id}`, {
    headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
  });
  expect(failed.status).toBeGreaterThanOrEqual(500);
  const requestId = failed.headers.get("x-request-id");
  // Ours: who sent that one is no proxy that the configuration trusts.
  expect(requestId).toMatch(/^[\da-f-]{36}$/);
  expect(await said("a request failed")).toMatchObject({ name: "api", level: "error", requestId });
  await fetch(`${polder.sql}/?database=polder`, {
    method: "POST",
    body: `SELECT toUInt8('${planted.email}'), nowhere FROM events WHERE user_id = '${planted.userId}'`,
  });
  await fetch(`${polder.sql}/?database=polder`, { method: "POST", body: `DROP TABLE "${planted.secret}"` });
  await clickhouse.command("RENAME TABLE person_atom_away TO person_atom");
  await clickhouse.close();
  await polder.stop();

  expectNothingPlanted(polder);
});

it("say nothing of a visitor while Kafka is away, and say that it is", async () => {
  // It knew once what the other collectors know: a new folder would take nothing.
  const path = join(cwd, ".polder", "consent");
  const ledger = createLmdbConsentLedger({ path, now: Date.now, logger: silent });
  await ledger.setCaughtUp();
  await ledger.close();
  // A port that nobody listens on.
  const polder = await start({ KAFKA_BROKERS: "127.0.0.1:9" });
  const isReady = async (): Promise<void> => expect((await fetch(`${polder.collector}/readyz`)).status).toBe(200);
  await vi.waitFor(isReady, { timeout: 120_000 });
  expect((await post(polder, batch(polder, event()))).status).toBe(202);
  expect((await post(polder, batch(polder, event({ type: "consent", messageId: "c1" })))).status).toBe(202);
  expect(await said("Kafka is away")).toMatchObject({ level: "warn" });
  await said("events are kept here");
  await polder.stop();
  expectNothingPlanted(polder);
});
