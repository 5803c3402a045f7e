import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseConfig } from "./parse-config.ts";
import type { PolderConfig } from "./config-rule.ts";
import { createReloadableDirectory, createSiteDirectory } from "./site-directory.ts";

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");

function configOf(...sites: object[]): PolderConfig {
  const defaults = {
    name: "Shop",
    timezone: "UTC",
    origins: ["https://shop.example"],
    writeKeys: [{ key: "pk_shop_1234" }],
  };
  const result = parseConfig(JSON.stringify({ sites: sites.map((site) => ({ ...defaults, ...site })) }));
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

const basis = { purposes: ["measurement"], basis: "contract", reason: "Orders." };

describe("a directory", () => {
  const directory = createSiteDirectory(
    configOf(
      {
        id: "shop",
        cookieDomain: "shop.example",
        serverKeys: [{ hash: hashOf("sk_one"), name: "till", basis, origins: ["partner"] }],
      },
      {
        id: "blog",
        writeKeys: [{ key: "pk_blog_1234" }],
        serverKeys: [{ hash: hashOf("sk_two"), name: "crm" }],
        consent: { refusalDays: 730, beforeChoice: { mode: "measurement", reason: "Counting alone." } },
      },
    ),
  );

  it("knows the owner of a write key", () => {
    expect(directory.findKey("pk_shop_1234")).toMatchObject({
      kind: "write",
      site: { id: "shop", cookieDomain: "shop.example" },
    });
    expect(directory.findKey("pk_blog_1234")).toMatchObject({ kind: "write", site: { id: "blog" } });
  });

  it("knows the owner of a server key by its hash, with what the key may do", () => {
    expect(directory.findKey("sk_one")).toMatchObject({
      kind: "server",
      site: { id: "shop" },
      basis,
      origins: ["partner"],
    });
    expect(directory.findKey("sk_two")).toMatchObject({
      kind: "server",
      site: { id: "blog" },
      origins: ["observed", "declared"],
    });
    expect(directory.findKey("sk_two")?.basis).toBeUndefined();
  });

  it.each(["", "pk_nobody_12", "sk_nobody", hashOf("sk_one"), "__proto__", "toString"])(
    "has no owner for %j",
    (key) => {
      expect(directory.findKey(key)).toBeUndefined();
    },
  );

  it("knows what holds before a choice, and for how long one holds", () => {
    expect(directory.findSite("shop")).toMatchObject({
      beforeChoice: { mode: "silent" },
      grantLifetimeMs: 365 * 86_400_000,
      refusalLifetimeMs: 184 * 86_400_000,
    });
    expect(directory.findSite("blog")).toMatchObject({
      beforeChoice: { mode: "measurement", reason: "Counting alone." },
      refusalLifetimeMs: 730 * 86_400_000,
    });
  });

  it("knows its sites", () => {
    expect(directory.sites().map((site) => site.id)).toEqual(["shop", "blog"]);
    expect(directory.findSite("blog")?.name).toBe("Shop");
    expect(directory.findSite("nobody")).toBeUndefined();
  });
});

describe("a key that is being replaced", () => {
  const turn = Date.parse("2026-11-22T00:00:00Z");
  let now = 0;
  const directory = createSiteDirectory(
    configOf({
      id: "shop",
      writeKeys: [
        { key: "pk_old_12345", notAfter: "2026-11-22T00:00:01Z" },
        { key: "pk_new_12345", notBefore: "2026-11-22T00:00:00Z" },
      ],
      serverKeys: [{ hash: hashOf("sk_old"), name: "old", notAfter: "2026-11-22T00:00:00Z" }],
    }),
    { now: () => now },
  );
  const known = (at: number): boolean[] => {
    now = at;
    return ["pk_old_12345", "pk_new_12345", "sk_old"].map((key) => directory.findKey(key) !== undefined);
  };

  it("counts until its end, beside the new one that counts from its beginning", () => {
    expect(known(turn - 1)).toEqual([true, false, true]);
    expect(known(turn)).toEqual([true, true, false]);
    expect(known(turn + 1000)).toEqual([false, true, false]);
  });
});

describe("a reloadable directory", () => {
  it("answers from the newest configuration, through the same functions", () => {
    const directory = createReloadableDirectory(configOf({ id: "shop" }));
    const { findKey, findSite, sites } = directory;
    directory.replace(configOf({ id: "renamed", writeKeys: [{ key: "pk_other_123" }] }));
    expect(findKey("pk_shop_1234")).toBeUndefined();
    expect(findKey("pk_other_123")?.site.id).toBe("renamed");
    expect(findSite("shop")).toBeUndefined();
    expect(sites().map((site) => site.id)).toEqual(["renamed"]);
  });
});
