import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readBrowserBundle, sriOf } from "./browser-bundle.ts";

it("reads the script and its map, or says what to run", () => {
  const folder = mkdtempSync(join(tmpdir(), "polder-bundle-"));
  try {
    expect(() => readBrowserBundle(folder)).toThrow(/polder\.js.*ENOENT.*npm run build/);
    for (const name of ["polder.js", "polder.all.js", "polder-banner.js", "polder-overlay.js"]) {
      writeFileSync(join(folder, name), `let a; // ${name}`);
      writeFileSync(join(folder, `${name}.map`), "{}");
    }
    const bundle = readBrowserBundle(folder);
    expect(bundle.map(({ name }) => name)).toEqual([
      "polder.js",
      "polder.all.js",
      "polder-banner.js",
      "polder-overlay.js",
    ]);
    for (const { name, script, sourceMap } of bundle)
      expect([Buffer.from(script).toString(), Buffer.from(sourceMap!).toString()]).toEqual([`let a; // ${name}`, "{}"]);
    expect(sriOf(Buffer.from("let a;"))).toBe(`sha384-${createHash("sha384").update("let a;").digest("base64")}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
