import { readFileSync, statSync } from "node:fs";
import { parseConfig, type Logger } from "@polder/core";
import type { ApiSite } from "./create-api.ts";

/**
 * The sites of a configuration file, read again when the file has changed; a file that cannot be used any more leaves what was there before.
 * Throws at once when it cannot be used to begin with.
 */
export function createSitesOfFile(path: string, logger: Logger): () => readonly ApiSite[] {
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

function read(path: string): readonly ApiSite[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read ${path}: set POLDER_CONFIG, or make one with \`polder init\`.`, { cause: error });
  }
  const result = parseConfig(text);
  if (result.ok) return result.config.sites.map(({ id, name, timezone }) => ({ id, name, timezone }));
  throw new Error(
    `${path} cannot be used: ${result.problems.map((problem) => `${problem.path} ${problem.message}`.trim()).join("; ")}`,
  );
}

/** Differs whenever the file was written, or another one took its place. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}
