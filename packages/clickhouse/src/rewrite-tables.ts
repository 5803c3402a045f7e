import { quoteName, type ClickHouse, type QueryOptions } from "./clickhouse.ts";
import { localTable } from "./migrations/render-migrations.ts";

/** What a server takes as one field of a form is bounded. */
export const maxAtomsAtOnce = 5_000;

type Params = NonNullable<QueryOptions["params"]>;

/** Removes rows from tables, from every shard of a cluster. Each resolves when no question finds them any more. */
export interface TableRewriter {
  /** `UPDATE … WHERE …` or `DELETE WHERE …`: parts that hold such rows are written anew. */
  alter(table: string, change: string, params: Params): Promise<void>;
  /** Marks rows as gone, which writes no part anew: for rows here and there in a large table. {@link sweep} takes them off the disk. */
  mark(table: string, where: string, params: Params): Promise<void>;
  /** Writes the parts anew in which rows are marked. */
  sweep(table: string): Promise<void>;
}

/** @param isSharded whether each shard of a cluster has other rows of a table; where not, every node has all. */
export function createTableRewriter(
  clickhouse: ClickHouse,
  cluster: string | undefined,
  isSharded: (table: string) => boolean = () => true,
): TableRewriter {
  const onCluster = cluster === undefined ? "" : ` ON CLUSTER ${quoteName(cluster)}`;
  const nameOf = (table: string): string => (isSharded(table) ? localTable(table, cluster) : table);
  const run = (sql: string, params: Params): Promise<void> =>
    clickhouse.command(sql, {
      params,
      // A replica may look up what the others look up: ids that belong to an atom never change.
      settings: { mutations_sync: 2, lightweight_deletes_sync: 2, allow_nondeterministic_mutations: 1 },
      isLong: true,
    });
  return {
    alter: (table, change, params) => run(`ALTER TABLE ${nameOf(table)}${onCluster} ${change}`, params),
    mark: (table, where, params) => run(`DELETE FROM ${nameOf(table)}${onCluster} WHERE ${where}`, params),
    sweep: (table) => run(`ALTER TABLE ${nameOf(table)}${onCluster} APPLY DELETED MASK`, {}),
  };
}

export const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

export function* slices<T>(values: readonly T[], size = maxAtomsAtOnce): Generator<readonly T[]> {
  for (let at = 0; at < values.length; at += size) yield values.slice(at, at + size);
}
