import type { CommittedPosition, EventStore, Logger, RowTable, Topic } from "@polder/core";
import { atomStride } from "./atoms.ts";
import { parseIntent, type Position } from "./intent.ts";

export interface PositionQuestion {
  topic: Topic;
  table: RowTable;
  partition: number;
  store: Pick<EventStore, "maxOffset" | "maxAtom" | "gaps">;
  logger: Logger;
  /** A text that was never given before. */
  newEpoch: () => string;
  committed: CommittedPosition | undefined;
  /** The first offset that the log still has, and the next one that it will give. */
  bounds: { start: number; end: number };
}

/** A person has to decide: going on would lose records, or take one for another. */
export class LoadingBlockedError extends Error {
  readonly code = "loading_blocked";
}

/**
 * Where loading goes on. The committed position is the truth; the tables are asked where it is missing, and where the two differ:
 *
 * - The table ends before it: a power cut or a restored backup took rows that had been stored. What lies between is loaded again, under tokens of a
 *   new epoch, and the position is kept as what follows. Of records that have no row (a client's retries, refused ones) the same is found again.
 *   That holds for a position that is itself on the way there: what is brought back can be lost once more.
 * - The table goes on after it: the position was put back, by hand or with an older copy of the log's state, or a newer copy of the tables was restored
 *   while an older one was being completed. Nothing is loaded twice for that.
 *
 * @throws {LoadingBlockedError} when records have left the log before they were loaded and nobody has accepted that, or the log is not the one that
 * was loaded before.
 */
export async function findPosition(question: PositionQuestion): Promise<Position> {
  const { topic, table, partition, store, logger, committed, bounds } = question;
  const place = { topic, partition };
  const greatest = await store.maxOffset(table, partition);
  const stored = greatest === undefined ? 0 : greatest + 1;
  const known = Math.max(committed?.offset ?? 0, stored);
  if (known > bounds.end) {
    throw new LoadingBlockedError(
      `${topic} ${partition}: offsets up to ${known} were loaded before, but the log ends at ${bounds.end}. It was emptied or made anew: ` +
        `bring the old log back, or start with an empty database.`,
    );
  }
  const nextAtom = async (least: number): Promise<number> => {
    const most = table === "events" ? await store.maxAtom(partition) : undefined;
    return Math.max(least, most === undefined ? 1 : Math.floor(most / atomStride) + 1);
  };

  const intent = committed && parseIntent(committed.metadata);
  if (!committed || !intent) {
    // A log that was there before us may have lost its beginning: nothing of it was ever ours.
    const offset = greatest === undefined ? bounds.start : await afterGaps(question, stored);
    if (committed && committed.offset !== offset)
      logger.warn("the position of the group was set by other means: loading goes on where the table ends", {
        ...place,
        committed: committed.offset,
        offset,
      });
    return { offset, atom: await nextAtom(1) };
  }

  const at: Position = { offset: committed.offset, ...intent };
  const passed = passedBy(stored, at);
  if (passed !== undefined) {
    logger.warn(
      "the table holds more than was committed: loading goes on after it. `polder replay` finds rows that it misses",
      {
        ...place,
        committed: at.offset,
        offset: stored,
      },
    );
    const offset = await afterGaps(question, stored);
    const free = Math.max(at.floor ?? at.atom, passed.floor ?? passed.atom);
    return { ...withoutRange(passed), offset, atom: await nextAtom(free) };
  }
  if (at.offset < bounds.start) {
    // An insert is in the table as a whole or not at all.
    const isRangeStored = at.to !== undefined && stored > at.offset;
    const offset = await afterGaps(question, isRangeStored ? at.to! + 1 : at.offset);
    return { ...withoutRange(at), offset, atom: await nextAtom(at.floor ?? at.atom) };
  }
  const from = Math.max(stored, bounds.start);
  if (from >= at.offset) return at;
  logger.info("reading again what the table does not hold", { ...place, from, to: at.offset - 1 });
  // The open range has its own numbers, whether or not its insert is still under way somewhere.
  const ofOpenRange = at.to === undefined ? 0 : at.to - at.offset + 1;
  const atom = await nextAtom(Math.max(at.floor ?? 0, at.atom + ofOpenRange));
  // Where nothing is under way, what follows is what followed before: the way back does not grow with every loss.
  const next = at.next !== undefined && at.to === undefined ? at.next : at;
  return { offset: from, atom, epoch: question.newEpoch(), next };
}

/** The first offset from `needed` on that is still in the log, when everything between has been accepted as lost. */
async function afterGaps(question: PositionQuestion, needed: number): Promise<number> {
  const { topic, partition, store, logger, bounds } = question;
  let from = needed;
  while (from < bounds.start) {
    const to = await store.gaps.acceptedTo(topic, partition, from);
    if (to === undefined) {
      const gap = { topic, partition, from, to: bounds.start - 1 };
      await store.gaps.found(gap);
      throw new LoadingBlockedError(
        `${topic} ${partition}: records ${gap.from} to ${gap.to} (${gap.to - gap.from + 1}) left the log before they were loaded, and are lost unless ` +
          "another copy of the log has them. Nothing of this partition is loaded until somebody accepts the loss: run `polder replay accept-gap`, " +
          "and raise the retention of the log (docs/how-to/replay.md).",
      );
    }
    logger.warn("records are lost, and somebody has accepted that", { topic, partition, from, to });
    from = Math.max(to + 1, from + 1);
  }
  return from;
}

/**
 * The last of these positions, which follow each other, that the table goes on after; undefined where it does not, or where an open range explains it:
 * whoever began that may have ended it since.
 */
function passedBy(stored: number, at: Position): Position | undefined {
  if (stored <= (at.to ?? at.offset - 1) + 1) return undefined;
  return at.next !== undefined && stored > at.next.offset ? passedBy(stored, at.next) : at;
}

/** A position after its range, or before what is to be loaded again. */
function withoutRange({ epoch, next }: Position): Pick<Position, "epoch" | "next"> {
  return { ...(epoch !== undefined && { epoch }), ...(next !== undefined && { next }) };
}
