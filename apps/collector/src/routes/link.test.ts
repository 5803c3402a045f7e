import { buildSite, builtAt } from "@polder/testing";
import { encodeChoice, encodeDeviceId, maskOf, type Purpose } from "@polder/protocol";
import { beforeEach, describe, expect, it } from "vitest";
import { buildCollector, errorOf, serverKey, writeKey } from "../collector.test-support.ts";

const shop = "https://shop.example";
const blog = "https://blog.example";
const start = Date.parse(builtAt);
const id = encodeDeviceId({ anonymousId: "visitor-1", createdAt: start - 1000 });
const site = buildSite({ origins: [shop, blog, "https://blog.example:8443"] });

let nowMs = start;
beforeEach(() => {
  nowMs = start;
});

const { post } = buildCollector({
  sites: {
    findKey: (key) =>
      key === writeKey ? { site, kind: "write" } : key === serverKey ? { site, kind: "server" } : undefined,
    findSite: () => site,
    sites: () => [site],
  },
  linkSecret: "a secret of at least 32 characters",
  now: () => nowMs,
});
const browser = { "user-agent": "Browser/1", "accept-language": "nl", "content-type": "text/plain" };
const ask = (question: object, headers: { [name: string]: string }) =>
  post("/v1/link", { writeKey, ...question }, { ...browser, ...headers });
const tokenFor = async (headers: { [name: string]: string } = {}) => {
  const response = await ask({ to: "shop.example", id }, { origin: blog, ...headers });
  return { status: response.status, token: await response.text() };
};
const idOf = async (token: string, headers: { [name: string]: string } = {}) => {
  const response = await ask({ token }, { origin: shop, ...headers });
  return { status: response.status, id: await response.text() };
};

describe("a link", () => {
  it("takes the id, with its age, from one host of the site to another", async () => {
    const { status, token } = await tokenFor();
    expect(status).toBe(200);
    nowMs += 120_000;
    expect(await idOf(token)).toEqual({ status: 200, id });
  });

  it("can be read by the page that asked, and is kept by nobody on the way", async () => {
    const { headers } = await ask({ to: "shop.example", id }, { origin: blog });
    expect(headers.get("access-control-allow-origin")).toBe(blog);
    expect(headers.get("access-control-allow-credentials")).toBe("true");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("set-cookie")).toBeNull();
  });

  it.each([
    ["after two minutes", 120_001, {}],
    ["in another browser", 0, { "user-agent": "Browser/2" }],
    ["in another language", 0, { "accept-language": "de" }],
    ["on another host", 0, { origin: blog }],
  ])("gives nothing %s", async (_, laterMs, headers) => {
    const { token } = await tokenFor();
    nowMs += laterMs;
    expect(await idOf(token, headers)).toEqual({ status: 204, id: "" });
  });

  it("gives nothing for a token that is none", async () => {
    expect(await idOf("x".repeat(88))).toEqual({ status: 204, id: "" });
    expect(await idOf("")).toEqual({ status: 204, id: "" });
  });

  const choice = (...purposes: Purpose[]): string =>
    `a=1; polder_consent=${encodeChoice({ mask: maskOf(purposes), at: start, consentId: purposes.length > 0 ? "c1" : "" })}`;

  it("is not made for a visitor whose choice is no yes to a profile", async () => {
    expect(await tokenFor({ cookie: choice("measurement") })).toEqual({ status: 204, token: "" });
    expect(await tokenFor({ cookie: choice() })).toEqual({ status: 204, token: "" });
    expect((await tokenFor({ cookie: choice("measurement", "profile") })).status).toBe(200);
    // There can be one for several domains.
    const both = [choice("measurement", "profile"), choice()];
    for (const cookie of [both.join("; "), both.toReversed().join("; ")])
      expect(await tokenFor({ cookie })).toEqual({ status: 204, token: "" });
  });

  it("is not made of an id that is none, or has outlived its 13 months", async () => {
    for (const given of ["", "visitor-1", encodeDeviceId({ anonymousId: "old", createdAt: start - 396 * 86_400_000 })])
      expect((await ask({ to: "shop.example", id: given }, { origin: blog })).status).toBe(204);
  });

  it.each([
    ["origin_refused", { to: "shop.example", id }, { origin: "https://elsewhere.example" }],
    ["origin_refused", { to: "shop.example", id }, {}],
    ["origin_refused", { to: "elsewhere.example", id }, { origin: blog }],
    ["origin_refused", { token: "x" }, { origin: "https://elsewhere.example" }],
    ["unknown_key", { writeKey: "pk_nobody", to: "shop.example", id }, { origin: blog }],
    ["unknown_key", { writeKey: serverKey, to: "shop.example", id }, { origin: blog }],
    ["unknown_key", { writeKey: null, token: "x" }, { origin: blog }],
    ["invalid_body", { to: "shop.example" }, { origin: blog }],
    ["invalid_body", { to: 1, id }, { origin: blog }],
  ])("is refused (%s) of %j from %j", async (code, question, headers) => {
    expect((await errorOf(await ask(question, headers as { [name: string]: string }))).code).toBe(code);
  });

  it.each(["", "[", "null", "7", '"text"'])("is refused of a body that reads %j", async (body) => {
    const response = await post("/v1/link", body, { ...browser, origin: blog });
    expect([response.status, (await errorOf(response)).code]).toEqual([401, "unknown_key"]);
  });

  it("is refused of a body that is too long", async () => {
    expect((await ask({ token: "x".repeat(5000) }, { origin: shop })).status).toBe(413);
  });

  it("is not made at all without a secret", async () => {
    const { post: postWithout } = buildCollector();
    const response = await postWithout("/v1/link", { writeKey, to: "shop.example", id }, { origin: shop });
    expect([response.status, (await errorOf(response)).code]).toEqual([404, "not_found"]);
  });
});
