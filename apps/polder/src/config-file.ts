import { existsSync, readFileSync } from "node:fs";
import { rename, stat, writeFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { parseConfig, type PolderConfig } from "@polder/core";
import { codeOf, CommandError, messageOf } from "./cli/exit-code.ts";
import { demoConfigPath, type Settings } from "./settings.ts";

export const configFileName = "polder.config.json";

/** The file that a command is about: the one given, else the one here, else that of the demo. Undefined when there is none. */
export function findConfigFile({ configPath, dataPath }: Settings, cwd: string): string | undefined {
  if (configPath !== undefined) return configPath;
  return [resolve(cwd, configFileName), demoConfigPath(dataPath)].find((path) => existsSync(path));
}

/** @throws {CommandError} with the path within the file and the reason, for everything that is wrong with it. */
export function readConfigFile(path: string): PolderConfig {
  const text = readConfigText(path);
  const result = parseConfig(text);
  if (result.ok) return result.config;
  const problems = result.problems.map(
    ({ path: place, message }) => `  ${place === "" ? "the file" : place} ${message}`,
  );
  throw new CommandError(`${shortPath(path)} is not a configuration that Polder can use:\n${problems.join("\n")}`);
}

export function readConfigText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") {
      throw new CommandError(
        `There is no ${shortPath(path)}. Make one with \`npx polder init\`, or try the shop with \`npx polder start --demo\`.`,
      );
    }
    throw new CommandError(
      `${shortPath(path)} cannot be read: ${messageOf(error)}. Give this user the right to read it.`,
    );
  }
}

/** Replaces the file in one step: a reader sees the old one or the new one. Keeps its mode; a new one has `modeOfNew`. */
export async function writeConfigFile(path: string, config: unknown, modeOfNew = 0o644): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => modeOfNew,
  );
  const draft = `${path}.${process.pid}.draft`;
  try {
    await writeFile(draft, `${JSON.stringify(config, undefined, 2)}\n`, { mode });
    await rename(draft, path);
  } catch (error) {
    throw new CommandError(
      `${shortPath(path)} cannot be written: ${messageOf(error)}. Choose another place, or give this user the right to write there.`,
    );
  }
}

const shortPath = (path: string): string => {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short || path;
};
