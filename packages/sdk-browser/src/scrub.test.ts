import { describe, expect, it } from "vitest";
import { scrub, scrubUrl, secretName } from "./scrub.ts";

describe("scrub", () => {
  it.each([
    ["Pay with 4111 1111 1111 1111", "Pay with [number]"],
    ["Pay with 4111 - 1111 – 1111 / 1111", "Pay with [number]"],
    ["Pay with 3782 822463 10005 now", "Pay with [number] now"],
    ["IBAN NL91 ABNA 0417 1643 00", "IBAN NL91 ABNA [number]"],
    ["IBAN NL91ABNA0417164300", "IBAN NL91ABNA[number]"],
    ["BSN 111222333", "BSN [number]"],
    ["BSN 111.222.333", "BSN [number]"],
    ["Call +31 (0)6 12 34 56 78", "Call +[number]"],
    ["Mail jane.doe+x@example.co.uk now", "Mail [email] now"],
    ["Mail jane @ example.com", "Mail [email]"],
    ["Add 2 for €12.50", "Add 2 for €12.50"],
    ["Order 12345678", "Order 12345678"],
    ["Follow @polder", "Follow @polder"],
  ])("%s", (text, expected) => expect(scrub(text)).toBe(expected));
});

describe("scrubUrl", () => {
  it.each([
    ["https://a.example/p?q=tulips&page=2", "https://a.example/p?q=tulips&page=2"],
    ["https://a.example/p?utm_source=letter&gclid=Cj0-a_b", "https://a.example/p?utm_source=letter&gclid=Cj0-a_b"],
    ["https://a.example/reset?token=abc&to=/", "https://a.example/reset?token=&to=/"],
    ["?resetToken=a=b&x=1", "?resetToken=&x=1"],
    ["?mail=jane%40example.com&x=1", "?mail=&x=1"],
    ["?mail=jane@example.com", "?mail="],
    ["#access_token=abc&state=1", "#access_token=&state=1"],
    ["?new_password=hunter2", "?new_password="],
    ["", ""],
  ])("%s", (url, expected) => expect(scrubUrl(url)).toBe(expected));
});

describe("secretName", () => {
  it.each(["password", "cc-number", "one-time-code", "cardNumber", "cvc", "CVV2", "bsn", "iban", "csrf_token"])(
    "knows %s",
    (name) => expect(secretName.test(name)).toBe(true),
  );
  it.each(["email", "given-name", "subject", "city", "utm_source", "gclid", "q"])("leaves %s", (name) => {
    expect(secretName.test(name)).toBe(false);
  });
});
