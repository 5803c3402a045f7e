import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Logger } from "@polder/core";
import { startEngine, type Engine } from "@polder/engine";

import { analystAccess } from "../analyst-access.ts";
import { createClickHouse, type ClickHouse } from "../clickhouse.ts";
import { migrate } from "../migrate.ts";

export interface TestDatabase {
  engine: Engine;
  clickhouse: ClickHouse;
  stop(): Promise<void>;
}

export const silent: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A real engine in a folder of its own, with the tables of this version unless told otherwise. */
export async function startTestDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), "polder-clickhouse-"));
  const engine = await startEngine({
    dataPath: folder,
    logger: silent,
    analyst: { databases: [analystAccess("polder")] },
  });
  const clickhouse = createClickHouse({
    url: engine.url,
    ...engine.admin,
    database: "polder",
    logger: silent,
    // On a busy machine a statement may take its time.
    timeoutMs: 200_000,
  });
  if (migrated) await migrate(clickhouse);
  return {
    engine,
    clickhouse,
    stop: async () => {
      await clickhouse.close();
      await engine.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
