import type { ClickHouse } from "./clickhouse.ts";
import { readErasureKey } from "./erasure-key.ts";
import { slices, unique, type TableRewriter } from "./rewrite-tables.ts";

const nodes =
  "arrayFilter(node -> node NOT IN ('user:', 'device:'), [concat('user:', user_id), concat('device:', anonymous_id)])";
const hashOf = (site: string, node: string): string =>
  `lower(hex(sipHash64Keyed((SELECT (k0, k1) FROM erasure_key ORDER BY since, k0 LIMIT 1), concat(${site}, '\\0', ${node}))))`;
const isFound = (node: string): string => `has({found: Array(String)}, ${hashOf("site", node)})`;
const renamed = (node: string): string =>
  `if(${isFound(node)}, concat('user:erased-', ${hashOf("site", node)}), ${node})`;
/** Of an alias: an id that was a user's or a device's. */
const asNodes = ["concat('user:', edge.other)", "concat('device:', edge.other)"];
const renamedOther = asNodes.reduceRight(
  (otherwise, node) =>
    `if(edge.kind = 'alias' AND ${isFound(node)}, concat('erased-', ${hashOf("site", node)}), ${otherwise})`,
  renamed("edge.other"),
);
const isNamed = `(${isFound("left")} OR ${isFound("right")} OR arrayExists(edge -> ${["edge.node", "edge.other", ...asNodes].map(isFound).join(" OR ")}, edges))`;
// Of two who were tied by hand the smaller stands first.
const renamedEdges = `CAST(arrayMap(edge -> if(edge.1 = 'manual' AND edge.3 < edge.2, (edge.1, edge.3, edge.2), edge),
  arrayMap(edge -> (edge.kind, ${renamed("edge.node")}, ${renamedOther}), edges)), 'Array(Tuple(kind String, node String, other String))')`;

/**
 * Before the ids of identities are taken away: in decisions about who is one person a name of nobody takes the place of ids that stand for these
 * identities alone. What was decided about others stands, also by way of them. The same again changes nothing.
 */
export async function forgetInDecisions(
  clickhouse: ClickHouse,
  rewriter: Pick<TableRewriter, "alter">,
  atoms: readonly number[],
): Promise<void> {
  const [decisions] = await clickhouse.query<{ count: number }>("SELECT count() AS count FROM identity_decision");
  if (decisions?.count === 0 || atoms.length === 0) return;
  await readErasureKey(clickhouse);
  const known = new Set(atoms);
  const found: string[] = [];
  for (const some of slices(atoms)) {
    const ids = `SELECT anonymous_id, user_id FROM atom WHERE atom IN {atoms: Array(UInt32)}`;
    const rows = await clickhouse.query<{ hash: string; atoms: number[] }>(
      `SELECT ${hashOf("site", "node")} AS hash, groupUniqArray(atom) AS atoms FROM (
         SELECT site, atom, arrayJoin(${nodes}) AS node FROM atom
         WHERE anonymous_id IN (SELECT anonymous_id FROM (${ids}) WHERE anonymous_id != '')
            OR user_id IN (SELECT user_id FROM (${ids}) WHERE user_id != ''))
       GROUP BY hash HAVING hasAny(atoms, {atoms: Array(UInt32)})`,
      { params: { atoms: some } },
    );
    for (const { hash, atoms: all } of rows) if (all.every((atom) => known.has(atom))) found.push(hash);
  }
  for (const some of slices(unique(found), 2_000)) {
    const params = { found: some };
    const [named] = await clickhouse.query<{ count: number }>(
      `SELECT count() AS count FROM identity_decision WHERE ${isNamed}`,
      { params },
    );
    // A rewrite takes its time even where there is nothing.
    if (named?.count === 0) continue;
    await rewriter.alter(
      "identity_decision",
      `UPDATE left = ${renamed("left")}, right = ${renamed("right")}, edges = ${renamedEdges} WHERE ${isNamed}`,
      params,
    );
  }
}
