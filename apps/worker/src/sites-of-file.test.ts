import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createSitesOfFile } from "./sites-of-file.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-sites-"));
  path = join(folder, "polder.config.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (id: string, fields: object = {}): void =>
  writeFileSync(
    path,
    JSON.stringify({
      sites: [
        {
          id,
          name: "Shop",
          timezone: "UTC",
          origins: ["https://shop.example"],
          writeKeys: [{ key: "pk_12345678" }],
          ...fields,
        },
      ],
    }),
  );
const complaints: string[] = [];
const logger = { info() {}, warn() {}, error: (message: string) => void complaints.push(message) };

it("follows the file, and keeps what it had when the file cannot be used", () => {
  write("shop");
  const sites = createSitesOfFile(path, logger);
  const first = sites();
  expect(first.map(({ id }) => id)).toEqual(["shop"]);
  expect(sites()).toBe(first);
  write("renamed-shop", { consent: { purposes: { ads: { en: { title: "Ads", text: "Ads." } } } } });
  expect(sites()[0]).toMatchObject({ id: "renamed-shop", notices: [{ purpose: "ads", language: "en" }] });
  writeFileSync(path, "{");
  expect(sites()[0]?.id).toBe("renamed-shop");
  expect(complaints).toEqual(["the changed configuration is not used, the one before stays"]);
});

it("stops the start when there is nothing to begin with", () => {
  expect(() => createSitesOfFile(path, logger)).toThrow(`Cannot read ${path}`);
  write("Shop");
  expect(() => createSitesOfFile(path, logger)).toThrow("sites[0].id must be 1 to 63 small letters");
});
