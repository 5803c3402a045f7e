import { describe, expect, it } from "vitest";
import { createClientAddressReader, type EdgeSettings } from "./client-address.ts";

const head = (remoteAddress: string, headers: { [name: string]: string } = {}) => ({
  header: (name: string) => headers[name],
  url: "http://data.example/v1/batch",
  remoteAddress,
});
const edge: EdgeSettings = {
  trustedProxies: ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"],
  countryHeader: "cf-ipcountry",
};

describe("the client's address", () => {
  const read = createClientAddressReader(() => edge);
  const made = { "x-forwarded-for": "1.1.1.1", "cf-ipcountry": "BE", "x-forwarded-proto": "https" };

  it("is the connection's where no proxy of ours stands", () => {
    expect(read(head("145.97.39.155", made))).toEqual({ ip: "145.97.39.155", country: "", isHttps: false });
    expect(read(head("::ffff:145.97.39.155")).ip).toBe("145.97.39.155");
    expect(createClientAddressReader(() => ({ trustedProxies: [] }))(head("10.0.0.1", made)).ip).toBe("10.0.0.1");
  });

  it("is the one a configured proxy heard from", () => {
    for (const proxy of ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "192.0.2.7"])
      expect(read(head(proxy, made))).toEqual({ ip: "1.1.1.1", country: "BE", isHttps: true });
  });

  it("cannot be made up by who speaks first", () => {
    expect(read(head("10.0.0.1", { "x-forwarded-for": "6.6.6.6, 145.97.39.155, 10.0.0.2" })).ip).toBe("145.97.39.155");
    expect(read(head("10.0.0.1", { "x-forwarded-for": "<script>" })).ip).toBe("");
    expect(read(head("10.0.0.1")).ip).toBe("");
  });

  it("comes with and without a port, in both families", () => {
    expect(read(head("10.0.0.1", { "x-forwarded-for": "145.97.39.155:51234" })).ip).toBe("145.97.39.155");
    expect(read(head("10.0.0.1", { "x-forwarded-for": "[2001:610::1]:443" })).ip).toBe("2001:610::1");
  });

  it("follows a changed configuration", () => {
    let current: EdgeSettings = { trustedProxies: [] };
    const reload = createClientAddressReader(() => current);
    expect(reload(head("10.0.0.1", made)).ip).toBe("10.0.0.1");
    current = edge;
    expect(reload(head("10.0.0.1", made)).ip).toBe("1.1.1.1");
  });
});
