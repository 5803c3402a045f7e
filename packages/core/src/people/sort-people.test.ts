import { describe, expect, it } from "vitest";
import type { IdentityDecision } from "./identity-decision.ts";
import { defaultIdentityRules } from "./identity-rules.ts";
import type { IdentityAtom, IdentityEdge } from "./resolve-people.ts";
import { createPeopleSorter } from "./sort-people.ts";

type Edge = Pick<IdentityEdge, "kind" | "anonymousId" | "userId" | "other">;
const login = (anonymousId: string, userId: string): Edge => ({ kind: "login", anonymousId, userId, other: userId });
const email = (anonymousId: string, userId: string, other: string): Edge => ({
  kind: "email",
  anonymousId,
  userId,
  other,
});

/** Identities are numbered from 1 in the order in which they are given. Answers the person of each; undefined for the rest. */
function sort(
  ids: readonly [device: string, user: string][],
  edges: readonly Edge[],
  { decisions = [], ...rules }: Partial<typeof defaultIdentityRules> & { decisions?: IdentityDecision[] } = {},
) {
  const sorter = createPeopleSorter({ rules: { ...defaultIdentityRules, ...rules }, decisions });
  for (const edge of edges) sorter.addEdge(edge);
  const atoms: IdentityAtom[] = ids.map(([anonymousId, userId], at) => ({ atom: at + 1, anonymousId, userId }));
  for (const atom of atoms) sorter.addAtom(atom);
  const sorted = sorter.sort();
  const certain = new Map(sorted.certain());
  for (const atom of atoms) expect(certain.has(atom.atom)).toBe(sorted.restOfAtom(atom) === undefined);
  return { persons: atoms.map(({ atom }) => certain.get(atom)), sorted, atoms };
}

describe("certain", () => {
  it("is a device alone, and a user with all devices of theirs, whatever they state and however often it is said", () => {
    const { persons, sorted } = sort(
      [
        ["phone", ""],
        ["phone", "an"],
        ["tablet", "an"],
        ["tablet", ""],
        ["kiosk", ""],
        ["kiosk", "null"],
        ["null", "guest"],
        ["", "bo"],
      ],
      [
        login("phone", "an"),
        login("tablet", "an"),
        { ...login("tablet", "an"), kind: "import" },
        login("kiosk", "null"),
        email("phone", "", "x"),
        email("tablet", "an", "x"),
        email("kiosk", "null", "y"),
      ],
    );
    expect(persons).toEqual([1, 1, 1, 1, 5, 5, 7, 8]);
    expect(sorted.hasRest).toBe(false);
  });
});

describe("the rest", () => {
  const others: [string, string][] = [
    ["phone", "an"],
    ["laptop", ""],
    ["", "cy"],
  ];
  const merge: IdentityDecision = {
    id: "d",
    site: "shop",
    at: 1,
    action: "merge",
    left: "user:an",
    right: "device:laptop",
    edges: [],
    actor: "ada",
    reason: "seen",
    undoes: "",
  };
  const cases: { [what: string]: Parameters<typeof sort>[1] } = {
    "two users of a device": [login("phone", "an"), login("phone", "cy"), login("laptop", "cy")],
    "an alias": [{ kind: "alias", anonymousId: "", userId: "an", other: "laptop" }, login("laptop", "cy")],
    "what two state": [email("phone", "an", "x"), email("laptop", "", "x"), email("", "cy", "x")],
  };
  for (const [what, edges] of Object.entries(cases))
    it(`is ${what}, together, and nobody else`, () => {
      const { persons, sorted, atoms } = sort([...others, ["till", "dee"]], [...edges, login("till", "dee")]);
      expect(persons).toEqual([undefined, undefined, undefined, 4]);
      expect(new Set(atoms.slice(0, 3).map((atom) => sorted.restOfAtom(atom))).size).toBe(1);
      for (const edge of edges) expect(sorted.restOfEdge(edge)).toBe(sorted.restOfAtom(atoms[0]!));
      expect(sorted.restOfEdge(login("till", "dee"))).toBeUndefined();
    });

  it("is a device that is tied to a user by what both state alone", () => {
    const edges = [email("phone", "an", "x"), login("phone", "an"), email("laptop", "", "x")];
    expect(sort(others, edges).persons).toEqual([undefined, undefined, 3]);
  });

  it("is whom somebody decided about, a user on too many devices, and a person of too many identities", () => {
    expect(sort(others, [], { decisions: [merge] }).persons).toEqual([undefined, undefined, 3]);
    const logins = [login("phone", "an"), login("laptop", "an")];
    const limits = { ...defaultIdentityRules.limits, user_id: { max: 1, withinDays: 30 } };
    expect(sort(others, logins, { limits }).persons).toEqual([undefined, undefined, 3]);
    expect(sort(others, logins, { maxAtoms: 1 }).persons).toEqual([undefined, undefined, 3]);
    expect(sort(others, logins).persons).toEqual([1, 1, 3]);
  });
});
