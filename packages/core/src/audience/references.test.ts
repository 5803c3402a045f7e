import { describe, expect, it } from "vitest";
import type { AudienceDefinition } from "./audience-definition.ts";
import { audiencesIn, computedTraitsIn, findReferenceFaults } from "./references.ts";

const naming = (...ids: string[]): AudienceDefinition => ({
  people: { all: ids.map((audience, index) => (index % 2 === 0 ? { audience } : { not: { any: [{ audience }] } })) },
});
const known = (audiences: { [id: string]: AudienceDefinition }, traits: string[] = []) => ({
  audiences: new Map(Object.entries(audiences)),
  computedTraits: new Map(traits.map((name) => [name, {}])),
});
const buyers: AudienceDefinition = { people: { event: "Order Completed" } };

describe("what a definition names", () => {
  it("is found wherever it stands, once", () => {
    expect(audiencesIn(naming("a", "b", "a"))).toEqual(["a", "b"]);
    expect(audiencesIn(buyers)).toEqual([]);
    const byTrait = { computedTrait: "ltv", atLeast: 1 };
    expect(computedTraitsIn({ people: { any: [byTrait, { not: byTrait }, { audience: "a" }] } })).toEqual(["ltv"]);
  });

  it("has to be there, and a mistyped name is told the nearest", () => {
    expect(findReferenceFaults(naming("buyers", "bueyrs"), known({ buyers }))).toEqual([
      { path: "people.all[1].not.any[0].audience", message: "is the name of no audience: did you mean `buyers`?" },
    ]);
    expect(findReferenceFaults({ people: { computedTrait: "x", is: 1 } }, known({}))).toEqual([
      { path: "people.computedTrait", message: "is the name of no computed trait: there is none yet." },
    ]);
    expect(findReferenceFaults({ people: { computedTrait: "ltv", is: 1 } }, known({}, ["ltv"]))).toEqual([]);
  });

  it("is nothing anonymous, where that may not be named", () => {
    const anonymous = new Set(["crowd"]);
    expect(findReferenceFaults(naming("crowd"), { ...known({}), anonymous }, "a")).toEqual([
      { path: "people.all[0].audience", message: expect.stringContaining("is an anonymous audience") },
    ]);
  });

  it("is not itself, not through others either", () => {
    const others = known({ a: naming("b"), b: naming("buyers", "c"), c: naming("a"), buyers });
    expect(findReferenceFaults(naming("self"), known({}), "self")).toEqual([
      {
        path: "people.all[0].audience",
        message: "leads back to where it came from: self → self. An audience cannot stand on itself.",
      },
    ]);
    expect(findReferenceFaults(naming("b"), others, "a")).toEqual([
      {
        path: "people.all[0].audience",
        message: "leads back to where it came from: a → b → c → a. An audience cannot stand on itself.",
      },
    ]);
    // A new audience that would stand on a circle of others.
    expect(findReferenceFaults(naming("a"), others)[0]?.message).toContain("a → b → c → a");
    expect(findReferenceFaults(naming("buyers"), others)).toEqual([]);
  });

  it("may be named by several that are named", () => {
    const others = known({ left: naming("buyers"), right: naming("buyers"), buyers });
    expect(findReferenceFaults(naming("left", "right", "buyers"), others, "new")).toEqual([]);
  });

  it("must not be missing further down", () => {
    expect(findReferenceFaults(naming("a"), known({ a: naming("gone") }))).toEqual([
      { path: "people.all[0].audience", message: "leads to a → gone, which is not there." },
    ]);
  });

  it("goes ten audiences deep, quickly, however many ways lead there", () => {
    const chain = (length: number) =>
      Object.fromEntries(
        Array.from({ length }, (_, index) => [
          `a${index}`,
          index === length - 1 ? buyers : naming(`a${index + 1}`, `a${index + 1}`, `a${index + 1}`),
        ]),
      );
    expect(findReferenceFaults(naming("a0"), known(chain(10)))).toEqual([]);
    expect(findReferenceFaults(naming("a0"), known(chain(11)))[0]?.message).toMatch(
      /^stands on more than 10 audiences/,
    );
    expect(findReferenceFaults(naming("a0"), known(chain(2_000)))).toHaveLength(1);
  });
});
