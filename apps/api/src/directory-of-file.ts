import { readFileSync, statSync } from "node:fs";
import { createSiteDirectory, parseConfig, type Logger, type SiteDirectory } from "@polder/core";

/**
 * The sites and keys of a configuration file, read again when the file has changed; a file that cannot be used any more leaves what was there before.
 * Throws at once when it cannot be used to begin with.
 */
export function createDirectoryOfFile(path: string, logger: Logger): SiteDirectory {
  let seen = versionOf(path);
  let directory = read(path);
  const current = (): SiteDirectory => {
    const version = versionOf(path);
    if (version === seen) return directory;
    seen = version;
    try {
      directory = read(path);
    } catch (error) {
      logger.error("the changed configuration is not used, the one before stays", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    return directory;
  };
  return {
    findKey: (key) => current().findKey(key),
    findSite: (id) => current().findSite(id),
    sites: () => current().sites(),
  };
}

function read(path: string): SiteDirectory {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read ${path}: set POLDER_CONFIG, or make one with \`polder init\`.`, { cause: error });
  }
  const result = parseConfig(text);
  if (result.ok) return createSiteDirectory(result.config);
  throw new Error(
    `${path} cannot be used: ${result.problems.map((problem) => `${problem.path} ${problem.message}`.trim()).join("; ")}`,
  );
}

/** Differs whenever the file was written, or another one took its place. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}
