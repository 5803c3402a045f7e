import { encodeDeviceId } from "@polder/protocol";
import { buildSite } from "@polder/testing";
import { describe, expect, it } from "vitest";
import { deviceCookies, expiredDeviceCookies, readDeviceCookie, type CookieQuestion } from "./device-cookie.ts";

const nowMs = Date.parse("2026-11-22T20:15:00.000Z");
const dayMs = 86_400_000;
const ask = ({ anonymousId = "v-1", ...overrides }: Partial<CookieQuestion> & { anonymousId?: string } = {}) =>
  deviceCookies(
    {
      site: buildSite({ cookieDomain: "example.com" }),
      cookieHeader: undefined,
      origin: "https://shop.example.com",
      host: "data.example.com",
      isHttps: true,
      nowMs,
      ...overrides,
    },
    anonymousId,
  );
const value = (anonymousId: string, createdAt: number): string => encodeDeviceId({ anonymousId, createdAt });
const both = (device: string): string => `a=b; polder_aid=${device}; polder_id=${device}`;
const attributes = "Path=/; SameSite=Lax; Domain=example.com; Secure";

describe("deviceCookies", () => {
  it("gives a readable one and a copy that scripts cannot reach, for 13 months", () => {
    expect(ask()).toEqual([
      `polder_aid=${value("v-1", nowMs)}; Max-Age=${395 * 86_400}; ${attributes}`,
      `polder_id=${value("v-1", nowMs)}; Max-Age=${395 * 86_400}; ${attributes}; HttpOnly`,
    ]);
  });

  it("leaves both alone when they are there", () => {
    expect(ask({ cookieHeader: both(value("v-1", nowMs - 300 * dayMs)) })).toEqual([]);
  });

  it("writes both when the copy got lost, without a longer life", () => {
    const old = value("v-1", nowMs - 300 * dayMs);
    const maxAge = `Max-Age=${95 * 86_400}`;
    expect(ask({ cookieHeader: `polder_aid=${old}` })).toEqual([
      `polder_aid=${old}; ${maxAge}; ${attributes}`,
      `polder_id=${old}; ${maxAge}; ${attributes}; HttpOnly`,
    ]);
  });

  it("does not bring back the visitor from before a logout, whatever order their last batches come in", () => {
    const before = value("v-1", nowMs - dayMs);
    const next = value("v-2", nowMs);
    expect(ask({ cookieHeader: `polder_id=${before}` }), "scripts have just dropped theirs").toEqual([]);
    expect(ask({ cookieHeader: `polder_aid=${next}; polder_id=${next}` }), "the next one has theirs").toEqual([]);
    expect(ask({ anonymousId: "v-2", cookieHeader: `polder_id=${before}` }), "the next one's first batch").toHaveLength(
      2,
    );
  });

  it("starts anew for another visitor, and for one who is past 13 months", () => {
    expect(ask({ cookieHeader: `polder_id=${value("v-0", nowMs - dayMs)}` })[0]).toContain(
      `polder_aid=${value("v-1", nowMs)};`,
    );
    expect(ask({ cookieHeader: both(value("v-1", nowMs - 396 * dayMs)) })[0]).toContain(
      `polder_aid=${value("v-1", nowMs)};`,
    );
  });

  it("gives an id from the future no longer life", () => {
    expect(ask({ cookieHeader: `polder_aid=${value("v-1", nowMs + 900 * dayMs)}` })[0]).toContain(
      `Max-Age=${395 * 86_400};`,
    );
  });

  it.each([
    ["a page of another site", { origin: "https://other.example" }],
    ["a collector of another site", { host: "data.other.example" }],
    ["a name that only ends alike", { origin: "https://evilexample.com" }],
    ["no page at all", { origin: undefined }],
    ["a page without an origin", { origin: "null" }],
    ["another host, without a domain", { site: buildSite() }],
  ])("gives none to %s", (_, overrides) => {
    expect(ask(overrides)).toEqual([]);
  });

  it("is for the host alone without a domain, and needs no https on this machine", () => {
    const local = { site: buildSite(), origin: "http://localhost:8080", host: "localhost:8081", isHttps: false };
    expect(ask(local)[0]).toMatch(/SameSite=Lax$/);
    expect(ask({ ...local, origin: "http://[::1]:8080", host: "[::1]:8081" })[0]).toMatch(/SameSite=Lax$/);
    expect(ask({ ...local, origin: "http://shop.test", host: "shop.test" })[0]).toMatch(/Secure$/);
  });

  it("cannot be broken out of by an id", () => {
    const [readable] = ask({ anonymousId: "a; Domain=evil.example\r\nSet-Cookie: x=1" });
    expect(readable!.split("; ")[0]).toMatch(/^polder_aid=[\w%.-]+$/);
    expect(readable!.split("; ")).toHaveLength(6);
  });
});

describe("readDeviceCookie", () => {
  it("reads the hidden one, while it lasts", () => {
    expect(
      readDeviceCookie(`polder_aid=${value("x", nowMs)}; polder_id=${value("v-9", nowMs)}`, nowMs)?.anonymousId,
    ).toBe("v-9");
    expect(readDeviceCookie(`polder_id=${value("v-9", nowMs - 396 * dayMs)}`, nowMs)).toBeUndefined();
    expect(readDeviceCookie("polder_id=; xpolder_id=a.b", nowMs)).toBeUndefined();
    expect(readDeviceCookie(undefined, nowMs)).toBeUndefined();
  });
});

describe("expiredDeviceCookies", () => {
  const question = {
    site: buildSite({ cookieDomain: "example.com" }),
    origin: "https://shop.example.com",
    host: "data.example.com",
    isHttps: true,
    nowMs,
  };

  it("takes both from a device that has one, with the attributes they were given with", () => {
    expect(expiredDeviceCookies({ ...question, cookieHeader: `polder_id=${value("v-1", nowMs)}` })).toEqual([
      `polder_aid=; Max-Age=0; ${attributes}`,
      `polder_id=; Max-Age=0; ${attributes}; HttpOnly`,
    ]);
  });

  it("says nothing to a device that has none, nor to a page of another site", () => {
    expect(expiredDeviceCookies({ ...question, cookieHeader: "a=b" })).toEqual([]);
    expect(expiredDeviceCookies({ ...question, cookieHeader: "polder_id=x", origin: "https://other.example" })).toEqual(
      [],
    );
  });
});
