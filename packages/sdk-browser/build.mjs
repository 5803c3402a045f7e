import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const options = {
  bundle: true,
  minify: true,
  target: "es2020",
  // From source: the file never holds a stale build of the protocol.
  conditions: ["source"],
  absWorkingDir: import.meta.dirname,
  legalComments: "none",
};

await build({
  ...options,
  entryPoints: ["src/auto.ts"],
  outfile: "dist/polder.js",
  format: "iife",
  sourcemap: "linked",
});
// What an application bundles that uses `createPolder` and captures nothing by itself: measured against its own budget.
await build({
  ...options,
  stdin: { contents: 'export { createPolder } from "./src/create-polder.ts";', resolveDir: import.meta.dirname },
  outfile: "dist/core.min.js",
  format: "esm",
});

const file = await readFile(new URL("dist/polder.js", import.meta.url));
const integrity = `sha384-${createHash("sha384").update(file).digest("base64")}`;
await writeFile(
  new URL("dist/polder.sri.json", import.meta.url),
  `${JSON.stringify({ file: "polder.js", integrity })}\n`,
);

const core = await readFile(new URL("dist/core.min.js", import.meta.url));
for (const [name, bytes] of [
  ["polder.js", file],
  ["core alone", core],
]) {
  console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`);
}
