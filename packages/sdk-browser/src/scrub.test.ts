import { describe, expect, it } from "vitest";
import { scrub, scrubUrl, secretName } from "./scrub.ts";

describe("scrub", () => {
  it.each([
    ["Pay with 4111 1111 1111 1111", "Pay with [number]"],
    ["Pay with 4111 - 1111 – 1111 / 1111", "Pay with [number]"],
    ["Pay with 3782 822463 10005 now", "Pay with [number] now"],
    ["Pay with 4111_1111_1111_1111", "Pay with [number]"],
    ["IBAN NL91 ABNA 0417 1643 00", "IBAN NL91 ABNA [number]"],
    ["IBAN nl91abna0417164300", "IBAN [number]"],
    ["Call jane on 0612345678", "Call jane on [number]"],
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
    ["?mail=jane%40example.com&x=1", "?mail=[email]&x=1"],
    ["?mail=jane@example.com", "?mail=[email]"],
    ["?jane@example.com", "?[email]"],
    ["#access_token=abc&state=1", "#access_token=&state=1"],
    ["?code=AUTHCODE&state=1", "?code=&state=1"],
    ["?sid=a&sig=b&signature=c&key=d&auth=e&jwt=f", "?sid=&sig=&signature=&key=&auth=&jwt="],
    ["?PHPSESSID=a&session_id=b&session=c&apiKey=d&auth_code=e", "?PHPSESSID=&session_id=&session=&apiKey=&auth_code="],
    ["#/back?code=AUTHCODE&page=2", "#/back?code=&page=2"],
    [
      "?promo_code=SPRING&keyword=tulips&author=jan&zipcode=1234",
      "?promo_code=SPRING&keyword=tulips&author=jan&zipcode=1234",
    ],
    ["https://a.example/u/john@x.nl/reset/abc?q=1", "https://a.example/u/[email]/reset/abc?q=1"],
    ["https://a.example/u/john%40x.nl", "https://a.example/u/[email]"],
    ["https://a.example/@john/maps", "https://a.example/@john/maps"],
    ["?new_password=hunter2", "?new_password="],
    ["", ""],
  ])("%s", (url, expected) => expect(scrubUrl(url)).toBe(expected));
});

it("takes no longer for a long text than for a short one, by the character", () => {
  const before = process.cpuUsage();
  scrubUrl("?".repeat(100_000));
  scrubUrl(`https://a.example/${"x".repeat(100_000)}`);
  // Of the processor, whatever else it does meanwhile. Quadratic, it would be many seconds.
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(5_000);
});

describe("secretName", () => {
  it.each(
    "password cc-number one-time-code cardNumber cvc CVV2 bsn iban csrf_token code user[pin] verificationCode auth_code".split(
      " ",
    ),
  )("knows %s", (name) => expect(secretName.test(name)).toBe(true));
  it.each(
    "email given-name subject city utm_source gclid q postcode zipcode promo_code promo-code discountcode postal-code shipping author keyboard message state".split(
      " ",
    ),
  )("leaves %s", (name) => expect(secretName.test(name)).toBe(false));
});
