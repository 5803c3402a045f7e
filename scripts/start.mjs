// @ts-check
// `npm start`: everything embedded, with the demo shop. Arguments go to `polder start`.
import "./node-version.mjs";
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { buildOrExit } from "./build.mjs";
import { onNpmGone } from "./npm-gone.mjs";
import { root } from "./run-command.mjs";
import { setUp } from "./setup.mjs";

await setUp();
await buildOrExit();

const child = spawn(
  process.execPath,
  [join(root, "apps/polder/bin/polder.mjs"), "start", "--demo", ...process.argv.slice(2)],
  {
    stdio: "inherit",
    env: process.env,
    // A group of its own: Ctrl-C reaches us from the terminal and from npm, and must reach the child once.
    detached: process.platform !== "win32",
  },
);

let forwardedAt = Number.NEGATIVE_INFINITY;
/** @param {NodeJS.Signals} signal */
function forward(signal) {
  // npm repeats what the terminal sent; a person who means it again takes longer.
  const now = performance.now();
  if (now - forwardedAt < 1000) return;
  forwardedAt = now;
  child.kill(signal);
}
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) process.on(signal, forward);
onNpmGone(() => forward("SIGTERM"));

child.on("error", (error) => {
  process.stderr.write(`Polder could not be started: ${error.message}\n`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
});
