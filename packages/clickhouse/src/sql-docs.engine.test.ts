import { readFile } from "node:fs/promises";
import type { IdentityDecision } from "@polder/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createErasureStore } from "./erasure-store.ts";
import { answersFrom, recentBuyers, type Happened } from "./test-support/example-answers.ts";
import { exampleEvents } from "./test-support/example-events.ts";
import { questionsOf, readSqlPages, shown, sqlDocs, type Question } from "./test-support/questions-of-docs.ts";
import { audienceMoments, startExampleDatabase, type ExampleDatabase } from "./test-support/start-example-database.ts";

const pages = await readSqlPages();
const readme = await readFile(new URL("../../README.md", sqlDocs), "utf8");
const questions = [...pages.values()].flatMap(questionsOf);
const readmeQuestions = questionsOf(readme);
const definition: unknown = JSON.parse(/^```json\n([\s\S]*?)^```/m.exec(pages.get("people.md") ?? "")?.[1] ?? "");
const growth = "How does an audience grow?";
/** Told by no people: what was received stays what was received. */
const losses = "Is anything lost, by site?";

let database: ExampleDatabase;
beforeAll(async () => {
  database = await startExampleDatabase(definition);
});
afterAll(() => database?.stop());

const ask = async ({ sql }: Question): Promise<string[][]> =>
  shown(await database.analyst.query<{ [column: string]: unknown }>(sql));

const questionOf = (title: string): Question => questions.find((question) => question.title === title)!;

const asShown = (rows: readonly (readonly unknown[])[]): string[][] => rows.map((row) => row.map(String));

/** The engine's answers of now, against those worked out from the events as they were sent. */
async function expectAnswers(happened: Happened): Promise<void> {
  const answers = answersFrom(database.events, happened);
  for (const question of questions.filter(({ title }) => answers.has(title))) {
    const [, ...rows] = await ask(question);
    const expected = answers.get(question.title)!;
    expect(rows, question.title).toEqual(asShown(expected));
  }
  const sizes = await ask(questionOf(growth));
  expect(sizes.slice(1).map((row) => row.at(2))).toEqual(
    audienceMoments.map((at) => String(recentBuyers(database.events, happened, at).length)),
  );
}

describe("the examples", () => {
  it("are what the stories of the visitors come to: -u writes the file", async () => {
    const lines = exampleEvents().map((event) => `${JSON.stringify(event)}\n`);
    await expect(lines.join("")).toMatchFileSnapshot(new URL("example-events.jsonl", sqlDocs).pathname);
  });
});

describe("the questions of docs/sql", () => {
  it("are all found on the pages, each under a heading of its own and in the table of contents", () => {
    const blocks = [...pages.values()].join("").match(/^```sql$/gm)?.length;
    expect(questions.length).toBe(blocks);
    expect(questions.length).toBeGreaterThanOrEqual(30);
    expect(new Set(questions.map(({ title }) => title)).size).toBe(questions.length);
    const contents = pages.get("README.md") ?? "";
    for (const [file, text] of pages) {
      for (const { title } of questionsOf(text)) {
        const anchor = title
          .toLowerCase()
          .replaceAll(/[^a-z0-9 -]/g, "")
          .replaceAll(" ", "-");
        expect(contents).toContain(`[${title}](${file}#${anchor})`);
      }
    }
  });

  it("are five in the README", () => {
    expect(readmeQuestions.length).toBe(5);
  });

  it.each([...questions, ...readmeQuestions])("$title", async (question) => {
    expect(await ask(question)).toEqual(question.answer);
  });

  it("are asked by somebody who can only read", async () => {
    await expect(database.analyst.command("TRUNCATE TABLE events")).rejects.toThrow(/ACCESS_DENIED|not enough/i);
    const views = await database.analyst.query<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = 'polder' AND engine = 'View' ORDER BY name",
    );
    for (const { name } of views) await database.analyst.query(`SELECT * FROM ${name} LIMIT 1`);
    expect(views.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["audience_days", "audience_members", "audience_sizes", "audiences", "consent_choices"]),
    );
  });
});

describe("every answer equals one that is worked out from the events", () => {
  const [finn, ida, eve, kim, cas] = [512, 832, 448, 960, 320];
  const merged = [
    [finn, ida],
    [eve, kim],
  ] as const;
  const decision = (id: string, decided: Partial<IdentityDecision>): IdentityDecision => ({
    id,
    site: "shop",
    at: Date.parse("2026-11-30T08:00:00Z"),
    action: "merge",
    left: "",
    right: "",
    edges: [],
    actor: "example",
    reason: "asked",
    undoes: "",
    ...decided,
  });
  const visitors = decision("visitors", { left: "device:finn", right: "device:ida" });
  const buyers = decision("buyers", { left: "device:eve", right: "device:kim" });
  const undone = [visitors, buyers].map(({ id }, n) =>
    decision(`undo-${id}`, { action: "undo", undoes: id, at: visitors.at + 1 + n }),
  );

  it("as the pages show them", () => {
    const answers = answersFrom(database.events, { merged: [], erased: [] });
    const titles = questions.map(({ title }) => title).filter((title) => title !== growth && title !== losses);
    expect([...answers.keys()].toSorted()).toEqual(titles.toSorted());
    for (const [title, rows] of answers) expect(questionOf(title).answer.slice(1), title).toEqual(asShown(rows));
  });

  it("after two visitors were merged, and two buyers", async () => {
    await database.resolve([visitors, buyers]);
    await expectAnswers({ merged, erased: [] });
    // What was seen then stays as it was seen.
    const seen = (row: string[]): string | undefined => row.at(1);
    expect((await ask(questionOf(growth))).map(seen)).toEqual(questionOf(growth).answer.map(seen));
  });

  it("after somebody else was erased", async () => {
    const requestedAt = new Date("2026-11-30T09:00:00Z");
    const later = (seconds: number) => (): Date => new Date(requestedAt.getTime() + seconds * 1000);
    const erasures = createErasureStore({ clickhouse: database.clickhouse });
    await erasures.request({ site: "shop", people: [cas], actor: "example", reason: "asked", at: requestedAt });
    // Before anything is removed.
    expect(await database.analyst.query("SELECT * FROM orders WHERE order_id LIKE 'C-%'")).toEqual([]);
    const open = await erasures.openErasures(10, later(10));
    await erasures.begin(open, later(10));
    expect(await erasures.carryOut(open, later(30))).toBe(1);
    await expectAnswers({ merged, erased: [cas] });
    expect(await ask(questionOf(losses))).toEqual(questionOf(losses).answer);
  });

  it("after the merges were taken back", async () => {
    await database.resolve([visitors, buyers, ...undone]);
    await expectAnswers({ merged: [], erased: [cas] });
  });
});
