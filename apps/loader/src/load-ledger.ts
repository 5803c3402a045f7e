import {
  StoreUnavailableError,
  type EventStore,
  type LedgerTable,
  type Logger,
  type PartitionConsumer,
  type Topic,
} from "@polder/core";

const topic: Topic = "polder.ledger";
const longestPauseMs = 5_000;

/**
 * Brings what collectors count into `ledger_entry`. Each row may come any number of times, so this needs none of the care that events need: what
 * was not committed is inserted again, and what a restored table may not hold is read again.
 */
export function createLedgerConsumer(deps: {
  store: Pick<EventStore, "insertLedger" | "ledgerPosition">;
  logger: Logger;
  /** Rejects when the loader is told to stop. */
  pause: (ms: number) => Promise<void>;
}): PartitionConsumer {
  const { store, logger, pause } = deps;

  /** Asks until ClickHouse has said what it thinks of them. */
  const tryInsert = async (
    table: LedgerTable,
    rows: Uint8Array,
  ): Promise<{ ok: true } | { ok: false; message: string }> => {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      try {
        return await store.insertLedger(table, rows);
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
    const result = await tryInsert("ledger_entry", Buffer.concat(rows.flatMap((row) => [row, lineBreak])));
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
    async assigned(partition, committed, { start, end }) {
      if (committed === undefined) return start;
      const place = { topic, partition };
      if (committed.offset > end) {
        logger.error(
          "the topic of the loss ledger ends before what was read of it: it was made anew, and is read from its start",
          {
            ...place,
            read: committed.offset,
            end,
          },
        );
        return start;
      }
      // Before what was committed: the tables were restored from an older backup.
      const held = (await store.ledgerPosition(partition)) ?? start;
      const from = Math.min(committed.offset, held);
      if (from < start)
        logger.error(
          "entries of the loss ledger left the log before they were loaded: loss_ledger lacks what they counted",
          {
            ...place,
            from,
            to: start - 1,
          },
        );
      return Math.max(from, start);
    },
    async consume({ partition, records, commit }) {
      await insert(records.map(({ value }) => value));
      const offset = records.at(-1)!.offset + 1;
      const position = { topic, partition, next_offset: offset };
      await tryInsert("ledger_progress", Buffer.from(`${JSON.stringify(position)}\n`));
      await commit({ offset, metadata: "" });
    },
    revoked() {},
  };
}

const lineBreak = Buffer.from("\n");
