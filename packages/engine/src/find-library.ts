import { createRequire } from "node:module";

import { EngineError } from "./engine-error.ts";

interface LibraryLocator {
  tryResolveLibchdb(): { path: string } | undefined;
}

/** Path of the database's shared library for this platform. Throws {@link EngineError} `platform_unsupported` where there is no build. */
export function findLibrary(
  platform = `${process.platform}-${process.arch}`,
  locate: () => { path: string } | undefined = locateInstalled,
): string {
  const found = locate();
  if (found !== undefined) return found.path;
  throw new EngineError(
    "platform_unsupported",
    `The embedded ClickHouse has no build for ${platform} (there is one for Linux with glibc and for macOS, x64 and arm64). ` +
      "Set CLICKHOUSE_URL, CLICKHOUSE_USER and CLICKHOUSE_PASSWORD to use a ClickHouse server instead.",
  );
}

// `chdb/libchdb` only looks for the file. Importing `chdb` itself would load the engine into this process.
function locateInstalled(): { path: string } | undefined {
  const locator = createRequire(import.meta.url)("chdb/libchdb") as LibraryLocator;
  return locator.tryResolveLibchdb();
}
