import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEngine } from "@polder/engine";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createFakeContext, type FakeContext } from "./cli/fake-context.ts";
import { runCli } from "./cli/run-cli.ts";
import { sendPatiently } from "./send-patiently.test-support.ts";

let cwd = "";
let running: Started | undefined;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "polder-all-"));
});
afterEach(async () => {
  await running?.stop();
  await rm(cwd, { recursive: true, force: true });
});

interface Started {
  shop: string;
  live: string;
  collector: string;
  sql: string;
  context: FakeContext;
  stop(): Promise<number>;
}

const anyPort = { POLDER_SHOP_PORT: "0", POLDER_COLLECTOR_PORT: "0", POLDER_API_PORT: "0", POLDER_SQL_PORT: "0" };

/** `polder start --demo` in an empty folder, up to the moment when it has printed its addresses. */
async function start(
  env: { [name: string]: string } = {},
  context: FakeContext = { ...createFakeContext({ cwd, env: { ...anyPort, ...env } }), drainWithinMs: 120_000 },
): Promise<Started> {
  const ended = runCli(["start", "--demo"], context);
  await Promise.race([
    context.sees(/Ctrl-C drains/),
    ended.then((code) => {
      throw new Error(`ended with ${code}: ${context.complained()}`);
    }),
  ]);
  const addressOf = (label: string): string =>
    new RegExp(`^ +${label} +(http\\S+)$`, "m").exec(context.printed())?.[1] ?? "";
  let stopped: Promise<number> | undefined;
  running = {
    shop: addressOf("Shop"),
    live: addressOf("Live page"),
    collector: addressOf("Collector"),
    sql: addressOf("SQL"),
    context,
    stop: () => {
      if (stopped === undefined) context.interrupt();
      return (stopped ??= ended);
    },
  };
  return running;
}

const ask = async ({ sql }: Started, question: string): Promise<string> => {
  const response = await fetch(`${sql}/?database=polder`, { method: "POST", body: question });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text.trim();
};

const send = async (
  { collector, shop }: Pick<Started, "collector"> & Partial<Started>,
  ...names: string[]
): Promise<Response> => {
  const { sites } = JSON.parse(await readFile(join(cwd, ".polder", "demo.config.json"), "utf8")) as {
    sites: { writeKeys: { key: string }[] }[];
  };
  const purposes = { measurement: "granted", profile: "granted" };
  return sendPatiently(`${collector}/v1/batch`, {
    method: "POST",
    headers: { "content-type": "text/plain", ...(shop !== undefined && { origin: shop }) },
    body: JSON.stringify({
      writeKey: sites[0]!.writeKeys[0]!.key,
      batch: names.map((event) => ({
        type: "track",
        event,
        messageId: randomUUID(),
        anonymousId: "visitor-1",
        context: { consent: { v: 1, id: "choice-1", at: new Date().toISOString(), purposes } },
      })),
    }),
  });
};
const storedNames = "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM events_v WHERE type = 'track'";

it("runs the whole path: shop, tag, event, SQL, live page; keeps it over a stop and a start; leaves no lock", async () => {
  const first = await start();
  const shopPage = await (await fetch(first.shop)).text();
  const tag = /src="([^"]+polder\.js)"/.exec(shopPage)?.[1] ?? "";
  expect(new URL(tag).origin).toBe(first.collector);
  expect((await fetch(tag)).headers.get("content-type")).toContain("javascript");
  expect((await fetch(`${first.live}/readyz`)).status).toBe(200);

  expect(await (await send(first, "One", "Two")).json()).toEqual({ accepted: 2, rejected: [] });
  await vi.waitFor(async () => expect(await ask(first, storedNames)).toBe("One Two"), { timeout: 120_000 });

  // Answered, and then stopped at once: the drain has to bring it in.
  expect((await send(first, "Three")).status).toBe(200);
  expect(await first.stop()).toBe(0);
  expect(first.context.printed()).toContain("Everything that arrived is in ClickHouse.");
  expect(await readdir(join(cwd, ".polder"))).not.toContain("polder.lock");
  expect(await readdir(cwd)).toEqual([".polder"]);

  const second = await start();
  expect(await ask(second, storedNames)).toBe("One Three Two");
  expect((await send(second, "Four")).status).toBe(200);
  await vi.waitFor(async () => expect(await ask(second, storedNames)).toBe("Four One Three Two"), { timeout: 120_000 });
  expect(await second.stop()).toBe(0);
});

it("survives its engine being killed: what is answered meanwhile is there afterwards", async () => {
  const polder = await start();
  expect((await send(polder, "Before")).status).toBe(200);
  const pid = await vi.waitUntil(
    async () => /"engine started","pid":(\d+)/.exec(await readFile(join(cwd, ".polder", "polder.log"), "utf8"))?.[1],
    { timeout: 120_000 },
  );
  process.kill(Number(pid), "SIGKILL");
  expect((await send(polder, "During")).status).toBe(200);
  await vi.waitFor(async () => expect(await ask(polder, storedNames)).toBe("Before During"), { timeout: 120_000 });
  expect(await polder.stop()).toBe(0);
});

it("is found healthy by the doctor and asked by `polder sql`; a second start on the folder says who has it", async () => {
  const polder = await start();
  expect((await send(polder, "Seen")).status).toBe(200);
  const portOf = (address: string): string => new URL(address).port;
  const env = {
    POLDER_COLLECTOR_PORT: portOf(polder.collector),
    POLDER_API_PORT: portOf(polder.live),
    POLDER_SQL_PORT: portOf(polder.sql),
  };
  const run = async (...args: string[]) => {
    const context = createFakeContext({ cwd, env });
    const code = await runCli(args, context);
    return { code, out: context.printed(), err: context.complained() };
  };
  // It gives everybody five seconds to answer, which a busy machine may not have.
  const doctor = await vi.waitFor(
    async () => {
      const found = await run("doctor");
      expect(found).toMatchObject({ code: 0, out: expect.stringContaining("All is well.") });
      return found;
    },
    { timeout: 120_000 },
  );
  expect(doctor.out).toContain("records of polder.events wait to be loaded");
  expect(await run("sql", "SELECT 6 * 7 AS answer")).toEqual({ code: 0, out: "answer\n42\n", err: "" });
  expect(await run("sql", "DROP TABLE events")).toMatchObject({ code: 1, out: "" });

  const second = createFakeContext({ cwd, env: anyPort });
  expect(await runCli(["start", "--demo"], second)).toBe(1);
  expect(second.complained()).toContain(`(process ${process.pid})`);
  expect(await runCli(["migrate"], second)).toBe(1);
  expect(await ask(polder, "SELECT 1")).toBe("1");
});

it("follows its configuration: a key that was added counts, one that was revoked does not", async () => {
  const polder = await start();
  const context = createFakeContext({ cwd });
  await runCli(["key", "add", "write"], context);
  const key = context.printed().trim();
  const status = async (): Promise<number> =>
    (
      await fetch(`${polder.collector}/v1/track`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: polder.shop },
        body: JSON.stringify({ writeKey: key, event: "Hello", anonymousId: "a" }),
      })
    ).status;
  await vi.waitFor(async () => expect(await status()).toBe(200), { timeout: 120_000 });
  expect(await runCli(["key", "revoke", key], createFakeContext({ cwd }))).toBe(0);
  await vi.waitFor(async () => expect(await status()).toBe(401), { timeout: 120_000 });
});

it("migrates a stopped installation, again and again, and a ClickHouse server without touching the disk", async () => {
  for (const made of [/\d+ made/, /✓ Tables and views(?!.*made)/]) {
    const context = createFakeContext({ cwd });
    expect(await runCli(["migrate"], context)).toBe(0);
    expect(context.printed()).toMatch(made);
  }
  const engine = await startEngine({ dataPath: join(cwd, "server"), logger: { info() {}, warn() {}, error() {} } });
  const env = {
    CLICKHOUSE_URL: engine.url,
    CLICKHOUSE_USER: engine.admin.username,
    CLICKHOUSE_PASSWORD: engine.admin.password,
    POLDER_DATA: "untouched",
  };
  const context = createFakeContext({ cwd, env });
  expect(await runCli(["migrate"], context)).toBe(0);
  expect(await runCli(["sql", "SELECT count() FROM events"], context)).toBe(0);
  await engine.stop();
  expect(await runCli(["migrate"], createFakeContext({ cwd, env }))).toBe(1);
  expect((await readdir(cwd)).sort()).toEqual([".polder", "server"]);
});

it("takes events while its tables are not ready, as in a long upgrade, and loads them when they are", async () => {
  const open = () =>
    startEngine({ dataPath: join(cwd, ".polder", "clickhouse"), logger: { info() {}, warn() {}, error() {} } });
  const before = await open();
  const command = async (sql: string): Promise<void> => {
    const authorization = `Basic ${btoa(`${before.admin.username}:${before.admin.password}`)}`;
    const response = await fetch(before.url, { method: "POST", headers: { authorization }, body: sql });
    if (!response.ok) throw new Error(await response.text());
  };
  // As while somebody else migrates: the start waits for them for a minute at least.
  await command("CREATE DATABASE polder");
  await command("CREATE TABLE polder.migration_lock (owner String) ENGINE = Memory COMMENT 'somebody'");
  await before.stop();
  // By its file it will be a minute old in an hour only, however long the start takes.
  const metadata = join(cwd, ".polder", "clickhouse", "data");
  const files = (await readdir(metadata, { recursive: true })).filter((name) => name.endsWith("/migration_lock.sql"));
  expect(files).not.toEqual([]);
  const inAnHour = Date.now() / 1_000 + 3_600;
  for (const file of files) await utimes(join(metadata, file), inAnHour, inAnHour);

  const context = createFakeContext({ cwd, env: anyPort });
  const starting = start({}, context);
  const collector = (await context.sees(/✓ Shop, collector +(http[^ ,]+)/))[1]!;
  await context.sees(/✓ Database engine/);
  expect((await fetch(`${collector}/readyz`)).status).toBe(200);
  expect((await fetch(`${collector}/polder.js`)).status).toBe(200);
  expect(await (await send({ collector }, "Meanwhile")).json()).toEqual({ accepted: 1, rejected: [] });
  expect(context.printed()).not.toContain("Tables and views");

  await command("DROP TABLE polder.migration_lock");
  const polder = await starting;
  await vi.waitFor(async () => expect(await ask(polder, storedNames)).toBe("Meanwhile"), { timeout: 120_000 });
  expect(await polder.stop()).toBe(0);
});

it("ends at once on a second Ctrl-C, and says where the rest is", async () => {
  const polder = await start();
  const stopping = polder.stop();
  polder.context.interrupt();
  expect(polder.context.exits).toEqual([130]);
  expect(polder.context.complained()).toContain("is in the log");
  // Here the process lives on, so that the first one can come to its end.
  expect(await stopping).toBe(0);
});
