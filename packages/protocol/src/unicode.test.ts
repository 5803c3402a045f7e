import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutToBytes, hasLoneSurrogate, toWellFormed, utf8Length } from "./unicode.ts";

const anyText = fc
  .array(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("\ud800", "\udfff", "\u{1f600}", "\u20ac")))
  .map((parts) => parts.join(""));
const encoder = new TextEncoder();
const parameters = { seed: 20_261_122, numRuns: 500 };

describe("text", () => {
  it("with a lone surrogate is known and mended", () => {
    expect(hasLoneSurrogate("a\ud83d\ude00b")).toBe(false);
    expect(hasLoneSurrogate("a\ud83db")).toBe(true);
    expect(toWellFormed("\udc00a\ud83d\ude00\ud83d")).toBe("\ufffda\ud83d\ude00\ufffd");
  });

  it("mended is what an encoder would make of it", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(toWellFormed(text)).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(encoder.encode(text)));
        expect(hasLoneSurrogate(toWellFormed(text))).toBe(false);
      }),
      parameters,
    );
  });

  it("is measured as an encoder would", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(utf8Length(text)).toBe(encoder.encode(text).length);
      }),
      parameters,
    );
  });

  it("is cut to the longest beginning that fits, between characters", () => {
    fc.assert(
      fc.property(anyText, fc.nat({ max: 40 }), (text, maxBytes) => {
        const cut = cutToBytes(text, maxBytes);
        const next = Array.from(text.slice(cut.length))[0] ?? "";
        expect(text.startsWith(cut)).toBe(true);
        expect(utf8Length(cut)).toBeLessThanOrEqual(maxBytes);
        if (next !== "") expect(utf8Length(cut + next)).toBeGreaterThan(maxBytes);
      }),
      parameters,
    );
  });
});
