import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAudience } from "./parse-audience.ts";
import { readyMadeAudiences } from "./ready-made.ts";
import { maxDepth } from "./shape.ts";

const faultsOf = (definition: unknown): string[] => {
  const result = parseAudience(definition);
  return result.ok ? [] : result.faults.map(({ path, message }) => `${path}: ${message}`);
};
const ofPeople = (people: unknown): string[] => faultsOf({ people });

describe("a definition", () => {
  it("is taken as it is", () => {
    for (const { definition } of readyMadeAudiences)
      expect(parseAudience(structuredClone(definition))).toEqual({ ok: true, definition });
  });

  it("is told of all its faults at once, each with its place and the nearest name", () => {
    expect(
      faultsOf({
        descripton: "x",
        people: {
          all: [
            { trate: "plan", is: "premium" },
            { event: "Order Completed", within: { dayz: 30 }, count: { atleast: 2 } },
            { consent: "adds" },
            { not: { sequence: [{ event: "page" }], within: { days: 1 } } },
            {
              event: "page",
              where: [
                { colum: "country", is: "NL" },
                { column: "contry", is: "NL" },
              ],
            },
          ],
        },
      }),
    ).toEqual([
      "descripton: is not known here: did you mean `description`?",
      "people.all[0]: is no condition: did you mean `trait` by `trate`?",
      "people.all[1].within.dayz: is not known here: did you mean `days`?",
      "people.all[1].count.atleast: is not known here: did you mean `atLeast`?",
      "people.all[2].consent: must be one of necessary, measurement, profile, personalisation, prediction, ads: did you mean ads?",
      "people.all[3].not.sequence: needs at least 2.",
      "people.all[4].where[0]: is no filter: did you mean `column` by `colum`?",
      expect.stringMatching(/^people\.all\[4\]\.where\[1\]\.column: must be one of .*: did you mean country\?$/),
    ]);
  });

  it.each([
    ["nothing", undefined, [": must be an object, not nothing."]],
    ["a text", "everyone", [": must be an object, not a text."]],
    ["an empty object", {}, ["people: is missing: What a person has to be."]],
    ["a list of conditions without all", { people: [] }, ["people: must be a condition, an object, not a list."]],
  ])("is not %s", (_, definition, faults) => expect(faultsOf(definition)).toEqual(faults));

  it.each([
    [
      "two conditions in one object",
      { seen: { within: { days: 1 } }, known: true },
      "people: is 2 things at once (seen, known): put each in an object of its own, within all or any.",
    ],
    [
      "an event with two measures",
      { event: "page", count: { is: 1 }, first: { within: { days: 1 } } },
      "people: has count and first: use one of them, and all of two conditions.",
    ],
    ["an empty all", { all: [] }, "people.all: needs at least one."],
    ["a comparison with nothing", { trait: "plan" }, /^people: says nothing: add one of is, isNot/],
    ["a count of nothing", { event: "page", count: {} }, /^people\.count: says nothing: add one of is, isNot/],
    ["two units", { event: "page", within: { days: 1, hours: 2 } }, /^people\.within: needs exactly one of minutes/],
    [
      "a window that is both",
      { event: "page", within: { days: 1, from: "2026-11-01" } },
      /^people\.within: mixes the last so many days/,
    ],
    [
      "a window that ends first",
      { event: "page", within: { from: "2026-11-02", to: "2026-11-01" } },
      /^people\.within: ends before it starts/,
    ],
    [
      "no day of the calendar",
      { event: "page", within: { from: "2026-02-30" } },
      "people.within.from: must be a day of the calendar, as 2026-11-22.",
    ],
    [
      "half a day",
      { event: "page", within: { days: 0.5 } },
      "people.within.days: must be a whole number from 1 to 3660.",
    ],
    [
      "a fixed window for seen",
      { seen: { within: { from: "2026-11-01" } } },
      /^people\.seen\.within\.from: is not known here/,
    ],
    [
      "an amount without a currency",
      { event: "Order Completed", sum: { of: "amount", atLeast: 5 } },
      'people.sum: adds up amounts of any currency: add "currency", as EUR.',
    ],
    [
      "a currency in small letters",
      { event: "Order Completed", sum: { of: "amount", currency: "eur", atLeast: 5 } },
      "people.sum.currency: must be the three capitals of a currency, as EUR.",
    ],
    [
      "a sum of something else",
      { event: "Order Completed", sum: { of: "total", atLeast: 5 } },
      "people.sum.of: must be amount, or what is added up, an object with property, not a text.",
    ],
    [
      "an amount filtered without its currency",
      { event: "Order Completed", where: [{ column: "amount", atLeast: 5 }] },
      'people.where: compares an amount of any currency: add {"column": "currency", "is": "EUR"}.',
    ],
    [
      "a window for the first touch",
      { touch: "first", channel: { is: "mail" }, within: { days: 1 } },
      /^people: has a window, which only "touch": "any" can have/,
    ],
    [
      "a touch of nothing",
      { touch: "any" },
      "people: says nothing: add one of channel, source, medium, campaign, referrer.",
    ],
    [
      "a number that JSON cannot write",
      { trait: "age", atLeast: Number.NaN },
      /^people\.atLeast: must be a number from/,
    ],
    ["an empty text", { trait: "plan", is: "" }, "people.is: must not be empty."],
    ["half a character", { trait: "plan", is: "\ud800" }, /^people\.is: holds a character that cannot be stored/],
    ["NUL", { trait: "pl\0an", is: "x" }, /^people\.trait: holds a character that cannot be stored/],
    ["a null", { trait: "plan", is: null }, "people.is: must be a text, a number, true or false, not null."],
    [
      "too much text",
      { trait: "plan", contains: "x".repeat(1_001) },
      "people.contains: must have at most 1000 characters; it has 1001.",
    ],
    [
      "a list that is too long",
      { trait: "plan", in: Array.from({ length: 1_001 }, () => 1) },
      "people.in: may have at most 1000; it has 1001.",
    ],
    [
      "a list with too much text",
      { trait: "plan", in: Array.from({ length: 31 }, () => "x".repeat(1_000)) },
      /^people\.in: has more than 30000 characters in all/,
    ],
    [
      "a path with an empty name",
      { event: "page", where: [{ property: "a..b", is: 1 }] },
      /^people\.where\[0\]\.property: must be names with dots/,
    ],
    ["a path with two lists", { event: "page", where: [{ property: "a[].b[]", is: 1 }] }, /use \[\] once/],
    [
      "a path in the notation of the engine",
      { event: "page", where: [{ property: "a.:Int64", is: 1 }] },
      /none may begin with a colon/,
    ],
    ["a path with a backtick", { event: "page", where: [{ property: "a`b", is: 1 }] }, /must be names without/],
    [
      "a sum through a list",
      { event: "page", sum: { of: { property: "a[].b" }, atLeast: 1 } },
      /^people\.sum\.of\.property: cannot go through a list/,
    ],
  ])("has not %s", (_, people, fault) => {
    const faults = ofPeople(people);
    expect(faults).toHaveLength(1);
    if (typeof fault === "string") expect(faults[0]).toBe(fault);
    else expect(faults[0]).toMatch(fault);
  });

  it("goes as deep as it may, and no deeper", () => {
    const nested = (depth: number): unknown => (depth === 1 ? { known: true } : { not: nested(depth - 1) });
    expect(ofPeople(nested(maxDepth))).toEqual([]);
    expect(ofPeople(nested(maxDepth + 1))).toEqual([
      `people${".not".repeat(maxDepth)}: is too deep: conditions may be ${maxDepth} deep within one another.`,
    ]);
    // Deep enough to overflow the stack of whoever goes on to the end.
    let deep: unknown = { known: true };
    for (let depth = 0; depth < 200_000; depth++) deep = { not: deep };
    expect(ofPeople(deep)).toHaveLength(1);
  });

  it("does not take a name from the prototype", () => {
    expect(ofPeople(JSON.parse('{"__proto__": {"known": true}}'))).toEqual([
      expect.stringMatching(/^people: is no condition/),
    ]);
    expect(ofPeople({ constructor: 1 })).toEqual([expect.stringMatching(/^people: is no condition/)]);
    expect(faultsOf(Object.create({ people: { known: true } }))).toEqual([
      "people: is missing: What a person has to be.",
    ]);
  });

  it("never makes the parser throw, and what it lets through it lets through again", () => {
    const json = fc.jsonValue({ maxDepth: 5 });
    const almost = fc.letrec((tie) => ({
      condition: fc.oneof(
        { maxDepth: 4 },
        fc.dictionary(
          fc.constantFrom(
            "all",
            "any",
            "not",
            "event",
            "count",
            "sum",
            "within",
            "where",
            "trait",
            "is",
            "in",
            "sequence",
            "touch",
            "first",
          ),
          fc.oneof(json, tie("condition"), fc.array(tie("condition"), { maxLength: 3 })),
          { maxKeys: 4 },
        ),
        json,
      ),
    })).condition;
    checkProperty(
      fc.property(almost, (people) => {
        const result = parseAudience({ people });
        if (result.ok) expect(parseAudience(JSON.parse(JSON.stringify(result.definition)))).toEqual(result);
        else expect(result.faults.length).toBeGreaterThan(0);
      }),
      1_000,
    );
  });
});
