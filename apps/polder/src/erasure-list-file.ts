import { existsSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { readErasureList, restoreErasures, type ClickHouse, type ListedErasure } from "@polder/clickhouse";
import type { ErasureStore } from "@polder/core";
import { CommandError, messageOf } from "./cli/exit-code.ts";

/** In the data folder, beside the tables: who was erased, by hashes, for a restore of tables that do not know of it. */
export const erasureListName = "erasures.json";

const maxErasures = 100_000;

/** Writes the list as the tables have it: as a whole or not at all. */
export async function writeErasureList(dataPath: string, clickhouse: ClickHouse): Promise<void> {
  const erasures = await readErasureList(clickhouse);
  const path = join(dataPath, erasureListName);
  const file = await open(`${path}.partial`, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ format: 1, erasures })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.partial`, path);
}

/**
 * What the list has and the tables do not is asked for again, and hidden, before anybody can ask a question. Returns how many that were.
 * @throws {CommandError} when the list cannot be used: to go on without would show who was erased.
 */
export async function replayErasureList(
  dataPath: string,
  clickhouse: ClickHouse,
  store: Pick<ErasureStore, "openErasures" | "begin">,
  now: () => Date,
): Promise<number> {
  const path = join(dataPath, erasureListName);
  if (!existsSync(path)) return 0;
  const restored = await readFile(path, "utf8")
    .then((text) => (JSON.parse(text) as { erasures: ListedErasure[] }).erasures)
    .then((erasures) => restoreErasures(clickhouse, erasures, now()))
    .catch((error: unknown) => {
      throw new CommandError(
        `The list of erasures in ${path} cannot be used: ${messageOf(error)} Bring it back from a copy; without it people who were erased may be in the tables again. To go on without, move it away.`,
      );
    });
  if (restored === 0) return 0;
  await store.begin(await store.openErasures(maxErasures, now), now);
  return restored;
}
