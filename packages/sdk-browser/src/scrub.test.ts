import { describe, expect, it } from "vitest";
import { holdsCard, scrub } from "./scrub.ts";

describe("scrub", () => {
  it.each([
    ["Pay with 4111 1111 1111 1111", "Pay with [number]"],
    ["IBAN NL91 ABNA 0417 1643 00", "IBAN NL91 ABNA [number]"],
    ["BSN 111222333", "BSN [number]"],
    ["Mail jane.doe+x@example.co.uk now", "Mail [email] now"],
    ["Add 2 for €12.50", "Add 2 for €12.50"],
    ["Order 12345678", "Order 12345678"],
  ])("%s", (text, expected) => expect(scrub(text)).toBe(expected));
});

describe("holdsCard", () => {
  it.each(["4111111111111111", "my card: 5500-0000-0000-0004", "378282246310005"])("finds %s", (text) => {
    expect(holdsCard(text)).toBe(true);
  });
  it.each([
    "4111111111111112",
    "0612345678",
    "+31 6 1234 5678",
    "jane@example.com",
    "",
    "customer-1795385234046",
    "1795385234046",
  ])("leaves %s", (text) => {
    expect(holdsCard(text)).toBe(false);
  });
});
