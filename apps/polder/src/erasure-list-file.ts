import { existsSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { readErasureList, restoreErasures, type ClickHouse, type ListedErasure } from "@polder/clickhouse";
import type { ErasureStore } from "@polder/core";
import { CommandError, messageOf } from "./cli/exit-code.ts";

/** In the data folder, beside the tables: who was erased, by hashes, for a restore of tables that do not know of it. */
export const erasureListName = "erasures.json";

/** All there are: who is left out would be seen. */
const maxErasures = 2 ** 32 - 1;

export interface ErasureList {
  /** Writes down every erasure that the tables have by now: as a whole or not at all. */
  write(): Promise<void>;
}

/** One write at a time; whoever asks while one is under way shares the next one, which reads anew. */
export function createErasureList(dataPath: string, clickhouse: ClickHouse): ErasureList {
  const path = join(dataPath, erasureListName);
  let underWay: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;

  async function write(): Promise<void> {
    const erasures = await readErasureList(clickhouse);
    const file = await open(`${path}.partial`, "w", 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ format: 1, erasures })}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.partial`, path);
  }

  return {
    write() {
      next ??= underWay
        .catch(() => undefined)
        .then(() => {
          next = undefined;
          return (underWay = write());
        });
      return next;
    },
  };
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
  // Also where all of them are in the tables: a start before this one may have been cut off before it hid anybody. Of many some are found at a time.
  let known = -1;
  for (;;) {
    const found = await store.openErasures(maxErasures, now);
    if (found.length === known) return restored;
    await store.begin(found, now);
    known = found.length;
  }
}
