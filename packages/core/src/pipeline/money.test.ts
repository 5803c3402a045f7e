import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readMoney } from "./money.ts";

describe("readMoney", () => {
  it.each([
    [{ total: 59.97, currency: "usd" }, "59.97", "USD"],
    [{ total: "59.9700", currency: "EUR" }, "59.97", "EUR"],
    [{ total: 19.99 + 39.98 }, "59.97", "EUR"],
    [{ revenue: 10 }, "10", "EUR"],
    [{ total: 0 }, "0", "EUR"],
    [{ total: 1200 }, "1200", "EUR"],
    [{ total: "0.00005" }, "0.0001", "EUR"],
    [{}, "0", ""],
  ])("reads %j", (properties, amount, currency) => {
    expect(readMoney(properties, "EUR", false)).toEqual({ amount, currency });
  });

  it.each([
    { total: "12,50" },
    { total: "€ 12" },
    { total: "1e5" },
    { total: "" },
    { total: -5 },
    { total: 1e12 },
    { total: "99999999999999999999" },
    { total: true },
    { total: [12] },
    { total: 12, currency: "euro" },
    { total: 12, currency: 978 },
  ])("takes no amount from %j", (properties) => {
    expect(readMoney(properties, "EUR", false)).toBeUndefined();
  });

  it("makes a refund negative, whichever sign the sender chose", () => {
    expect(readMoney({ total: 12.5 }, "EUR", true)?.amount).toBe("-12.5");
    expect(readMoney({ total: "-12.50" }, "EUR", true)?.amount).toBe("-12.5");
    expect(readMoney({ total: 0 }, "EUR", true)?.amount).toBe("0");
  });

  it("keeps every amount in cents exactly, given as number or as text", () => {
    checkProperty(
      fc.property(fc.integer({ min: 1, max: 10 ** 12 }), (cents) => {
        const text = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
        for (const total of [text, Number(text)]) {
          const money = readMoney({ total }, "EUR", false)!;
          const [whole, decimals = ""] = money.amount.split(".");
          expect(Number(whole) * 100 + Number(decimals.padEnd(2, "0"))).toBe(cents);
        }
      }),
      500,
    );
  });
});
