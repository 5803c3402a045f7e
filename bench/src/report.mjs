// @ts-check
import { execFileSync } from "node:child_process";
import process from "node:process";

/** The commit that is measured, `-dirty` when the working tree differs from it; "unknown" outside a repository. */
function commit() {
  const git = (/** @type {string[]} */ ...args) =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    return git("rev-parse", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : "-dirty");
  } catch {
    return "unknown";
  }
}

/** @typedef {Record<string, string | number | boolean | undefined>} Row */

/** @param {Row[string]} value */
function cell(value) {
  if (typeof value !== "number") return String(value ?? "");
  return value.toLocaleString("en-GB", {
    maximumFractionDigits: Math.abs(value) < 10 ? 3 : Math.abs(value) < 100 ? 1 : 0,
  });
}

/**
 * Columns in the order in which rows name them; numbers to the right.
 * @param {readonly Row[]} rows
 */
export function formatTable(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].map((name) => {
    const cells = rows.map((row) => cell(row[name]));
    const isNumeric = rows.every((row) => row[name] === undefined || typeof row[name] === "number");
    return { name, cells, isNumeric, width: Math.max(name.length, ...cells.map((text) => text.length)) };
  });
  const line = (/** @type {(column: typeof columns[number]) => string} */ textOf) =>
    columns
      .map((column) => (column.isNumeric ? textOf(column).padStart(column.width) : textOf(column).padEnd(column.width)))
      .join("  ")
      .trimEnd();
  return [
    line(({ name }) => name),
    line(({ width }) => "-".repeat(width)),
    ...rows.map((_, at) => line(({ cells }) => cells[at] ?? "")),
  ];
}

/**
 * A target without its figure is not met.
 * @param {Record<string, number>} figures
 * @param {Record<string, { max?: number, min?: number }>} targets
 */
export function isMet(figures, targets) {
  return Object.entries(targets).every(([name, { max = Infinity, min = -Infinity }]) => {
    const figure = figures[name];
    return figure !== undefined && figure <= max && figure >= min;
  });
}

/**
 * Prints the table and, last, the result as one line of JSON.
 * @param {{
 *   bench: string,
 *   figures: Record<string, number>,
 *   targets: Record<string, { max?: number, min?: number }>,
 *   rows: readonly Row[],
 * }} result
 * @throws {TypeError} when a figure is not a finite number
 */
export function report({ bench, figures, targets, rows }) {
  for (const [name, figure] of Object.entries(figures)) {
    if (!Number.isFinite(figure)) throw new TypeError(`${bench}: figure ${name} is ${figure}, not a finite number`);
  }
  const summary = JSON.stringify({ bench, commit: commit(), figures, targets, met: isMet(figures, targets) });
  process.stdout.write(`${[...formatTable(rows), "", summary].join("\n")}\n`);
}
