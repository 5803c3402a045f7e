import { readdir, readFile } from "node:fs/promises";

/** A block of SQL and the table under it. */
export interface Question {
  /** The heading it is under. */
  title: string;
  sql: string;
  /** As shown: the names of the columns, then the rows. */
  answer: string[][];
}

export const sqlDocs = new URL("../../../../docs/sql/", import.meta.url);

export function questionsOf(markdown: string): Question[] {
  const questions: Question[] = [];
  let title = "";
  for (const [, heading, sql, table = ""] of markdown.matchAll(
    /^##+ (.+)$|^```sql\n([\s\S]*?)^```\n\n?((?:^\|.*\n)*)/gm,
  )) {
    if (heading !== undefined) title = heading;
    if (sql === undefined) continue;
    const [columns = "", , ...rows] = table.trim().split("\n");
    questions.push({ title, sql, answer: [columns, ...rows].map(cellsOf) });
  }
  return questions;
}

const cellsOf = (line: string): string[] =>
  line
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());

/** By file, the table of contents included. */
export async function readSqlPages(): Promise<Map<string, string>> {
  const files = (await readdir(sqlDocs)).filter((file) => file.endsWith(".md")).toSorted();
  return new Map(
    await Promise.all(files.map(async (file) => [file, await readFile(new URL(file, sqlDocs), "utf8")] as const)),
  );
}

/** As a table shows them. */
export function shown(rows: readonly { [column: string]: unknown }[]): string[][] {
  const columns = Object.keys(rows[0] ?? {});
  return [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
}
