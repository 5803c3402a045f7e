import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { computedTraitJsonSchema, parseComputedTrait, traitComputations } from "./computed-trait.ts";

const faultsOf = (value: unknown): (readonly [path: string, message: string])[] => {
  const result = parseComputedTrait(value);
  return result.ok ? [] : result.faults.map(({ path, message }) => [path, message] as const);
};

describe("a definition", () => {
  it.each([
    { compute: "count", event: "page" },
    { compute: "sum", event: ["Order Completed"], of: { column: "amount" }, currency: "EUR", within: { days: 90 } },
    {
      compute: "average",
      event: "Rated",
      of: { property: "stars" },
      where: [{ property: "product.kind", is: "bulb" }],
    },
    { compute: "first", event: "*", of: { column: "channel" }, within: { from: "2026-01-01" } },
    { compute: "most_frequent", event: "Product Viewed", of: { property: "category" } },
    { compute: "unique_list", event: "Product Viewed", of: { property: "sku" }, most: 5 },
    { compute: "days_since", event: "Order Completed", description: "Days since the last order" },
    { compute: "lifetime_value", currency: "EUR" },
  ])("is taken: $compute", (definition) => {
    expect(parseComputedTrait(definition)).toEqual({ ok: true, definition });
  });

  it.each([
    [null, [["", "must be an object, not null."]]],
    [{ event: "page" }, [["compute", expect.stringContaining("is missing")]]],
    [{ compute: "cuont", event: "page" }, [["compute", expect.stringContaining("did you mean count?")]]],
    [{ compute: "count" }, [["event", expect.stringContaining("is missing")]]],
    [{ compute: "sum", event: "page" }, [["of", expect.stringContaining('as {"property": "price"}')]]],
    [
      { compute: "count", event: "page", of: { property: "price" } },
      [["of", expect.stringContaining("must be left out")]],
    ],
    [
      { compute: "sum", event: "page", of: { column: "country" } },
      [["of.column", expect.stringContaining("must be amount")]],
    ],
    [
      { compute: "sum", event: "Order Completed", of: { column: "amount" } },
      [["currency", expect.stringContaining("does not add up")]],
    ],
    [{ compute: "lifetime_value" }, [["currency", expect.stringContaining("does not add up")]]],
    [{ compute: "lifetime_value", currency: "EUR", event: "page" }, [["event", expect.stringContaining("left out")]]],
    [{ compute: "count", event: "page", currency: "EUR" }, [["currency", expect.stringContaining('use "where"')]]],
    [{ compute: "count", event: "page", most: 3 }, [["most", expect.stringContaining("unique_list")]]],
    [
      { compute: "unique_list", event: "page", of: { property: "a" }, most: 0 },
      [["most", expect.stringContaining("1 to 1000")]],
    ],
    [{ compute: "max", event: "page", of: { property: "items[].price" } }, [["of.property", expect.any(String)]]],
    [{ compute: "count", event: "page", within: { days: 0 } }, [["within.days", expect.any(String)]]],
    [
      { compute: "count", event: "page", where: [{ property: "a" }] },
      [["where[0]", expect.stringContaining("says nothing")]],
    ],
    [{ compute: "count", event: "page", sql: "1" }, [["sql", expect.stringContaining("is not known here")]]],
  ])("that is wrong is refused with the place: %j", (definition, faults) => {
    expect(faultsOf(definition)).toEqual(faults);
  });

  it("of any form is answered, never thrown", () => {
    checkProperty(fc.property(fc.jsonValue(), (value) => void parseComputedTrait(value)));
    const near = fc.record({
      compute: fc.constantFrom(...traitComputations),
      of: fc.jsonValue(),
      event: fc.jsonValue(),
    });
    checkProperty(
      fc.property(near, (value) => {
        const result = parseComputedTrait(value);
        if (!result.ok) expect(result.faults.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("docs/profiles.md", async () => {
  const docs = fileURLToPath(new URL("../../../../docs/", import.meta.url));
  const page = await readFile(`${docs}profiles.md`, "utf8");
  const examples = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json = ""]) => JSON.parse(json) as unknown);

  it("has examples that the parser takes, of everything that can be worked out", () => {
    for (const example of examples) expect(parseComputedTrait(example)).toEqual({ ok: true, definition: example });
    for (const computation of traitComputations)
      expect(JSON.stringify(examples)).toContain(`"compute":"${computation}"`);
  });

  it("has a schema beside it", async () => {
    await expect(`${JSON.stringify(computedTraitJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
      `${docs}computed-trait.schema.json`,
    );
  });
});
