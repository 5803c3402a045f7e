import type { Withdrawal, WithdrawalStore } from "@polder/core";

import type { ClickHouse, QueryOptions } from "./clickhouse.ts";
import { keepFlagsOf } from "./consent/keep-flags-of.ts";
import { forgetInDecisions } from "./forget-in-decisions.ts";
import { edgeSelect } from "./migrations/0011-identity.ts";
import { createTableRewriter, slices, unique } from "./rewrite-tables.ts";
import { stateInsert } from "./state-selects.ts";
import { tieNameless } from "./tie-nameless.ts";

export interface WithdrawalStoreOptions {
  clickhouse: ClickHouse;
  /** Name of the cluster: what is removed is removed from every shard. */
  cluster?: string;
}

/** The grounds that a withdrawal takes away. A contract or the law holds on. */
const withdrawable = "('consent', 'opt_out', 'notice')";
const mayGo = "atom IN {atoms:Array(UInt32)}";
const isNamed = {
  atom: "(anonymous_id != '' OR user_id != '')",
  events:
    "(anonymous_id != '' OR user_id != '' OR previous_id != '' OR group_id != '' OR ip != '' OR click_id != '' OR notEmpty(`traits.name`))",
};
const nameless = `anonymous_id = '', user_id = '', previous_id = '', group_id = '', ip = '', click_id = '', click_id_kind = '',
  \`traits.name\` = [], \`traits.value\` = [], \`traits.class\` = [], \`traits.purpose\` = [], \`traits.personal\` = []`;

/** Which browser an identity is seen with, or which user without any: one key for all of a browser's identities, as the index of `atom` has it. */
const deviceKey = "cityHash64(anonymous_id, if(anonymous_id = '', user_id, ''))";
const previousKeys = ["cityHash64(previous_id, '')", "cityHash64('', previous_id)"];
const isAlias =
  "type = 'alias' AND name = 'alias' AND previous_id != '' AND basis NOT IN ('contract', 'legal_obligation')";
const namesWithdrawn = `${isAlias} AND (${previousKeys.map((key) => `concat(site, ':', toString(${key})) IN {keys:Array(String)}`).join(" OR ")})`;

/**
 * By table: how many rows of an atom still say who it is. All of them are gone, or nameless, when it is over. Rows of a state are there once for each
 * insert until they are merged, so what they are about is counted.
 */
const countNamed = {
  trait_state: `SELECT atom, uniqExact(site, name) AS count FROM trait_state WHERE ${mayGo} GROUP BY atom`,
  profile_state: `SELECT atom, uniqExact(site) AS count FROM profile_state WHERE ${mayGo} GROUP BY atom`,
  atom_event: `SELECT atom, uniqExact(site, _partition, _offset) AS count FROM atom_event WHERE ${mayGo} GROUP BY atom`,
  // What was said stays, so that a no of the person holds on; what is counted is where it still says on which device, or who.
  consent_state: `SELECT atom, uniqExact(site) AS count FROM consent_state WHERE ${mayGo} AND (device != 0 OR user != 0) GROUP BY atom`,
  identity_edge: `SELECT atom, uniqExact(site, anonymous_id, user_id, kind, other) AS count FROM identity_edge WHERE ${mayGo} GROUP BY atom`,
  atom: `SELECT atom, uniqExact(site) AS count FROM atom WHERE ${mayGo} AND ${isNamed.atom} GROUP BY atom`,
  events: `SELECT atom, count() AS count FROM events WHERE ${mayGo} AND ${isNamed.events} GROUP BY atom`,
} as const;
type Table = keyof typeof countNamed;
const tables = Object.keys(countNamed) as Table[];
type Counts = ReadonlyMap<string, number>;

const maxLateAtOnce = 500;
/** The keys of a receipt end after it, and with them the look for rows that are loaded late. */
const lateForMs = 8 * 24 * 3_600_000;

/** What of a withdrawal is written down in the line of the whole. */
interface Plan {
  withdrawal: Withdrawal;
  outcome: "removed" | "granted_again" | "other_basis" | "nothing_found";
  /** The identities that become nameless. */
  atoms: readonly number[];
  /** Of the same browser, on another basis: nothing of them is removed. */
  kept: readonly number[];
  /** Identities that go on and lose a part: what is for `purposes`; without any, what was received until the withdrawal. */
  emptied: readonly number[];
  purposes: readonly string[];
  /** As text: they are greater than a number may be. */
  keys: readonly string[];
}

/** Identities that lose the same part, so that a table is rewritten once for all of them. */
interface Part {
  atoms: readonly number[];
  purposes: readonly string[];
  upTo: number;
}

/**
 * {@link WithdrawalStore} in SQL. A number stays where it is counted: `events` and `audience_day` keep the atom, which nothing ties to an id any more,
 * so that every count of people is the same as before: an entry in `identity_tie` keeps it with its person. Its row in `atom` stays as well, without
 * ids, or the number would be given out again.
 */
export function createWithdrawalStore({ clickhouse, cluster }: WithdrawalStoreOptions): WithdrawalStore {
  const rewriter = createTableRewriter(clickhouse, cluster, (table) => table !== "identity_decision");
  const { alter, mark } = rewriter;

  async function ofAtoms<Row>(sql: string, atoms: readonly number[], params?: QueryOptions["params"]): Promise<Row[]> {
    const rows: Row[] = [];
    for (const some of slices(atoms))
      rows.push(...(await clickhouse.query<Row>(sql, { params: { ...params, atoms: some } })));
    return rows;
  }

  /** By plan and table: what is there of it. */
  async function countAll(plans: readonly Plan[]): Promise<Map<Plan, Counts>> {
    const atoms = unique(plans.flatMap((plan) => plan.atoms));
    const named = new Map<string, Map<number, number>>();
    for (const table of tables) {
      const rows = await ofAtoms<{ atom: number; count: number }>(countNamed[table], atoms);
      named.set(table, new Map(rows.map(({ atom, count }) => [atom, count])));
    }
    const keys = plans.flatMap(({ withdrawal, keys: some }) => siteKeys(withdrawal.site, some));
    const aliases =
      keys.length === 0
        ? []
        : await clickhouse.query<{ names: string[]; atom: number }>(
            `SELECT [${previousKeys.map((key) => `concat(site, ':', toString(${key}))`).join(", ")}] AS names, atom
             FROM events WHERE ${namesWithdrawn}`,
            { params: { keys } },
          );
    const parts = new Map<Part, Map<string, Map<number, number>>>();
    const partOf = new Map<Plan, Part>();
    for (const [part, ofPart] of partsOf(plans)) {
      for (const plan of ofPart) partOf.set(plan, part);
      const counts = new Map<string, Map<number, number>>();
      for (const [table, where] of Object.entries(inPart(part))) {
        const count = table === "events" ? "count()" : "uniqExact(site, name)";
        const rows = await ofAtoms<{ atom: number; count: number }>(
          `SELECT atom, ${count} AS count FROM ${table} WHERE ${where} GROUP BY atom`,
          part.atoms,
          paramsOf(part),
        );
        counts.set(table, new Map(rows.map(({ atom, count: n }) => [atom, n])));
      }
      parts.set(part, counts);
    }
    return new Map(
      plans.map((plan) => {
        const own = new Set(siteKeys(plan.withdrawal.site, plan.keys));
        const ofAlias = aliases.filter(
          ({ names, atom }) => !plan.atoms.includes(atom) && names.some((name) => own.has(name)),
        ).length;
        const part = partOf.get(plan);
        const counts = tables.map((table): [string, number] => [
          table,
          sumOf(named.get(table), plan.atoms) +
            (part === undefined ? 0 : sumOf(parts.get(part)?.get(table), plan.emptied)) +
            (table === "events" ? ofAlias : 0),
        ]);
        return [plan, new Map(counts)];
      }),
    );
  }

  /** What was begun before, and what was found then. */
  async function begunPlans(withdrawals: readonly Withdrawal[]): Promise<Map<Plan, Counts>> {
    const rows = await clickhouse.query<
      Omit<Plan, "withdrawal"> & { site: string; n: number; round: number; table: string; rows: number }
    >(
      `SELECT site, n, round, table_name AS table, outcome, rows, atoms, kept, emptied, purposes, arrayMap(key -> toString(key), keys) AS keys
       FROM consent_receipt FINAL
       WHERE (site, n, round) IN (SELECT arrayJoin(arrayZip({sites:Array(String)}, {ns:Array(UInt64)}, {rounds:Array(UInt16)})))`,
      {
        params: {
          sites: withdrawals.map(({ site }) => site),
          ns: withdrawals.map(({ n }) => n),
          rounds: withdrawals.map(({ round }) => round),
        },
      },
    );
    const plans = new Map<Plan, Counts>();
    for (const withdrawal of withdrawals) {
      const { site, n, round } = withdrawal;
      const lines = rows.filter((row) => row.site === site && row.n === n && row.round === round);
      const whole = lines.find(({ table }) => table === "");
      if (whole === undefined) continue;
      const { outcome, atoms, kept, emptied, purposes, keys } = whole;
      const plan = { withdrawal, outcome, atoms, kept, emptied, purposes, keys };
      plans.set(plan, new Map(lines.map((line) => [line.table, line.rows])));
    }
    return plans;
  }

  /** Of the browsers that withdrew, the identities that rest on nothing else. None where a browser has said yes again since. */
  async function firstPlans(withdrawals: readonly Withdrawal[]): Promise<Plan[]> {
    const devices = await ofAtoms<{ atom: number; keys: string[]; devices: [string, number][] }>(
      `SELECT w.atom AS atom, groupUniqArray(toString(w.device)) AS keys, groupUniqArray((a.anonymous_id, a.atom)) AS devices
       FROM (SELECT DISTINCT site, atom, anonymous_id, ${deviceKey} AS device FROM atom WHERE ${mayGo} AND ${isNamed.atom}) AS w
       JOIN (SELECT DISTINCT site, atom, anonymous_id FROM atom
             WHERE ${mayGo} OR (site, anonymous_id) IN (SELECT site, anonymous_id FROM atom WHERE ${mayGo} AND anonymous_id != '')) AS a
         ON a.site = w.site AND a.anonymous_id = w.anonymous_id
       WHERE a.anonymous_id != '' OR a.atom = w.atom
       GROUP BY w.site, w.atom`,
      unique(withdrawals.map(({ atom }) => atom)),
    );
    const found = new Map(devices.map((row) => [row.atom, row]));
    const all = unique(devices.flatMap((row) => row.devices.map(([, atom]) => atom)));
    const keeps = await onOtherBasis(all);
    const isGrantedAgain = await grantsOf(all);
    return withdrawals.map((withdrawal): Plan => {
      const { keys = [], devices: ofDevice = [] } = found.get(withdrawal.atom) ?? {};
      const candidates = ofDevice.map(([, atom]) => atom).toSorted((a, b) => a - b);
      const kept = candidates.filter((atom) => keeps.has(atom));
      const atoms = candidates.filter((atom) => !keeps.has(atom));
      const purposes = withdrawal.purposes.filter((purpose) => !isGrantedAgain(withdrawal, purpose, candidates));
      const none = { withdrawal, atoms: [], kept, emptied: [], purposes: [], keys: [] };
      if (candidates.length === 0) return { ...none, outcome: "nothing_found" };
      if (purposes.length === 0) return { ...none, outcome: "granted_again" };
      const outcome = atoms.length > 0 ? "removed" : "other_basis";
      return purposes.includes("profile")
        ? { ...none, outcome, atoms, keys }
        : { ...none, outcome, emptied: atoms, purposes };
    });
  }

  async function onOtherBasis(atoms: readonly number[]): Promise<ReadonlySet<number>> {
    const rows = await ofAtoms<{ atom: number }>(
      `SELECT DISTINCT atom FROM events WHERE ${mayGo} AND basis NOT IN ${withdrawable}`,
      atoms,
    );
    return new Set(rows.map(({ atom }) => atom));
  }

  /**
   * Whether one of these identities has said yes after the withdrawal: by when it was made, not by when it was loaded, and only where the collectors
   * let it count, which the mask of its event says. One that is not in the chain yet is the newest.
   */
  async function grantsOf(
    all: readonly number[],
  ): Promise<(withdrawal: Withdrawal, purpose: string, atoms: readonly number[]) => boolean> {
    const rows = await ofAtoms<{ atom: number; n: number; at: number; receivedAt: number; granted: string[] }>(
      `SELECT e.atom AS atom, if(l.n = 0, 9007199254740991, l.n) AS n, e.at AS at, e.receivedAt AS receivedAt, e.granted AS granted
       FROM (SELECT _partition, _offset, atom, toUnixTimestamp64Milli(time) AS at, toUnixTimestamp64Milli(received_at) AS receivedAt,
           arrayFilter((purpose, state) -> state = 'granted'
             AND bitAnd(consent_mask, transform(purpose::String, ['measurement', 'profile', 'personalisation', 'prediction', 'ads'], [2, 4, 8, 16, 32], 0)) != 0,
             \`choice.purpose\`, \`choice.state\`) AS granted
         FROM events WHERE ${mayGo} AND type = 'consent' AND notEmpty(granted)) AS e
       LEFT JOIN (SELECT _partition, _offset, n FROM consent_log WHERE ${mayGo}) AS l
         ON l._partition = e._partition AND l._offset = e._offset`,
      all,
    );
    return (withdrawal, purpose, atoms) =>
      rows.some((grant) => atoms.includes(grant.atom) && grant.granted.includes(purpose) && isAfter(grant, withdrawal));
  }

  /** What was loaded since under an id that was withdrawn, of the last days. A number of it may be an old one or a new one. */
  async function latePlans(now: Date): Promise<Plan[]> {
    const params = { since: now.getTime() - lateForMs };
    const recent = `SELECT site, arrayJoin(keys) AS device, max(n) AS n FROM consent_receipt
      WHERE table_name = '' AND round = 1 AND at >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY site, device`;
    const [first] = await clickhouse.query<{ keys: number }>(`SELECT count() AS keys FROM (${recent})`, { params });
    if (first?.keys === 0) return [];
    const seen = await clickhouse.query<{ site: string; n: number; key: string; atom: number }>(
      `SELECT DISTINCT w.site AS site, w.n AS n, toString(w.device) AS key, a.atom AS atom
       FROM (SELECT site, atom, ${deviceKey} AS device FROM atom
             WHERE ${deviceKey} IN (SELECT device FROM (${recent})) AND ${isNamed.atom}) AS a
       JOIN (${recent}) AS w ON w.site = a.site AND w.device = a.device
       UNION ALL
       SELECT DISTINCT w.site, w.n, toString(w.device), 0
       FROM (SELECT site, arrayJoin([${previousKeys.join(", ")}]) AS device FROM events WHERE ${isAlias}) AS e
       JOIN (${recent}) AS w ON w.site = e.site AND w.device = e.device`,
      { params },
    );
    const places = new Map<string, typeof seen>();
    for (const one of seen) places.set(placeOf(one), [...(places.get(placeOf(one)) ?? []), one]);
    const plans: Plan[] = [];
    for (const some of slices([...places.values()], maxLateAtOnce)) plans.push(...(await latePlansOf(some.flat())));
    return plans;
  }

  async function latePlansOf(seen: readonly { site: string; n: number; key: string; atom: number }[]): Promise<Plan[]> {
    const withdrawals = await clickhouse.query<Withdrawal & { atoms: number[]; kept: number[]; isOpen: number }>(
      `SELECT ${columnsOfWithdrawal}, r.last + 1 AS round, r.atoms AS atoms, r.kept AS kept, r.is_open AS isOpen
       FROM consent_log AS l
       JOIN (SELECT site, n, max(round) AS last, groupUniqArrayArray(atoms) AS atoms, groupUniqArrayArray(kept) AS kept, min(is_done) = 0 AS is_open
             FROM consent_receipt FINAL WHERE table_name = '' GROUP BY site, n) AS r ON r.site = l.site AND r.n = l.n
       WHERE (l.site, l.n) IN (SELECT arrayJoin(arrayZip({sites:Array(String)}, {ns:Array(UInt64)})))
       ORDER BY l.received_at, l.site, l.n`,
      { params: { sites: seen.map(({ site }) => site), ns: seen.map(({ n }) => n) } },
    );
    const atomsSeen = unique(seen.map(({ atom }) => atom).filter((atom) => atom !== 0));
    const keeps = await onOtherBasis(atomsSeen);
    const isGrantedAgain = await grantsOf(unique([...atomsSeen, ...withdrawals.flatMap(({ atoms }) => atoms)]));
    const plans: Plan[] = [];
    for (const { atoms: before, kept: keptBefore, isOpen, ...withdrawal } of withdrawals) {
      // What is being removed is still there.
      if (isOpen) continue;
      const ofIt = seen.filter(({ site, n }) => site === withdrawal.site && n === withdrawal.n);
      const here = unique(ofIt.map(({ atom }) => atom)).filter((atom) => atom !== 0);
      const isBack = isGrantedAgain(withdrawal, "profile", [...before, ...here]);
      const mayEnd = here.filter((atom) => !keptBefore.includes(atom));
      plans.push({
        withdrawal,
        outcome: "removed",
        atoms: mayEnd.filter((atom) => !isBack && !keeps.has(atom)),
        kept: [],
        emptied: mayEnd.filter((atom) => isBack || keeps.has(atom)),
        purposes: [],
        keys: isBack ? [] : unique(ofIt.map(({ key }) => key)),
      });
    }
    const counts = await countAll(plans);
    return plans.filter((plan) => [...counts.get(plan)!.values()].some((count) => count > 0));
  }

  async function remove(atoms: readonly number[]): Promise<void> {
    await alter("trait_state", `DELETE WHERE ${mayGo}`, { atoms });
    await alter("profile_state", `DELETE WHERE ${mayGo}`, { atoms });
    // A copy of what events keeps without a name: a profile has no use for it any more.
    await mark("atom_event", mayGo, { atoms });
    await alter("events", `UPDATE ${nameless} WHERE ${mayGo} AND ${isNamed.events}`, { atoms });
    await alter("identity_edge", `DELETE WHERE ${mayGo}`, { atoms });
    // What was said on the device stays: a no of the person holds on, and whose device it was is no longer in it. Before `atom`, so that whoever finds
    // a receipt done knows that this is done.
    await alter("consent_state", `UPDATE device = 0, user = 0 WHERE ${mayGo} AND (device != 0 OR user != 0)`, {
      atoms,
    });
    // Last, as the others are found through it; and first the row that keeps the number taken.
    await clickhouse.command(
      `INSERT INTO atom (site, key, atom, anonymous_id, user_id, first_seen)
       SELECT site, 0, a.atom, '', '', min(a.first_seen) FROM atom AS a WHERE a.${mayGo} AND ${isNamed.atom} GROUP BY site, a.atom`,
      { params: { atoms }, isLong: true },
    );
    await alter("atom", `DELETE WHERE ${mayGo} AND ${isNamed.atom}`, { atoms });
  }

  async function removePart(part: Part, atoms: readonly number[]): Promise<void> {
    const params = { ...paramsOf(part), atoms };
    const { events, trait_state: traits } = inPart(part);
    if (part.purposes.length === 0) {
      await alter("events", `UPDATE ${nameless} WHERE ${events}`, params);
      // A state cannot be told apart by when its events came: it is made anew from those that are left. Adding one twice changes nothing.
      await alter("trait_state", `DELETE WHERE ${mayGo}`, { atoms });
      const left = `(SELECT * FROM events WHERE ${mayGo} AND notEmpty(\`traits.name\`))`;
      await clickhouse.command(`INSERT INTO trait_state ${stateInsert("trait_state", { from: left, and: "" })}`, {
        params: { atoms },
        isLong: true,
      });
      await removeUnstated(atoms);
      return;
    }
    const isOther = (column: string): string =>
      `\`traits.${column}\` = arrayFilter((value, purpose) -> NOT has({purposes:Array(String)}, purpose), \`traits.${column}\`, \`traits.purpose\`)`;
    const clicks = part.purposes.includes("ads") ? "click_id = '', click_id_kind = '', " : "";
    const columns = ["name", "value", "class", "purpose", "personal"].map(isOther).join(", ");
    await alter("events", `UPDATE ${clicks}${columns} WHERE ${events}`, params);
    await alter("trait_state", `DELETE WHERE ${traits}`, params);
    await removeUnstated(atoms);
  }

  /** @param left by plan, when it is over. */
  async function writeReceipts(
    found: ReadonlyMap<Plan, Counts>,
    now: Date,
    left?: ReadonlyMap<Plan, Counts>,
  ): Promise<void> {
    const at = now.toISOString().slice(0, -1).replace("T", " ");
    const receipts = [...found].flatMap(([plan, rows]) => {
      const { withdrawal, outcome, atoms, kept, emptied, purposes, keys } = plan;
      const { site, n, round, consentId } = withdrawal;
      const remaining = left?.get(plan) ?? rows;
      const sum = tables.reduce((total, table) => total + (remaining.get(table) ?? 0), 0);
      const isDone = left !== undefined && sum === 0 ? 1 : 0;
      const line = { site, n, round, consent_id: consentId, outcome, is_done: isDone, at };
      const named = tables.map((table) => ({
        ...line,
        table_name: table,
        rows: rows.get(table) ?? 0,
        remaining: remaining.get(table) ?? 0,
      }));
      const identities = atoms.length + emptied.length;
      // The line of the whole comes in the same insert, so that where it is, the others are.
      const whole = { rows: identities, remaining: sum, atoms, kept, emptied, purposes, keys };
      return [{ ...line, table_name: "", ...whole }, ...named];
    });
    await clickhouse.insertRows("consent_receipt", receipts, { settings: { insert_deduplicate: 0 } });
  }

  return {
    async openWithdrawals(limit, now) {
      const open = await clickhouse.query<Withdrawal>(
        `SELECT ${columnsOfWithdrawal}, greatest(1, r.last) AS round
         FROM consent_log AS l
         LEFT JOIN (SELECT site, n, max(round) AS last, min(is_done) AS is_done FROM consent_receipt FINAL WHERE table_name = '' GROUP BY site, n) AS r
           ON r.site = l.site AND r.n = l.n
         WHERE l.atom != 0 AND notEmpty(purposes) AND r.is_done = 0
         ORDER BY l.received_at, l.site, l.n LIMIT {limit:UInt32}`,
        { params: { limit } },
      );
      if (open.length >= limit) return open;
      const late = (await latePlans(now())).map(({ withdrawal }) => withdrawal);
      return [...open, ...late.slice(0, limit - open.length)];
    },

    async begin(withdrawals, now) {
      const begun = await begunPlans(withdrawals);
      const isBegun = new Set([...begun.keys()].map(({ withdrawal }) => withdrawal));
      const fresh = withdrawals.filter((withdrawal) => !isBegun.has(withdrawal));
      const first = await firstPlans(fresh.filter(({ round }) => round === 1));
      const isLate = new Set(fresh.filter(({ round }) => round > 1).map(placeOf));
      const late = isLate.size === 0 ? [] : await latePlans(now());
      const plans = [...first, ...late.filter(({ withdrawal }) => isLate.has(placeOf(withdrawal)))];
      await writeReceipts(new Map([...begun, ...(await countAll(plans))]), now());
    },

    async carryOut(withdrawals, now) {
      const begun = await begunPlans(withdrawals);
      const plans = [...begun.keys()];
      const keys = unique(plans.flatMap(({ withdrawal, keys: some }) => siteKeys(withdrawal.site, some)));
      if ((await countAliases(keys)) > 0) await forgetAliases(keys);
      const atoms = unique(plans.flatMap((plan) => plan.atoms));
      // While their ids still say whose they are, and whose the flags are.
      await tieNameless(clickhouse, atoms, now());
      await keepFlagsOf(clickhouse, atoms);
      await forgetInDecisions(clickhouse, rewriter, atoms);
      for (const some of slices(atoms)) await remove(some);
      for (const part of partsOf(plans).keys()) for (const some of slices(part.atoms)) await removePart(part, some);
      await writeReceipts(begun, now(), await countAll(plans));
      return atoms.length;
    },
  };

  /** Of identities that go on: what they said of one that withdrew. */
  async function forgetAliases(keys: readonly string[]): Promise<void> {
    await alter("events", `UPDATE previous_id = '' WHERE ${namesWithdrawn}`, { keys });
    const names = ["cityHash64(other, '')", "cityHash64('', other)"];
    await alter(
      "identity_edge",
      `DELETE WHERE kind = 'alias' AND (${names.map((key) => `concat(site, ':', toString(${key})) IN {keys:Array(String)}`).join(" OR ")})
       AND (site, user_id, other) NOT IN (SELECT site, user_id, previous_id FROM events WHERE type = 'alias' AND previous_id != '')`,
      { keys },
    );
  }

  /** Edges of these identities that no event states any more. */
  async function removeUnstated(atoms: readonly number[]): Promise<void> {
    const stated = edgeSelect({ from: `(SELECT * FROM events WHERE ${mayGo})`, and: "" });
    await alter(
      "identity_edge",
      `DELETE WHERE ${mayGo} AND (atom, kind, anonymous_id, user_id, other, rule) NOT IN (SELECT atom, kind, anonymous_id, user_id, other, rule FROM (${stated}))`,
      { atoms },
    );
  }

  async function countAliases(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0;
    const sql = `SELECT count() AS count FROM events WHERE ${namesWithdrawn}`;
    return (await clickhouse.query<{ count: number }>(sql, { params: { keys } }))[0]?.count ?? 0;
  }
}

/** Of a link `l`. Where a purpose was allowed without asking, a no takes it back as well. */
const columnsOfWithdrawal = `l.site AS site, l.n AS n, l.consent_id AS consentId, l.atom AS atom, person(l.atom) AS person,
  toUnixTimestamp64Milli(l.at) AS at, toUnixTimestamp64Milli(l.received_at) AS receivedAt,
  arrayFilter((purpose, state) -> state = 'withdrawn' OR (state IN ('denied', 'opted_out') AND l.regime IN ('opt_out', 'notice')),
    l.\`choice.purpose\`, l.\`choice.state\`) AS purposes`;

/** By table: what an identity loses of it. */
function inPart({ purposes }: Part): { events: string; trait_state: string } {
  const consented = `${mayGo} AND basis IN ${withdrawable}`;
  if (purposes.length === 0)
    return {
      events: `${consented} AND received_at <= fromUnixTimestamp64Milli({upTo:Int64}) AND ${isNamed.events}`,
      trait_state: "0",
    };
  const isFor = (column: string): string => `has({purposes:Array(String)}, ${column})`;
  const clicks = purposes.includes("ads") ? "click_id != '' OR " : "";
  return {
    events: `${consented} AND (${clicks}arrayExists(purpose -> ${isFor("purpose")}, \`traits.purpose\`))`,
    trait_state: `${mayGo} AND ${isFor("finalizeAggregation(last).4")}`,
  };
}

const paramsOf = ({ purposes, upTo }: Part) => ({ purposes, upTo });

function partsOf(plans: readonly Plan[]): Map<Part, Plan[]> {
  const byText = new Map<string, Plan[]>();
  for (const plan of plans) {
    if (plan.emptied.length === 0) continue;
    const text = plan.purposes.length > 0 ? plan.purposes.toSorted().join() : String(plan.withdrawal.receivedAt);
    byText.set(text, [...(byText.get(text) ?? []), plan]);
  }
  return new Map(
    [...byText.values()].map((ofPart) => {
      const { purposes, withdrawal } = ofPart[0]!;
      return [
        { purposes, upTo: withdrawal.receivedAt, atoms: unique(ofPart.flatMap(({ emptied }) => emptied)) },
        ofPart,
      ];
    }),
  );
}

type Moment = Pick<Withdrawal, "at" | "receivedAt" | "n">;
const isAfter = (one: Moment, other: Moment): boolean =>
  (one.at - other.at || one.receivedAt - other.receivedAt || one.n - other.n) > 0;

const placeOf = ({ site, n }: Pick<Withdrawal, "site" | "n">): string => `${n}:${site}`;

const siteKeys = (site: string, keys: readonly string[]): string[] => keys.map((key) => `${site}:${key}`);

const sumOf = (counts: ReadonlyMap<number, number> | undefined, atoms: readonly number[]): number =>
  atoms.reduce((sum, atom) => sum + (counts?.get(atom) ?? 0), 0);
