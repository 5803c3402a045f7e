import { describe, expect, it } from "vitest";
import { isInstalled } from "./install-dependencies.mjs";
import { nodeVersionFault } from "./node-version.mjs";
import { parseOnly } from "./only-option.mjs";

describe("the Node version", () => {
  it.each(["20.19.0", "20.20.2", "22.0.0", "100.0.0"])("%s will do", (version) => {
    expect(nodeVersionFault(version)).toBeUndefined();
  });
  it.each(["20.18.3", "18.20.8", "8.0.0"])("%s is refused with what to do", (version) => {
    expect(nodeVersionFault(version)).toContain(`this is Node ${version}: install`);
  });
});

describe("whether what is installed is what the lock asks for", () => {
  const lock = {
    packages: {
      "": { version: "1.0.0" },
      "packages/core": { version: "0.1.0" },
      "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
      "node_modules/@polder/core": { resolved: "packages/core", link: true },
      "apps/api/node_modules/b": { version: "2.0.0", integrity: "sha512-b" },
      "node_modules/only-on-mac": { version: "1.0.0", optional: true },
    },
  };
  const onDisk = (path: string) => (lock.packages as Record<string, { version?: string }>)[path]?.version;
  const installed = (change: object) => ({
    packages: {
      "node_modules/a": lock.packages["node_modules/a"],
      "apps/api/node_modules/b": lock.packages["apps/api/node_modules/b"],
      "node_modules/@polder/core": lock.packages["node_modules/@polder/core"],
      ...change,
    },
  });

  it("is, without the packages of other platforms", () => {
    expect(isInstalled(lock, installed({}), onDisk)).toBe(true);
  });
  it.each([
    ["a package is missing", { "node_modules/a": undefined }],
    ["a version differs", { "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } }],
    ["the contents differ", { "node_modules/a": { version: "1.0.0", integrity: "sha512-b" } }],
    ["a package of one workspace is missing", { "apps/api/node_modules/b": undefined }],
    ["there is one too many", { "apps/api/node_modules/a": { version: "0.9.0" } }],
    ["a workspace is not linked", { "node_modules/@polder/core": { version: "0.1.0" } }],
  ])("is not when %s", (_, change) => {
    expect(isInstalled(lock, installed(change), onDisk)).toBe(false);
  });
  it("is not when npm only says so", () => {
    expect(isInstalled(lock, installed({}), () => undefined)).toBe(false);
  });
});

describe("--only", () => {
  const options = {
    command: "npm test",
    names: ["types", "lint", "unit", "e2e"],
    groups: { checks: ["types", "lint"] },
  };

  it("takes everything when nothing is said", () => {
    expect(parseOnly([], options)).toEqual({ only: new Set(options.names), filters: [] });
  });
  it("takes names, groups and file filters", () => {
    expect(parseOnly(["--only", "checks,e2e", "flows/shop"], options)).toEqual({
      only: new Set(["types", "lint", "e2e"]),
      filters: ["flows/shop"],
    });
    expect(parseOnly(["--only=unit"], options)).toEqual({ only: new Set(["unit"]), filters: [] });
  });
  it("refuses what it does not know, so that a typing error cannot pass as a run", () => {
    expect(parseOnly(["--only", "units"], options)).toEqual({ fault: expect.stringContaining('Unknown step "units"') });
    expect(parseOnly(["--only"], options)).toEqual({ fault: expect.stringContaining("Unknown step") });
    expect(parseOnly(["--grep", "x"], options)).toEqual({ fault: expect.stringContaining("--grep") });
  });
});
