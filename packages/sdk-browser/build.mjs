import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";

// Chrome 90, Firefox 90, Safari 15 and later.
const target = "es2021";
const dist = new URL("dist/", import.meta.url);

// Names between our own files, which nobody else sees. Never one that is on the wire, in storage, in the DOM or in `index.ts`.
const internal = [
  "mask isPerson stamp weigh keep current kind consentId createdAt month mayStore seal save remove handOff stored wipe",
  "count take putBack wake leave comeBack release choice retryAfterMs",
];
// In the one file, nobody else starts Polder or writes a capture either.
const internalOfTheFile = ["record on hasViewed viewAgain onChoice beforeChoice flushAfterMs"];

// Records on the device outlast a version: the same short names for ever.
const stored = { key: "k", shared: "s", events: "e", chars: "c" };

const options = (names) => ({
  bundle: true,
  minifySyntax: true,
  mangleProps: new RegExp(`^(${[...Object.keys(stored), ...names].join(" ").replaceAll(" ", "|")})$`),
  mangleCache: stored,
  target,
  format: "esm",
  // From source: the file never holds a stale build of the protocol.
  conditions: ["source"],
  absWorkingDir: import.meta.dirname,
  legalComments: "none",
});

const [bundle] = (
  await build({
    ...options([...internal, ...internalOfTheFile]),
    entryPoints: ["src/auto.ts"],
    outfile: "dist/polder.js",
    sourcemap: "inline",
    write: false,
  })
).outputFiles;
// Minified in a second step: modules that are one scope by then are smaller than each by itself.
const polder = await transform(bundle.text, {
  minify: true,
  target,
  format: "iife",
  sourcemap: "external",
  sourcefile: "polder.js",
});
const file = `${polder.code}//# sourceMappingURL=polder.js.map\n`;
await writeFile(new URL("polder.js", dist), file);
await writeFile(new URL("polder.js.map", dist), polder.map);
const integrity = `sha384-${createHash("sha384").update(file).digest("base64")}`;
await writeFile(new URL("polder.sri.json", dist), `${JSON.stringify({ file: "polder.js", integrity })}\n`);

// What applications import.
await build({
  ...options(internal),
  entryPoints: ["src/index.ts"],
  outfile: "dist/browser.js",
  sourcemap: "linked",
});
// What is left of it where `createPolder` is used and captures nothing by itself: measured against its own budget.
await build({
  stdin: { contents: 'export { createPolder } from "./dist/browser.js";', resolveDir: import.meta.dirname },
  absWorkingDir: import.meta.dirname,
  bundle: true,
  minify: true,
  target,
  format: "esm",
  outfile: "dist/core.min.js",
});

for (const name of ["polder.js", "core.min.js"]) {
  const bytes = await readFile(new URL(name, dist));
  console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`);
}
