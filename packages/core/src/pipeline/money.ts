import type { JsonObject } from "@polder/protocol";

interface Money {
  /** Decimal text with at most four decimals; "0" when there is none. */
  amount: string;
  /** ISO 4217; empty when there is no amount. */
  currency: string;
}

const noMoney: Money = { amount: "0", currency: "" };

/**
 * What an order is worth by its properties: `total`, else `revenue`, else `value`. Undefined when one is given and is not money,
 * negative, or in something that is no currency: better no amount than a wrong sum.
 */
export function readMoney(properties: JsonObject, siteCurrency: string, isRefund: boolean): Money | undefined {
  const given = properties["total"] ?? properties["revenue"] ?? properties["value"];
  if (given === undefined || given === null) return noMoney;
  const amount = readAmount(given, isRefund);
  const currency = readCurrency(properties["currency"], siteCurrency);
  if (amount === undefined || currency === undefined) return undefined;
  if (amount === "0" || !isRefund) return { amount, currency };
  return { amount: `-${amount}`, currency };
}

// The column holds 14 digits before the point; floating point is exact to four decimals below this.
const maxAmount = 1e11;

/** The size of an amount. The sign of a refund is ours to give: senders write both. */
function readAmount(given: unknown, isRefund: boolean): string | undefined {
  const text = typeof given === "string" ? given.trim() : given;
  if (typeof text === "string" && !/^-?\d{1,12}(?:\.\d{1,20})?$/.test(text)) return undefined;
  if (typeof text !== "number" && typeof text !== "string") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || Math.abs(value) >= maxAmount || (value < 0 && !isRefund)) return undefined;
  // 59.97 arrives as 59.970000000000006 from pages that add prices.
  return Math.abs(value)
    .toFixed(4)
    .replace(/\.?0+$/, "");
}

function readCurrency(given: unknown, siteCurrency: string): string | undefined {
  if (given === undefined || given === null || given === "") return siteCurrency;
  return typeof given === "string" && /^[a-z]{3}$/i.test(given) ? given.toUpperCase() : undefined;
}
