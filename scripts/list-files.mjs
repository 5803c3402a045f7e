// @ts-check
import { readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";

const notOurs = new Set(["node_modules", "dist", ".git", ".turbo", ".polder", ".cache", "test-results", "coverage"]);

/**
 * Files below `folder` that somebody wrote, as paths with slashes, sorted.
 * @param {string} folder
 * @returns {string[]}
 */
export function listFiles(folder) {
  /** @param {string} at @returns {string[]} */
  const visit = (at) =>
    readdirSync(at, { withFileTypes: true }).flatMap((entry) => {
      if (notOurs.has(entry.name)) return [];
      const path = join(at, entry.name);
      if (entry.isDirectory()) return visit(path);
      return entry.isFile() ? [relative(folder, path).split(sep).join("/")] : [];
    });
  return visit(folder).sort();
}
