import { readFile } from "node:fs/promises";

import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createClickHouse, type ClickHouse } from "./clickhouse.ts";
import { createEventStore } from "./event-store.ts";
import { reloadIdentities } from "./reload-identities.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const docs = new URL("../../../docs/sql/", import.meta.url);
const page = await readFile(new URL("README.md", docs), "utf8");

const readme = await readFile(new URL("../../README.md", docs), "utf8");

/** A block of SQL and the table under it. */
const examplesOf = (text: string) =>
  [...text.matchAll(/^##+ (.+)$|^```sql\n([\s\S]*?)^```\n\n((?:^\|.*\n)*)/gm)]
    .reduce<{ title: string; sql: string; answer: string[][] }[]>((found, [, heading, sql, table]) => {
      const title = heading ?? found.at(-1)?.title ?? "";
      const cells = (line: string): string[] =>
        line
          .slice(1, -1)
          .split("|")
          .map((cell) => cell.trim());
      const answer = (table ?? "").trim().split("\n").map(cells);
      return [...found, { title, sql: sql ?? "", answer: answer.filter((_, line) => line !== 1) }];
    }, [])
    .filter(({ sql }) => sql !== "");

const examples = examplesOf(page);
const readmeExamples = examplesOf(readme);

describe("the questions of docs/sql", () => {
  let database: TestDatabase;
  let analyst: ClickHouse;

  beforeAll(async () => {
    database = await startTestDatabase();
    const { engine, clickhouse } = database;
    const lines = (await readFile(new URL("example-events.jsonl", docs), "utf8")).trim().split("\n");
    const rows = lines.map((line) => buildEventRow(JSON.parse(line) as Partial<LoadedEventRow>));
    expect(await createEventStore({ clickhouse }).insert("events", "examples", rowBytes(rows))).toEqual({ ok: true });
    await clickhouse.insertRows(
      "identity",
      [128, 192].map((atom) => ({ site: "shop", atom, person: 64, version: 1 })),
    );
    await reloadIdentities(clickhouse);
    analyst = createClickHouse({ url: engine.url, ...engine.analyst, database: "polder", logger: silent });
  });
  afterAll(async () => {
    await analyst?.close();
    await database?.stop();
  });

  it("are all found on the page", () => {
    expect(examples.length).toBe(page.match(/^```sql$/gm)?.length);
    expect(examples.length).toBeGreaterThanOrEqual(9);
  });

  it("are five in the README", () => {
    expect(readmeExamples.length).toBe(5);
  });

  it.each([...examples, ...readmeExamples])("$title", async ({ sql, answer }) => {
    const rows = await analyst.query<{ [column: string]: unknown }>(sql);
    const columns = Object.keys(rows[0] ?? {});
    expect([columns, ...rows.map((row) => columns.map((column) => String(row[column])))]).toEqual(answer);
  });
});
