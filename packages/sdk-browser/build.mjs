import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

// Chrome 90, Firefox 90, Safari 15 and later.
const target = "es2021";
const dist = new URL("dist/", import.meta.url);

// Names between our own files, which nobody else sees. Never one that is on the wire, in storage, in the DOM or in `index.ts`.
const internal = [
  "mask isPerson stamp weigh keep current consentId createdAt mayStore seal remove handOff stored wipe gather cut isSaved",
  "count drop take wake leave comeBack release choice until isMade decide judge",
];
// In the files for tags, nobody else starts Polder or writes a capture either.
const internalOfTags = ["mask isPerson stamp record line decision on onChoice currentPage flushAfterMs findRegime"];

// Records on the device outlast a version: the same short names for ever.
const stored = { key: "k", shared: "s", events: "e", bytes: "c", counts: "n" };

const options = (names) => ({
  bundle: true,
  minifySyntax: true,
  ...(names && {
    mangleProps: new RegExp(`^(${[...Object.keys(stored), ...names].join(" ").replaceAll(" ", "|")})$`),
    mangleCache: stored,
  }),
  target,
  format: "esm",
  // From source: the file never holds a stale build of the protocol.
  conditions: ["source"],
  absWorkingDir: import.meta.dirname,
  legalComments: "none",
});

const squeeze = (code, sourceMap) =>
  minify(code, {
    module: true,
    ecma: 2020,
    compress: { passes: 4, unsafe_arrows: true, unsafe_methods: true, pure_getters: true },
    sourceMap,
  });

/** One file for a tag, with its source map and its hash. The collector names the map in a header: a comment would be bytes for every visitor. */
async function buildForTag(entry, name, names = [...internal, ...internalOfTags]) {
  const [bundle] = (
    await build({
      ...options(names),
      entryPoints: [entry],
      format: "iife",
      outfile: `dist/${name}`,
      sourcemap: "inline",
      write: false,
    })
  ).outputFiles;
  const { code, map } = await squeeze({ [name]: bundle.text }, { content: "inline", filename: name });
  await writeFile(new URL(name, dist), code);
  await writeFile(new URL(`${name}.map`, dist), map);
  return [name, `sha384-${createHash("sha384").update(code).digest("base64")}`];
}

const hashes = [
  await buildForTag("src/auto.ts", "polder.js"),
  await buildForTag("src/auto-all.ts", "polder.all.js"),
  await buildForTag("src/banner-auto.ts", "polder-banner.js", null),
  await buildForTag("src/overlay-auto.ts", "polder-overlay.js", null),
];
await writeFile(new URL("polder.sri.json", dist), `${JSON.stringify(Object.fromEntries(hashes), undefined, 2)}\n`);

// What applications import.
await build({
  ...options(internal),
  entryPoints: ["src/index.ts"],
  external: ["web-vitals"],
  outfile: "dist/browser.js",
  sourcemap: "linked",
});
// What is left of it where `createPolder` is used and captures nothing by itself: measured against its own budget.
const [core] = (
  await build({
    stdin: { contents: 'export { createPolder } from "./dist/browser.js";', resolveDir: import.meta.dirname },
    absWorkingDir: import.meta.dirname,
    bundle: true,
    target,
    format: "esm",
    write: false,
  })
).outputFiles;
await writeFile(new URL("core.min.js", dist), (await squeeze(core.text)).code);

for (const name of ["polder.js", "polder.all.js", "polder-banner.js", "polder-overlay.js", "core.min.js"]) {
  const bytes = await readFile(new URL(name, dist));
  console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`);
}
