import { describe, expect, it } from "vitest";
import { isDisclosed } from "./is-disclosed.ts";

// Written by @iabtcf/core 1.5.6. The visitor gave consent to the vendors 12, 14, 435 and 448 in all of them.
const core = "CQt-4cAQt-4cAEsABBENCOFgAP_AAAAAAAAADgQBAAGAAOANmAcAAAAAAAAA";
const bits = `${core}.IAKAAUEA`;
const ranges = `${core}.IHCQAwABwGQAbgBwgAAA`;
const around = `${core}.IDmQAwABwGQAbKA2gDmA`;
const nobody = `${core}.IAAA`;

const disclosedBy = (tcString: string): number[] =>
  Array.from({ length: 1001 }, (_, vendor) => vendor).filter((vendor) => vendor > 0 && isDisclosed(tcString, vendor));
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("a vendor is disclosed", () => {
  it("where its bit is set", () => {
    expect(disclosedBy(bits)).toEqual([12, 14, 20]);
  });

  it("where a range or a single entry has it", () => {
    expect(disclosedBy(ranges)).toEqual([3, ...range(400, 440), 900]);
    expect(disclosedBy(around)).toEqual([3, ...range(400, 434), ...range(436, 460)]);
  });

  it("in a string that ends with the last character that says something", () => {
    expect(disclosedBy(bits.replace(/A+$/, ""))).toEqual([12, 14, 20]);
    // A single vendor at each place of a group of characters: a type, the highest vendor, no ranges, its bit.
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (let vendor = 1; vendor <= 48; vendor++) {
      const text = `001${vendor.toString(2).padStart(16, "0")}0${"1".padStart(vendor, "0")}`;
      const segment = text.replace(/.{1,6}/g, (six) => digits[parseInt(six.padEnd(6, "0"), 2)]!);
      expect(disclosedBy(`${core}.${segment}`)).toEqual([vendor]);
    }
  });

  it("by nothing but the segment of that type, wherever it stands", () => {
    expect(disclosedBy(nobody)).toEqual([]);
    expect(disclosedBy(core)).toEqual([]);
    // Segments of the publisher (3) and of allowed vendors (2), with the same bits.
    expect(disclosedBy(`${core}.YAKAAUEA.QAKAAUEA`)).toEqual([]);
    expect(disclosedBy(`${core}.YAKAAUEA.IAKAAUEA`)).toEqual([12, 14, 20]);
  });

  it("by no string that ends before it says so, or is none", () => {
    for (const text of ["", ".", "..", `${core}.I`, `${core}.IH`, `${core}.IHCQ`])
      expect(disclosedBy(text)).toEqual([]);
  });
});
