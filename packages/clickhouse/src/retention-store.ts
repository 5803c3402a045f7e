import { defaultRetention, type KeptRows, type RetentionStore, type SiteRetention } from "@polder/core";

import { quoteName, type ClickHouse } from "./clickhouse.ts";
import { localTable } from "./migrations/render-migrations.ts";
import { retainedTables, ttlOf, type RetainedTable } from "./retained-tables.ts";

export interface RetentionStoreOptions {
  clickhouse: ClickHouse;
  /** Name of the cluster: every shard is told. */
  cluster?: string;
}

/** What a server takes as one field of a form is bounded. */
const maxAtomsAtOnce = 5_000;

/** {@link RetentionStore} by TTLs: ClickHouse removes by itself, when it merges, and this says what. */
export function createRetentionStore({ clickhouse, cluster }: RetentionStoreOptions): RetentionStore {
  const onCluster = cluster === undefined ? "" : ` ON CLUSTER ${quoteName(cluster)}`;

  const tablesWithTtl = async (): Promise<ReadonlySet<string>> => {
    const rows = await clickhouse.query<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = {database: String} AND position(engine_full, ' TTL ') > 0",
      { params: { database: clickhouse.database } },
    );
    const suffix = localTable("", cluster);
    return new Set(rows.map(({ name }) => (name.endsWith(suffix) ? name.slice(0, name.length - suffix.length) : name)));
  };

  return {
    async applyPolicy(sites, now) {
      const wanted = policyRows(sites);
      const current = await clickhouse.query<PolicyRow>(
        `SELECT site, is_known, days FROM retention_policy
         WHERE applied_at = (SELECT max(applied_at) FROM retention_policy) ORDER BY site, is_known`,
      );
      const isSame = JSON.stringify(current) === JSON.stringify(wanted);
      // Tables that a new version has brought have no TTL yet.
      const held = isSame ? await tablesWithTtl() : new Set<string>();
      const lacking = (Object.keys(retainedTables) as RetainedTable[]).filter((table) => !held.has(table));
      if (lacking.length === 0) return false;
      for (const table of lacking)
        await clickhouse.command(
          `ALTER TABLE ${localTable(table, cluster)}${onCluster} MODIFY TTL ${ttlOf(table, sites)}`,
          { isLong: true },
        );
      // Last: as long as it is not written, the next one does it all again.
      if (isSame) return true;
      const appliedAt = now.toISOString().slice(0, -1).replace("T", " ");
      await clickhouse.insertRows(
        "retention_policy",
        wanted.map((row) => ({ ...row, applied_at: appliedAt })),
      );
      return true;
    },

    async forgetIdentities() {
      const gone = await clickhouse.query<{ atom: number }>(
        "SELECT DISTINCT atom FROM identity FINAL WHERE person != 0 AND atom NOT IN (SELECT atom FROM atom)",
      );
      for (let at = 0; at < gone.length; at += maxAtomsAtOnce) {
        const atoms = gone.slice(at, at + maxAtomsAtOnce).map(({ atom }) => atom);
        await clickhouse.command(`ALTER TABLE identity${onCluster} DELETE WHERE atom IN {atoms: Array(UInt32)}`, {
          params: { atoms },
          settings: { mutations_sync: 2 },
          isLong: true,
        });
      }
      return gone.length;
    },

    kept: () =>
      clickhouse.query<KeptRows>(
        `SELECT table_name AS table, site, class, days, rows, oldest_week AS oldestWeek, oldest_goes_on AS oldestGoesOn,
           rows_next_week AS rowsNextWeek, rows_overdue AS rowsOverdue
         FROM retention ORDER BY site, table, class`,
      ),
  };
}

interface PolicyRow {
  site: string;
  is_known: number;
  days: number;
}

/** In the order of the table; the default comes first. */
function policyRows(sites: readonly SiteRetention[]): PolicyRow[] {
  const sorted = sites.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return [{ id: "", retention: defaultRetention }, ...sorted].flatMap(({ id, retention }) => [
    { site: id, is_known: 0, days: retention.anonymousDays },
    { site: id, is_known: 1, days: retention.knownDays },
  ]);
}
