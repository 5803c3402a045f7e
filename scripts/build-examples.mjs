// @ts-check
// `node scripts/build-examples.mjs [<name>…]`: installs and builds the applications of `examples/` with @polder/browser as npm would
// deliver it. Quick when nothing changed. Exit code 3: the packages of others could not be installed.
import "./node-version.mjs";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { installDependencies } from "./install-dependencies.mjs";
import { listFiles } from "./list-files.mjs";
import { logPath, npm, root, runCommand } from "./run-command.mjs";
import { formatDuration, print, red } from "./terminal.mjs";

const examples = join(root, "examples");
const packed = join(examples, ".cache");
/** Folder below `packages`, and name below `@polder`. */
const packages = [
  ["protocol", "protocol"],
  ["sdk-browser", "browser"],
];

/** @param {string} name of the log @param {string[]} command @param {string} cwd */
async function runOrExit(name, command, cwd) {
  const result = await runCommand(name, command, { cwd, env: { NEXT_TELEMETRY_DISABLED: "1" } });
  if (result.ok) return;
  process.stderr.write(`${result.output}\n${red(`${name}: ${result.fault}; see ${logPath(name)}.`)}\n`);
  process.exit(1);
}

/** What the registry would hold: only the files that are published, under the names that the examples' locks have. */
async function pack() {
  mkdirSync(packed, { recursive: true });
  for (const [folder = "", name = ""] of packages) {
    const { version } = JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8"));
    await runOrExit(
      `pack-${name}`,
      [...npm(), "pack", "--silent", "--pack-destination", packed],
      join(root, "packages", folder),
    );
    renameSync(join(packed, `polder-${name}-${version}.tgz`), join(packed, `polder-${name}.tgz`));
  }
}

/** The lock says nothing of what is in our own packages, so that they can change without it. @param {string} folder */
async function unpack(folder) {
  for (const [, name = ""] of packages) {
    const target = join(folder, "node_modules", "@polder", name);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    const archive = join(packed, `polder-${name}.tgz`);
    await runOrExit(`unpack-${name}`, ["tar", "-xzf", archive, "--strip-components=1", "-C", target], folder);
  }
}

/** Changes with the example, with our packages and with the settings that a build takes in. @param {string} folder */
function stampOf(folder) {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch} ${process.version}\n`);
  for (const [, name = ""] of packages) hash.update(readFileSync(join(packed, `polder-${name}.tgz`)));
  for (const path of listFiles(folder)) hash.update(`${path}\n`).update(readFileSync(join(folder, path)));
  return hash.digest("hex");
}

const all = readdirSync(examples).filter((name) => existsSync(join(examples, name, "package-lock.json")));
const asked = process.argv.slice(2);
const unknown = asked.find((name) => !all.includes(name));
if (unknown !== undefined) {
  process.stderr.write(`There is no example "${unknown}" to be built: ${all.join(", ")}.\n`);
  process.exit(2);
}

await pack();
for (const name of asked.length > 0 ? asked : all) {
  const startedAt = performance.now();
  const folder = join(examples, name);
  const stampPath = join(folder, "node_modules", ".polder-build");
  const stamp = stampOf(folder);
  const isBuilt =
    existsSync(stampPath) && readFileSync(stampPath, "utf8") === stamp && existsSync(join(folder, "dist"));
  if (!isBuilt) {
    const installed = await installDependencies({ folder });
    if (!installed.ok) {
      process.stderr.write(`${installed.message}\n`);
      process.exit(3);
    }
    await unpack(folder);
    await runOrExit(`example-${name}`, [...npm(), "run", "build"], folder);
    writeFileSync(stampPath, stampOf(folder));
  }
  print(
    `${name}: ${isBuilt ? "built already" : "installed and built"}, ${formatDuration(performance.now() - startedAt)}`,
  );
}
