import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { appendFile, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFakeContext, type FakeContext } from "../cli/fake-context.ts";
import { runCli } from "../cli/run-cli.ts";
import { sendPatiently } from "../send-patiently.test-support.ts";

let cwd = "";
let running: Started | undefined;
/** By how much the clock of a started Polder is ahead. */
let aheadMs = 0;
let isLoading = false;
beforeEach(async () => {
  aheadMs = 0;
  cwd = await mkdtemp(join(tmpdir(), "polder-backup-"));
});
afterEach(async () => {
  isLoading = false;
  await running?.stop();
  running = undefined;
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

async function start(): Promise<Started> {
  const context = { ...createFakeContext({ cwd, env: anyPort }), now: () => new Date(Date.now() + aheadMs) };
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

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = createFakeContext({ cwd });
  const code = await runCli(args, context);
  return { code, out: context.printed(), err: context.complained() };
}

const ask = <Row>({ sql }: Started, question: string): Promise<Row[]> => askOf<Row>(sql, question);

/** With all rights: analysts see nothing of who was erased, nor what was removed. */
async function askAll<Row>(question: string): Promise<Row[]> {
  const file = join(dataPath(), "clickhouse", "engine.json");
  const { port, admin } = JSON.parse(await readFile(file, "utf8")) as {
    port: number;
    admin: { username: string; password: string };
  };
  const authorization = `Basic ${btoa(`${admin.username}:${admin.password}`)}`;
  return askOf<Row>(`http://127.0.0.1:${port}`, question, { authorization });
}

async function askOf<Row>(url: string, question: string, headers: { [name: string]: string } = {}): Promise<Row[]> {
  const response = await fetch(`${url}/?database=polder&default_format=JSONEachRow`, {
    method: "POST",
    headers,
    body: question,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

interface Sent {
  id: string;
  visitor: string;
}

const consentOf = (state: string, at: string): object => ({
  v: 1,
  id: `choice-${state}`,
  at,
  purposes: { measurement: state, profile: state },
});

/** One request, all of it taken. */
async function send(...given: Parameters<typeof post>): Promise<void> {
  expect(await post(...given)).toEqual({ accepted: given[1].length, rejected: [] });
}

async function post(
  { collector, shop }: Pick<Started, "collector" | "shop">,
  events: readonly Sent[],
  { type = "page", state = "granted" } = {},
): Promise<unknown> {
  const at = new Date().toISOString();
  const file = JSON.parse(await readFile(join(cwd, ".polder", "demo.config.json"), "utf8")) as {
    sites: { writeKeys: { key: string }[] }[];
  };
  const response = await sendPatiently(`${collector}/v1/batch`, {
    method: "POST",
    headers: { "content-type": "text/plain", origin: shop },
    body: JSON.stringify({
      writeKey: file.sites[0]!.writeKeys[0]!.key,
      sentAt: new Date().toISOString(),
      batch: events.map(({ id, visitor }, n) => ({
        type,
        messageId: id,
        anonymousId: visitor,
        timestamp: at,
        context: {
          consent: consentOf(state, at),
          session: { id: `visit-${visitor}`, start: Date.now() - 60_000, seq: n },
          page: { url: `${shop}/products/${n}` },
        },
      })),
    }),
  });
  if (response.status === 429) {
    // not a wait: a client that hears the limit of the site comes back when it is told to
    await setTimeout(Number(response.headers.get("retry-after")) * 1_000);
    return post({ collector, shop }, events, { type, state });
  }
  expect(response.status).toBe(200);
  return response.json();
}

const newEvents = (count: number): Sent[] =>
  Array.from({ length: count }, (_, n) => ({ id: randomUUID(), visitor: `visitor-${n % 20}` }));

const idsIn = async (polder: Started): Promise<string[]> =>
  (await ask<{ id: string }>(polder, "SELECT message_id AS id FROM events WHERE type = 'page'")).map(({ id }) => id);
/** What every view holds, against the events themselves. */
const balance = `SELECT
  (SELECT count() FROM events WHERE bot = '' AND atom != 0) - (SELECT sum(events) FROM profile_state) AS profiles,
  (SELECT count() FROM events WHERE bot = '') - (SELECT sum(events) FROM audience_day WHERE dimension = 'all') AS audiences,
  (SELECT count() FROM events WHERE bot = '' AND atom != 0 AND session_id != '') - (SELECT sum(events) FROM session_state) AS sessions,
  (SELECT uniqExact(atom) FROM events WHERE atom != 0) - (SELECT uniqExact(atom) FROM atom) AS atoms`;
/** Views are filled a moment after their table. */
const expectBalance = (polder: Started): Promise<void> =>
  vi.waitFor(
    async () => expect(await ask(polder, balance)).toEqual([{ profiles: 0, audiences: 0, sessions: 0, atoms: 0 }]),
    patience,
  );

/** For what needs a part of a second, on a machine that has other things to do. */
const patience = { timeout: 120_000 };
const dataPath = (): string => join(cwd, ".polder");
const backupPath = (): string => join(cwd, "copy");

describe("backup and restore", () => {
  it("under load: nothing of before is lost, nothing is there twice, and it goes on", async () => {
    const polder = await start();
    const acknowledged: Sent[] = [];
    const begun = new Set<string>();
    isLoading = true;
    const client = async (): Promise<void> => {
      while (isLoading) {
        const events = newEvents(10);
        for (const { id } of events) begun.add(id);
        await send(polder, events);
        acknowledged.push(...events);
      }
    };
    const load = Promise.all([client(), client(), client()]);
    // Heard of when it is waited for.
    load.catch(() => undefined);
    await vi.waitFor(async () => expect((await idsIn(polder)).length).toBeGreaterThan(200), patience);

    const before = acknowledged.map(({ id }) => id);
    const backup = await run("backup", "copy");
    expect(backup).toMatchObject({ code: 0, err: "" });
    // Also what was on its way then, and not answered yet.
    const after = new Set(begun);
    await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(after.size + 100), patience);
    isLoading = false;
    await load;
    // What is given back is the same as before: the process that runs took no harm.
    await vi.waitFor(async () => expect((await idsIn(polder)).length).toBe(acknowledged.length), patience);
    await expectBalance(polder);
    expect(await polder.stop()).toBe(0);
    await rm(dataPath(), { recursive: true });

    const restore = await run("restore", "copy");
    expect(restore).toMatchObject({ code: 0, err: "" });
    const again = await start();
    const restored = await vi.waitFor(async () => {
      const ids = await idsIn(again);
      expect(ids.length).toBeGreaterThanOrEqual(before.length);
      expect(new Set(ids).size).toBe(ids.length);
      const unique = new Set(ids);
      expect(before.filter((id) => !unique.has(id))).toEqual([]);
      return unique;
    }, patience);
    // Nothing that was sent after the end of the backup can be in it.
    const later = acknowledged.filter(({ id }) => !after.has(id));
    expect(later.length).toBeGreaterThan(0);
    expect(later.filter(({ id }) => restored.has(id))).toEqual([]);
    await expectBalance(again);

    // Clients that heard nothing send everything again, and something new.
    const fresh = newEvents(50);
    for (let at = 0; at < acknowledged.length; at += 100) await send(again, acknowledged.slice(at, at + 100));
    await send(again, fresh);
    const all = [...acknowledged, ...fresh].map(({ id }) => id).toSorted();
    await vi.waitFor(async () => expect((await idsIn(again)).toSorted()).toEqual(all), patience);
    await expectBalance(again);
    expect(await again.stop()).toBe(0);
  });

  it("of a stopped Polder is the same and leaves nothing behind; what cannot be right is refused, and changes nothing", async () => {
    const polder = await start();
    const events = newEvents(20);
    await send(polder, events);
    expect(await polder.stop()).toBe(0);
    const folders = (await readdir(dataPath())).toSorted();
    expect(await run("backup")).toMatchObject({ code: 2, err: expect.stringContaining("Say into which folder") });
    expect(await run("backup", "copy")).toMatchObject({ code: 0 });
    expect((await readdir(dataPath())).toSorted()).toEqual(folders);
    expect(
      existsSync(join(dataPath(), "clickhouse/data/shadow")) &&
        (await readdir(join(dataPath(), "clickhouse/data/shadow"))).filter((name) => name.startsWith("backup_")),
    ).toEqual([]);
    expect((await readdir(cwd)).toSorted()).toEqual([".polder", "copy"]);
    expect((await stat(backupPath())).mode & 0o077).toBe(0);
    expect(await run("backup", "copy")).toMatchObject({ code: 1, err: expect.stringContaining("is not empty") });
    expect(await run("restore", "copy")).toMatchObject({ code: 1, err: expect.stringContaining("is not empty") });
    const context = createFakeContext({ cwd, env: { CLICKHOUSE_URL: "http://127.0.0.1:1" } });
    expect(await runCli(["backup", "other"], context)).toBe(1);
    expect(context.complained()).toContain("docs/operations.md");

    await rename(dataPath(), `${dataPath()}.before`);
    expect(await run("restore", ".polder.before")).toMatchObject({
      code: 1,
      err: expect.stringContaining("is no backup"),
    });
    expect(await run("restore", "copy", "--choices-from", "nowhere")).toMatchObject({
      code: 1,
      err: expect.stringContaining("no consent ledger"),
    });
    expect((await readdir(cwd)).toSorted()).toEqual([".polder.before", "copy"]);
    expect(await run("restore", "copy")).toMatchObject({ code: 0, out: expect.not.stringContaining("refused") });
    expect((await readdir(dataPath())).toSorted()).toEqual(folders);
    const again = await start();
    await vi.waitFor(
      async () => expect((await idsIn(again)).toSorted()).toEqual(events.map(({ id }) => id).toSorted()),
      patience,
    );
    await expectBalance(again);
    expect(await again.stop()).toBe(0);

    await rm(dataPath(), { recursive: true });
    await appendFile(join(backupPath(), "log", "data.mdb"), "x");
    expect(await run("restore", "copy")).toMatchObject({
      code: 1,
      err: expect.stringContaining("log/data.mdb is not what it was when the backup was made"),
    });
    await rm(join(backupPath(), "log", "data.mdb"));
    expect(await run("restore", "copy")).toMatchObject({
      code: 1,
      err: expect.stringContaining("log/data.mdb is missing"),
    });
    expect((await readdir(cwd)).toSorted()).toEqual([".polder.before", "copy"]);
  });

  it("carries over what visitors took back since, and who was erased: it counts at once, and is removed again", async () => {
    const polder = await start();
    // Their yes comes with each event, as from a banner of somebody else: no event of its own says it.
    await send(polder, [
      { id: randomUUID(), visitor: "leaver" },
      { id: randomUUID(), visitor: "stayer" },
      { id: randomUUID(), visitor: "forgotten" },
    ]);
    await vi.waitFor(async () => expect(await idsIn(polder)).toHaveLength(3), patience);
    expect(await run("backup", "copy")).toMatchObject({ code: 0 });
    const by = ["--by", "anonymous", "--actor", "desk", "--reason", "letter", "--api", polder.live];
    expect(await run("erase", "forgotten", ...by)).toMatchObject({ code: 0, err: "" });
    await send(polder, [{ id: "no-leaver", visitor: "leaver" }], { type: "consent", state: "withdrawn" });
    expect(await polder.stop()).toBe(0);
    await rename(dataPath(), `${dataPath()}.before`);

    expect(await run("restore", "copy", "--choices-from", ".polder.before")).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /1 visitor has chosen since\.\n *1 visitor has refused something that the backup's log/,
      ),
      err: "",
    });
    const again = await start();
    expect(await ask(again, "SELECT message_id FROM events_v WHERE anonymous_id = 'forgotten'")).toEqual([]);
    const refused = { id: randomUUID(), visitor: "leaver" };
    expect(await post(again, [refused])).toMatchObject({ accepted: 0, rejected: [{ reason: "consent_withdrawn" }] });
    const states = "SELECT arrayDistinct(`choice.state`) AS states FROM consent_log";
    await vi.waitFor(async () => expect(await ask(again, states)).toEqual([{ states: ["withdrawn"] }]), patience);
    // What was withdrawn is announced once a minute, and removed some seconds later.
    aheadMs = 61_000;
    const begun = "SELECT DISTINCT outcome FROM consent_receipt WHERE table_name = ''";
    await vi.waitFor(async () => expect(await askAll(begun)).toEqual([{ outcome: "removed" }]), patience);
    aheadMs += 10_000;
    const named = "SELECT DISTINCT anonymous_id AS visitor FROM events WHERE anonymous_id != '' ORDER BY visitor";
    await vi.waitFor(async () => expect(await askAll(named)).toEqual([{ visitor: "stayer" }]), patience);
    await send(again, [{ id: "marker", visitor: "stayer" }]);
    await vi.waitFor(async () => expect(await idsIn(again)).toContain("marker"), patience);
    expect(await askAll(named)).toEqual([{ visitor: "stayer" }]);
    expect(await askAll("SELECT count() AS n FROM trait_state")).toEqual([{ n: 0 }]);
  });
});
