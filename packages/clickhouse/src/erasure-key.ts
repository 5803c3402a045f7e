import { randomBytes } from "node:crypto";

import type { ClickHouse } from "./clickhouse.ts";

interface Key {
  k0: string;
  k1: string;
}

/** The key under which ids of erased people are hashed, as four words from the lowest; undefined where nobody was erased yet. */
export async function findErasureKey(clickhouse: ClickHouse): Promise<Uint32Array | undefined> {
  const [row] = await clickhouse.query<Key>(
    "SELECT toString(k0) AS k0, toString(k1) AS k1 FROM erasure_key ORDER BY since, k0 LIMIT 1",
  );
  return row && new Uint32Array(new BigUint64Array([BigInt(row.k0), BigInt(row.k1)]).buffer);
}

/** The same; made where there is none. */
export async function readErasureKey(clickhouse: ClickHouse): Promise<Uint32Array> {
  const known = await findErasureKey(clickhouse);
  if (known !== undefined) return known;
  const [k0, k1] = new BigUint64Array(new Uint8Array(randomBytes(16)).buffer);
  // Of two that make one at once one is heard: the token is the table's.
  const settings = { insert_deduplicate: 1, deduplicate_insert: "enable", insert_deduplication_token: "erasure_key" };
  await clickhouse.insertRows("erasure_key", [{ k0: String(k0), k1: String(k1) }], { settings });
  const made = await findErasureKey(clickhouse);
  if (made === undefined)
    throw new Error("the key for erasures was written and cannot be read: is another node behind?");
  return made;
}
