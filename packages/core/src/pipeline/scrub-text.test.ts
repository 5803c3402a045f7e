import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSecretName, scrubText, scrubUrlText } from "./scrub-text.ts";

describe("scrubText", () => {
  it.each([
    ["paid with 4111 1111 1111 1111 today", "paid with [card] today"],
    ["4111111111111111", "[card]"],
    ["card:5500-0000-0000-0004.", "card:[card]."],
    ["378282246310005", "[card]"],
    ["to NL91ABNA0417164300 please", "to [iban] please"],
    ["nl91 abna 0417 1643 00", "[iban]"],
    ["NL91ABNA0417164300 or GB82 WEST 1234 5698 7654 32 thanks", "[iban] or [iban] thanks"],
    ["GB82 WEST 1234 5698 7654 32, ok", "[iban], ok"],
    ["my bsn is 111222333", "my bsn is [bsn]"],
    ["1112.22.333", "[bsn]"],
  ])("takes the number out of %s", (text, clean) => {
    expect(scrubText(text)).toBe(clean);
  });

  it.each([
    "4111 1111 1111 1112",
    "111222334",
    "order 1732312345678",
    "1234567.89",
    "111222333.50",
    "12.111222333",
    "+31612345678",
    "+31 6 12345678",
    "550e8400-e29b-41d4-a716-446655440000",
    "a111222333b",
    "2026-11-22T20:15:00.000Z",
    "NL92ABNA0417164300",
    "no digits at all",
  ])("leaves %s alone", (text) => {
    expect(scrubText(text)).toBe(text);
  });

  it("finds every card, however it is written", () => {
    const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 11, maxLength: 17 });
    checkProperty(
      fc.property(fc.constantFrom(4, 5), digits, fc.constantFrom("", " ", "-"), (first, rest, separator) => {
        const body = [first, ...rest];
        const card = [...body, luhnDigit(body)].join("");
        const written = card.replace(/(\d{4})(?=\d)/g, `$1${separator}`);
        expect(scrubText(`pay ${written}!`)).toBe("pay [card]!");
      }),
    );
  });

  it("is quick on texts made to be slow, and done the first time", () => {
    const pieces = fc.array(fc.constantFrom("1", "12 ", "1-", "NL91", "a", "@", "%40", ".", "a@b.", " "), {
      maxLength: 3000,
    });
    checkProperty(
      fc.property(pieces, (parts) => {
        const once = scrubUrlText(parts.join(""));
        expect(scrubUrlText(once)).toBe(once);
      }),
      50,
    );
    const before = process.cpuUsage();
    scrubUrlText(`${"a".repeat(32_000)}@`);
    scrubUrlText("1 ".repeat(16_000));
    scrubUrlText("NL91 ".repeat(6_000));
    // Of the processor, whatever else it does meanwhile.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(10_000);
  });
});

describe("scrubUrlText", () => {
  it.each([
    ["/unsubscribe/jan.jansen@mail.example/now", "/unsubscribe/[email]/now"],
    ["u=jan%40mail.example&x=1", "u=[email]&x=1"],
    ["q=shoes+jan@mail.example", "q=[email]"],
  ])("takes the address out of %s", (text, clean) => {
    expect(scrubUrlText(text)).toBe(clean);
  });

  it("leaves a sign alone that is no address", () => {
    expect(scrubUrlText("/@polder/news")).toBe("/@polder/news");
  });
});

describe("isSecretName", () => {
  it.each([
    "token",
    "access_token",
    "idToken",
    "password",
    "new-password",
    "pwd",
    "client_secret",
    "email",
    "e-mail",
    "userEmail",
  ])("knows %s", (name) => expect(isSecretName(name)).toBe(true));
  it.each([
    "session",
    "session_id",
    "sid",
    "PHPSESSID",
    "key",
    "api_key",
    "code",
    "iban",
    "bsn",
    "cvv",
    "phone",
    "card_number",
  ])("knows %s", (name) => expect(isSecretName(name)).toBe(true));
  it.each([
    "q",
    "page",
    "author",
    "keyword",
    "product_id",
    "utm_source",
    "monkey",
    "sessions",
    "position",
    "currency",
    "postcode",
  ])("does not suspect %s", (name) => expect(isSecretName(name)).toBe(false));
});

/** The last digit that makes the number pass Luhn. */
function luhnDigit(body: readonly number[]): number {
  const sum = body
    .toReversed()
    .reduce((total, digit, at) => total + (at % 2 === 0 ? [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit]! : digit), 0);
  return (10 - (sum % 10)) % 10;
}
