// @ts-check
import process from "node:process";

/**
 * Calls back when the npm that runs us was ended: it passes a signal to its shell, the shell dies of it, and we are not told.
 * @param {() => void} callback
 */
export function onNpmGone(callback) {
  if (!process.env.npm_lifecycle_event || process.platform === "win32") return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    callback();
  }, 500);
  watch.unref();
}
