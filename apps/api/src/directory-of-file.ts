import { readFileSync, statSync } from "node:fs";
import {
  createSiteDirectory,
  parseConfig,
  type EdgeSettings,
  type Logger,
  type PolderConfig,
  type SiteDirectory,
} from "@polder/core";

export interface DirectoryOfFile extends SiteDirectory {
  /** What is believed of the machines in front of us. */
  edge(): EdgeSettings;
}

/**
 * The sites and keys of a configuration file, read again when the file has changed; a file that cannot be used any more leaves what was there before.
 * Throws at once when it cannot be used to begin with.
 */
export function createDirectoryOfFile(path: string, logger: Logger): DirectoryOfFile {
  let seen = versionOf(path);
  let known = read(path);
  const current = (): Known => {
    const version = versionOf(path);
    if (version === seen) return known;
    seen = version;
    try {
      known = read(path);
    } catch (error) {
      logger.error("the changed configuration is not used, the one before stays", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    return known;
  };
  return {
    findKey: (key) => current().directory.findKey(key),
    findSite: (id) => current().directory.findSite(id),
    sites: () => current().directory.sites(),
    edge: () => current().config,
  };
}

interface Known {
  config: PolderConfig;
  directory: SiteDirectory;
}

function read(path: string): Known {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read ${path}: set POLDER_CONFIG, or make one with \`polder init\`.`, { cause: error });
  }
  const result = parseConfig(text);
  if (result.ok) return { config: result.config, directory: createSiteDirectory(result.config) };
  throw new Error(
    `${path} cannot be used: ${result.problems.map((problem) => `${problem.path} ${problem.message}`.trim()).join("; ")}`,
  );
}

/** Differs whenever the file was written, or another one took its place. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}
