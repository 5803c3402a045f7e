import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const others = new URL("others/", import.meta.url);
const ours = new URL("../../packages/sdk-browser/dist/polder.js", import.meta.url);

const lockOf = (path) => {
  const file = new URL(path, others);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : undefined;
};

/** Installs what the workspace does not: the others, where they are not there in the versions of the lock. */
export function installOthers(say) {
  const wanted = lockOf("package-lock.json");
  const there = lockOf("node_modules/.package-lock.json");
  const isThere = Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || there?.[path]?.version === version,
  );
  if (isThere) return;
  say("installs the SDKs of others into bench/sdk-loss/others (npm ci, without their scripts)");
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: fileURLToPath(others),
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0)
    throw new Error("The SDKs of others could not be installed. `-- sdk-loss --only polder` measures ours alone.");
}

/** The script that a page loads, its tag, and the version. */
export async function scriptOf(name, { package: packageName }) {
  if (packageName === undefined) {
    const { version } = JSON.parse(readFileSync(new URL("../package.json", ours), "utf8"));
    return {
      version,
      script: readFileSync(ours),
      tagFor: (collectorUrl) =>
        `<script>const track = (name, properties) => polder.track(name, properties)</script>
<script async src="/sdk.js" data-site="pk_bench" data-host="${collectorUrl}"></script>`,
      isReady: "!!window.polder",
    };
  }
  const { build } = await import(
    pathToFileURL(fileURLToPath(new URL("node_modules/esbuild/lib/main.js", others))).href
  );
  const { outputFiles } = await build({
    stdin: {
      contents: `import { start } from "./${name}.js"; window.track = start(document.currentScript.dataset.host);`,
      resolveDir: fileURLToPath(others),
    },
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2021",
    define: { "process.env.NODE_ENV": '"production"', global: "window" },
    legalComments: "none",
    logLevel: "error",
  });
  return {
    version: lockOf("package-lock.json")[`node_modules/${packageName}`].version,
    script: outputFiles[0].contents,
    tagFor: (collectorUrl) => `<script async src="/sdk.js" data-host="${collectorUrl}"></script>`,
    isReady: "!!window.track",
  };
}
