import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createEventStore, migrate, type ClickHouse } from "@polder/clickhouse";
import { createCollector, type Collector } from "@polder/collector";
import {
  loadedTopics,
  LogUnavailableError,
  StoreUnavailableError,
  type EventLog,
  type EventStore,
  type LogRecord,
  type Site,
} from "@polder/core";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { createLmdbLog, createSpooledLog } from "@polder/lmdb";
import { createLoader } from "@polder/loader";
import { buildEvent, buildSite, checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ledgerQuestion, readLedgerSums } from "./cli/doctor-where.ts";

/*
 * Collector, spool, log, loader and ClickHouse, with a log between spool and loader that fails in every way a cluster can: it takes all, some or none
 * of an append and says that it does not know. The reference is what the clients were told.
 */

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-loss-ledger-"));
const partitions = 3;
let engine: Engine;
let clickhouse: ClickHouse;
/** Below spool and faults. One for all runs, as the tables are; each run has a site of its own. */
let base: EventLog;
beforeAll(async () => {
  engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
  // No power is cut here, and ten tables are synced for every insert otherwise.
  const synced = await clickhouse.query<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND create_table_query LIKE '%fsync_after_insert%'",
  );
  for (const { name } of synced)
    await clickhouse.command(`ALTER TABLE ${name} MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0`);
  base = createLmdbLog({ path: mkdtempSync(join(folder, "log-")), partitions, pollMs: 5, retryAfterMs: 5, logger });
});
afterAll(async () => {
  await base?.close();
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Fault = "none" | "lands" | "lands partly" | "away";
type Kind = "good" | "rejected" | "dropped" | "refused" | "again";

/** An hour ends among the requests. */
const start = Date.parse("2026-11-22T20:58:00.000Z");

/** The log as a cluster that is not well. Also brings in rows that ClickHouse refuses. */
function failing(log: EventLog): EventLog & { fault: Fault } {
  const spoil = (record: LogRecord): LogRecord =>
    record.headers.id.startsWith("refused")
      ? {
          ...record,
          value: Buffer.from(
            Buffer.from(record.value)
              .toString()
              .replace(/"time":"[^"]*"/, '"time":"soon"'),
          ),
        }
      : record;
  const faulty: EventLog & { fault: Fault } = {
    ...log,
    fault: "none",
    close: async () => {},
    async append(topic, records) {
      const fault = topic === "polder.consent" ? "none" : faulty.fault;
      const count = { none: records.length, lands: records.length, "lands partly": records.length >> 1, away: 0 }[
        fault
      ];
      await log.append(topic, records.slice(0, count).map(spoil));
      if (fault !== "none") throw new LogUnavailableError("it is not known what was stored");
    },
  };
  return faulty;
}

/** A collector whose process can be killed: nothing it has in memory is written after that. */
function startCollector(site: Site, log: EventLog, now: () => number): { collector: Collector; kill(): void } {
  let isDead = false;
  const collector = createCollector({
    log: {
      ...log,
      append: (topic, records) =>
        isDead ? Promise.reject(new LogUnavailableError("killed")) : log.append(topic, records),
    },
    ledger: createMemoryConsentLedger(),
    sites: { findKey: () => ({ site, kind: "write" }), findSite: () => site, sites: () => [site] },
    countryOf: () => "",
    now,
    clock: () => performance.now(),
    newId: randomUUID,
    logger,
    registry: new Registry(),
    browserBundle: [],
    options: { lingerMs: 0 },
  });
  return { collector, kill: () => void (isDead = true) };
}

/** What clients know: of each message how often it was answered for, by what it was. */
function createClient() {
  let made = 0;
  const bodies = new Map<string, object>();
  const told = { good: 0, refused: 0, rejected: 0, dropped: 0 };
  let requests = 0;
  const make = (kind: Exclude<Kind, "again">): object => {
    const messageId = `${kind}-${made++}`;
    const timestamp = new Date(start).toISOString();
    const event = buildEvent({ messageId, timestamp, anonymousId: `visitor-${made % 7}` });
    if (kind === "rejected") return { ...event, event: undefined };
    if (kind === "dropped") return { ...event, context: {} };
    bodies.set(messageId, event);
    return event;
  };
  return {
    told,
    requests: () => requests,
    /** Ids that a client would send again. */
    async send(collector: Collector, kinds: readonly Kind[]): Promise<void> {
      const known = [...bodies.keys()];
      const events = kinds.map((kind, index) =>
        kind === "again" ? (bodies.get(known[known.length - 1 - index] ?? "") ?? make("good")) : make(kind),
      );
      requests += 1;
      const answer = await collector.app.request("/v1/batch", {
        method: "POST",
        body: JSON.stringify({
          writeKey: "pk",
          batch: events,
          receipt: { queued: 1, sent: 1, retried: 0, dropped: {} },
        }),
        headers: { "content-type": "text/plain" },
      });
      if (answer.status >= 300) {
        expect(answer.status).toBe(503);
        return;
      }
      const { accepted, rejected } = (await answer.json()) as { accepted: number; rejected: { reason: string }[] };
      const dropped = rejected.filter(({ reason }) => reason === "no_consent").length;
      told.good += accepted;
      told.rejected += rejected.length - dropped;
      told.dropped += dropped;
    },
  };
}

/** Loads all there is. `crashAfter`: after as many inserts as that, the loader dies in the middle of one, which ClickHouse stored. */
async function load(log: EventLog, store: EventStore, crashAfter?: number): Promise<void> {
  let left = crashAfter ?? Number.POSITIVE_INFINITY;
  let die = (): void => {};
  const died = new Promise<void>((resolve) => (die = resolve));
  const dying =
    <Args extends unknown[], Result>(insert: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      if (left-- > 0) return insert(...args);
      if (left === -1) await insert(...args);
      die();
      throw new Error("killed");
    };
  const loader = createLoader({
    log,
    store: { ...store, insert: dying(store.insert), insertLedger: dying(store.insertLedger) },
    logger,
    registry: new Registry(),
    lingerMs: 1,
    maxRecords: 16,
  });
  const running = loader.run();
  await Promise.race([died, caughtUp(log)]);
  await loader.stop();
  await running;
}

async function caughtUp(log: EventLog): Promise<void> {
  for (;;) {
    const topics = ["polder.events", "polder.rejected", "polder.ledger"] as const;
    const lags = await Promise.all(topics.map((topic) => log.lag(topic, "polder.loader")));
    if (lags.every((lag) => [...lag.values()].every((n) => n === 0))) return;
    await pause();
  }
}

async function emptied(log: EventLog): Promise<void> {
  while (log.spool !== undefined && (await log.spool()).records > 0) await pause();
}

// not a wait: between two looks at something that goes on by itself, which needs the core that they would take
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

/** An answer of ClickHouse that gets lost now and then. */
function losing(store: EventStore): EventStore {
  let count = 0;
  const lost =
    <Args extends unknown[], Result>(insert: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      const result = await insert(...args);
      if (++count % 9 === 0) throw new StoreUnavailableError("the answer was lost");
      return result;
    };
  return { ...store, insert: lost(store.insert), insertLedger: lost(store.insertLedger) };
}

const totals = `SELECT sum(received) AS received, sum(stored) AS stored, sum(rejected) AS rejected, sum(duplicate) AS duplicate,
  sum(dropped) AS dropped, sum(in_flight) AS in_flight, sum(abs(difference)) AS off, max(unanswered) AS unanswered,
  sum(rejected_by_reason['refused_by_store']) AS refused, sum(client_sent) AS client_sent,
  (SELECT count() FROM events WHERE site = {site: String}) AS rows,
  (SELECT uniqExact(message_id) FROM events WHERE site = {site: String}) AS messages
FROM loss_ledger WHERE site = {site: String}`;

const kinds = fc.array(
  fc.oneof(
    { weight: 36, arbitrary: fc.constant<Kind>("good") },
    { weight: 6, arbitrary: fc.constantFrom<Kind>("rejected", "dropped") },
    // Each costs a loader half a dozen inserts to find.
    { weight: 1, arbitrary: fc.constant<Kind>("refused") },
    { weight: 12, arbitrary: fc.constant<Kind>("again") },
  ),
  { minLength: 1, maxLength: 8 },
);
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      requests: fc.array(kinds, { minLength: 1, maxLength: 5 }),
      fault: fc.constantFrom<Fault>("none", "none", "lands", "lands partly", "away"),
      minutes: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("kill" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("load" as const), crashAfter: fc.integer({ min: 0, max: 6 }) }) },
);

it("balances to zero whatever is lost sight of between the clients and ClickHouse, in every hour, with a spool and without", async () => {
  const store = createEventStore({ clickhouse });
  let runs = 0;
  const seen = { stored: 0, rejected: 0, duplicate: 0, dropped: 0, refused: 0 };
  await checkAsyncProperty(
    fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 2, maxLength: 10 }), async (hasSpool, steps) => {
      const site = buildSite({ id: `site-${runs++}`, origins: ["*"] });
      const cluster = failing(base);
      const log = hasSpool
        ? createSpooledLog({ log: cluster, path: mkdtempSync(join(folder, "spool-")), retryAfterMs: 5, logger })
        : cluster;
      let time = start;
      const client = createClient();
      let { collector, kill } = startCollector(site, log, () => time);
      for (const action of steps) {
        if (action.do === "send") {
          cluster.fault = action.fault;
          time += action.minutes * 60_000;
          await Promise.all(action.requests.map((request) => client.send(collector, request)));
          cluster.fault = "none";
        } else if (action.do === "kill") {
          kill();
          ({ collector, kill } = startCollector(site, log, () => time));
        } else {
          await load(base, losing(store), action.crashAfter);
        }
      }
      await collector.close();
      await emptied(log);
      await load(base, losing(store));
      const [row] = await clickhouse.query<Record<string, number>>(totals, { params: { site: site.id } });
      const { received, stored, rejected, duplicate, dropped } = row as { [column: string]: number };
      for (const key of Object.keys(seen) as (keyof typeof seen)[]) seen[key] += row![key]!;
      expect(row).toMatchObject({ off: 0, in_flight: 0, received: stored! + rejected! + duplicate! + dropped! });
      expect(row).toMatchObject({ rows: row!["messages"], stored: row!["rows"] });
      // What clients were told is the least: what was answered by nothing or 503 may be there as well.
      const { told } = client;
      expect(dropped).toBeGreaterThanOrEqual(told.dropped);
      expect(rejected! - row!["refused"]!).toBeGreaterThanOrEqual(told.rejected);
      expect(received! - dropped! - (rejected! - row!["refused"]!)).toBeGreaterThanOrEqual(told.good);
      if (hasSpool) {
        // The spool answers for everything, so clients know all of it. Nobody heard of a copy that we made ourselves.
        expect(received).toBe(told.good + told.rejected + told.dropped);
        expect(dropped).toBe(told.dropped);
      }
      await collector.close();
      await log.close();
    }),
    10,
  );
  // Nothing of it was left out.
  for (const [what, count] of Object.entries(seen)) expect([what, count > 0]).toEqual([what, true]);
});

it("says to polder doctor what is lost", async () => {
  const store = createEventStore({ clickhouse });
  const hour = new Date(Date.now() - 3 * 3_600_000).toISOString().slice(0, 13).replace("T", " ");
  const text = (rows: object[]): Uint8Array => Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const entry = { site: "doctor", hour: `${hour}:00:00`, reason: "", process: "p", first: [0], counted: 0 };
  const entries = [
    { ...entry, outcome: "answered", last: [9] },
    { ...entry, outcome: "rejected", reason: "too_deep", last: [7] },
  ];
  expect(await store.insertLedger("ledger_entry", text(entries))).toEqual({ ok: true });
  const loaded_until = new Date().toISOString().slice(0, 23).replace("T", " ");
  const all = Array.from({ length: partitions }, (_, partition) =>
    loadedTopics.map((topic) => ({ topic, partition, loaded_until })),
  );
  expect(await store.insertLedger("ledger_progress", text(all.flat()))).toEqual({ ok: true });
  const rows = await clickhouse.query<object>(ledgerQuestion(clickhouse.database));
  const lines = rows.map((row) => Object.values(row).join("\t"));
  const expected = { received: 10, stored: 0, rejected: 8, rejectReason: "too_deep", lost: 2, doubled: 0, stuck: 0 };
  const found = readLedgerSums(lines).filter(({ site }) => site === "doctor");
  expect(found).toMatchObject([{ ...expected, worstHour: `${hour}:00:00` }]);
});
