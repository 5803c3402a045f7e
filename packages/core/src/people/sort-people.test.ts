import { describe, expect, it } from "vitest";
import { defaultIdentityRules, type IdentityRules } from "./identity-rules.ts";
import { createNumberMap } from "./number-map.ts";
import { createPeopleSorter, type PeopleSorter } from "./sort-people.ts";

type Ids = readonly [device: string, user: string];

/** Identities are numbered from 1 in the order in which they are given. Answers the person of each; undefined for the rest. */
function sort(ids: readonly Ids[], tie: (sorter: PeopleSorter) => void, rules: Partial<IdentityRules> = {}) {
  const sorter = createPeopleSorter({ ...defaultIdentityRules, ...rules });
  const atoms = ids.map((_, at) => at + 1);
  const add = (column: 0 | 1, to: (some: readonly number[]) => void): void => {
    for (const value of new Set(ids.map((one) => one[column])))
      if (value !== "") to(atoms.filter((atom) => ids[atom - 1]![column] === value));
  };
  add(1, sorter.addUser);
  add(0, sorter.addDevice);
  tie(sorter);
  const sorted = sorter.sort(2);
  const certain = new Map(sorted.certain());
  for (const atom of atoms) expect(certain.has(atom)).toBe(sorted.partOf(atom) === undefined && sorted.isKnown(atom));
  return { persons: atoms.map((atom) => certain.get(atom)), sorted };
}

const logins =
  (...atoms: number[]) =>
  (sorter: PeopleSorter) => {
    for (const atom of atoms) sorter.addLogin(atom);
  };

describe("certain", () => {
  it("is a device alone, and a user with all devices of theirs, whatever they state and however often it is said", () => {
    const ids: Ids[] = [
      ["phone", ""],
      ["phone", "an"],
      ["tablet", "an"],
      ["tablet", ""],
      ["kiosk", ""],
      ["", ""],
      ["", "bo"],
    ];
    const { persons, sorted } = sort(ids, (sorter) => {
      logins(2, 3, 3)(sorter);
      sorter.addContact([1, 3]);
      sorter.addContact([5]);
      // Of a bot or of ids that are not seen yet.
      sorter.addLogin(99);
      sorter.addContact([99, 5]);
    });
    expect(persons).toEqual([1, 1, 1, 1, 5, undefined, 7]);
    expect([sorted.lots, sorted.isKnown(6), sorted.isKnown(99)]).toEqual([0, false, false]);
  });

  it("is a device of two users, who stay two, and so does it", () => {
    const ids: Ids[] = [
      ["phone", ""],
      ["phone", "an"],
      ["phone", "bo"],
      ["laptop", "bo"],
      ["laptop", ""],
    ];
    expect(sort(ids, logins(2, 3, 4)).persons).toEqual([1, 2, 3, 3, 3]);
  });
});

describe("the rest", () => {
  const ids: Ids[] = [
    ["phone", "an"],
    ["phone", "cy"],
    ["laptop", ""],
    ["", "dee"],
    ["till", "eve"],
  ];
  const cases: { [what: string]: [tie: (sorter: PeopleSorter) => void, rest: number[]] } = {
    "what two state": [(sorter) => sorter.addContact([3, 4]), [3, 4]],
    "what three state, one after the other": [(sorter) => sorter.addContact([3, 4, 1]), [1, 2, 3, 4]],
    "what an alias or a decision ties": [(sorter) => sorter.addOdd([4, 3]), [3, 4]],
    "all that is tied to it": [(sorter) => sorter.addOdd([1]), [1, 2]],
  };
  for (const [what, [tie, rest]] of Object.entries(cases))
    it(`is ${what}, together, and nobody else`, () => {
      const { persons, sorted } = sort(ids, (sorter) => {
        logins(1, 2, 5)(sorter);
        tie(sorter);
      });
      expect(persons.flatMap((person, at) => (person === undefined ? [at + 1] : []))).toEqual(rest);
      expect(new Set(rest.map((atom) => sorted.partOf(atom))).size).toBe(1);
    });

  it("is a user on too many devices, and a person of too many identities", () => {
    const two: Ids[] = [
      ["phone", "an"],
      ["laptop", "an"],
      ["", "bo"],
    ];
    const limits = { ...defaultIdentityRules.limits, user_id: { max: 1, withinDays: 30 } };
    expect(sort(two, logins(1, 2), { limits }).persons).toEqual([undefined, undefined, 3]);
    expect(sort(two, logins(1, 2), { maxAtoms: 1 }).persons).toEqual([undefined, undefined, 3]);
    expect(sort(two, logins(1, 2)).persons).toEqual([1, 1, 3]);
  });

  it("comes in lots of whole parts", () => {
    const many: Ids[] = Array.from({ length: 7 }, (_, n) => [`device-${n}`, ""]);
    const { sorted } = sort(many, (sorter) => {
      for (const atoms of [[1], [2, 3, 4], [5], [6]]) sorter.addOdd(atoms);
    });
    const lotOf = (atom: number) => sorted.lotOf(sorted.partOf(atom)!);
    expect([1, 2, 3, 4, 5, 6].map(lotOf)).toEqual([0, 1, 1, 1, 2, 2]);
    expect([sorted.lots, sorted.partOf(7)]).toEqual([3, undefined]);
  });
});

it("numbers are kept by numbers, however many and however they lie", () => {
  const map = createNumberMap();
  const wanted = new Map<number, number>();
  for (let n = 0; n < 5_000; n++)
    for (const key of [n * 64 + 1, 4_294_967_295 - n * 4_096, (n % 100) + 1]) {
      map.set(key, n + 1);
      wanted.set(key, n + 1);
    }
  expect(map.size()).toBe(wanted.size);
  expect(new Map(map.entries())).toEqual(wanted);
  for (const [key, value] of wanted) expect(map.get(key)).toBe(value);
  expect(map.get(3_000_000_001)).toBe(0);
});
