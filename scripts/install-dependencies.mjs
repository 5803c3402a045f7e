// @ts-check
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { logPath, npm, root, runCommand } from "./run-command.mjs";
import { withProgress } from "./terminal.mjs";

/**
 * @typedef {{ version?: string, integrity?: string, link?: boolean, resolved?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }} LockedPackage
 * @typedef {{ packages?: Record<string, LockedPackage> }} Lock
 */

/**
 * Whether `node_modules` is what the lock asks for. Optional packages may be missing: they fit other platforms.
 * @param {Lock} wanted `package-lock.json`
 * @param {Lock} installed npm's own note of it, `node_modules/.package-lock.json`
 * @param {(path: string) => string | undefined} versionAt what really lies in a folder: npm's note also follows `--package-lock-only`
 */
export function isInstalled(wanted, installed, versionAt) {
  // One too many may shadow the right one.
  if (Object.keys(installed.packages ?? {}).some((path) => wanted.packages?.[path] === undefined)) return false;
  return Object.entries(wanted.packages ?? {}).every(([path, entry]) => {
    if (!path.includes("node_modules/")) return true;
    const found = installed.packages?.[path];
    if (!found) return entry.optional === true || entry.devOptional === true;
    if (entry.link) return found.link === true && found.resolved === entry.resolved;
    return found.integrity === entry.integrity && found.version === entry.version && versionAt(path) === entry.version;
  });
}

/** @param {string} path @returns {any} undefined when it is not there, or not JSON */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Runs `npm ci` when `node_modules` is missing, incomplete, or not of this lock.
 * @param {{ folder?: string }} [options]
 * @returns {Promise<{ ok: true, isFresh: boolean } | { ok: false, message: string }>}
 */
export async function installDependencies({ folder = root } = {}) {
  const lockText = readFileSync(join(folder, "package-lock.json"), "utf8");
  // Native parts differ by platform: a folder that is shared between two must not be believed by both.
  const stamp = createHash("sha256").update(`${process.platform} ${process.arch}\n${lockText}`).digest("hex");
  const stampPath = join(folder, "node_modules", ".polder-lock");
  const previous = existsSync(stampPath) ? readFileSync(stampPath, "utf8") : undefined;
  if (previous === stamp) return { ok: true, isFresh: false };

  /** @type {Lock | undefined} */
  const installed = readJson(join(folder, "node_modules", ".package-lock.json"));
  const versionAt = (/** @type {string} */ path) => readJson(join(folder, path, "package.json"))?.version;
  // Somebody ran npm by hand: nothing to do, and nothing of theirs to throw away.
  if (installed && isInstalled(JSON.parse(lockText), installed, versionAt)) {
    writeFileSync(stampPath, stamp);
    return { ok: true, isFresh: false };
  }

  const why = installed ? "the lock changed" : "first time, about a minute";
  const result = await withProgress(`installing dependencies (${why})`, () =>
    runCommand("npm-ci", [...npm(), "ci", "--no-audit", "--no-fund"], { cwd: folder, limitMs: 900_000 }),
  );
  if (!result.ok) return { ok: false, message: installFault(result) };
  writeFileSync(stampPath, stamp);
  return { ok: true, isFresh: true };
}

/** @param {import("./run-command.mjs").CommandResult} result */
function installFault({ output, fault }) {
  const log = `npm's own words are in ${logPath("npm-ci")}.`;
  if (/EACCES|EPERM|EROFS/.test(output))
    return `The dependencies could not be installed because this folder is not writable for you: change its owner or clone into a folder of your own. ${log}`;
  if (/ENOSPC/.test(output))
    return `The dependencies could not be installed because the disk is full: make room (about 1 GB). ${log}`;
  if (/ENOTFOUND|ETIMEDOUT|ECONNREFUSED|ECONNRESET|EAI_AGAIN|network/i.test(output))
    return `The dependencies could not be installed because the package registry could not be reached: check the network or npm's proxy settings. ${log}`;
  if (/can only install packages when your package.json and package-lock.json/.test(output))
    return `The dependencies could not be installed because package.json and package-lock.json disagree: run \`npm install\` and commit the lock. ${log}`;
  return `The dependencies could not be installed (npm ci: ${fault}). ${log}`;
}
