// @ts-check
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { logPath, root, runCommand, tool } from "./run-command.mjs";
import { withProgress } from "./terminal.mjs";

const run = promisify(execFile);

const systemNames = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const systemPaths = [
  "/usr/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/**
 * @typedef {object} Browser
 * @property {string} path
 * @property {string} version as "Chromium 140.0.7339.80"
 */

/**
 * A browser that starts: one without its libraries, or a stub that only points at a store, does not count.
 * @param {string} path
 * @returns {Promise<Browser | undefined>}
 */
async function probe(path) {
  try {
    const { stdout } = await run(path, ["--version"], { timeout: 20_000 });
    const version = /(Chromium|Chrome)[^\d]*([\d.]+)/.exec(stdout);
    return version ? { path, version: `${version[1]} ${version[2]}` } : undefined;
  } catch {
    return undefined;
  }
}

/** Where Playwright keeps, or would keep, its own. */
function playwrightPath() {
  try {
    // Resolved from the package that depends on it; it is not there before the dependencies are.
    const require = createRequire(join(root, "test-e2e", "package.json"));
    return /** @type {string} */ (require("@playwright/test").chromium.executablePath());
  } catch {
    return undefined;
  }
}

/** @param {NodeJS.ProcessEnv} env */
function systemCandidates(env) {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...folders.flatMap((folder) => systemNames.map((name) => join(folder, name))), ...systemPaths].filter(
    (path) => existsSync(path),
  );
}

/** @param {(string | undefined)[]} paths */
async function firstThatStarts(paths) {
  for (const path of paths) {
    const browser = path && existsSync(path) ? await probe(path) : undefined;
    if (browser) return browser;
  }
  return undefined;
}

/**
 * Finds Chromium or installs it: `CHROMIUM`, Playwright's, the system's, `playwright install`, Debian's package when root.
 * @param {{ env?: NodeJS.ProcessEnv, limitMs?: number }} [options]
 * @returns {Promise<Browser | { skipped: string }>}
 */
export async function findChromium({ env = process.env, limitMs = 240_000 } = {}) {
  if (env.CHROMIUM) {
    const named = await probe(env.CHROMIUM);
    return (
      named ?? { skipped: `CHROMIUM is ${env.CHROMIUM}, which is not a browser that starts: correct it or unset it` }
    );
  }
  const found = await firstThatStarts([playwrightPath(), ...systemCandidates(env)]);
  if (found) return found;

  const faults = [];
  const download = await withProgress("downloading Chromium (about 170 MB)", () =>
    runCommand("playwright-install", [...tool("playwright/cli.js"), "install", "chromium"], { env, limitMs }),
  );
  const downloaded = download.ok ? await firstThatStarts([playwrightPath()]) : undefined;
  if (downloaded) return downloaded;
  faults.push(
    download.ok
      ? "Playwright's Chromium lacks system libraries (`npx playwright install-deps chromium`)"
      : `the download failed (${logPath("playwright-install")})`,
  );

  const isRootOnDebian = process.getuid?.() === 0 && existsSync("/etc/debian_version");
  if (!isRootOnDebian) {
    faults.push("Debian's package needs root");
  } else {
    const debianEnv = { ...env, DEBIAN_FRONTEND: "noninteractive" };
    const packaged = await withProgress("installing Debian's chromium", async () => {
      await runCommand("apt-update", ["apt-get", "update"], { env: debianEnv, limitMs });
      return runCommand("apt-install", ["apt-get", "install", "-y", "--no-install-recommends", "chromium"], {
        env: debianEnv,
        limitMs,
      });
    });
    const browser = packaged.ok ? await firstThatStarts(systemCandidates(env)) : undefined;
    if (browser) return browser;
    faults.push(`Debian's package could not be installed (${logPath("apt-install")})`);
  }
  return { skipped: `no Chromium: ${faults.join("; ")}. Install one, or set CHROMIUM to its path` };
}
