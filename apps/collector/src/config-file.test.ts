import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PolderConfig } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigFileError, readConfigFile, watchConfigFile, type ConfigWatch } from "./config-file.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-config-"));
  path = join(folder, "polder.config.json");
});
afterEach(() => rmSync(folder, { recursive: true }));

const config = (name: string): string =>
  JSON.stringify({
    sites: [
      {
        id: "shop",
        name,
        timezone: "Europe/Amsterdam",
        origins: ["https://shop.example"],
        writeKeys: [{ key: "pk_12345678" }],
      },
    ],
  });

describe("readConfigFile", () => {
  it("reads a good one", () => {
    writeFileSync(path, config("Shop"));
    expect(readConfigFile(path).sites[0]!.name).toBe("Shop");
  });

  it("names the file, the place and the fault", () => {
    expect(() => readConfigFile(path)).toThrow(/ENOENT.*POLDER_CONFIG/);
    writeFileSync(path, config("Shop").replace("Europe/Amsterdam", "Mars"));
    expect(() => readConfigFile(path)).toThrow(ConfigFileError);
    expect(() => readConfigFile(path)).toThrow(/polder\.config\.json.*sites\[0\]\.timezone/);
  });
});

describe("watchConfigFile", () => {
  let watch: ConfigWatch | undefined;
  afterEach(() => watch?.stop());

  /** What the watch says, one at a time. */
  function listen() {
    const heard: (PolderConfig | string)[] = [];
    let wake = (): void => {};
    const put = (what: PolderConfig | string): void => {
      heard.push(what);
      wake();
    };
    watch = watchConfigFile({
      path,
      intervalMs: 10,
      onChange: put,
      logger: { info: () => {}, warn: () => {}, error: (_, fields) => put(String(fields?.["reason"])) },
    });
    return async (): Promise<PolderConfig | string> => {
      while (heard.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return heard.shift()!;
    };
  }

  it("hands over a change, keeps quiet about a bad one but for its reason, and goes on", async () => {
    writeFileSync(path, config("One"));
    const next = listen();
    writeFileSync(path, config("Two, longer"));
    expect(await next()).toMatchObject({ sites: [{ name: "Two, longer" }] });
    writeFileSync(path, "{ not json");
    expect(await next()).toMatch(/polder\.config\.json.*JSON/);
    // Editors write another file and put it in the place of the first.
    writeFileSync(`${path}.new`, config("Three"));
    renameSync(`${path}.new`, path);
    expect(await next()).toMatchObject({ sites: [{ name: "Three" }] });
  });
});
