import { expect, it } from "vitest";
import { readCountryTable } from "./country-table.ts";

it("knows the country of an address of either family, and of none other", () => {
  const countryOf = readCountryTable();
  expect([countryOf("145.97.39.155"), countryOf("2001:610::1"), countryOf("8.8.8.8")]).toEqual(["NL", "NL", "US"]);
  expect([countryOf("127.0.0.1"), countryOf("not an address"), countryOf("")]).toEqual(["", "", ""]);
});
