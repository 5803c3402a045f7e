// @ts-check
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./run-command.mjs";

// Turbo needs most of a second to find that nothing changed; sizes and times of the same files are read in a twentieth.
const stampPath = join(root, ".cache", "build-stamp");
const inputs = ["packages", "apps", "package-lock.json", "turbo.json", "tsconfig.base.json"];
const notInputs = new Set(["node_modules", ".turbo"]);

/**
 * Changes with every source and every built file below the inputs: also when somebody removed or rebuilt `dist` by hand.
 * @param {string} folder
 */
export function stampOf(folder) {
  const hash = createHash("sha256");
  /** @param {string} path */
  const visit = (path) => {
    const stat = statSync(join(folder, path), { throwIfNoEntry: false });
    if (!stat?.isDirectory()) {
      hash.update(`${path}\0${stat?.size}\0${stat?.mtimeMs}\n`);
      return;
    }
    for (const name of readdirSync(join(folder, path)).sort()) if (!notInputs.has(name)) visit(`${path}/${name}`);
  };
  for (const input of inputs) visit(input);
  return hash.digest("hex");
}

/** Whether nothing changed since {@link rememberBuild}. */
export function isBuilt() {
  try {
    return readFileSync(stampPath, "utf8") === stampOf(root);
  } catch {
    return false;
  }
}

/** To be called after a build that succeeded. */
export function rememberBuild() {
  mkdirSync(dirname(stampPath), { recursive: true });
  writeFileSync(stampPath, stampOf(root));
}
