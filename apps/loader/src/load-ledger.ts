import { StoreUnavailableError, type EventStore, type Logger, type PartitionConsumer } from "@polder/core";

const longestPauseMs = 5_000;

/**
 * Brings what collectors count into `ledger_entry`. Each row may come any number of times, so this needs none of the care that events need: what
 * was not committed is inserted again.
 */
export function createLedgerConsumer(deps: {
  store: Pick<EventStore, "insertLedger">;
  logger: Logger;
  /** Rejects when the loader is told to stop. */
  pause: (ms: number) => Promise<void>;
}): PartitionConsumer {
  const { store, logger, pause } = deps;

  /** Asks until ClickHouse has said what it thinks of them. */
  const tryInsert = async (rows: Uint8Array): Promise<{ ok: true } | { ok: false; message: string }> => {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      try {
        return await store.insertLedger("ledger_entry", rows);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        logger.warn("ClickHouse did not confirm entries of the loss ledger: they are sent again", {
          inMs: waitMs,
          error: error.message,
        });
        await pause(waitMs);
      }
    }
  };

  const insert = async (rows: readonly Uint8Array[]): Promise<void> => {
    const result = await tryInsert(Buffer.concat(rows.flatMap((row) => [row, lineBreak])));
    if (result.ok) return;
    if (rows.length === 1) {
      // Of a newer version, or nobody's. No event depends on it, and it must not hold up the others.
      logger.error("ClickHouse refused an entry of the loss ledger: it is left out", { reason: result.message });
      return;
    }
    const half = rows.length >> 1;
    await insert(rows.slice(0, half));
    await insert(rows.slice(half));
  };

  return {
    assigned: async (_partition, committed, { start }) => Math.max(committed?.offset ?? start, start),
    async consume({ records, commit }) {
      await insert(records.map(({ value }) => value));
      await commit({ offset: records.at(-1)!.offset + 1, metadata: "" });
    },
    revoked() {},
  };
}

const lineBreak = Buffer.from("\n");
