import { GVL, TCModel, TCString, type VendorList } from "@iabtechlabtcf/core";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isDisclosed } from "./is-disclosed.ts";

// The visitor gave consent to the vendors 12, 14, 435 and 448 in all of them.
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

  it("where the IAB Tech Lab's library says that it is, and nowhere else", () => {
    const listed = range(1, 1000);
    const fieldsOfAVendor = {
      purposes: [1],
      legIntPurposes: [],
      flexiblePurposes: [],
      specialPurposes: [],
      features: [],
      specialFeatures: [],
    };
    const entriesOf = (ids: number[]) =>
      Object.fromEntries(ids.map((id) => [id, { id, name: String(id), ...fieldsOfAVendor }]));
    const list = {
      gvlSpecificationVersion: 3,
      vendorListVersion: 100,
      tcfPolicyVersion: 5,
      lastUpdated: "2026-11-01T00:00:00Z",
      purposes: entriesOf(range(1, 11)),
      vendors: entriesOf(listed),
      specialPurposes: {},
      features: {},
      specialFeatures: {},
      stacks: {},
      dataCategories: {},
    } as unknown as VendorList;
    // Single ones, and runs of them, which are written another way.
    const some = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 0, max: 60 })), { maxLength: 12 })
      .map((runs) => [...new Set(runs.flatMap(([from, more]) => range(from, Math.min(1000, from + more))))]);
    checkProperty(
      fc.property(some, some, (disclosed, consented) => {
        const model = new TCModel(new GVL(list));
        model.cmpId = 12;
        model.cmpVersion = 1;
        model.consentScreen = 1;
        model.vendorConsents.set(consented);
        model.vendorsDisclosed.set(disclosed);
        expect(disclosedBy(TCString.encode(model))).toEqual(disclosed.toSorted((a, b) => a - b));
      }),
      50,
    );
  });
});
