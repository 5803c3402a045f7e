import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createIdentityStore, migrate, type ClickHouse } from "@polder/clickhouse";
import { startEngine, type Engine } from "@polder/engine";
import fc from "fast-check";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createWorker } from "./create-worker.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-worker-"));
let engine: Engine;
let clickhouse: ClickHouse;
let offset = 0;

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
beforeEach(async () => {
  await empty();
});

async function empty(): Promise<void> {
  offset = 0;
  for (const table of ["atom", "identity_edge", "identity", "identity_position"])
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
}

interface Atom {
  site: string;
  anonymousId: string;
  userId: string;
  atom: number;
}

const newWorker = () => createWorker({ store: createIdentityStore(clickhouse), logger, registry: new Registry() });

async function addAtoms(atoms: readonly Atom[]): Promise<void> {
  const values = atoms.map(
    ({ site, anonymousId: a, userId: u, atom }) => `('${site}', cityHash64('${a}', '${u}'), ${atom}, '${a}', '${u}')`,
  );
  await clickhouse.command(`INSERT INTO atom (site, key, atom, anonymous_id, user_id) VALUES ${values.join(", ")}`);
  const logins = atoms.filter(({ anonymousId, userId }) => anonymousId !== "" && userId !== "");
  await clickhouse.insertRows(
    "identity_edge",
    logins.map(({ site, anonymousId, userId, atom }) => ({
      site,
      anonymous_id: anonymousId,
      user_id: userId,
      kind: "login",
      other: userId,
      rule: "login",
      atom,
      time: "2026-11-22 12:00:00.000",
      _offset: offset++,
    })),
    { settings: { insert_deduplicate: 0 } },
  );
}

/** What every atom's person is in SQL. */
async function people(): Promise<Map<number, number>> {
  const rows = await clickhouse.query<{ atom: number; person: number }>(
    "SELECT DISTINCT atom, person(atom) AS person FROM atom",
  );
  return new Map(rows.map((row) => [row.atom, row.person]));
}

/** The law, by union-find over all atoms at once. */
function expectedPeople(atoms: readonly Atom[]): Map<number, number> {
  const parent = new Map(atoms.map(({ atom }) => [atom, atom]));
  const find = (atom: number): number => (parent.get(atom) === atom ? atom : find(parent.get(atom)!));
  const union = (a: number, b: number): void => {
    const [small, large] = [find(a), find(b)].toSorted((x, y) => x - y) as [number, number];
    parent.set(large, small);
  };
  for (const a of atoms)
    for (const b of atoms) {
      if (a.site !== b.site) continue;
      if (a.userId && a.userId === b.userId) union(a.atom, b.atom);
      if (!a.userId && !b.userId && a.anonymousId === b.anonymousId) union(a.atom, b.atom);
      const usersOfA = new Set(
        atoms.filter((c) => c.site === a.site && c.anonymousId === a.anonymousId && c.userId).map((c) => c.userId),
      );
      if (!a.userId && a.anonymousId && usersOfA.size === 1 && usersOfA.has(b.userId)) union(a.atom, b.atom);
    }
  return new Map(atoms.map(({ atom }) => [atom, find(atom)]));
}

const atom = (number: number, anonymousId: string, userId = "", site = "shop"): Atom => ({
  site,
  anonymousId,
  userId,
  atom: number,
});

describe("people", () => {
  it("joins what a visitor did before and after a login, and a second device with the same login", async () => {
    const worker = newWorker();
    await addAtoms([atom(64, "phone"), atom(128, "laptop")]);
    await worker.tick();
    expect(await people()).toEqual(
      new Map([
        [64, 64],
        [128, 128],
      ]),
    );
    await addAtoms([atom(192, "phone", "an")]);
    await worker.tick();
    expect((await people()).get(192)).toBe(64);
    await addAtoms([atom(256, "laptop", "an")]);
    await worker.tick();
    expect([...(await people()).values()]).toEqual([64, 64, 64, 64]);
  });

  it("keeps two users of a shared device apart, and leaves what was done without a login to neither", async () => {
    const worker = newWorker();
    await addAtoms([atom(64, "kiosk"), atom(128, "kiosk", "an")]);
    await worker.tick();
    expect((await people()).get(128)).toBe(64);
    await addAtoms([atom(192, "kiosk", "bo")]);
    await worker.tick();
    expect(await people()).toEqual(
      new Map([
        [64, 64],
        [128, 128],
        [192, 192],
      ]),
    );
  });

  it("does not join the same ids of two sites", async () => {
    await addAtoms([atom(64, "a", "u", "shop"), atom(128, "a", "u", "blog")]);
    await newWorker().tick();
    expect(await people()).toEqual(
      new Map([
        [64, 64],
        [128, 128],
      ]),
    );
  });

  it("changes nothing when there is nothing new", async () => {
    const worker = newWorker();
    await addAtoms([atom(64, "a"), atom(128, "a", "u")]);
    expect(await worker.tick()).toBe(1);
    expect(await worker.tick()).toBe(0);
    expect(await newWorker().tick()).toBe(0);
  });

  it("equals union-find over all atoms, whatever came in which order, with restarts in between", async () => {
    const small = (prefix: string, n: number) =>
      fc.integer({ min: 0, max: n }).map((i) => (i === 0 ? "" : `${prefix}${i}`));
    const key = fc
      .record({
        site: fc.constantFrom("shop", "blog"),
        anonymousId: small("a", 6),
        userId: small("u", 4),
        residue: fc.integer({ min: 0, max: 2 }),
      })
      .filter(({ anonymousId, userId }) => anonymousId !== "" || userId !== "");
    const step = fc.record({ keys: fc.array(key, { minLength: 1, maxLength: 5 }), restart: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        await empty();
        let worker = newWorker();
        const atoms: Atom[] = [];
        const next = [1, 1, 1];
        for (const { keys, restart } of steps) {
          const added = keys.map(({ residue, ...ids }) => ({ ...ids, atom: next[residue]!++ * 64 + residue }));
          atoms.push(...added);
          await addAtoms(added);
          if (restart) worker = newWorker();
          await worker.tick();
        }
        expect(await people()).toEqual(expectedPeople(atoms));
      }),
      { seed: 20261122, numRuns: 4 },
    );
  });
});
