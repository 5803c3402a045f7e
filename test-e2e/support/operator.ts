import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, type Stack } from "./stack.ts";

const command = fileURLToPath(new URL("../../apps/polder/bin/polder.mjs", import.meta.url));

/** `polder …` on this installation. */
export async function runPolder(stack: Stack, ...args: string[]): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, [command, ...args], {
    cwd: stack.dataPath,
    env: {
      ...process.env,
      CLICKHOUSE_URL: "",
      POLDER_DATA: stack.dataPath,
      POLDER_SQL_PORT: new URL(stack.sqlUrl).port,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out };
}

/** A statement as the database's own administrator, past Polder: what somebody could do who sits at the machine. */
export async function askEngine(stack: Stack, statement: string): Promise<string> {
  const { port, admin } = JSON.parse(readFileSync(join(stack.dataPath, "clickhouse", "engine.json"), "utf8")) as {
    port: number;
    admin: { username: string; password: string };
  };
  const answer = await fetch(`http://127.0.0.1:${port}/?database=polder&mutations_sync=1`, {
    method: "POST",
    headers: { "x-clickhouse-user": admin.username, "x-clickhouse-key": admin.password },
    body: statement,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} for ${statement}: ${text}`);
  return text;
}

/** The same, as rows. */
export async function rowsOfEngine<Row>(stack: Stack, query: string): Promise<Row[]> {
  const text = await askEngine(
    stack,
    `${query} SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow`,
  );
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

/** The value of a metric with all of these labels, 0 when it has not been counted yet. */
export async function metricOf(stack: Stack, name: string, labels: { [label: string]: string }): Promise<number> {
  const answer = await fetch(`${stack.apiUrl}/metrics`);
  const text = await answer.text();
  // An answer without metrics is not one of nothing.
  if (!answer.ok) throw new Error(`${answer.status} for /metrics: ${text}`);
  const line = text
    .split("\n")
    .find(
      (each) =>
        each.startsWith(`${name}{`) &&
        Object.entries(labels).every(([label, value]) => each.includes(`${label}="${value}"`)),
    );
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(" ") + 1));
}

/** Resolves when everything that was answered so far is in ClickHouse. */
export async function untilLoaded(stack: Stack): Promise<void> {
  for (const topic of ["polder.events", "polder.rejected"])
    await eventually(
      () => metricOf(stack, "polder_log_lag_records", { topic }),
      (records) => records === 0,
    );
}

/** In which tables, views not among them, a text stands anywhere in how many rows. */
export async function findEverywhere(stack: Stack, text: string): Promise<{ [table: string]: number }> {
  const tables = (
    await askEngine(stack, "SELECT name FROM system.tables WHERE database = 'polder' AND engine LIKE '%MergeTree'")
  )
    .trim()
    .split("\n");
  const found: { [table: string]: number } = {};
  for (const table of tables) {
    const where = `position(formatRow('JSONEachRow', *), '${text}') > 0`;
    const rows = Number(await askEngine(stack, `SELECT count() FROM \`${table}\` WHERE ${where}`));
    if (rows > 0) found[table] = rows;
  }
  return found;
}
