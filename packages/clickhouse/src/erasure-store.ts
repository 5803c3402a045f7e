import { createHash, randomUUID } from "node:crypto";
import {
  createBlockedCheck,
  createErasedKeys,
  defaultIdentityRules,
  keysToErase,
  type ErasedPart,
  type Erasure,
  type ErasureStore,
  type IdentityRules,
} from "@polder/core";

import type { ClickHouse, QueryOptions } from "./clickhouse.ts";
import { erasedTables, readShared } from "./erased-tables.ts";
import { isGone, isMarker, readBounds, subtractCounts, type Bounds } from "./erasure-correction.ts";
import { readErasureKey } from "./erasure-key.ts";
import { findLate, findLateTraits, type LateIdentity } from "./erasure-late.ts";
import { createErasureReceipts, keyOf, type CountsOf, type Progress } from "./erasure-receipts.ts";
import { createTraitErasure } from "./erasure-traits.ts";
import { takeErasureTurn, type ErasureTurn } from "./erasure-turn.ts";
import { localTable } from "./migrations/render-migrations.ts";
import { reloadIdentities } from "./reload-identities.ts";
import { createTableRewriter, maxAtomsAtOnce, slices, unique } from "./rewrite-tables.ts";
import { blockedValues, type BlockedOfSites } from "./stands-for-nobody.ts";
import { stateInsert, type StateTable } from "./state-selects.ts";

export interface ErasureStoreOptions {
  clickhouse: ClickHouse;
  /** Name of the cluster: what is removed is removed from every shard. */
  cluster?: string;
  /** An erasure was written down: the place from which it is kept elsewhere, too. Before anybody is told that it was. */
  onRequested?: () => Promise<void>;
  /** By site, what stands for nobody there besides the built-in values. Asked every time. */
  rules?: () => BlockedOfSites;
}

/** Above every version that is worked out from edges: nobody comes back by it. */
const lastVersion = "18446744073709551615";
const maxLateAtOnce = 5_000;
/** How long a change of an audience takes to whoever is told of it, at most. */
const toldWithinMs = 120_000;
const maxWaitMs = 600_000;
const tables = Object.keys(erasedTables);

/** What every step of a round needs. */
interface Work {
  now: () => Date;
  turn: ErasureTurn;
}

interface Group {
  erasures: readonly Erasure[];
  atoms: readonly number[];
  /** Of these, those that somebody new uses since. */
  kept: readonly number[];
  /** What is told of more than one request in one statement happened before the last of them. */
  until: number;
}

/** {@link ErasureStore} in SQL. What is done to each table is in `erased-tables.ts`. */
export function createErasureStore({ clickhouse, cluster, ...options }: ErasureStoreOptions): ErasureStore {
  const rules = options.rules ?? (() => new Map<string, IdentityRules>());
  const rewriter = createTableRewriter(clickhouse, cluster, (table) => erasedTables[table]?.isEverywhere !== true);
  const receipts = createErasureReceipts(clickhouse);
  const traits = createTraitErasure(clickhouse, rewriter, rules);

  /** From now on they are nobody. */
  async function hide(identities: readonly { site: string; atom: number }[]): Promise<void> {
    if (identities.length === 0) return;
    const rows = identities.map(({ site, atom }) => ({ site, atom, person: 0, version: lastVersion }));
    await clickhouse.insertRows("identity", rows, { settings: { insert_deduplicate: 0 } });
    await reloadIdentities(clickhouse, cluster);
  }

  /** Those of them whom questions still know. */
  async function stillKnown(erasures: readonly Erasure[]): Promise<{ site: string; atom: number }[]> {
    const known: { site: string; atom: number }[] = [];
    const siteOf = new Map(
      erasures.flatMap(({ site, atoms, keptAtoms }) => without(atoms, keptAtoms).map((atom) => [atom, site])),
    );
    for (const atoms of slices([...siteOf.keys()])) {
      const rows = await clickhouse.query<{ atom: number }>(
        "SELECT atom FROM (SELECT arrayJoin({atoms: Array(UInt32)}) AS atom) WHERE person(atom) != 0",
        { params: { atoms } },
      );
      for (const { atom } of rows) known.push({ atom, site: siteOf.get(atom)! });
    }
    return known;
  }

  const known = new WeakMap<Group, Map<string, Promise<readonly number[]>>>();
  /** {@link readShared}, once for all tables: of each of them it would take longer than all the rest. */
  function sharedOf(group: Group, atoms: readonly number[]): Promise<readonly number[]> {
    const ofGroup = known.get(group) ?? new Map<string, Promise<readonly number[]>>();
    known.set(group, ofGroup);
    const key = atoms.join();
    const found = ofGroup.get(key) ?? readShared(clickhouse, { atoms, until: group.until });
    ofGroup.set(key, found);
    return found;
  }

  /** Rows of one table by identity. Of those that somebody new uses only what is made anew is looked at, and of that the events. */
  async function countIn(table: string, group: Group, bounds: Bounds): Promise<Map<number, number>> {
    const { atoms, kept, until } = group;
    const blocked = blockedValues(rules());
    const found = new Map<number, number>();
    // The server knows how many rows there are without reading one; what is looked for in them takes long to work out.
    const [all] = await clickhouse.query<{ rows: number }>(`SELECT count() AS rows FROM ${table}`);
    if (all?.rows === 0) return found;
    const isCounted = new Set(table === "events" ? atoms : without(atoms, kept));
    for (const slice of slicesOf(group)) {
      const some = slice.filter((atom) => isCounted.has(atom));
      if (some.length === 0) continue;
      const rows = await clickhouse.query<{ atom: number; count: number }>(
        erasedTables[table]!.count.replaceAll("{gone}", isGone),
        { params: { ...bounds, kept, until, blocked, atoms: some, shared: await sharedOf(group, some) } },
      );
      for (const { atom, count } of rows) found.set(atom, count);
    }
    return found;
  }

  /** The rows that a condition finds, by what tells them apart: a mutation would work out the condition anew for every part. */
  async function findRows(
    table: string,
    { by, where }: { by: string; where: string },
    params: QueryOptions["params"] & {},
  ): Promise<string[]> {
    const rows = await clickhouse.query<{ hash: string }>(
      `SELECT DISTINCT hex(sipHash128(${by})) AS hash FROM ${table} WHERE ${where}`,
      { params },
    );
    return rows.map(({ hash }) => hash);
  }

  /** Who is in an audience, or left one a moment ago: of that others have to hear first. Not for ever: nobody may be working audiences out. */
  async function notTold({ erasures }: Group, now: Date): Promise<number[]> {
    const recent = erasures.filter(({ at }) => now.getTime() - at < maxWaitMs);
    const waiting: number[] = [];
    for (const atoms of slices(unique(recent.flatMap((erasure) => erasure.atoms)))) {
      const rows = await clickhouse.query<{ person: number }>(
        `SELECT person FROM audience_member FINAL WHERE has_left = 0 AND person IN {atoms: Array(UInt32)}
         UNION DISTINCT
         SELECT person FROM audience_log WHERE person IN {atoms: Array(UInt32)} AND at > fromUnixTimestamp64Milli({since: Int64})`,
        { params: { atoms, since: now.getTime() - toldWithinMs } },
      );
      waiting.push(...rows.map(({ person }) => person));
    }
    return waiting;
  }

  async function removeFrom(
    table: string,
    group: Group,
    { bounds, now, turn }: { bounds: Bounds; now: Date; turn: ErasureTurn },
  ): Promise<void> {
    const { remove, isRebuilt, isTold } = erasedTables[table]!;
    const { kept, until } = group;
    const atoms = isTold ? without(group.atoms, await notTold(group, now)) : group.atoms;
    const blocked = blockedValues(rules());
    const isRemoved = new Set(isRebuilt ? atoms : without(atoms, kept));
    for (const slice of slicesOf(group)) {
      const some = slice.filter((atom) => isRemoved.has(atom));
      if (some.length === 0) continue;
      await turn.keep();
      const params = { ...bounds, kept, until, blocked, atoms: some, shared: await sharedOf(group, some) };
      for (const step of remove) {
        if ("by" in step) {
          const change = step.set === undefined ? "DELETE" : `UPDATE ${step.set}`;
          for (const found of slices(await findRows(table, step, params), 2_000))
            await rewriter.alter(
              table,
              `${change} WHERE ${step.among} AND hex(sipHash128(${step.by})) IN {found: Array(String)}`,
              {
                ...params,
                found,
              },
            );
        } else if ("set" in step) {
          await rewriter.alter(table, `UPDATE ${step.set} WHERE ${step.where}`, params);
        } else if (step.isMarked) await rewriter.mark(table, step.rows.replaceAll("{gone}", isGone), params);
        else await rewriter.alter(table, `DELETE WHERE ${step.rows}`, params);
      }
    }
    if (isRebuilt && kept.length > 0 && table !== "events") await makeAnew(table as StateTable, kept, turn);
  }

  /** From the events that are left. Nothing else is loaded under these numbers: loaders have given out others. */
  async function makeAnew(table: StateTable, kept: readonly number[], turn: ErasureTurn): Promise<void> {
    for (const atoms of slices(kept)) {
      const from = `(SELECT * FROM events WHERE atom IN {atoms: Array(UInt32)} AND ${turn.isHeld})`;
      const insert = stateInsert(table, { from, and: "" });
      // The events of a day were taken out of its counts one by one; who they are of, as a whole.
      const sql = table === "audience_day" ? insert.replace("count() AS events", "toUInt64(0) AS events") : insert;
      await clickhouse.command(`INSERT INTO ${table} ${sql}`, {
        params: { atoms, ...turn.params },
        settings: { ...turn.settings, insert_deduplicate: 0, distributed_foreground_insert: 1 },
        isLong: true,
      });
      await turn.keep();
    }
  }

  /** Up to where each is carried out, written down before anything is done by it: whoever goes on after a crash goes no further. */
  async function bind(
    erasures: readonly Erasure[],
    progress: ReadonlyMap<string, Progress>,
    now: () => Date,
  ): Promise<ReadonlyMap<string, Progress>> {
    const fresh = erasures.filter((erasure) => progress.get(keyOf(erasure))?.bounds === undefined);
    if (fresh.length === 0) return progress;
    const bounds = await readBounds(clickhouse);
    const lines = fresh.map((erasure) => ({
      erasure,
      rows: progress.get(keyOf(erasure))?.rows ?? nothing,
      bounds,
    }));
    await receipts.write(lines, now());
    return receipts.progressOf(erasures);
  }

  /** Counts by day are made right while the events that say how are still there, and that is written down before the first of them goes. */
  async function correct(
    group: Group,
    bounds: Bounds,
    progress: ReadonlyMap<string, Progress>,
    { now, turn }: Work,
  ): Promise<void> {
    const open = group.erasures.filter((erasure) => progress.get(keyOf(erasure))?.isCorrected !== true);
    if (open.length === 0) return;
    await subtractCounts(
      clickhouse,
      open.map((erasure) => ({ marker: keyOf(erasure) })),
      { ...bounds, kept: group.kept, until: group.until },
      turn,
    );
    const lines = open.map((erasure) => ({
      erasure,
      rows: progress.get(keyOf(erasure))?.rows ?? nothing,
      bounds,
      isCorrected: true,
    }));
    await receipts.write(lines, now());
  }

  async function erase(
    group: Group,
    bounds: Bounds,
    progress: ReadonlyMap<string, Progress>,
    { now, turn }: Work,
  ): Promise<void> {
    const left = new Map<string, Map<number, number>>();
    for (const table of tables) {
      // What leads from an identity to its rows goes when nothing else is left, but for what is found by number and waits to be told.
      const mayGo =
        table !== "atom" ||
        [...left].every(([other, found]) => found.size === 0 || erasedTables[other]!.isTold === true);
      await turn.keep();
      const remove = (): Promise<void> => removeFrom(table, group, { bounds, now: now(), turn });
      // What was there was counted when it was announced. Of events, and of who goes on, it is not only those that are counted.
      const wasThere = group.erasures.some((erasure) => (progress.get(keyOf(erasure))?.rows.get(table) ?? 0) > 0);
      const isSure = wasThere || group.kept.length > 0 || table === "events";
      if (mayGo && isSure) await remove();
      let found = await countIn(table, group, bounds);
      // Rewriting takes its time even where there is nothing.
      if (mayGo && !isSure && found.size > 0) {
        await remove();
        found = await countIn(table, group, bounds);
      }
      left.set(table, found);
    }
    for (const markers of slices(group.erasures.map(keyOf), 1_000))
      await rewriter.alter("audience_day", `DELETE WHERE ${isMarker}`, { markers });
    await writeRounds(await loadedSince(group), group.erasures, now);
    await receipts.write(
      group.erasures.map((erasure) => {
        const remaining = countsOf(erasure, left);
        const isDone = [...remaining.values()].every((count) => count === 0);
        return { erasure, rows: progress.get(keyOf(erasure))?.rows ?? nothing, left: remaining, isDone };
      }),
      now(),
    );
  }

  /** What was loaded under their numbers while they were removed: for the next round. */
  async function loadedSince({ erasures, atoms, kept }: Group): Promise<LateIdentity[]> {
    const late: LateIdentity[] = [];
    for (const some of slices(without(atoms, kept))) {
      const rows = await clickhouse.query<{ atom: number }>(
        "SELECT DISTINCT atom FROM events WHERE atom IN {atoms: Array(UInt32)}",
        { params: { atoms: some } },
      );
      for (const { atom } of rows)
        for (const { site, id, atoms: own } of erasures)
          if (own.includes(atom)) late.push({ site, id, atom, isKept: false });
    }
    return late;
  }

  /** One more round for each erasure of which something came to light. */
  async function writeRounds(
    late: readonly LateIdentity[],
    done: readonly Pick<Erasure, "id">[],
    now: () => Date,
  ): Promise<void> {
    const isDone = new Set(done.map(({ id }) => id));
    const lateOf = new Map<string, LateIdentity[]>();
    for (const one of late) if (isDone.has(one.id)) lateOf.set(one.id, [...(lateOf.get(one.id) ?? []), one]);
    for (const ids of slices([...lateOf.keys()], 1_000)) await writeRoundsOf(ids, lateOf, now);
  }

  async function writeRoundsOf(
    ids: readonly string[],
    lateOf: ReadonlyMap<string, readonly LateIdentity[]>,
    now: () => Date,
  ): Promise<void> {
    const before = await clickhouse.query<{ id: string; round: number }>(
      "SELECT id, max(round) AS round FROM erasure WHERE id IN {ids: Array(String)} GROUP BY id",
      { params: { ids } },
    );
    const first = await clickhouse.query<object & { id: string }>(
      `SELECT site, id, kind, person, traits, toString(requested_at) AS requested_at, actor, reason FROM erasure WHERE round = 1 AND id IN {ids: Array(String)}`,
      { params: { ids } },
    );
    const rows = first.map((row) => {
      const found = lateOf.get(row.id)!;
      return {
        ...row,
        round: (before.find(({ id }) => id === row.id)?.round ?? 1) + 1,
        atoms: unique(found.map(({ atom }) => atom)),
        kept_atoms: unique(found.filter(({ isKept }) => isKept).map(({ atom }) => atom)),
        keys: [],
        at: timeText(now()),
      };
    });
    const rounds = rows.map(({ id, round }) => `${id}/${round}`).toSorted();
    await clickhouse.insertRows("erasure", rows, {
      settings: {
        insert_deduplicate: 1,
        deduplicate_insert: "enable",
        insert_deduplication_token: createHash("sha256").update(rounds.join()).digest("hex"),
      },
    });
  }

  async function sweep(): Promise<number> {
    const parts = await clickhouse.query<{ table: string }>(
      "SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase() AND active AND has_lightweight_delete",
    );
    const isMarked = (table: string): boolean =>
      cluster !== undefined || parts.some((part) => part.table === localTable(table, cluster));
    const marked = markedTables.filter(isMarked);
    // One at a time, so that merges of what is being loaded find a place beside it.
    for (const table of marked) await rewriter.sweep(table);
    return marked.length;
  }

  async function carryOut(erasures: readonly Erasure[], work: Work): Promise<number> {
    const { now } = work;
    const people = erasures.filter(({ kind }) => kind === "person");
    const progress = await bind(people, await receipts.progressOf(erasures), now);
    let gone = 0;
    for (const group of groupsOf(people)) {
      const byBounds = new Map<string, { bounds: Bounds; erasures: Erasure[] }>();
      for (const erasure of group) {
        const bounds = progress.get(keyOf(erasure))?.bounds ?? { partitions: [], offsets: [] };
        const key = JSON.stringify(bounds);
        const same = byBounds.get(key);
        if (same === undefined) byBounds.set(key, { bounds, erasures: [erasure] });
        else same.erasures.push(erasure);
      }
      for (const { bounds, erasures: some } of byBounds.values()) {
        await correct(groupOf(some), bounds, progress, work);
        await erase(groupOf(some), bounds, progress, work);
      }
      gone += groupOf(group).atoms.length;
    }
    const ofTraits = erasures.filter(({ kind }) => kind === "traits");
    await traits.remove(ofTraits);
    const lines = [];
    for (const erasure of ofTraits) {
      const left = await traits.count(erasure);
      const isDone = [...left.values()].every((count) => count === 0);
      lines.push({ erasure, rows: progress.get(keyOf(erasure))?.rows ?? nothing, left, isDone });
    }
    await receipts.write(lines, now());
    return gone;
  }

  const openRounds = (limit: number): Promise<Erasure[]> =>
    clickhouse.query<Erasure>(
      `SELECT e.site AS site, e.id AS id, e.round AS round, e.kind AS kind, e.atoms AS atoms, e.kept_atoms AS keptAtoms, e.traits AS traits,
         toUnixTimestamp64Milli(e.requested_at) AS requestedAt, toUnixTimestamp64Milli(e.at) AS at
       FROM erasure AS e
       LEFT JOIN (SELECT id, round, is_done FROM erasure_receipt FINAL WHERE table_name = '') AS r ON r.id = e.id AND r.round = e.round
       WHERE r.is_done = 0 ORDER BY e.at, e.site, e.id, e.round LIMIT {limit: UInt32}`,
      { params: { limit } },
    );

  /**
   * These people and whoever else has a user id of theirs: one who is not joined to them yet, or never will be, since there are too many. With all
   * their identities.
   */
  async function withSameUsers(
    site: string,
    people: readonly number[],
    isNobody: (id: string) => boolean,
  ): Promise<{ groups: ReadonlySet<number>[]; found: IdentityRow[] }> {
    const groupOfPerson = new Map(people.map((person) => [person, new Set([person])]));
    for (;;) {
      const persons = [...groupOfPerson.keys()];
      const found: IdentityRow[] = [];
      for (const some of slices(persons))
        found.push(...(await clickhouse.query<IdentityRow>(identitiesOf, { params: { site, persons: some } })));
      const personOf = new Map<string, number>();
      for (const { userId, person } of found) if (!isNobody(userId)) personOf.set(userId, person);
      for (const users of slices([...personOf.keys()], 1_000)) {
        const others = await clickhouse.query<{ user: string; person: number }>(
          `SELECT DISTINCT user_id AS user, person(atom) AS person FROM atom
           WHERE site = {site: String} AND user_id IN {users: Array(String)} AND person != 0`,
          { params: { site, users } },
        );
        for (const { user, person } of others) {
          const group = groupOfPerson.get(personOf.get(user)!)!;
          const other = groupOfPerson.get(person) ?? new Set([person]);
          if (group === other) continue;
          for (const one of other) groupOfPerson.set(one, group.add(one));
        }
      }
      if (groupOfPerson.size === persons.length) return { groups: unique([...groupOfPerson.values()]), found };
    }
  }

  async function traitNames(
    persons: readonly number[],
    site: string,
    { traits: names = [], class: ofClass, keep = [] }: ErasedPart,
  ): Promise<string[]> {
    const found =
      ofClass === undefined
        ? []
        : await clickhouse.query<{ name: string }>(
            `SELECT name FROM (SELECT name, argMaxMerge(last).3 AS class FROM trait_state WHERE site = {site: String} AND person(atom) IN {persons: Array(UInt32)} GROUP BY name)
             WHERE class = {class: String}`,
            { params: { site, persons, class: ofClass } },
          );
    return unique([...names, ...found.map(({ name }) => name)].filter((name) => !keep.includes(name))).toSorted();
  }

  return {
    async findPeople(site, ids, by) {
      const numbers = ids.filter((id) => /^[1-9]\d{0,9}$/.test(id) && Number(id) < 2 ** 32).map(Number);
      const found = new Map<string, number>();
      const { isBlockedId } = createBlockedCheck(rules().get(site) ?? defaultIdentityRules);
      for (const some of slices(unique(ids), 1_000)) {
        const rows = await clickhouse.query<{ id: string; person: number }>(peopleByIds, {
          params: {
            site,
            by,
            // What stands for nobody, as `null`, would find whoever came with it first.
            ids: some.filter((id) => !isBlockedId(id)),
            numbers: numbers.filter((number) => some.includes(String(number))),
          },
        });
        for (const { id, person } of rows) found.set(id, person);
      }
      return found;
    },

    async request({ site, people, part, actor, reason, at }) {
      const asked = await clickhouse.query<{ asked: number; person: number }>(
        "SELECT asked, person(asked) AS person FROM (SELECT arrayJoin({people: Array(UInt32)}) AS asked) WHERE person != 0",
        { params: { people } },
      );
      if (asked.length === 0) return [];
      const { isBlockedId } = createBlockedCheck(rules().get(site) ?? defaultIdentityRules);
      const { groups, found } = await withSameUsers(site, unique(asked.map(({ person }) => person)), isBlockedId);
      const key = createErasedKeys(await readErasureKey(clickhouse));
      const rows: object[] = [];
      const requested = [];
      for (const persons of groups) {
        const identities = found.filter((one) => persons.has(one.person));
        const askedOf = asked.filter((one) => persons.has(one.person));
        const { person } = askedOf[0]!;
        const id = randomUUID();
        const atoms = unique(identities.map(({ atom }) => atom)).toSorted((a, b) => a - b);
        const keys = keysToErase(
          identities.map(({ anonymousId, userId, peopleOfDevice }) => ({
            site,
            anonymousId,
            userId,
            isOnlyUserOfDevice: peopleOfDevice.every((one) => persons.has(one)),
            isNobody: isBlockedId(userId),
            isNobodysDevice: isBlockedId(anonymousId),
          })),
          key,
        );
        const names = part === undefined ? [] : await traitNames([...persons], site, part);
        const kind = part === undefined ? ("person" as const) : ("traits" as const);
        const moment = timeText(at);
        rows.push({
          site,
          id,
          round: 1,
          kind,
          person,
          atoms,
          kept_atoms: [],
          keys: keys.map(String),
          traits: names,
          requested_at: moment,
          at: moment,
          actor,
          reason,
        });
        const first = new Map(askedOf.toReversed().map((one) => [one.person, one]));
        for (const one of askedOf.filter((each) => first.get(each.person) === each))
          requested.push({ id, ...one, kind, identities: atoms.length, traits: names });
      }
      await clickhouse.insertRows("erasure", rows, { settings: { insert_deduplicate: 0 } });
      if (part === undefined) await hide(found.map(({ atom }) => ({ site, atom })));
      await options.onRequested?.();
      return requested;
    },

    async openErasures(limit, now) {
      const open = await openRounds(limit);
      if (open.length >= limit) return open;
      const late = await findLate(clickhouse, maxLateAtOnce, rules());
      const lateTraits = await findLateTraits(clickhouse, maxLateAtOnce, rules());
      if (late.length + lateTraits.length === 0) return open;
      await writeRounds([...late, ...lateTraits], [...late, ...lateTraits], now);
      return openRounds(limit);
    },

    async begin(erasures, now) {
      const people = erasures.filter(({ kind }) => kind === "person");
      await hide(await stillKnown(people));
      const progress = await receipts.progressOf(erasures);
      const fresh = erasures.filter((erasure) => !progress.has(keyOf(erasure)));
      const counts = new Map<string, Map<number, number>>();
      const group = groupOf(fresh.filter(({ kind }) => kind === "person"));
      if (group.erasures.length > 0) {
        const bounds = await readBounds(clickhouse);
        for (const table of tables) counts.set(table, await countIn(table, group, bounds));
      }
      const lines = [];
      for (const erasure of fresh)
        lines.push({
          erasure,
          rows: erasure.kind === "person" ? countsOf(erasure, counts) : await traits.count(erasure),
        });
      await receipts.write(lines, now());
    },

    async carryOut(erasures, now) {
      const turn = await takeErasureTurn(clickhouse, cluster);
      if (turn === undefined) return 0;
      try {
        return await carryOut(erasures, { now, turn });
      } finally {
        // Where it cannot be given back, it ends by itself.
        await turn.giveBack().catch(() => undefined);
      }
    },

    sweep,
    receipt: receipts.receipt,
    list: receipts.list,
  };
}

interface IdentityRow {
  atom: number;
  person: number;
  anonymousId: string;
  userId: string;
  peopleOfDevice: number[];
}

// A device that several customers used: whose atom came first, its visits without a customer before all.
const peopleByIds = `
SELECT id, argMin(whose, rank) AS person FROM (
  SELECT user_id AS id, person(atom) AS whose, (1, 0, atom) AS rank FROM atom
  WHERE {by: String} IN ('any', 'user') AND site = {site: String} AND user_id IN {ids: Array(String)}
  UNION ALL
  SELECT anonymous_id, person(atom), (2, user_id != '', atom) FROM atom
  WHERE {by: String} IN ('any', 'anonymous') AND site = {site: String} AND anonymous_id IN {ids: Array(String)}
  UNION ALL
  SELECT toString(atom), person(atom), (3, 0, atom) FROM atom
  WHERE {by: String} = 'person' AND site = {site: String} AND atom IN {numbers: Array(UInt32)}
) WHERE whose != 0 GROUP BY id`;

/** With everybody who is seen with the same device. */
const identitiesOf = `
WITH mine AS (
  SELECT DISTINCT atom, person(atom) AS person, anonymous_id, user_id FROM atom
  WHERE site = {site: String} AND person(atom) IN {persons: Array(UInt32)}
    AND atom IN (SELECT atom FROM person_atom WHERE person IN {persons: Array(UInt32)} UNION ALL SELECT arrayJoin({persons: Array(UInt32)})))
SELECT m.atom AS atom, m.person AS person, m.anonymous_id AS anonymousId, m.user_id AS userId, d.people AS peopleOfDevice
FROM mine AS m
LEFT JOIN (
  SELECT anonymous_id, groupUniqArray(person(atom)) AS people FROM atom
  WHERE site = {site: String} AND person(atom) != 0 AND anonymous_id IN (SELECT anonymous_id FROM mine) GROUP BY anonymous_id
) AS d ON d.anonymous_id = m.anonymous_id
ORDER BY person, atom`;

const markedTables = tables.filter((table) =>
  erasedTables[table]!.remove.some((step) => "isMarked" in step && step.isMarked),
);

const nothing: CountsOf = new Map();

const timeText = (time: Date): string => time.toISOString().slice(0, -1).replace("T", " ");

const without = (atoms: readonly number[], others: readonly number[]): number[] => {
  const left = new Set(others);
  return atoms.filter((atom) => !left.has(atom));
};

function groupOf(erasures: readonly Erasure[]): Group {
  return {
    erasures,
    atoms: unique(erasures.flatMap(({ atoms }) => atoms)),
    kept: unique(erasures.flatMap(({ keptAtoms }) => keptAtoms)),
    until: Math.max(0, ...erasures.map(({ requestedAt }) => requestedAt)),
  };
}

/** Whole erasures at a time: what is somebody's own shows when all of theirs is looked at together. */
function* slicesOf({ erasures }: Group): Generator<readonly number[]> {
  let some: number[] = [];
  for (const { atoms } of erasures) {
    if (some.length > 0 && some.length + atoms.length > maxAtomsAtOnce) {
      yield* slices(unique(some));
      some = [];
    }
    some.push(...atoms);
  }
  yield* slices(unique(some));
}

/** First rounds together; of later ones those that were asked for at one moment, since that moment tells what goes from what stays. */
function groupsOf(erasures: readonly Erasure[]): Erasure[][] {
  const groups = new Map<number, Erasure[]>();
  for (const erasure of erasures) {
    const key = erasure.round === 1 ? 0 : erasure.requestedAt;
    groups.set(key, [...(groups.get(key) ?? []), erasure]);
  }
  return [...groups.values()];
}

function countsOf({ atoms }: Erasure, counts: ReadonlyMap<string, ReadonlyMap<number, number>>): Map<string, number> {
  return new Map(
    tables.map((table) => [table, atoms.reduce((sum, atom) => sum + (counts.get(table)?.get(atom) ?? 0), 0)]),
  );
}
