/** Who reaches a database: the client of `@polder/clickhouse`, which is above this package. */
interface Database {
  query<Row>(sql: string): Promise<Row[]>;
  command(sql: string): Promise<void>;
}

/**
 * As after the migrations, in a twentieth of their time. What was deduplicated is forgotten with the rows, whether there are any left or not;
 * dictionaries keep what they hold until they are loaded again.
 */
export async function emptyTables(database: Database): Promise<void> {
  const tables = await database.query<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migration'",
  );
  for (const { name } of tables) await database.command(`TRUNCATE TABLE ${name}`);
}
