import type { Erasure } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";
import { readShared, textsInBody, whoseBody, wordsOf } from "./erased-tables.ts";
import { slices, unique, type TableRewriter } from "./rewrite-tables.ts";
import { blockedValues, type BlockedOfSites } from "./stands-for-nobody.ts";

/** Traits that tie people together, and the kind of the tie. */
const edgeKinds: { readonly [trait: string]: string } = { email: "email", phone: "phone", mobile: "phone" };

const ofThem = "atom IN {atoms: Array(UInt32)}";
const before = "fromUnixTimestamp64Milli({until: Int64})";
const isNamed = "has({traits: Array(String)}, name)";
const values = `SELECT site, finalizeAggregation(last).1 AS word FROM trait_state
  WHERE ${ofThem} AND ${isNamed} AND finalizeAggregation(last).6 < ${before} AND length(word) >= 6`;
const bodies = `SELECT site, _partition, _offset, reason, body FROM rejected WHERE body != '' AND received_at <= ${before}`;
// What they sent and names such a trait; and what states the same value, whoever sent it.
const statedInBody = `SELECT r.site, r._partition, r._offset, r.reason FROM (
    SELECT site, _partition, _offset, reason, arrayJoin(${whoseBody}) AS word FROM (${bodies}) WHERE hasAny(extractAll(body, '"([^"]+)"'), {traits: Array(String)})) AS r
  JOIN (${wordsOf("site, word")}) AS w ON w.site = r.site AND w.word = r.word
  UNION ALL
  SELECT r.site, r._partition, r._offset, r.reason FROM (SELECT site, _partition, _offset, reason, arrayJoin(arrayDistinct(${textsInBody})) AS word FROM (${bodies})) AS r
  JOIN (${values}) AS w ON w.site = r.site AND w.word = r.word`;
const places: { readonly [table: string]: string } = {
  events: `${ofThem} AND time < ${before} AND hasAny(\`traits.name\`, {traits: Array(String)})`,
  identity_edge: `${ofThem} AND time < ${before} AND kind IN {kinds: Array(String)}`,
  // Before the values that it is found by.
  rejected: `(site, _partition, _offset, reason) IN (${statedInBody})`,
  // A value that was stated since stays.
  trait_state: `${ofThem} AND ${isNamed} AND finalizeAggregation(last).6 < ${before}`,
};
const counted: { readonly [table: string]: string } = {
  events: "count()",
  identity_edge: "uniqExact(site, kind, other)",
  rejected: "uniqExact(site, _partition, _offset, reason)",
  trait_state: "uniqExact(site, name)",
};

/** Takes traits from people who go on. */
export function createTraitErasure(clickhouse: ClickHouse, rewriter: TableRewriter, rules: () => BlockedOfSites) {
  const paramsOf = ({ traits, requestedAt }: Pick<Erasure, "traits" | "requestedAt">) => ({
    traits,
    until: requestedAt,
    blocked: blockedValues(rules()),
    kinds: unique(traits.flatMap((trait) => edgeKinds[trait] ?? [])),
  });
  return {
    /** By table: what there is of each erasure. */
    async count(erasure: Erasure): Promise<Map<string, number>> {
      const counts = new Map<string, number>();
      for (const [table, where] of Object.entries(places)) {
        let sum = 0;
        for (const atoms of slices(erasure.atoms)) {
          const shared =
            table === "rejected" ? await readShared(clickhouse, { atoms, until: erasure.requestedAt }) : [];
          const [row] = await clickhouse.query<{ count: number }>(
            `SELECT ${counted[table]} AS count FROM ${table} WHERE ${where}`,
            { params: { ...paramsOf(erasure), atoms, shared } },
          );
          sum += row?.count ?? 0;
        }
        counts.set(table, sum);
      }
      return counts;
    },

    /** Those with the same names and moment go together: a table is rewritten once for all of them. */
    async remove(erasures: readonly Erasure[]): Promise<void> {
      const groups = new Map<string, Erasure[]>();
      for (const erasure of erasures) {
        const key = JSON.stringify([erasure.requestedAt, erasure.traits.toSorted()]);
        groups.set(key, [...(groups.get(key) ?? []), erasure]);
      }
      const columns = ["name", "value", "class", "purpose", "personal"]
        .map(
          (column) =>
            `\`traits.${column}\` = arrayFilter((value, trait) -> NOT has({traits: Array(String)}, trait), \`traits.${column}\`, \`traits.name\`)`,
        )
        .join(", ");
      for (const group of groups.values())
        for (const atoms of slices(unique(group.flatMap((erasure) => erasure.atoms)))) {
          const shared = await readShared(clickhouse, { atoms, until: group[0]!.requestedAt });
          const params = { ...paramsOf(group[0]!), atoms, shared };
          await rewriter.alter("events", `UPDATE ${columns} WHERE ${places["events"]}`, params);
          if (params.kinds.length > 0)
            await rewriter.alter("identity_edge", `DELETE WHERE ${places["identity_edge"]}`, params);
          const [found] = await clickhouse.query<{ count: number }>(
            `SELECT count() AS count FROM rejected WHERE ${places["rejected"]}`,
            { params },
          );
          if (found!.count > 0) await rewriter.alter("rejected", `DELETE WHERE ${places["rejected"]}`, params);
          await rewriter.alter("trait_state", `DELETE WHERE ${places["trait_state"]}`, params);
        }
    },
  };
}
