import { quoteName, quoteText, type ClickHouse } from "./clickhouse.ts";

export interface FrozenTable {
  name: string;
  /** Folder of the table, below the data folder of the server. */
  folder: string;
}

/**
 * Keeps every table as it is at this moment, as links in `shadow/<name>` of the server's data folder: some milliseconds, whatever their size. What
 * a withdrawal is said to have removed is frozen before the tables that it was removed from, so that it never says more than they show.
 */
export async function freezeTables(clickhouse: ClickHouse, name: string): Promise<FrozenTable[]> {
  const rows = await clickhouse.query<{ name: string; path: string; root: string }>(
    `SELECT name, arrayElement(data_paths, 1) AS path, (SELECT path FROM system.disks WHERE name = 'default') AS root
     FROM system.tables WHERE database = {database: String} AND endsWith(engine, 'MergeTree')
     ORDER BY name != 'consent_receipt', name`,
    { params: { database: clickhouse.database } },
  );
  for (const table of rows)
    await clickhouse.command(`ALTER TABLE ${quoteName(table.name)} FREEZE WITH NAME ${quoteText(name)}`);
  return rows.map(({ name: table, path, root }) => ({
    name: table,
    folder: path.slice(root.length).replace(/\/$/, ""),
  }));
}
