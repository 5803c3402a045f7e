import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeQueryText, splitUrl } from "./split-url.ts";

describe("splitUrl", () => {
  it("leaves out the user", () => {
    expect(splitUrl("https://jan:secret@Shop.Example:8443/a/b?c=d&e#token=1")).toEqual({
      scheme: "https",
      host: "shop.example",
      port: ":8443",
      path: "/a/b",
      query: "c=d&e",
      fragment: "token=1",
    });
  });

  it.each([
    ["https://shop.example", "/", ""],
    ["https://shop.example?q=/a", "/", "q=/a"],
    ["https://shop.example/#/cart?x=1", "/", ""],
    ["https://shop.example/a?b=c?d#e?f", "/a", "b=c?d"],
  ])("splits %s", (text, path, query) => {
    expect(splitUrl(text)).toMatchObject({ scheme: "https", host: "shop.example", port: "", path, query });
  });

  it("keeps the brackets of an IPv6 address", () => {
    expect(splitUrl("http://[::1]:8080/a").host).toBe("[::1]");
  });

  it.each(["", "/a", "shop.example/a", "about:blank", "javascript:alert(1)", "data:text/html,://"])(
    "finds nothing in %s",
    (text) => {
      expect(splitUrl(text).host).toBe("");
    },
  );

  it("agrees with the platform on web addresses", () => {
    checkProperty(
      fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (text) => {
        const url = new URL(text);
        const parts = splitUrl(text);
        expect(parts.host).toBe(url.hostname);
        expect(parts.query).toBe(text.split("#")[0]!.split("?").slice(1).join("?"));
      }),
    );
  });
});

it("decodeQueryText never throws", () => {
  expect(decodeQueryText("a+b%20c%40")).toBe("a b c@");
  expect(decodeQueryText("100%+sure")).toBe("100% sure");
  checkProperty(fc.property(fc.string({ unit: "binary" }), (text) => void decodeQueryText(text)));
});
