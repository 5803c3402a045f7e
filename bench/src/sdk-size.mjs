import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { report } from "./report.mjs";

export const description = "size of the browser files, gzip -9";
export const needs = "nothing but the build";

const root = new URL("../../", import.meta.url);
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

export async function run() {
  const full = readFileSync(new URL("packages/sdk-browser/dist/polder.js", root));
  // The tracker without any capture, as a bundler leaves it of the package.
  const core = readFileSync(new URL("packages/sdk-browser/dist/core.min.js", root));
  const figures = { default_bytes: gzipped(full), core_bytes: gzipped(core) };
  report({
    bench: "sdk-size",
    rows: [
      { file: "polder.js (default)", raw: full.length, gzip: figures.default_bytes },
      { file: "createPolder (core alone)", raw: core.length, gzip: figures.core_bytes },
    ],
    figures,
    targets: { default_bytes: { max: 6 * 1024 }, core_bytes: { max: 4 * 1024 } },
  });
}
