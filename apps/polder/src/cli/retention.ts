import { createRetentionStore } from "@polder/clickhouse";
import type { KeptRows } from "@polder/core";
import { readSettings, settingFlags } from "../settings.ts";
import { askClickHouse } from "./ask-clickhouse.ts";
import { readFlags, type Command } from "./command.ts";
import { exitCode } from "./exit-code.ts";

const help = `Shows what is kept in a running Polder, or in the ClickHouse server in CLICKHOUSE_URL: by site, table and class how many rows there are, how
long they are kept, how old the oldest are, and what goes next. The same in SQL: SELECT * FROM retention.

Usage: polder retention [options]

  --sql-port <port>    Default: 8123 (POLDER_SQL_PORT).
  --host <host>        Default: 127.0.0.1 (POLDER_HOST).

How long things are kept is configured for each site: retention.anonymousDays, retention.knownDays. Known is what came with a user id. "not set": no
worker has applied the configuration yet, and nothing goes.
Environment: CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE (polder).`;

export const retentionCommand: Command = {
  name: "retention",
  summary: "Show what is kept, and what goes when",
  help,
  async run(args, context) {
    const { values } = readFlags(args, settingFlags);
    const settings = readSettings({ flags: values, env: context.env, cwd: context.cwd });
    return askClickHouse(settings, context, async (clickhouse) => {
      const kept = await createRetentionStore({ clickhouse }).kept();
      for (const line of renderKept(kept)) context.terminal.out(line);
      return exitCode.done;
    });
  },
};

const heads = ["site", "table", "class", "rows", "days", "oldest week", "goes on", "rows in 7 days", "overdue"];
const numbers = new Set([3, 4, 7, 8]);

/** One line a table and class; the head first. */
export function renderKept(kept: readonly KeptRows[]): string[] {
  if (kept.length === 0) return ["Nothing is stored yet."];
  const rows = kept.map((row) => [
    row.site,
    row.table,
    row.class,
    row.rows.toLocaleString("en"),
    row.days === 0 ? "not set" : String(row.days),
    row.oldestWeek,
    row.days === 0 ? "" : row.oldestGoesOn,
    row.rowsNextWeek.toLocaleString("en"),
    row.rowsOverdue.toLocaleString("en"),
  ]);
  const widths = heads.map((head, n) => Math.max(head.length, ...rows.map((row) => row[n]!.length)));
  return [heads, ...rows].map((row) =>
    row
      .map((cell, n) => (numbers.has(n) ? cell.padStart(widths[n]!) : cell.padEnd(widths[n]!)))
      .join("  ")
      .trimEnd(),
  );
}
