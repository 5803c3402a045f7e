import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createEventStore, migrate } from "@polder/clickhouse";
import { createCollector, type Collector } from "@polder/collector";
import {
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

/*
 * Collector, spool, log, loader and ClickHouse, with a log between spool and loader that fails in every way a cluster can: it takes all, some or none
 * of an append and says that it does not know. The reference is what the clients were told.
 */

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-loss-ledger-"));
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger });
});
afterAll(async () => {
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Fault = "none" | "lands" | "lands partly" | "away";
type Kind = "good" | "rejected" | "dropped" | "refused" | "again";

const site: Site = buildSite({ origins: ["*"] });
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
function startCollector(log: EventLog, now: () => number): { collector: Collector; kill(): void } {
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
    maxRecords: 7,
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
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function emptied(log: EventLog): Promise<void> {
  while (log.spool !== undefined && (await log.spool()).records > 0)
    await new Promise((resolve) => setImmediate(resolve));
}

/** An answer of ClickHouse that gets lost now and then. */
function losing(store: EventStore): EventStore {
  let count = 0;
  const lost =
    <Args extends unknown[], Result>(insert: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      const result = await insert(...args);
      if (++count % 5 === 0) throw new StoreUnavailableError("the answer was lost");
      return result;
    };
  return { ...store, insert: lost(store.insert), insertLedger: lost(store.insertLedger) };
}

const totals = `SELECT sum(received) AS received, sum(stored) AS stored, sum(rejected) AS rejected, sum(duplicate) AS duplicate,
  sum(dropped) AS dropped, sum(in_flight) AS in_flight, sum(abs(difference)) AS off, max(unanswered) AS unanswered,
  sum(rejected_by_reason['refused_by_store']) AS refused, sum(client_sent) AS client_sent,
  (SELECT count() FROM events) AS rows, (SELECT uniqExact(message_id) FROM events) AS messages
FROM loss_ledger`;

const kinds = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Kind>("good") },
    { weight: 1, arbitrary: fc.constantFrom<Kind>("rejected", "dropped", "refused") },
    { weight: 2, arbitrary: fc.constant<Kind>("again") },
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
  await checkAsyncProperty(
    fc.asyncProperty(fc.boolean(), fc.array(step, { minLength: 2, maxLength: 10 }), async (hasSpool, steps) => {
      const clickhouse = createClickHouse({
        url: engine.url,
        ...engine.admin,
        database: `ledger_${randomUUID().replaceAll("-", "")}`,
        logger,
      });
      await migrate(clickhouse);
      const store = createEventStore({ clickhouse });
      const base = createLmdbLog({
        path: mkdtempSync(join(folder, "log-")),
        partitions: 3,
        pollMs: 5,
        retryAfterMs: 5,
        logger,
      });
      const cluster = failing(base);
      const log = hasSpool
        ? createSpooledLog({ log: cluster, path: mkdtempSync(join(folder, "spool-")), retryAfterMs: 5, logger })
        : cluster;
      let time = start;
      const client = createClient();
      let { collector, kill } = startCollector(log, () => time);
      for (const action of steps) {
        if (action.do === "send") {
          cluster.fault = action.fault;
          time += action.minutes * 60_000;
          await Promise.all(action.requests.map((request) => client.send(collector, request)));
          cluster.fault = "none";
        } else if (action.do === "kill") {
          kill();
          ({ collector, kill } = startCollector(log, () => time));
        } else {
          await load(base, losing(store), action.crashAfter);
        }
      }
      await collector.close();
      await emptied(log);
      await load(base, losing(store));
      const [row] = await clickhouse.query<Record<string, number>>(totals);
      const { received, stored, rejected, duplicate, dropped } = row as { [column: string]: number };
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
      await clickhouse.command(`DROP DATABASE ${clickhouse.database}`);
      await clickhouse.close();
    }),
    10,
  );
}, 240_000);
