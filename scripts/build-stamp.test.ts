import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { stampOf } from "./build-stamp.mjs";

let folder: string;
const write = (path: string, text: string): void => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
  // A fixed time: what has to be noticed must not depend on how fast this test runs.
  utimesSync(join(folder, path), 1, 1);
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-stamp-"));
  mkdirSync(join(folder, "apps"));
  write("packages/core/src/index.ts", "export {}");
  write("packages/core/dist/index.js", "export {}");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ["a source has another size", () => write("packages/core/src/index.ts", "export { }")],
  ["a source has another time", () => utimesSync(join(folder, "packages/core/src/index.ts"), 2, 2)],
  ["a file came", () => write("packages/core/src/clock.ts", "")],
  ["what was built is gone", () => rmSync(join(folder, "packages/core/dist"), { recursive: true })],
  ["the lock changed", () => write("package-lock.json", "{}")],
])("changes when %s", (_, change) => {
  const before = stampOf(folder);
  change();
  expect(stampOf(folder)).not.toBe(before);
});

it("stays the same when only installed packages and turbo's notes change", () => {
  const before = stampOf(folder);
  write("packages/core/node_modules/a/index.js", "");
  write("packages/core/.turbo/turbo-build.log", "");
  expect(stampOf(folder)).toBe(before);
});
