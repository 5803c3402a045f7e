import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSiteDirectory } from "@polder/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { demoSiteId, ensureDemoConfig, originsOfPort, withOrigins } from "./demo-config.ts";

let path = "";
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-demo-"));
  path = join(folder, "data", "demo.config.json");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("is one site with a fresh key, where nothing counts without a yes", async () => {
  const config = await ensureDemoConfig(path, 8080);
  expect(config.sites).toHaveLength(1);
  expect(config.sites[0]).toMatchObject({
    id: demoSiteId,
    origins: ["http://localhost:8080", "http://127.0.0.1:8080"],
    consent: { regimes: { default: "opt_in" } },
    timezone: "Europe/Amsterdam",
    currency: "EUR",
  });
  const key = config.sites[0]!.writeKeys[0]!;
  expect(key.basis).toBeUndefined();
  expect(createSiteDirectory(config).findKey(key.key)).toMatchObject({ kind: "write", site: { id: "shop" } });
});

it("tells visitors in two languages what each purpose is for", async () => {
  const config = await ensureDemoConfig(path, 8080);
  const { notice, purposes } = config.sites[0]!.consent;
  expect(Object.keys(notice)).toEqual(["en", "nl"]);
  expect(Object.entries(purposes).map(([purpose, texts]) => [purpose, Object.keys(texts)])).toEqual(
    ["measurement", "profile", "ads"].map((purpose) => [purpose, ["en", "nl"]]),
  );
  const { notices } = createSiteDirectory(config).findSite(demoSiteId)!;
  expect(
    new Set(notices.map(({ hash }) => hash)).size,
    "each text is filed under its own hash, and the notice as a whole",
  ).toBe(7);
});

it("can be read by its owner only", async () => {
  await ensureDemoConfig(path, 8080);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it("is reused with its key, as the user left it", async () => {
  const first = await ensureDemoConfig(path, 8080);
  const text = (await readFile(path, "utf8")).replace("Slootkant", "My own");
  await writeFile(path, text);
  const second = await ensureDemoConfig(path, 9999);
  expect(second.sites[0]!.writeKeys).toEqual(first.sites[0]!.writeKeys);
  expect(second.sites[0]!.name).toMatch(/^My own/);
  expect(await readFile(path, "utf8")).toBe(text);
});

it("lets the shop's port of today in, once, and no other site's", async () => {
  const config = await ensureDemoConfig(path, 8080);
  const changed = withOrigins(withOrigins(config, demoSiteId, originsOfPort(9000)), demoSiteId, originsOfPort(9000));
  expect(changed.sites[0]!.origins).toEqual([
    ...config.sites[0]!.origins,
    "http://localhost:9000",
    "http://127.0.0.1:9000",
  ]);
  expect(withOrigins(config, "other", originsOfPort(9000))).toEqual(config);
});
