import { isIP } from "node:net";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseIp, truncateIp } from "./ip-address.ts";

describe("truncateIp", () => {
  it.each([
    ["81.2.69.142", "81.2.69.0"],
    ["::ffff:81.2.69.142", "81.2.69.0"],
    ["2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::"],
    ["2001:db8::1", "2001:db8::"],
    ["fe80::1%eth0", "fe80::"],
    ["::1", "::"],
  ])("keeps the network of %s only", (address, network) => {
    expect(truncateIp(address)).toBe(network);
  });

  it.each([
    "",
    "unknown",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7:8:9",
    "::1.2.3",
  ])("keeps nothing of %s", (text) => {
    expect(truncateIp(text)).toBe("");
  });

  it("keeps a network, and never the rest of the address", () => {
    checkProperty(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        const network = truncateIp(address);
        expect(isIP(network)).toBeGreaterThan(0);
        const bytes = parseIp(network)!;
        expect(bytes.slice(bytes.length === 4 ? 3 : 6).every((byte) => byte === 0)).toBe(true);
        expect(truncateIp(network)).toBe(network);
      }),
      500,
    );
  });
});

it("parseIp agrees with the platform on what an address is", () => {
  const nearly = fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcdf:.%")), maxLength: 45 });
  checkProperty(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), nearly), (text) => {
      const plain = text.split("%")[0]!;
      if (text.includes("%")) return;
      expect(parseIp(plain) !== undefined).toBe(isIP(plain) !== 0);
    }),
    2000,
  );
});
