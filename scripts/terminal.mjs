// @ts-check
import process from "node:process";

const isTerminal = process.stdout.isTTY === true;
// https://no-color.org: set and not empty means none, whatever the terminal can do.
const hasColour = isTerminal && !process.env.NO_COLOR && process.env.TERM !== "dumb";

// A reader that had enough (`| head`) must not end us half way, with processes of ours left running.
process.stdout.on("error", () => {});

/** @param {number} code @param {string} text */
const paint = (code, text) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text);

/** @param {string} text */
export const red = (text) => paint(31, text);
/** @param {string} text */
export const green = (text) => paint(32, text);
/** @param {string} text */
export const yellow = (text) => paint(33, text);
/** @param {string} text */
export const dim = (text) => paint(2, text);

/** @param {number} ms */
export function formatDuration(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** @param {string} line */
export function print(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * Shows that `work` is under way: `label … 41 s`, counting on a terminal, in one go elsewhere.
 * @template T
 * @param {string} label
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withProgress(label, work) {
  const startedAt = performance.now();
  const line = (end = "") => `${label} … ${formatDuration(performance.now() - startedAt)}${end}`;
  process.stdout.write(isTerminal ? line() : `${label} …`);
  const ticker = isTerminal ? setInterval(() => process.stdout.write(`\r${line("   ")}`), 500) : undefined;
  let isDone = false;
  try {
    const result = await work();
    isDone = true;
    return result;
  } finally {
    clearInterval(ticker);
    const end = isDone ? "" : ", failed";
    process.stdout.write(
      isTerminal ? `\r${line(`${end}   `)}\n` : ` ${formatDuration(performance.now() - startedAt)}${end}\n`,
    );
  }
}
