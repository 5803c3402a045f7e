import { expect, it } from "vitest";
import { createMessageHash } from "./message-hash.ts";

const hex = (site: string, id: string, key: number[]): string => {
  const words = new Uint32Array(4);
  createMessageHash(Uint32Array.from(key))(site, id, words, 1);
  expect([words[0], words[3]]).toEqual([0, 0]);
  return [words[2]!, words[1]!].map((word) => word.toString(16).padStart(8, "0")).join("");
};

// Computed by ClickHouse 26.7: hex(sipHash64Keyed((k0, k1), concat(site, '\0', id))).
it.each([
  ["", "", "972f4021886256f4"],
  ["shop", "abc", "2ce71593de71829a"],
  ["shop", "abcdefghijklmnopqrstuv", "d3d3cd1509eebd05"],
  ["s", "x".repeat(200), "fdd9630d904d5cb3"],
  ["日本", "ид-1 🧀", "438eeb09ead85551"],
  ["shop", "sevenby", "4f40c4490478275d"],
  ["shop", "twobyte", "37fab25a7c965a7a"],
  ["ab", "é", "345123f767c35f3c"],
])("is SipHash-2-4 of %j and %j", (site, id, expected) => {
  expect(hex(site, id, [1, 2, 3, 0xfedcba98])).toBe(expected);
});

it("depends on every part of the key, and tells site and id apart", () => {
  const keys = [0, 1, 2, 3].map((at) => [0, 0, 0, 0].map((_, i) => (i === at ? 1 : 0)));
  expect(new Set([[0, 0, 0, 0], ...keys].map((key) => hex("shop", "m", key))).size).toBe(5);
  expect(hex("a", "bc", [1, 2, 3, 4])).not.toBe(hex("ab", "c", [1, 2, 3, 4]));
});
