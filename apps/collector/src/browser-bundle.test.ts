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
    writeFileSync(join(folder, "polder.js"), "let a;");
    writeFileSync(join(folder, "polder.js.map"), "{}");
    const { script, sourceMap } = readBrowserBundle(folder);
    expect([Buffer.from(script).toString(), Buffer.from(sourceMap!).toString()]).toEqual(["let a;", "{}"]);
    expect(sriOf(script)).toBe(`sha384-${createHash("sha384").update("let a;").digest("base64")}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
