import process from "node:process";
import { describe, expect, it } from "vitest";
import { traitValue } from "./trait-value.ts";

it("does not hold up a submit for a text of any length", () => {
  const before = process.cpuUsage();
  expect(traitValue("bio", "x".repeat(100_000))).toBe("");
  // Of the processor, whatever else it does meanwhile. Quadratic, it would be many seconds.
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(2_000);
});

describe("traitValue", () => {
  it.each([
    ["email", "  Jane@Example.COM ", "jane@example.com"],
    ["phone", "06 1234 5678", "0612345678"],
    ["phone", "06-12.34/56 78", "0612345678"],
    ["phone", "+31 (0)6 1234 5678", "+31612345678"],
    ["phone", "0031 6 12345678", "0031612345678"],
    ["userId", "customer-1795385234046", "customer-1795385234046"],
    ["userId", "Jane@Example.com", "Jane@Example.com"],
    ["firstName", " Jane ", "Jane"],
    ["city", "'s-Hertogenbosch 12", "'s-Hertogenbosch 12"],
    ["constructor", "Ada", "Ada"],
  ])("makes of a typed %s %j %j", (trait, typed, expected) => expect(traitValue(trait, typed)).toBe(expected));

  it.each([
    ["email", "not an address"],
    ["email", "4111111111111111@example.com"],
    ["phone", "ask my mother"],
    ["phone", "NL91ABNA0417164300"],
    ["phone", "4111 1111 1111 1111"],
    ["phone", "3782 822463 10005"],
    ["phone", "4111_1111_1111_1111"],
    ["phone", "987654"],
    ["phone", ""],
    ["userId", "4111 1111 1111 1111"],
    ["userId", ""],
    ["name", "4111111111111111"],
    ["name", "NL91 ABNA 0417 1643 00"],
    ["name", "111222333"],
    ["name", "jane@example.com"],
    ["name", "4111_1111_1111_1111"],
    ["name", "   "],
  ])("does not take for a %s what is none: %j", (trait, typed) => expect(traitValue(trait, typed)).toBe(""));
});
