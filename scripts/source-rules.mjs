// @ts-check
// Rules that people forget and no linter of ours knows. `npm run check` runs this.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { blankOut } from "./blank-out.mjs";
import { listFiles } from "./list-files.mjs";
import { root } from "./run-command.mjs";

/**
 * @typedef {object} SourceRule
 * @property {RegExp} files which paths it is about
 * @property {RegExp} [except] which of these it is not about
 * @property {RegExp} refuses searched line by line in the code, comments and strings blanked out
 * @property {RegExp} [unless] a comment on the line, or on the line before, that allows it
 * @property {string} says what is wrong and what to do
 */

const anyTest = /\.(?:test|spec)\.tsx?$/;

/** @type {readonly SourceRule[]} */
export const sourceRules = [
  {
    files: /^(?:packages|apps)\/[^/]+\/src\//,
    except: /\.test\.tsx?$|^apps\/[^/]+\/src\/(?:main|config)\.ts$/,
    refuses: /\bprocess\s*\.\s*env\b|\bimport\s*\{[^}]*\benv\b[^}]*\}\s*from\s*"\s+"/,
    says: "only an app's main.ts and config.ts read the environment: take the value as an argument",
  },
  {
    files: /^packages\/core\/src\/ports\//,
    refuses: /[:<|&,([]\s*any\b|\bas\s+any\b|\bany\s*\[\]/,
    says: "a port is a contract and says what it takes: no `any`",
  },
  {
    files: /^packages\/(?:core|protocol)\/src\//,
    except: /\.test\.ts$|^packages\/core\/src\/contracts\//,
    refuses:
      /\bDate\.now\s*\(|\bnew\s+Date\s*\(\s*\)|\bMath\.random\s*\(|\brandomUUID\s*\(|\bset(?:Timeout|Interval|Immediate)\s*\(|\bfetch\s*\(/,
    says: "core and protocol get time, ids and I/O as arguments",
  },
  {
    files: anyTest,
    refuses: /(?<!\btest\.)\bsetTimeout\s*\(|\bwaitForTimeout\s*\(/,
    unless: /\bnot a wait: \S/,
    says: "tests do not sleep: inject the clock or wait for the thing itself (where it is something else: `// not a wait: <why>`)",
  },
  {
    files: /\.(?:test|spec)\.tsx?$|^(?:vitest|test-e2e\/playwright)\.config\.ts$/,
    refuses: /\bretr(?:y|ies)\s*:\s*[1-9]/,
    says: "tests are not tried again: a test that fails sometimes has found something",
  },
  {
    files: anyTest,
    refuses: /\b(?:it|test|describe|suite)\s*\.\s*only\s*\(/,
    says: "`.only` hides every other test",
  },
  {
    files: /^(?:packages|apps)\/[^/]+\/src\//,
    refuses: /^\s*export\s+(?:default\b|\*)/,
    says: "named exports only, every name spelled out",
  },
];

const fileNameRule = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/;
const vagueNames = /(?:^|\/)(?:utils?|helpers?|common|manager|misc)(?:\/|\.[cm]?[jt]sx?$)/;

/**
 * @param {string} path with slashes, from the root
 * @param {string} source
 * @param {readonly SourceRule[]} [rules]
 * @returns {{ path: string, line: number, says: string }[]}
 */
export function findFaults(path, source, rules = sourceRules) {
  const faults = pathFaults(path);
  const due = rules.filter((rule) => rule.files.test(path) && !rule.except?.test(path));
  if (due.length === 0) return faults;
  const lines = source.split("\n");
  for (const [index, code] of blankOut(source).split("\n").entries()) {
    for (const { refuses, unless, says } of due) {
      if (!refuses.test(code)) continue;
      if (unless?.test(`${lines[index - 1] ?? ""}\n${lines[index]}`)) continue;
      faults.push({ path, line: index + 1, says });
    }
  }
  return faults;
}

/** @param {string} path */
function pathFaults(path) {
  if (!/\.[cm]?[jt]sx?$/.test(path)) return [];
  const name = path.slice(path.lastIndexOf("/") + 1);
  const faults = [];
  if (!fileNameRule.test(name))
    faults.push({ path, line: 1, says: "files are named in kebab-case after what they export" });
  if (vagueNames.test(path))
    faults.push({ path, line: 1, says: "name it after what it does: utils, helpers, common say nothing" });
  return faults;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const paths = listFiles(root).filter((path) => /\.[cm]?[jt]sx?$/.test(path));
  const faults = paths.flatMap((path) => findFaults(path, readFileSync(join(root, path), "utf8")));
  for (const { path, line, says } of faults) process.stdout.write(`${path}:${line}  ${says}\n`);
  process.stdout.write(`${paths.length} files, ${faults.length} faults\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
