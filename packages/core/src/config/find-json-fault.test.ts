import { checkProperty, hostileJson } from "@polder/testing";
import fc from "fast-check";
import { expect, it } from "vitest";
import { findJsonFault } from "./find-json-fault.ts";

it.each([
  ["", 0],
  ["  ", 2],
  ["{", 1],
  ['{"a"', 4],
  ['{"a":', 5],
  ['{"a":1', 6],
  ['{"a":1,}', 7],
  ["[1,]", 3],
  ["[1 2]", 3],
  ["{'a':1}", 1],
  ["{a:1}", 1],
  ["[pk_1]", 1],
  ["// note\n{}", 0],
  ["{} {}", 3],
  ["01", 1],
  ['"open', 0],
  ['"\\x"', 0],
  ["[}", 1],
  ["]", 0],
])("%j stops being JSON at %i", (text, at) => {
  expect(findJsonFault(text)).toBe(at);
});

it("finds a fault exactly where JSON.parse does", () => {
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  const broken = fc
    .tuple(hostileJson, fc.nat(), fc.constantFrom("", ",", "}", "]", '"', ":", "\\", "x", "-", " "))
    .map(([text, place, insert]) => {
      const at = place % (text.length + 1);
      return text.slice(0, at) + insert + text.slice(insert === "" ? at + 1 : at);
    });
  checkProperty(
    fc.property(fc.oneof(hostileJson, broken), (text) => {
      const at = findJsonFault(text);
      expect(at === undefined).toBe(isJson(text));
      // The fault is the first: up to it the text could still have become JSON, so cutting there changes the kind of fault only.
      if (at !== undefined) expect(findJsonFault(text.slice(0, at)) ?? at).toBe(at);
    }),
    1000,
  );
});
