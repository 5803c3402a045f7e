import { readFileSync, statSync } from "node:fs";
import { parseConfig, type Logger, type PolderConfig } from "@polder/core";

/** A configuration that cannot be used: the message names the file, and every place in it with what is wrong there. */
export class ConfigFileError extends Error {
  readonly code = "config_invalid";
}

/** @throws {ConfigFileError} */
export function readConfigFile(path: string): PolderConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new ConfigFileError(`Cannot read ${path} (${reason}): set POLDER_CONFIG, or make one with \`polder init\`.`, {
      cause: error,
    });
  }
  const result = parseConfig(text);
  if (result.ok) return result.config;
  const problems = result.problems.map(({ path: place, message }) => (place === "" ? message : `${place} ${message}`));
  throw new ConfigFileError(`${path} cannot be used: ${problems.join("; ")}`);
}

export interface ConfigWatch {
  stop(): void;
}

/**
 * Hands over the configuration after every change of the file that leaves it usable. A change that does not is logged with the place and the
 * reason, and what was in force stays in force. Looks at the file rather than at events of its folder: those differ between systems and
 * miss files that are swapped by a link.
 */
export function watchConfigFile(options: {
  path: string;
  onChange: (config: PolderConfig) => void;
  logger: Logger;
  intervalMs?: number;
}): ConfigWatch {
  const { path, onChange, logger } = options;
  const look = (): void => {
    try {
      onChange(readConfigFile(path));
      logger.info("the configuration was read again", { path });
    } catch (error) {
      logger.error("the changed configuration is not used, the one before stays", {
        path,
        reason: String(error instanceof Error ? error.message : error),
      });
    }
  };
  let seen = versionOf(path);
  const timer = setInterval(() => {
    const version = versionOf(path);
    if (version === seen) return;
    seen = version;
    look();
  }, options.intervalMs ?? 1000);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** Differs whenever the file was written, or another one took its place. */
function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}
