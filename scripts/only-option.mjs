// @ts-check
import process from "node:process";
import { print } from "./terminal.mjs";

/**
 * Reads `--only a,b` and file filters; answers `--help` and mistakes by ending the process.
 * @param {string[]} args
 * @param {{ command: string, names: readonly string[], groups?: Record<string, readonly string[]> }} options
 * @returns {{ only: Set<string>, filters: string[] }}
 */
export function onlyOption(args, options) {
  const parsed = parseOnly(args, options);
  if ("help" in parsed) {
    print(parsed.help);
    process.exit(0);
  }
  if ("fault" in parsed) {
    process.stderr.write(`${parsed.fault}\n`);
    process.exit(2);
  }
  return parsed;
}

/**
 * @param {string[]} args
 * @param {{ command: string, names: readonly string[], groups?: Record<string, readonly string[]> }} options
 * @returns {{ only: Set<string>, filters: string[] } | { help: string } | { fault: string }}
 */
export function parseOnly(args, { command, names, groups = {} }) {
  const known = [...Object.keys(groups), ...names].join(", ");
  /** @type {string[]} */
  const wanted = [];
  /** @type {string[]} */
  const filters = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--help" || arg === "-h") {
      return {
        help: [
          `Usage: ${command} [-- [--only <step>[,<step>…]] [<file filter>…]]`,
          "",
          `Steps: ${known}`,
          "A file filter is part of a test file's path; it narrows the test steps.",
        ].join("\n"),
      };
    }
    if (arg === "--only") wanted.push(...(args[++index] ?? "").split(","));
    else if (arg.startsWith("--only=")) wanted.push(...arg.slice("--only=".length).split(","));
    else if (arg.startsWith("-")) return { fault: `Unknown option ${arg}. ${command} -- --help lists what there is.` };
    else filters.push(arg);
  }
  const only = new Set(wanted.flatMap((name) => groups[name.trim()] ?? [name.trim()]));
  const unknown = [...only].filter((name) => !names.includes(name));
  if (unknown.length > 0)
    return { fault: `Unknown step ${unknown.map((name) => `"${name}"`).join(", ")}. Steps: ${known}.` };
  return { only: wanted.length > 0 ? only : new Set(names), filters };
}
