import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import type { ClickHouse } from "./clickhouse.ts";
import { createErasureStore } from "./erasure-store.ts";
import { takeErasureTurn } from "./erasure-turn.ts";
import { createEventStore } from "./event-store.ts";
import { createPersonExport } from "./person-export.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

// Whom an id means, and whose something is: who is erased, and what is in the file of a person.

const at = new Date("2026-11-23T12:00:00Z");
const now = (): Date => new Date(at.getTime() + 60_000);
const order = { site: "shop", actor: "office", reason: "letter", at };

let database: TestDatabase;
let clickhouse: ClickHouse;
let offset = 0;

beforeAll(async () => {
  database = await startTestDatabase();
  clickhouse = database.clickhouse;
});
afterAll(() => database?.stop());

async function load(...rows: Partial<LoadedEventRow>[]): Promise<void> {
  const events = rows.map((row) => {
    offset += 1;
    return buildEventRow({ message_id: `m-${offset}`, _offset: offset, anonymous_id: "", consent_mask: 63, ...row });
  });
  const inserted = await createEventStore({ clickhouse }).insert("events", `insert-${offset}`, rowBytes(events));
  expect(inserted).toEqual({ ok: true });
}

const refuse = (...bodies: object[]): Promise<void> =>
  clickhouse.insertRows(
    "rejected",
    bodies.map((body) => ({
      site: "shop",
      received_at: "2026-11-23 11:00:00.000",
      message_id: "",
      type: "track",
      name: "x",
      reason: "refused_by_store",
      detail: "",
      body: JSON.stringify({ previous_id: "", ...body }),
      rule_version: 1,
      _partition: 0,
      _offset: (offset += 1),
    })),
  );

async function refusedOf(person: number): Promise<string> {
  const rows = [];
  for await (const row of (await createPersonExport(clickhouse).read("shop", person)) ?? [])
    if (row.section === "refused") rows.push(row);
  return JSON.stringify(rows);
}

const bodies = async (): Promise<string> =>
  JSON.stringify(await clickhouse.query("SELECT body FROM rejected ORDER BY _offset"));

async function erase(person: number): Promise<void> {
  const store = createErasureStore({ clickhouse });
  await store.request({ ...order, people: [person] });
  const open = await store.openErasures(10, now);
  await store.begin(open, now);
  await store.carryOut(open, now);
}

it("takes of refused events those of the person alone, whatever else is empty in them or used by two", async () => {
  await load(
    { atom: 64, anonymous_id: "alice-device" },
    { atom: 128, anonymous_id: "shared", user_id: "alice" },
    { atom: 192, anonymous_id: "shared", user_id: "bob" },
  );
  await clickhouse.insertRows("identity", [{ site: "shop", atom: 128, person: 64, version: 1 }]);
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  await refuse(
    { anonymous_id: "carol-device", user_id: "", note: "carol" },
    { anonymous_id: "shared", user_id: "bob", note: "bob" },
    { anonymous_id: "alice-device", user_id: "", note: "one of alice" },
    { anonymous_id: "elsewhere", user_id: "alice", note: "another of alice" },
  );
  const file = await refusedOf(64);
  expect(file).toContain("one of alice");
  expect(file).toContain("another of alice");
  expect(file).not.toMatch(/bob|carol/);
  expect(await refusedOf(192)).toMatch(/^(?!.*(alice|carol)).*note.*bob/);

  await erase(64);
  expect(await bodies()).toMatch(/^(?!.*alice).*carol.*bob/);
});

it("erases everybody who has the user id, also who is not joined to them yet, and remembers it", async () => {
  await load(
    { atom: 640, anonymous_id: "d1", user_id: "dave" },
    { atom: 704, anonymous_id: "d2", user_id: "dave" },
    { atom: 768, anonymous_id: "d3", user_id: "eve" },
  );
  const store = createErasureStore({ clickhouse });
  const found = await store.findPeople("shop", ["dave"], "user");
  const [asked, ...others] = await store.request({ ...order, people: [...found.values()] });
  expect(others).toEqual([]);
  expect(asked).toMatchObject({ identities: 2 });
  expect(await clickhouse.query("SELECT DISTINCT user_id FROM events_v WHERE user_id IN ('dave', 'eve')")).toEqual([
    { user_id: "eve" },
  ]);
  const keys = (await store.receipt(asked!.id))!.keys;
  const [dave] = await clickhouse.query<{ key: string }>(
    "SELECT toString(sipHash64Keyed((SELECT (k0, k1) FROM erasure_key LIMIT 1), 'shop\\0udave')) AS key",
  );
  expect(keys).toContain(dave!.key);
});

/** Of a worker that is gone without giving it back: as long ago as it takes. */
const endTurn = (): Promise<void> =>
  clickhouse.command(
    "INSERT INTO erasure_turn (what, n, worker, at) SELECT 'erasures', max(n) + 1, 'gone', now64(3) - INTERVAL 1 MINUTE FROM erasure_turn",
  );

it("takes a number for a person where that is said, and never for a customer whom nobody knows", async () => {
  await load({ atom: 1042, anonymous_id: "zoe-device" });
  const { findPeople } = createErasureStore({ clickhouse });
  expect(await findPeople("shop", ["1042"], "any")).toEqual(new Map());
  expect(await findPeople("shop", ["1042"], "person")).toEqual(new Map([["1042", 1042]]));
});

it("goes no further after a crash than what was taken out of the counts", async () => {
  await load({ atom: 2048, anonymous_id: "fin-device" }, { atom: 2112, anonymous_id: "gus-device" });
  const store = createErasureStore({ clickhouse });
  await store.request({ ...order, people: [2048] });
  const open = (await store.openErasures(10, now)).filter(({ atoms }) => atoms.includes(2048));
  await store.begin(open, now);
  // Cut off right after the counts were corrected: what is written then is not.
  let isCut = false;
  const cut = {
    ...clickhouse,
    insertRows: async (...given: Parameters<ClickHouse["insertRows"]>) => {
      if (isCut) throw new Error("cut off");
      await clickhouse.insertRows(...given);
    },
    command: async (...given: Parameters<ClickHouse["command"]>) => {
      await clickhouse.command(...given);
      isCut = given[0].startsWith("INSERT INTO audience_day");
    },
  };
  await expect(createErasureStore({ clickhouse: cut }).carryOut(open, now)).rejects.toThrow("cut off");
  await endTurn();
  // A loader had this one in its hands.
  await load({ atom: 2048, anonymous_id: "fin-device" });
  await store.carryOut(open, now);
  for (let again = await store.openErasures(10, now); again.length > 0; again = await store.openErasures(10, now)) {
    await store.begin(again, now);
    await store.carryOut(again, now);
  }
  expect(await clickhouse.query("SELECT count() AS n FROM events WHERE atom = 2048")).toEqual([{ n: 0 }]);
  expect(await clickhouse.query("SELECT sum(events) AS events FROM audience_days WHERE dimension = 'all'")).toEqual(
    await clickhouse.query("SELECT count() AS events FROM events WHERE bot = ''"),
  );
});

it("gives its turn back also while it is writing down that it still has it", async () => {
  await endTurn();
  let tell = (): void => {};
  const isKept = new Promise<void>((resolve) => (tell = resolve));
  let kept = 0;
  const slow: ClickHouse = {
    ...clickhouse,
    // As when every statement takes its time.
    query: (sql, options) => clickhouse.query(sql.replace(" AS silentMs", " + 20000 AS silentMs"), options),
    async insertRows(table, rows, options) {
      const [turn] = rows as { worker: string }[];
      if (turn!.worker === "") await isKept;
      await clickhouse.insertRows(table, rows, options);
      if (turn!.worker !== "" && ++kept === 2) tell();
    },
  };
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    const turn = await takeErasureTurn(slow, undefined);
    vi.advanceTimersByTime(10_000);
    await turn!.giveBack();
  } finally {
    vi.useRealTimers();
  }
  expect(kept).toBe(2);
  expect(await clickhouse.query("SELECT argMax(worker, n) AS worker FROM erasure_turn")).toEqual([{ worker: "" }]);
});

describe("of two workers", () => {
  const rightCounts = async (): Promise<void> =>
    expect(await clickhouse.query("SELECT sum(events) AS events FROM audience_days WHERE dimension = 'all'")).toEqual(
      await clickhouse.query("SELECT count() AS events FROM events WHERE bot = ''"),
    );
  /** The first one stops before it takes anything out of the counts, until the second one is done with a part of the same. */
  async function beside(first: number, second: () => Promise<void>): Promise<{ answer: Promise<number> }> {
    await load({ atom: first, anonymous_id: `d${first}` }, { atom: first + 64, anonymous_id: `d${first + 64}` });
    const store = createErasureStore({ clickhouse });
    await store.request({ ...order, people: [first] });
    await store.request({ ...order, people: [first + 64] });
    const slow = {
      ...clickhouse,
      command: async (...given: Parameters<ClickHouse["command"]>) => {
        if (given[0].startsWith("INSERT INTO audience_day")) await second();
        await clickhouse.command(...given);
      },
    };
    const open = await store.openErasures(10, now);
    await store.begin(open, now);
    return { answer: createErasureStore({ clickhouse: slow }).carryOut(open, now) };
  }
  async function secondWorker(some: number): Promise<number> {
    const store = createErasureStore({ clickhouse });
    const open = (await store.openErasures(10, now)).filter(({ atoms }) => atoms.includes(some));
    await store.begin(open, now);
    return store.carryOut(open, now);
  }

  it("the one that comes second leaves everything to the first", async () => {
    let answer: number | undefined;
    const { answer: first } = await beside(4096, async () => void (answer = await secondWorker(4096)));
    const answers = [await first, answer];
    await rightCounts();
    expect(answers).toEqual([2, 0]);
  });

  it("one that was silent for a minute and goes on takes nothing out of the counts again, and says so", async () => {
    let answer: number | undefined;
    const { answer: first } = await beside(8192, async () => {
      await endTurn();
      answer = await secondWorker(8192);
    });
    await expect(first).rejects.toMatchObject({ code: "erasure_turn_lost" });
    expect(answer).toBe(1);
    await rightCounts();
    expect(await secondWorker(8192 + 64)).toBe(1);
    await rightCounts();
  });
});
