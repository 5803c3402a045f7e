import type { Withdrawal, WithdrawalStore } from "@polder/core";

import { quoteName, type ClickHouse } from "./clickhouse.ts";
import { localTable } from "./migrations/render-migrations.ts";

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
const pairs = `SELECT DISTINCT site, anonymous_id, user_id FROM atom WHERE ${mayGo} AND anonymous_id != '' AND user_id != ''`;

/**
 * By table: how many rows of an atom still say who it is. All of them are gone, or nameless, when it is over. Rows of a state are there once for each
 * insert until they are merged, so what they are about is counted.
 */
const countNamed = {
  trait_state: `SELECT atom, uniqExact(site, name) AS count FROM trait_state WHERE ${mayGo} GROUP BY atom`,
  profile_state: `SELECT atom, uniqExact(site) AS count FROM profile_state WHERE ${mayGo} GROUP BY atom`,
  identity_edge: `SELECT a.atom AS atom, uniqExact(e.site, e.anonymous_id, e.user_id) AS count
    FROM identity_edge AS e JOIN (SELECT DISTINCT site, anonymous_id, user_id, atom FROM atom WHERE ${mayGo}) AS a
      ON a.site = e.site AND a.anonymous_id = e.anonymous_id AND a.user_id = e.user_id
    WHERE (e.site, e.anonymous_id, e.user_id) IN (${pairs}) GROUP BY a.atom`,
  atom: `SELECT atom, uniqExact(site) AS count FROM atom WHERE ${mayGo} AND ${isNamed.atom} GROUP BY atom`,
  events: `SELECT atom, count() AS count FROM events WHERE ${mayGo} AND ${isNamed.events} GROUP BY atom`,
} as const;
type Table = keyof typeof countNamed;
const tables = Object.keys(countNamed) as Table[];

/** What a server takes as one field of a form is bounded. */
const maxAtomsAtOnce = 5_000;

interface Plan {
  withdrawal: Withdrawal;
  /** The identities that become nameless. */
  atoms: readonly number[];
  /** By table. */
  rows: ReadonlyMap<string, number>;
}

/**
 * {@link WithdrawalStore} in SQL. A number stays where it is counted: `events` and `audience_day` keep the atom, which nothing ties to an id any more,
 * so that every count of people is the same as before. Its row in `atom` stays as well, without ids, or the number would be given out again.
 */
export function createWithdrawalStore({ clickhouse, cluster }: WithdrawalStoreOptions): WithdrawalStore {
  const onCluster = cluster === undefined ? "" : ` ON CLUSTER ${quoteName(cluster)}`;

  const alter = (table: Table, change: string, atoms: readonly number[]): Promise<void> =>
    clickhouse.command(`ALTER TABLE ${localTable(table, cluster)}${onCluster} ${change}`, {
      params: { atoms },
      // A replica may look up what the others look up: ids that belong to an atom never change.
      settings: { mutations_sync: 2, allow_nondeterministic_mutations: 1 },
    });

  async function ofAtoms<Row>(sql: string, atoms: readonly number[]): Promise<Row[]> {
    const rows: Row[] = [];
    for (const some of slices(atoms)) rows.push(...(await clickhouse.query<Row>(sql, { params: { atoms: some } })));
    return rows;
  }

  /** Rows by table and atom. */
  async function countAll(atoms: readonly number[]): Promise<Map<Table, Map<number, number>>> {
    const counts = new Map<Table, Map<number, number>>();
    for (const table of tables) {
      const rows = await ofAtoms<{ atom: number; count: number }>(countNamed[table], atoms);
      counts.set(table, new Map(rows.map(({ atom, count }) => [atom, count])));
    }
    return counts;
  }

  /** What an earlier try has found, before it removed any of it. */
  async function begunPlans(withdrawals: readonly Withdrawal[]): Promise<Plan[]> {
    const rows = await clickhouse.query<{ site: string; n: number; table: string; rows: number; atoms: number[] }>(
      `SELECT site, n, table_name AS table, rows, atoms FROM consent_receipt FINAL
       WHERE (site, n) IN (SELECT arrayJoin(arrayZip({sites:Array(String)}, {ns:Array(UInt64)})))`,
      { params: { sites: withdrawals.map(({ site }) => site), ns: withdrawals.map(({ n }) => n) } },
    );
    return withdrawals.flatMap((withdrawal) => {
      const lines = rows.filter((row) => row.site === withdrawal.site && row.n === withdrawal.n);
      const whole = lines.find(({ table }) => table === "");
      if (whole === undefined) return [];
      return [{ withdrawal, atoms: whole.atoms, rows: new Map(lines.map((line) => [line.table, line.rows])) }];
    });
  }

  async function newPlans(withdrawals: readonly Withdrawal[]): Promise<Plan[]> {
    const found = await namelessAtoms(withdrawals.filter(({ purposes }) => purposes.includes("profile")));
    const counts = await countAll(unique([...found.values()].flat()));
    return withdrawals.map((withdrawal) => {
      const atoms = found.get(withdrawal) ?? [];
      return { withdrawal, atoms, rows: new Map(tables.map((table) => [table, sumOf(counts.get(table), atoms)])) };
    });
  }

  /** Of the browsers that withdrew, the identities that rest on nothing else. None where a browser has said yes again since. */
  async function namelessAtoms(withdrawals: readonly Withdrawal[]): Promise<Map<Withdrawal, number[]>> {
    const devices = await ofAtoms<{ site: string; atom: number; devices: [string, number][] }>(
      `SELECT w.site AS site, w.atom AS atom, groupUniqArray((a.anonymous_id, a.atom)) AS devices
       FROM (SELECT DISTINCT site, atom, anonymous_id FROM atom WHERE ${mayGo}) AS w
       JOIN (SELECT DISTINCT site, atom, anonymous_id FROM atom
             WHERE ${mayGo} OR (site, anonymous_id) IN (SELECT site, anonymous_id FROM atom WHERE ${mayGo} AND anonymous_id != '')) AS a
         ON a.site = w.site AND a.anonymous_id = w.anonymous_id
       WHERE a.anonymous_id != '' OR a.atom = w.atom
       GROUP BY w.site, w.atom`,
      unique(withdrawals.map(({ atom }) => atom)),
    );
    const candidates = new Map(devices.map((row) => [row.atom, row.devices.map(([, atom]) => atom)]));
    const all = unique([...candidates.values()].flat());
    const kept = await ofAtoms<{ atom: number }>(
      `SELECT DISTINCT atom FROM events WHERE ${mayGo} AND basis NOT IN ${withdrawable}`,
      all,
    );
    const granted = await ofAtoms<{ atom: number; n: number }>(
      `SELECT atom, max(n) AS n FROM consent_log
       WHERE ${mayGo} AND \`choice.state\`[indexOf(\`choice.purpose\`, 'profile')] = 'granted' GROUP BY atom`,
      all,
    );
    const keeps = new Set(kept.map(({ atom }) => atom));
    const lastGrant = new Map(granted.map(({ atom, n }) => [atom, n]));
    return new Map(
      withdrawals.map((withdrawal) => {
        const ofDevice = candidates.get(withdrawal.atom) ?? [];
        const isBack = ofDevice.some((atom) => (lastGrant.get(atom) ?? 0) > withdrawal.n);
        return [withdrawal, isBack ? [] : ofDevice.filter((atom) => !keeps.has(atom)).toSorted((a, b) => a - b)];
      }),
    );
  }

  async function remove(atoms: readonly number[]): Promise<void> {
    await alter("trait_state", `DELETE WHERE ${mayGo}`, atoms);
    await alter("profile_state", `DELETE WHERE ${mayGo}`, atoms);
    await alter(
      "events",
      `UPDATE anonymous_id = '', user_id = '', previous_id = '', group_id = '', ip = '', click_id = '', click_id_kind = '',
         \`traits.name\` = [], \`traits.value\` = [], \`traits.class\` = [], \`traits.purpose\` = [], \`traits.personal\` = []
       WHERE ${mayGo} AND ${isNamed.events}`,
      atoms,
    );
    await alter("identity_edge", `DELETE WHERE (site, anonymous_id, user_id) IN (${pairs})`, atoms);
    // Last, as the others are found through it; and first the row that keeps the number taken.
    await clickhouse.command(
      `INSERT INTO atom (site, key, atom, anonymous_id, user_id, first_seen)
       SELECT site, 0, a.atom, '', '', min(a.first_seen) FROM atom AS a WHERE a.${mayGo} AND ${isNamed.atom} GROUP BY site, a.atom`,
      { params: { atoms } },
    );
    await alter("atom", `DELETE WHERE ${mayGo} AND ${isNamed.atom}`, atoms);
  }

  async function writeReceipts(
    plans: readonly Plan[],
    now: Date,
    remaining: ReadonlyMap<Table, ReadonlyMap<number, number>> | undefined,
  ): Promise<void> {
    const at = now.toISOString().slice(0, -1).replace("T", " ");
    const receipts = plans.flatMap(({ withdrawal: { site, n, consentId }, atoms, rows }) => {
      const line = { site, n, consent_id: consentId, is_done: remaining === undefined ? 0 : 1, at };
      const named = tables.map((table) => {
        const count = rows.get(table) ?? 0;
        const left = remaining === undefined ? count : sumOf(remaining.get(table), atoms);
        return { ...line, table_name: table, rows: count, remaining: left, atoms: [] as readonly number[] };
      });
      // The line of the whole comes in the same insert, so that where it is, the others are.
      const left = named.find(({ table_name }) => table_name === "atom")?.remaining ?? 0;
      return [{ ...line, table_name: "", rows: atoms.length, remaining: left, atoms }, ...named];
    });
    await clickhouse.insertRows("consent_receipt", receipts, { settings: { insert_deduplicate: 0 } });
  }

  return {
    openWithdrawals: (limit) =>
      clickhouse.query<Withdrawal>(
        `SELECT site, n, consent_id AS consentId, atom, person(atom) AS person,
           arrayFilter((purpose, state) -> state = 'withdrawn', \`choice.purpose\`, \`choice.state\`) AS purposes
         FROM consent_log
         WHERE atom != 0 AND has(\`choice.state\`, 'withdrawn')
           AND (site, n) NOT IN (SELECT site, n FROM consent_receipt WHERE table_name = '' AND is_done = 1)
         ORDER BY consent_log.received_at, site, n LIMIT {limit:UInt32}`,
        { params: { limit } },
      ),

    async carryOut(withdrawals, now) {
      const begun = await begunPlans(withdrawals);
      const isBegun = new Set(begun.map(({ withdrawal }) => withdrawal));
      const fresh = await newPlans(withdrawals.filter((withdrawal) => !isBegun.has(withdrawal)));
      await writeReceipts(fresh, now(), undefined);
      const plans = [...begun, ...fresh];
      const atoms = unique(plans.flatMap((plan) => plan.atoms));
      for (const some of slices(atoms)) await remove(some);
      await writeReceipts(plans, now(), await countAll(atoms));
      return atoms.length;
    },
  };
}

const unique = (atoms: readonly number[]): number[] => [...new Set(atoms)];

const sumOf = (counts: ReadonlyMap<number, number> | undefined, atoms: readonly number[]): number =>
  atoms.reduce((sum, atom) => sum + (counts?.get(atom) ?? 0), 0);

function* slices(atoms: readonly number[]): Generator<readonly number[]> {
  for (let at = 0; at < atoms.length; at += maxAtomsAtOnce) yield atoms.slice(at, at + maxAtomsAtOnce);
}
