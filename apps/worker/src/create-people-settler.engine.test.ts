import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createIdentityStore, migrate, type ClickHouse } from "@polder/clickhouse";
import { startEngine, type Engine } from "@polder/engine";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPeopleSettler } from "./create-people-settler.ts";
import {
  createClocks,
  runHistory,
  someRules,
  someSteps,
  type Added,
  type TestedStore,
} from "./people-history.test-support.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-settler-"));
let engine: Engine;
let clickhouse: ClickHouse;

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
});
afterAll(async () => {
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const nothingElse = { ties: [], nameless: [], removed: [] };
const textOf = (ms: number): string => new Date(ms).toISOString().slice(0, -1).replace("T", " ");
const told = { settings: { insert_deduplicate: 0 } };

async function add({ atoms, edges, decisions, erased, ties, nameless, removed }: Added): Promise<void> {
  for (const { partition, offset } of removed)
    await clickhouse.command(
      `ALTER TABLE identity_edge DELETE WHERE _partition = ${partition} AND _offset = ${offset} SETTINGS mutations_sync = 2`,
    );
  await clickhouse.insertRows("identity_tie", ties, told);
  if (nameless.length > 0) {
    const isGone = `atom IN (${nameless.map(({ atom }) => atom).join(", ")})`;
    await clickhouse.command(`ALTER TABLE identity_edge DELETE WHERE ${isGone} SETTINGS mutations_sync = 2`);
    await clickhouse.insertRows(
      "atom",
      nameless.map((one) => ({ ...one, key: 0 })),
      told,
    );
    await clickhouse.command(
      `ALTER TABLE atom DELETE WHERE ${isGone} AND (anonymous_id != '' OR user_id != '') SETTINGS mutations_sync = 2`,
    );
  }
  await clickhouse.insertRows(
    "atom",
    atoms.map(({ site, atom, anonymousId, userId }) => ({
      site,
      key: atom,
      atom,
      anonymous_id: anonymousId,
      user_id: userId,
    })),
    told,
  );
  await clickhouse.insertRows(
    "identity_edge",
    edges.map(({ anonymousId, userId, time, partition, offset, ...edge }) => ({
      ...edge,
      anonymous_id: anonymousId,
      user_id: userId,
      time: textOf(time),
      _partition: partition,
      _offset: offset,
    })),
    told,
  );
  await clickhouse.insertRows(
    "identity_decision",
    decisions.map((decision) => ({ ...decision, at: textOf(decision.at) })),
    told,
  );
  await clickhouse.insertRows(
    "erasure",
    erased.map(({ site, atom }) => ({ site, id: `erasure-${atom}`, round: 1, kind: "person", atoms: [atom] })),
    told,
  );
}

const worked = ["identity", "identity_position", "identity_quarantine"];
const stated = ["atom", "identity_edge", "identity_decision", "identity_tie", "erasure"];
const empty = async (tables: readonly string[]): Promise<void> => {
  for (const table of tables) await clickhouse.command(`TRUNCATE TABLE ${table}`);
};

const clockOfWorker = createClocks();
const store: TestedStore = {
  add,
  async persons() {
    const rows = await clickhouse.query<{ atom: number; person: number }>(
      "SELECT DISTINCT atom, person(atom) AS person FROM atom ORDER BY atom",
    );
    return rows.map(({ atom, person }) => [atom, person]);
  },
  forget: () => empty(worked),
  settler(rules, failAfter = Infinity) {
    const identity = createIdentityStore(clickhouse);
    let left = failAfter;
    return createPeopleSettler({
      store: {
        ...identity,
        async writePersons(rows, version) {
          if (left-- <= 0) throw new Error("cut off");
          await identity.writePersons(rows, version);
        },
        async writePosition(position) {
          if (left-- <= 0) throw new Error("cut off");
          await identity.writePosition(position);
        },
      },
      rules,
      logger,
      now: clockOfWorker(),
      chunk: 4,
    });
  },
};

describe("people, worked out from the tables", () => {
  it("are what the resolver says of everything at once, after any history, and so after a rebuild", () =>
    checkAsyncProperty(
      fc.asyncProperty(someRules, someSteps, async (rules, steps) => {
        await empty([...stated, ...worked]);
        await runHistory(store, rules, steps);
      }),
      6,
    ));

  it("are not held by what a worker wrote whose clock was ahead, and that was cut off", async () => {
    await empty([...stated, ...worked]);
    const seen = (atom: number, anonymousId: string, userId: string) => ({ site: "shop", atom, anonymousId, userId });
    const login = (offset: number, { atom, anonymousId, userId }: ReturnType<typeof seen>) => ({
      site: "shop",
      kind: "login" as const,
      anonymousId,
      userId,
      other: userId,
      rule: "login",
      time: 0,
      atom,
      partition: 0,
      offset,
    });
    const [kiosk, an, bo] = [seen(64, "kiosk", ""), seen(128, "kiosk", "an"), seen(192, "kiosk", "bo")];
    const identities = createIdentityStore(clickhouse);
    const settlerAt = (time: number, cut = {}) =>
      createPeopleSettler({ store: { ...identities, ...cut }, logger, now: () => new Date(time) });
    await add({ atoms: [kiosk], edges: [], decisions: [], erased: [], ...nothingElse });
    await settlerAt(1_000).tick();
    await add({ atoms: [an], edges: [login(1, an)], decisions: [], erased: [], ...nothingElse });
    const writePosition = () => Promise.reject(new Error("cut off"));
    await expect(settlerAt(9_000, { writePosition }).tick()).rejects.toThrow("cut off");
    await add({ atoms: [bo], edges: [login(2, bo)], decisions: [], erased: [], ...nothingElse });
    await settlerAt(2_000).tick();
    expect(await store.persons()).toEqual([
      [64, 64],
      [128, 128],
      [192, 192],
    ]);
  });

  it("are found by more ids than a server takes in one question", async () => {
    await empty([...stated, ...worked]);
    const wide = "x".repeat(180);
    const ids = Array.from({ length: 900 }, (_, n) => `${wide}-${n}-日本`);
    const atoms = ids.flatMap((anonymousId, n) => [
      { site: "shop", anonymousId, userId: "", atom: (n + 1) * 128 },
      { site: "shop", anonymousId, userId: anonymousId, atom: (n + 1) * 128 + 1 },
    ]);
    const edges = ids.map((id, offset) => ({
      site: "shop",
      kind: "login" as const,
      anonymousId: id,
      userId: id,
      other: id,
      rule: "login",
      time: 0,
      atom: (offset + 1) * 128 + 1,
      partition: 0,
      offset,
    }));
    await add({ atoms, edges, decisions: [], erased: [], ...nothingElse });
    const settler = createPeopleSettler({ store: createIdentityStore(clickhouse), logger, now: () => new Date() });
    expect(await settler.tick()).toEqual({ changed: 900, quarantined: 0 });
    const [row] = await clickhouse.query<{ joined: number }>(
      "SELECT countIf(person = atom - 1) AS joined FROM identity FINAL",
    );
    expect(row).toEqual({ joined: 900 });
  });
});
