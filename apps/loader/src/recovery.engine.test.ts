import { cpSync, mkdtempSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createEventStore, type ClickHouse } from "@polder/clickhouse";
import type { EventLog, LogRecord, StoredRecord } from "@polder/core";
import { emptyTables } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  caughtUp,
  createBed,
  createListeningLogger,
  exactly,
  loadAll,
  readTotals,
  record,
  records,
  replaceFolder,
  startLoader,
  visitorsOf,
  whyBlocked,
  type Bed,
} from "./loader.test-support.ts";

const topic = "polder.events";
const seed = 20_261_123;
let bed: Bed;
let clickhouse: ClickHouse;

beforeAll(async () => {
  bed = await createBed();
  clickhouse = await bed.createDatabase();
});
afterAll(async () => {
  await clickhouse?.close();
  await bed?.remove();
});
beforeEach(() => emptyTables(clickhouse));
const totals = () => readTotals(clickhouse);

/** Rows of `events` go, and with them what was known of them, as a power cut takes what was not on the disk. Tokens stay remembered. */
async function cutAt(offset: number): Promise<void> {
  const settings = "SETTINGS mutations_sync = 2";
  await clickhouse.command(`ALTER TABLE events DELETE WHERE _offset >= ${offset} ${settings}`);
  await clickhouse.command(`ALTER TABLE log_position DELETE WHERE 1 ${settings}`);
}

describe("after the tables have lost rows", () => {
  it("has all of them again, in every view, when an older copy of the tables was put back", async () => {
    const { log } = bed.openLog();
    const sent = records(300);
    const retries = [sent[20]!, sent[250]!];
    await log.append(topic, sent.slice(0, 100));
    await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 16 });
    const copy = mkdtempSync(join(bed.folder, "copy-"));
    const { database } = clickhouse;
    await clickhouse.close();
    await bed.whileStopped((dataPath) => cpSync(dataPath, copy, { recursive: true }));

    clickhouse = bed.connect(database);
    await log.append(topic, [...sent.slice(100), ...retries]);
    await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 16 });
    expect(await totals()).toEqual(exactly(300, visitorsOf(sent)));
    await clickhouse.close();
    await bed.whileStopped((dataPath) => replaceFolder(dataPath, copy));

    clickhouse = bed.connect(database);
    expect((await totals()).events).toBe(100);
    // The position is not back before everything is: the next loader would take it for the truth.
    const half = startLoader(log, createEventStore({ clickhouse }), { maxRecords: 16 });
    await log.append(topic, [record()]);
    await half.stop();
    const loader = await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 16 });
    expect((await totals()).events).toBe(301);
    expect(await totals()).toEqual(exactly(301, visitorsOf(sent)));
    expect(loader.status().refused).toBe(0);
    await log.close();
  });

  it("stores rows again under tokens that ClickHouse remembers", async () => {
    const { log } = bed.openLog(1);
    await log.append(topic, records(60));
    await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 60 });
    for (const at of [40, 0, 59]) {
      await cutAt(at);
      await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 60 });
      expect(await totals()).toMatchObject({ events: 60, ids: 60 });
    }
    await log.close();
  });

  it("has all of them when what was brought back is lost as well, before the rest is", async () => {
    const opened = bed.openLog(1);
    const store = createEventStore({ clickhouse });
    await opened.log.append(topic, records(30));
    await loadAll(opened.log, store, { maxRecords: 8 });
    await cutAt(10);
    await dyingLoad(opened.log, store, { dieAfter: 1, isStored: false });
    expect((await totals()).events).toBe(18);
    await opened.log.close();
    await cutAt(3);
    const { log } = bed.openLog(1, opened.path);
    await loadAll(log, store, { maxRecords: 8 });
    expect(await totals()).toMatchObject({ events: 30, ids: 30 });
    await log.close();
  });

  it("puts a refused row aside once, however often it is read again", async () => {
    const { log } = bed.openLog(1);
    await log.append(topic, [...records(5), record({ row: { time: "yesterday" } })]);
    for (const at of [5, 3, 0]) {
      await loadAll(log, createEventStore({ clickhouse }));
      // A window of tokens ends somewhere: here it does.
      await clickhouse.command("CREATE TABLE kept AS rejected");
      await clickhouse.command("INSERT INTO kept SELECT * FROM rejected");
      await clickhouse.command("TRUNCATE TABLE rejected");
      await clickhouse.command("INSERT INTO rejected SELECT * FROM kept");
      await clickhouse.command("DROP TABLE kept");
      await cutAt(at);
    }
    await loadAll(log, createEventStore({ clickhouse }));
    expect(await clickhouse.query("SELECT _offset FROM rejected")).toEqual([{ _offset: 5 }]);
    expect(await totals()).toMatchObject({ events: 5, ids: 5 });
    await log.close();
  });

  it(`has every row once, whenever rows go and wherever it is killed while it brings them back (seed ${seed})`, async () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 40 }), again: fc.nat({ max: 4 }) }) },
      { weight: 2, arbitrary: fc.record({ cutAt: fc.nat({ max: 80 }) }) },
      { weight: 2, arbitrary: fc.record({ dieAfter: fc.nat({ max: 5 }), isStored: fc.boolean() }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 7 }), async (steps) => {
        await emptyTables(clickhouse);
        const opened = bed.openLog(1);
        let { log } = opened;
        const sent: LogRecord[] = [];
        const store = createEventStore({ clickhouse });
        for (const action of steps) {
          if ("append" in action) {
            const fresh = records(action.append);
            sent.push(...fresh);
            await log.append(topic, [...fresh, ...sent.slice(-action.again).slice(0, action.again)]);
            await loadAll(log, store, { maxRecords: 8 });
          } else if ("cutAt" in action) await cutAt(action.cutAt);
          else {
            await dyingLoad(log, store, action);
            await log.close();
            ({ log } = bed.openLog(1, opened.path));
          }
        }
        await loadAll(log, store, { maxRecords: 8 });
        expect(await totals()).toMatchObject({ events: sent.length, ids: sent.length });
        await log.close();
      }),
      { seed, numRuns: 4 },
    );
  });

  it("does not bring back what went because it was old", async () => {
    const { log } = bed.openLog(1);
    await log.append(topic, records(30));
    await loadAll(log, createEventStore({ clickhouse }));
    await clickhouse.command("ALTER TABLE events DELETE WHERE 1 SETTINGS mutations_sync = 2");
    await log.append(topic, records(1));
    const loader = await loadAll(log, createEventStore({ clickhouse }));
    expect(loader.status()).toMatchObject({ loaded: 1, duplicate: 0 });
    expect(await totals()).toMatchObject({ events: 1, inProfiles: 31 });
    await log.close();
  });
});

describe("after the position was put back", () => {
  it.each([
    ["by hand", ""],
    ["with an older copy of the log's state", '{"atom":3}'],
    ["to a range that was begun then", '{"to":19,"atom":3}'],
  ])("loads nothing twice (%s)", async (_, metadata) => {
    const { log } = bed.openLog(1);
    const sent = records(100);
    await log.append(topic, sent);
    await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 30 });
    await commitAs(log, { offset: 10, metadata });
    const heard = createListeningLogger();
    const more = records(20);
    await log.append(topic, more);
    await loadAll(log, createEventStore({ clickhouse }), { logger: heard });
    expect(await totals()).toEqual(exactly(120, visitorsOf(sent)));
    expect(heard.said.filter(({ level }) => level === "warn")).not.toEqual([]);
    await log.close();
  });
});

describe("records that left the log before they were loaded", () => {
  it("stop the partition, loudly, until somebody accepts the loss; then it goes on after them by itself", async () => {
    const { log } = bed.openLog(1);
    const store = createEventStore({ clickhouse });
    await log.append(topic, records(20));
    await loadAll(log, store);
    const sent = records(30);
    await log.append(topic, sent);
    const heard = createListeningLogger();
    const { loader, stop } = startLoader(losing(log, 35), store, { logger: heard });
    const reason = await whyBlocked(heard);
    expect(reason).toContain("records 20 to 34 (15) left the log before they were loaded");
    expect(reason).toContain("polder replay accept-gap");
    expect(loader.status().blocked).toEqual([{ topic, partition: 0, reason }]);
    expect((await totals()).events).toBe(20);
    const gap = { topic, partition: 0, from: 20, to: 34 };
    expect(await store.gaps.open()).toEqual([gap]);

    await store.gaps.accept(gap);
    await caughtUp(log, loader);
    expect(loader.status().blocked).toEqual([]);
    await stop();
    expect(await totals()).toMatchObject({ events: 35, ids: 35, inProfiles: 35 });
    expect(await store.gaps.open()).toEqual([]);
    expect(heard.said.some(({ message }) => message.includes("records are lost"))).toBe(true);
    await log.close();
  });

  it("ask again when more has gone since", async () => {
    const { log } = bed.openLog(1);
    const store = createEventStore({ clickhouse });
    await log.append(topic, records(10));
    await loadAll(log, store);
    await log.append(topic, records(30));
    await store.gaps.accept({ topic, partition: 0, from: 10, to: 14 });
    const heard = createListeningLogger();
    const { stop } = startLoader(losing(log, 20), store, { logger: heard });
    expect(await whyBlocked(heard)).toContain("records 15 to 19 (5)");
    await stop();
    expect((await totals()).events).toBe(10);
    await log.close();
  });

  it("are no loss to a database that never had any of the log", async () => {
    const { log } = bed.openLog(1);
    await log.append(topic, records(10));
    const loader = await loadAll(losing(log, 5), createEventStore({ clickhouse }));
    expect(loader.status()).toMatchObject({ loaded: 5, blocked: [] });
    await log.close();
  });
});

describe("another log", () => {
  it("is refused, with both names, before anything of it is loaded", async () => {
    const store = createEventStore({ clickhouse });
    const { log } = bed.openLog(1);
    await log.append(topic, records(5));
    await loadAll(log, store);
    const { log: other } = bed.openLog(1);
    await other.append(topic, records(50));
    const heard = createListeningLogger();
    const { loader, stop } = startLoader(other, store, { logger: heard });
    const reason = await whyBlocked(heard, topic);
    for (const each of [log, other]) expect(reason).toContain(await each.identityOf(topic));
    expect(loader.status().loaded).toBe(0);
    await stop();
    expect((await totals()).events).toBe(5);
    await Promise.all([log.close(), other.close()]);
  });
});

describe("a second loader on the embedded log", () => {
  it("ends with a sentence that names the first one, which goes on", async () => {
    const store = createEventStore({ clickhouse });
    const { log, path } = bed.openLog(1);
    const first = startLoader(log, store);
    await log.append(topic, records(5));
    await caughtUp(log, first.loader);
    const { log: again } = bed.openLog(1, path);
    const second = startLoader(again, store);
    await expect(second.running).rejects.toThrow(`Process ${process.pid} reads polder.`);
    await second.loader.stop();
    await log.append(topic, records(5));
    await caughtUp(log, first.loader);
    await first.stop();
    await Promise.all([log.close(), again.close()]);
    expect((await totals()).events).toBe(10);
  });
});

describe("records that are no rows", () => {
  it("are put aside with their places and nothing of what they hold; all others are loaded", async () => {
    const { log } = bed.openLog(1);
    const sent = records(20);
    const poison = (value: string, headers: Partial<LogRecord["headers"]> = {}): LogRecord => ({
      key: "shop:a",
      value: Buffer.from(value),
      headers: { id: "poison", site: "shop", anonymousId: "", userId: "", ...headers },
    });
    const bad = [
      poison("Ada Lovelace"),
      poison(""),
      poison("[1]"),
      poison('{"site":"shop"}\n{"site":"Ada Lovelace"}'),
      poison('{"name":"Ada Lovelace"}', { id: "" }),
    ];
    await log.append(topic, [...sent.slice(0, 10), ...bad, ...sent.slice(10)]);
    await log.append("polder.rejected", [poison("nothing"), poison("else")]);
    const loader = await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 7 });
    expect(loader.status()).toMatchObject({ loaded: 20, refused: 7, duplicate: 0 });
    expect(await totals()).toEqual(exactly(20, visitorsOf(sent)));
    const aside = await clickhouse.query<{ _offset: number; detail: string; body: string }>(
      "SELECT _offset, detail, body FROM rejected WHERE detail LIKE '%polder.events%' ORDER BY _offset",
    );
    expect(aside.map(({ _offset }) => _offset)).toEqual([10, 11, 12, 13, 14]);
    expect(JSON.stringify(await clickhouse.query("SELECT * FROM rejected"))).not.toContain("Lovelace");
    expect(aside[3]!.detail).toContain("line break");
    // Read again after a loss, they are there from the first time.
    for (const at of [12, 25]) {
      await cutAt(at);
      await loadAll(log, createEventStore({ clickhouse }));
    }
    expect(await clickhouse.query("SELECT count() AS n FROM rejected")).toEqual([{ n: 5 }]);
    await log.close();
  });

  it("cannot bring coordinates or a second row of their own", async () => {
    const { log } = bed.openLog(1);
    const inside = JSON.parse(record().value.toString()) as object;
    const over = {
      ...record(),
      value: Buffer.from(JSON.stringify({ ...inside, _partition: 9, _offset: 77, atom: 5 })),
    };
    await log.append(topic, [record(), over, record(), { ...record(), value: Buffer.from("{}") }]);
    await loadAll(log, createEventStore({ clickhouse }));
    expect(await clickhouse.query("SELECT _partition, _offset FROM events ORDER BY _offset")).toEqual([
      { _partition: 0, _offset: 0 },
      { _partition: 0, _offset: 2 },
    ]);
    expect((await clickhouse.query<{ n: number }>("SELECT count() AS n FROM rejected"))[0]!.n).toBe(2);
    await log.close();
  });

  it("of a newer version are put aside, not guessed at", async () => {
    const { log } = bed.openLog(1);
    await log.append(topic, records(3));
    const newer = withRecords(log, (one) =>
      one.offset === 1 ? { ...one, foreign: "Its headers are of version 2." } : one,
    );
    const loader = await loadAll(newer, createEventStore({ clickhouse }));
    expect(loader.status()).toMatchObject({ loaded: 2, refused: 1 });
    const [aside] = await clickhouse.query<{ detail: string }>("SELECT detail FROM rejected");
    expect(aside!.detail).toContain("Its headers are of version 2.");
    await log.close();
  });
});

describe("while ClickHouse", () => {
  it("is gone, it waits, shows what is behind, and asks again whether the partition is its own; then it goes on", async () => {
    const { log } = bed.openLog(1);
    const proxy = await createSwitch(bed.engine().url);
    const away = bed.connect(clickhouse.database, proxy.url);
    let minutes = 0;
    let commits = 0;
    const counting = withCommits(log, () => void commits++);
    const heard = createListeningLogger();
    const { loader, stop } = startLoader(counting, createEventStore({ clickhouse: away }), {
      logger: heard,
      clock: () => minutes * 60_000,
    });
    const sent = records(50);
    await log.append(topic, sent.slice(0, 25));
    await caughtUp(log, loader);
    proxy.off();
    await log.append(topic, sent.slice(25));
    minutes = 10;
    const attempts = () => heard.said.filter(({ message }) => message.startsWith("ClickHouse did not confirm")).length;
    await heard.hears(() => attempts() >= 3);
    const before = commits;
    await heard.hears(() => attempts() >= 5);
    expect(commits).toBeGreaterThan(before);
    expect([...(await log.lag(topic, "polder.loader")).values()]).toEqual([25]);
    proxy.on();
    await caughtUp(log, loader);
    await stop();
    expect(loader.status()).toMatchObject({ loaded: 50, duplicate: 0 });
    expect(await totals()).toEqual(exactly(50, visitorsOf(sent)));
    await away.close();
    await proxy.close();
    await log.close();
  });

  it("has no room on its disk, it says so in words and goes on when there is room", async () => {
    const { log } = bed.openLog(1);
    const heard = createListeningLogger();
    const { loader, stop } = startLoader(log, createEventStore({ clickhouse }), { logger: heard });
    const setRoom = (bytes: string) =>
      clickhouse.command(`ALTER TABLE events MODIFY SETTING min_free_disk_bytes_to_perform_insert = ${bytes}`);
    await setRoom("1000000000000000");
    const sent = records(20);
    await log.append(topic, sent);
    const line = await heard.hears(({ fields }) => String(fields["error"]).includes("error 243"));
    expect(line.fields["error"]).toContain("its disk is full");
    await setRoom("0");
    await caughtUp(log, loader);
    await stop();
    expect(await totals()).toEqual(exactly(20, visitorsOf(sent)));
    await log.close();
  });
});

/** A loader that ends in the middle of an insert, as kill -9 ends it. */
async function dyingLoad(
  log: EventLog,
  store: ReturnType<typeof createEventStore>,
  { dieAfter, isStored }: { dieAfter: number; isStored: boolean },
): Promise<void> {
  let left = dieAfter;
  let isDead = false;
  let die = (): void => {};
  const dead = new Promise<void>((resolve) => (die = resolve));
  const { loader, stop } = startLoader(
    log,
    {
      ...store,
      async insert(table, token, chunks) {
        if (isDead || left-- <= 0) {
          isDead = true;
          if (isStored) await store.insert(table, token, chunks);
          die();
          throw new Error("killed");
        }
        return store.insert(table, token, chunks);
      },
    },
    { maxRecords: 8 },
  );
  await Promise.race([dead, caughtUp(log, loader)]);
  await stop();
}

/** The log as a reader sees it, when records before `start` have left it. */
const losing = (log: EventLog, start: number): EventLog => ({
  ...log,
  openReader(options) {
    const reader = log.openReader(options);
    return {
      ...reader,
      run: (consumer) =>
        reader.run({
          ...consumer,
          assigned: (partition, committed, bounds) =>
            consumer.assigned(partition, committed, options.topic === topic ? { ...bounds, start } : bounds),
        }),
    };
  },
});

const withRecords = (log: EventLog, change: (one: StoredRecord) => StoredRecord): EventLog => ({
  ...log,
  openReader(options) {
    const reader = log.openReader(options);
    return {
      ...reader,
      run: (consumer) =>
        reader.run({
          ...consumer,
          consume: (range) => consumer.consume({ ...range, records: range.records.map(change) }),
        }),
    };
  },
});

const withCommits = (log: EventLog, onCommit: () => void): EventLog => ({
  ...log,
  openReader(options) {
    const reader = log.openReader(options);
    return {
      ...reader,
      run: (consumer) =>
        reader.run({
          ...consumer,
          consume: (range) =>
            consumer.consume({
              ...range,
              commit(position) {
                onCommit();
                return range.commit(position);
              },
            }),
        }),
    };
  },
});

/** Commits as the loader's group, as a tool of the log's would. */
async function commitAs(log: EventLog, position: { offset: number; metadata: string }): Promise<void> {
  const reader = log.openReader({ topic, group: "polder.loader", maxRecords: 1, maxBytes: 1e6, lingerMs: 0 });
  await reader.run({
    assigned: async (_partition, _committed, bounds) => bounds.start,
    async consume(range) {
      await range.commit(position);
      void reader.stop();
    },
    revoked() {},
  });
}

/** A way to a server that can be cut. It keeps its port all the time, so that nobody else gets it. */
async function createSwitch(target: string): Promise<{ url: string; off(): void; on(): void; close(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isOn = true;
  const server = createServer((socket) => {
    if (!isOn) return void socket.on("error", () => {}).destroy();
    const onward = connect(Number(port), hostname);
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const off = (): void => {
    isOn = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    on: () => void (isOn = true),
    off,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      off();
      await closed;
    },
  };
}
