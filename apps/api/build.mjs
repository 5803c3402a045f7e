import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

// The live page: one script and one style sheet, nothing loaded from elsewhere.
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  entryPoints: [
    { in: at("src/page/main.tsx"), out: "page" },
    { in: at("src/page/page.css"), out: "page" },
  ],
  outdir: at("dist/page"),
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  conditions: ["source"],
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "none",
  logLevel: "warning",
});
await mkdir(at("dist/page"), { recursive: true });
await copyFile(at("src/page/icon.svg"), at("dist/page/icon.svg"));
