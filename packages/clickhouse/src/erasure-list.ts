import type { ClickHouse } from "./clickhouse.ts";

/**
 * One erasure as it is kept outside the tables, so that a restore of older ones does not bring back who was erased since. It has no id of a person,
 * and no number: tables that were restored give out numbers anew, and the hashes find whom they mean.
 */
export interface ListedErasure {
  /** The key of the hashes, two numbers of 64 bits. */
  k0: string;
  k1: string;
  site: string;
  id: string;
  kind: string;
  keys: readonly string[];
  traits: readonly string[];
  /** As ClickHouse writes it, in UTC. */
  requested_at: string;
  actor: string;
  reason: string;
}

/** Every erasure that was asked for. */
export function readErasureList(clickhouse: ClickHouse): Promise<ListedErasure[]> {
  return clickhouse.query<ListedErasure>(
    `WITH (SELECT (toString(k0), toString(k1)) FROM erasure_key ORDER BY since, k0 LIMIT 1) AS k
     SELECT k.1 AS k0, k.2 AS k1, site, id, kind, arrayMap(key -> toString(key), keys) AS keys, traits, toString(requested_at) AS requested_at, actor, reason
     FROM erasure WHERE round = 1 ORDER BY requested_at, id`,
  );
}

/**
 * Writes down those that the tables do not know of. What they mean is found and hidden when the erasures are next looked for. Returns how many.
 * @throws when they were hashed under another key than the tables have: they are of another installation.
 */
export async function restoreErasures(
  clickhouse: ClickHouse,
  list: readonly ListedErasure[],
  now: Date,
): Promise<number> {
  const known = new Set((await readErasureList(clickhouse)).map(({ id }) => id));
  const missing = list.filter(({ id }) => !known.has(id));
  const [first] = missing;
  if (first === undefined) return 0;
  const [key] = await clickhouse.query<{ k0: string; k1: string }>(
    "SELECT toString(k0) AS k0, toString(k1) AS k1 FROM erasure_key ORDER BY since, k0 LIMIT 1",
  );
  if (missing.some(({ k0, k1 }) => k0 !== (key ?? first).k0 || k1 !== (key ?? first).k1))
    throw new Error(
      "the list of erasures was made with another key than these tables have: it is of another installation",
    );
  if (key === undefined) {
    const settings = { insert_deduplicate: 1, deduplicate_insert: "enable", insert_deduplication_token: "erasure_key" };
    await clickhouse.insertRows("erasure_key", [{ k0: first.k0, k1: first.k1 }], { settings });
  }
  const at = now.toISOString().slice(0, -1).replace("T", " ");
  const rows = missing.map(({ k0: _k0, k1: _k1, ...erasure }) => ({
    ...erasure,
    round: 1,
    person: 0,
    atoms: [],
    kept_atoms: [],
    at,
  }));
  await clickhouse.insertRows("erasure", rows, { settings: { insert_deduplicate: 0 } });
  return missing.length;
}
