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
/** Those whose answer is worked out a second time; the others are compared with their table alone. */
const recomputed = [...answersFrom([], { merged: [], erased: [] }).keys()];

let database: ExampleDatabase;
beforeAll(async () => {
  database = await startExampleDatabase(definition);
});
afterAll(() => database?.stop());

const ask = async ({ sql }: Question): Promise<string[][]> =>
  shown(await database.analyst.query<{ [column: string]: unknown }>(sql));

const questionOf = (title: string): Question => questions.find((question) => question.title === title)!;

/** The engine's answers of now, against those worked out from the events as they were sent. */
async function expectAnswers(happened: Happened): Promise<void> {
  const answers = answersFrom(database.events, happened);
  expect(answers.size).toBeGreaterThanOrEqual(20);
  for (const question of questions.filter(({ title }) => answers.has(title))) {
    const [, ...rows] = await ask(question);
    const expected = answers.get(question.title)!;
    expect(rows, question.title).toEqual(expected.map((row) => row.map(String)));
  }
  const sizes = await ask(questionOf(growth));
  expect(sizes.slice(1).map((row) => row.at(2))).toEqual(
    audienceMoments.map((at) => String(recentBuyers(database.events, happened, at))),
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
    expect(recomputed.filter((title) => !questions.some((question) => question.title === title))).toEqual([]);
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

  it("as they are", async () => {
    await expectAnswers({ merged: [], erased: [] });
  });

  it("after two people were merged", async () => {
    await database.resolve([visitors]);
    await expectAnswers({ merged: [[finn, ida]], erased: [] });
  });

  it("after two others were merged, who had bought", async () => {
    const before = await ask(questionOf(growth));
    await database.resolve([visitors, buyers]);
    await expectAnswers({
      merged: [
        [finn, ida],
        [eve, kim],
      ],
      erased: [],
    });
    // What was seen then stays as it was seen.
    const seen = (row: string[]): string | undefined => row.at(1);
    expect((await ask(questionOf(growth))).map(seen)).toEqual(before.map(seen));
  });

  it("after somebody else was erased", async () => {
    const requestedAt = new Date("2026-11-30T09:00:00Z");
    const later = (seconds: number) => (): Date => new Date(requestedAt.getTime() + seconds * 1000);
    const erasures = createErasureStore({ clickhouse: database.clickhouse });
    const losses = questionOf("Is anything lost, by site?");
    await erasures.request({ site: "shop", people: [cas], actor: "example", reason: "asked", at: requestedAt });
    // Before anything is removed.
    expect(await database.analyst.query("SELECT * FROM orders WHERE order_id LIKE 'C-%'")).toEqual([]);
    const open = await erasures.openErasures(10, later(10));
    await erasures.begin(open, later(10));
    expect(await erasures.carryOut(open, later(30))).toBe(1);
    await expectAnswers({
      merged: [
        [finn, ida],
        [eve, kim],
      ],
      erased: [cas],
    });
    expect(await ask(losses)).toEqual(losses.answer);
  });

  it("after the merges were taken back", async () => {
    await database.resolve([visitors, buyers, ...undone]);
    await expectAnswers({ merged: [], erased: [cas] });
  });
});
