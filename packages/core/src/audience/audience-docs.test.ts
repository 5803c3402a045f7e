import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { filterColumns } from "./event-filter.ts";
import { audienceJsonSchema, parseAudience } from "./parse-audience.ts";
import { readyMadeAudiences } from "./ready-made.ts";

const docs = fileURLToPath(new URL("../../../../docs/", import.meta.url));
const page = await readFile(`${docs}audiences.md`, "utf8");
// What follows the language has answers of the API in it.
const language = page.slice(0, page.indexOf("## Ready-made"));
const examples = [...language.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json = ""]) => JSON.parse(json) as unknown);

describe("docs/audiences.md", () => {
  it("has examples that the parser takes", () => {
    for (const example of examples) expect(parseAudience(example)).toEqual({ ok: true, definition: example });
  });

  it("has an example of every condition, of every measure and every kind of window", () => {
    const text = JSON.stringify(examples);
    const { $defs } = audienceJsonSchema() as { $defs: { condition: { oneOf: { required: string[] }[] } } };
    const conditions = $defs.condition.oneOf.map(({ required }) => required[0]!);
    expect(conditions.length).toBeGreaterThan(14);
    for (const key of [
      ...conditions,
      "count",
      "sum",
      "first",
      "last",
      "within",
      "during",
      "from",
      "days",
      "hours",
      "weeks",
    ])
      expect(text, `an example of ${key}`).toContain(`"${key}":`);
  });

  it("names every ready-made audience", () => {
    const rows = readyMadeAudiences.map(
      ({ id, name, definition }) => `| \`${id}\` | ${name} | ${definition.description} |`,
    );
    const table = ["| id | name | who |", "|---|---|---|", ...rows].join("\n");
    expect(page).toContain(table);
  });

  it("has a schema beside it", async () => {
    await expect(`${JSON.stringify(audienceJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
      `${docs}audience.schema.json`,
    );
  });
});

it("columns that filters know are columns of an event", async () => {
  const row = await readFile(new URL("../row/event-row.ts", import.meta.url), "utf8");
  for (const column of filterColumns) expect(row).toMatch(new RegExp(`^  ${column}: `, "m"));
});
