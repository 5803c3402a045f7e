import { createEventStore, createWithdrawalStore, type ClickHouse } from "@polder/clickhouse";
import { StoreUnavailableError, type EventLog, type EventStore, type LogRecord } from "@polder/core";
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
  startLoader,
  visitorsOf,
  whyBlocked,
  type Bed,
} from "./loader.test-support.ts";

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

describe("the loader", () => {
  it("loads each event once, with one atom an identity, into the table and its views", async () => {
    const { log } = bed.openLog();
    await log.append("polder.events", records(500));
    const loader = await loadAll(log, createEventStore({ clickhouse }), { maxRecords: 64 });
    expect(await totals()).toEqual(exactly(500, 9));
    expect(loader.status()).toMatchObject({ loaded: 500, duplicate: 0, refused: 0 });
    await log.close();
  });

  it("never names again what a withdrawal made nameless, though it had its number in memory", async () => {
    const { log } = bed.openLog(1);
    const store = createEventStore({ clickhouse });
    const withdrawals = createWithdrawalStore({ clickhouse });
    let nowMs = Date.now();
    const now = (): Date => new Date(nowMs);
    const { loader, stop } = startLoader(log, store, { now, clock: () => nowMs });
    const load = async (id: string): Promise<number> => {
      await log.append("polder.events", [record({ id, anonymousId: "phone" })]);
      await caughtUp(log, loader);
      const sql = "SELECT atom FROM events WHERE message_id = {id:String}";
      return (await clickhouse.query<{ atom: number }>(sql, { params: { id } }))[0]!.atom;
    };
    const atom = await load("before");
    expect(await load("cached")).toBe(atom);

    const at = Date.parse("2026-11-22T12:00:00Z");
    const choice = { consentId: "c", at, receivedAt: at, purposes: ["profile"] };
    const withdrawal = { site: "shop", n: 1, round: 1, atom, person: atom, ...choice };
    await withdrawals.begin([withdrawal], now);
    nowMs += 2_000;
    const next = await load("announced");
    expect(next).not.toBe(atom);
    expect(await withdrawals.carryOut([withdrawal], now)).toBe(1);
    expect(await load("after")).toBe(next);
    expect(await clickhouse.query("SELECT atom, anonymous_id AS id FROM atom FINAL ORDER BY atom")).toEqual([
      { atom, id: "" },
      { atom: next, id: "phone" },
    ]);
    await stop();
    await log.close();
  });

  it("gives nobody another one's number when a withdrawal is announced between two tries of a range", async () => {
    const opened = bed.openLog(1);
    const store = createEventStore({ clickhouse });
    await opened.log.append("polder.events", [record({ anonymousId: "K" })]);
    await loadAll(opened.log, store);
    const visitors = (...ids: string[]) => ids.map((anonymousId) => record({ anonymousId }));
    await opened.log.append("polder.events", visitors("K", "A", "B"));
    await crashingLoad(opened.log, store, { afterInserts: 0, isStored: true });
    await opened.log.close();

    const withdrawals = createWithdrawalStore({ clickhouse });
    const at = Date.parse("2026-11-22T12:00:00Z");
    const choice = { consentId: "c", at, receivedAt: at, purposes: ["profile"] };
    await withdrawals.begin([{ site: "shop", n: 1, round: 1, atom: 64, person: 64, ...choice }], () => new Date());
    const { log } = bed.openLog(1, opened.path);
    const { loader, stop } = startLoader(log, store);
    await caughtUp(log, loader);
    await log.append("polder.events", visitors("A", "B", "C", "K"));
    await caughtUp(log, loader);
    await stop();
    const ofEach = (table: string) =>
      clickhouse.query(
        `SELECT anonymous_id AS id, arraySort(groupUniqArray(atom)) AS atoms FROM ${table} GROUP BY id ORDER BY id`,
      );
    const expected = [
      { id: "A", atoms: [128] },
      { id: "B", atoms: [192] },
      { id: "C", atoms: [256] },
      { id: "K", atoms: [64, 320] },
    ];
    expect(await ofEach("events")).toEqual(expected);
    expect(await ofEach("atom")).toEqual(expected);
    await log.close();
  });

  it("gives an event without identifiers no atom and no profile", async () => {
    const { log } = bed.openLog();
    await log.append("polder.events", [record({ anonymousId: "" }), record({ anonymousId: "a" })]);
    await loadAll(log, createEventStore({ clickhouse }));
    expect(await totals()).toMatchObject({ events: 2, inProfiles: 1, inAudiences: 2, atoms: 1, known: 1 });
    await log.close();
  });

  it("drops a client's retry, also when it comes after a restart, and not another site's message with the same id", async () => {
    const { log } = bed.openLog();
    const store = createEventStore({ clickhouse });
    const one = record({ id: "same", anonymousId: "a" });
    await log.append("polder.events", [one, record({ anonymousId: "a" }), one]);
    const first = await loadAll(log, store);
    expect(first.status()).toMatchObject({ loaded: 2, duplicate: 1 });
    const other = {
      ...one,
      headers: { ...one.headers, site: "blog" },
      value: Buffer.from(one.value.toString().replace('"shop"', '"blog"')),
    };
    await log.append("polder.events", [one, other]);
    const second = await loadAll(log, store);
    expect(second.status()).toMatchObject({ duplicate: expect.any(Number), loaded: 1 });
    expect(await totals()).toMatchObject({ events: 3, inProfiles: 3, inAudiences: 3 });
    await log.close();
  });

  it("finds the rows that ClickHouse refuses, keeps them with its words, and loads all others", async () => {
    const { log } = bed.openLog(1);
    const sent = records(100, { anonymousId: "a" });
    sent[13] = record({ id: "bad-time", anonymousId: "a", row: { time: "yesterday" } });
    sent[77] = record({ id: "bad-amount", anonymousId: "b", row: { amount: "a lot" } });
    await log.append("polder.events", sent);
    const store = createEventStore({ clickhouse });
    const loader = await loadAll(log, store);
    expect(loader.status()).toMatchObject({ loaded: 98, refused: 2 });
    expect(await totals()).toEqual(exactly(98, 1));
    const refused = await clickhouse.query(
      "SELECT message_id, reason, _partition, _offset, detail != '' AS hasWords, position(body, message_id) > 0 AS hasBody FROM rejected ORDER BY _offset",
    );
    expect(refused).toEqual([
      { message_id: "bad-time", reason: "refused_by_store", _partition: 0, _offset: 13, hasWords: 1, hasBody: 1 },
      { message_id: "bad-amount", reason: "refused_by_store", _partition: 0, _offset: 77, hasWords: 1, hasBody: 1 },
    ]);
    await loadAll(log, store);
    expect(await totals()).toEqual(exactly(98, 1));
    await log.close();
  });

  it("loads what collectors rejected into its own table", async () => {
    const { log } = bed.openLog();
    const row = {
      site: "shop",
      received_at: "2026-11-22 12:00:00.000",
      message_id: "r",
      type: "track",
      name: "",
      reason: "name_missing",
      detail: "d",
      body: "{}",
      rule_version: 1,
    };
    await log.append("polder.rejected", [
      {
        key: "r",
        value: Buffer.from(JSON.stringify(row)),
        headers: { id: "r", site: "shop", anonymousId: "", userId: "" },
      },
    ]);
    await loadAll(log, createEventStore({ clickhouse }));
    expect(await clickhouse.query("SELECT message_id, reason FROM rejected")).toEqual([
      { message_id: "r", reason: "name_missing" },
    ]);
    await log.close();
  });

  it("refuses a log that holds less than was loaded before, instead of losing what comes under old offsets", async () => {
    const store = createEventStore({ clickhouse });
    const { log, path } = bed.openLog();
    await log.append("polder.events", records(50));
    await loadAll(log, store);
    await log.close();
    const heard = createListeningLogger();
    const { log: anew } = bed.openLog();
    // The same log, as it would be after its newest records have been lost.
    const shorter: EventLog = { ...anew, identityOf: bed.openLog(2, path).log.identityOf };
    await anew.append("polder.events", [record({ anonymousId: "a" })]);
    const { loader, stop } = startLoader(shorter, store, { logger: heard });
    expect(await whyBlocked(heard)).toMatch(/offsets up to \d+ were loaded before, but the log ends at \d+/);
    expect(loader.status().blocked.map(({ topic }) => topic)).toContain("polder.events");
    await stop();
    await anew.close();
    expect((await totals()).events).toBe(50);
  });

  it("is exact through failed inserts, lost answers and crashes at any point, with client retries among them", async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant("append" as const),
          count: fc.integer({ min: 1, max: 60 }),
          repeat: fc.integer({ min: 0, max: 5 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("crash" as const),
          afterInserts: fc.integer({ min: 0, max: 3 }),
          isStored: fc.boolean(),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("load" as const), loseAnswers: fc.integer({ min: 0, max: 2 }) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 8 }), async (steps) => {
        await emptyTables(clickhouse);
        const { log: first, path } = bed.openLog(2);
        let log = first;
        const sent: LogRecord[] = [];
        const store = createEventStore({ clickhouse });
        for (const action of steps) {
          if (action.do === "append") {
            const fresh = records(action.count);
            const again = sent.slice(-action.repeat).slice(0, action.repeat);
            sent.push(...fresh);
            await log.append("polder.events", [...fresh, ...again]);
          } else if (action.do === "load") {
            await loadAll(log, losingAnswers(store, action.loseAnswers), { maxRecords: 32 });
          } else {
            await crashingLoad(log, store, action);
            await log.close();
            ({ log } = bed.openLog(2, path));
          }
        }
        await loadAll(log, store, { maxRecords: 32 });
        expect(await totals()).toEqual(exactly(sent.length, visitorsOf(sent)));
        await log.close();
      }),
      { seed: 20261122, numRuns: 6 },
    );
  });
});

/** The insert happens, its answer does not arrive. */
function losingAnswers(store: EventStore, count: number): EventStore {
  let left = count;
  return {
    ...store,
    async insert(table, token, chunks) {
      const result = await store.insert(table, token, chunks);
      if (left-- > 0) throw new StoreUnavailableError("the answer was lost");
      return result;
    },
  };
}

/** A loader that ends in the middle of an insert, as kill -9 ends it: before or after ClickHouse stored the rows, and nothing is committed after. */
async function crashingLoad(
  log: EventLog,
  store: EventStore,
  crash: { afterInserts: number; isStored: boolean },
): Promise<void> {
  let left = crash.afterInserts;
  let isDead = false;
  let die = (): void => {};
  const dead = new Promise<void>((resolve) => (die = resolve));
  const dying: EventStore = {
    ...store,
    async insert(table, token, chunks) {
      if (isDead || left-- <= 0) {
        isDead = true;
        if (crash.isStored) await store.insert(table, token, chunks);
        die();
        throw new Error("killed");
      }
      return store.insert(table, token, chunks);
    },
  };
  const { loader, stop } = startLoader(log, dying, { maxRecords: 32 });
  await Promise.race([dead, caughtUp(log, loader)]);
  await stop();
}
