import { Readable } from "node:stream";
import { buildPage, buildSite } from "@polder/testing";
import type { ConsentStamp, Regime } from "@polder/protocol";
import { describe, expect, it } from "vitest";
import { answerOf, buildCollector, errorOf, serverKey, shopOrigin, writeKey } from "../collector.test-support.ts";

const site = buildSite({
  origins: [shopOrigin],
  regime: "notice",
  regimes: new Map<string, Regime>([
    ["US", "opt_out"],
    ["NL", "opt_in"],
  ]),
});
const countries: { [ip: string]: string } = { "192.0.2.1": "US", "145.97.39.155": "NL", "198.51.100.1": "BR" };

const { collector, log, lines } = buildCollector({
  sites: {
    findKey: (key) =>
      key === writeKey ? { site, kind: "write" } : key === serverKey ? { site, kind: "server" } : undefined,
    findSite: () => site,
    sites: () => [site],
  },
  countryOf: (ip) => countries[ip] ?? "",
  edge: () => ({ trustedProxies: ["10.0.0.1"], countryHeader: "cf-ipcountry" }),
});

/** As over a connection from that address. */
function request(
  from: string,
  path: string,
  init: { method?: string; body?: string; headers?: { [name: string]: string } } = {},
) {
  const headers = { host: "data.shop.example", ...init.headers };
  const body = init.body === undefined ? [] : [Buffer.from(init.body)];
  const incoming = Object.assign(Readable.from(body), { headers, socket: { remoteAddress: from } });
  return collector.app.request(path, { ...init, headers }, { incoming });
}
const ask = (from: string, headers: { [name: string]: string } = { origin: shopOrigin }, key = writeKey) =>
  request(from, `/v1/regime?writeKey=${key}`, { headers });
const regimeAt = async (from: string, headers?: { [name: string]: string }): Promise<unknown> =>
  (await ask(from, headers)).json();

describe("the regime that a page asks for", () => {
  it("is that of the country of the request, and the strictest where that is not known", async () => {
    expect(await regimeAt("192.0.2.1")).toEqual({ regime: "opt_out" });
    expect(await regimeAt("145.97.39.155")).toEqual({ regime: "opt_in" });
    expect(await regimeAt("198.51.100.1")).toEqual({ regime: "notice" });
    expect(await regimeAt("203.0.113.1")).toEqual({ regime: "opt_in" });
    expect(await regimeAt("")).toEqual({ regime: "opt_in" });
  });

  it("follows the edge's word for the country and the address, and nobody else's", async () => {
    const made = { "cf-ipcountry": "US", "x-forwarded-for": "192.0.2.1" };
    expect(await regimeAt("10.0.0.1", made)).toEqual({ regime: "opt_out" });
    expect(await regimeAt("10.0.0.1", { ...made, "cf-ipcountry": "XX" })).toEqual({ regime: "opt_out" });
    expect(await regimeAt("10.0.0.1", { ...made, "cf-ipcountry": "NL" })).toEqual({ regime: "opt_in" });
    expect(await regimeAt("145.97.39.155", made)).toEqual({ regime: "opt_in" });
  });

  it("is the one that the page's events are judged by", async () => {
    // What the page sends where it heard `opt_out`: no choice, and an objection that a signal made.
    const consent: ConsentStamp = { v: 1, id: "", purposes: { ads: "opted_out" }, regime: "opt_out", gpc: false };
    const event = buildPage({ anonymousId: "visitor-1", context: { consent } });
    const send = async (from: string) => {
      const body = JSON.stringify({ writeKey, batch: [event] });
      return answerOf(await request(from, "/v1/batch", { method: "POST", body, headers: { origin: shopOrigin } }));
    };
    expect((await send("192.0.2.1")).accepted).toBe(1);
    expect(log.rows()[0]).toMatchObject({
      regime: "opt_out",
      basis: "opt_out",
      consent_mask: 1 + 2 + 4 + 8 + 16,
      anonymous_id: "visitor-1",
    });
    expect(log.rows()[0]).not.toHaveProperty("consent_id");
    // Nor can it loosen what holds elsewhere.
    expect(await send("145.97.39.155")).toMatchObject({ accepted: 0, rejected: [{ reason: "no_consent" }] });
    expect((await send("198.51.100.1")).accepted).toBe(1);
    expect(log.rows()[1]).toMatchObject({ regime: "opt_out" });
  });

  it("can be read by the page and kept by it for an hour, by nobody on the way, and sets no cookie", async () => {
    const { headers } = await ask("192.0.2.1");
    expect(headers.get("access-control-allow-origin")).toBe(shopOrigin);
    expect(headers.get("cache-control")).toBe("private, max-age=3600");
    expect(headers.get("vary")).toBe("Origin");
    expect(headers.get("content-type")).toContain("application/json");
    expect(headers.get("set-cookie")).toBeNull();
  });

  it("is answered to a page on the collector's own host, which says no origin", async () => {
    expect(await regimeAt("192.0.2.1", {})).toEqual({ regime: "opt_out" });
  });

  it("leaves no trace of who asked", async () => {
    const stored = log.appends.length;
    await ask("192.0.2.1", { origin: shopOrigin, cookie: "polder_id=v.t4k000", "user-agent": "Browser/1" });
    expect(log.appends).toHaveLength(stored);
    expect(lines).toEqual([]);
  });

  it.each([
    ["unknown_key", 401, {}, "pk_nobody"],
    ["unknown_key", 401, {}, serverKey],
    ["unknown_key", 401, {}, ""],
    ["origin_refused", 403, { origin: "https://elsewhere.example" }, writeKey],
    ["origin_refused", 403, { origin: "null" }, writeKey],
  ])("is refused (%s, %i) to %j with the key %j", async (code, status, headers, key) => {
    const response = await ask("192.0.2.1", headers as { [name: string]: string }, key);
    expect([response.status, (await errorOf(response)).code]).toEqual([status, code]);
    expect(response.headers.get("cache-control")).toBe("no-store");
  });
});
