import { readFileSync, statSync } from "node:fs";
import { createSiteDirectory, parseConfig, type Logger, type Site } from "@polder/core";

/**
 * The sites of a configuration file: the same list as long as the file is the same. A changed file that cannot be used leaves what was there before.
 * Throws at once when it cannot be used to begin with.
 */
export function createSitesOfFile(path: string, logger: Logger): () => readonly Site[] {
  let seen = versionOf(path);
  let sites = read(path);
  return () => {
    const version = versionOf(path);
    if (version === seen) return sites;
    seen = version;
    try {
      sites = read(path);
    } catch (error) {
      logger.error("the changed configuration is not used, the one before stays", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    return sites;
  };
}

function read(path: string): readonly Site[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read ${path}: set POLDER_CONFIG to the configuration of the collectors.`, { cause: error });
  }
  const result = parseConfig(text);
  if (result.ok) return createSiteDirectory(result.config).sites();
  const problems = result.problems.map((problem) => `${problem.path} ${problem.message}`.trim());
  throw new Error(`${path} cannot be used: ${problems.join("; ")}`);
}

/** Differs whenever the file was written, or another one took its place. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}
