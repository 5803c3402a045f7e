import {
  StoreUnavailableError,
  type CommittedPosition,
  type EventStore,
  type LogRange,
  type Logger,
  type RowTable,
  type StoredRecord,
  type Topic,
} from "@polder/core";
import { atomStride, createAtoms, type Atoms } from "./atoms.ts";
import type { EndingAtoms } from "./ending-atoms.ts";
import { formatIntent, parseIntent, type Intent } from "./intent.ts";
import { createMessageWindow, type MessageWindow } from "./message-window.ts";
import { refusedRow } from "./refused-row.ts";
import { spliceRows } from "./splice-rows.ts";

export interface LoadOutcome {
  loaded: number;
  duplicate: number;
  refused: number;
}

export interface PartitionOptions {
  topic: Topic;
  table: RowTable;
  partition: number;
  store: EventStore;
  ending: EndingAtoms;
  logger: Logger;
  now: () => Date;
  /** Offsets over which a client's retry is caught; 0 for a topic whose rows are not deduplicated by message. */
  windowSpan: number;
  maxCachedAtoms: number;
  /** Rejects when the loader is told to stop. */
  pause: (ms: number) => Promise<void>;
  onLoaded: (outcome: LoadOutcome) => void;
}

export interface PartitionLoader {
  consume(range: LogRange): Promise<void>;
}

/** Where loading goes on, and what an earlier life left there. */
interface Resume {
  /** Read from here: records before `committed` are judged again, without commits, until the committed position is reached. */
  offset: number;
  committed: number;
  intent: Intent;
}

/**
 * Works out where a partition goes on and what it has to remember for that.
 * The committed position is the truth; the tables are asked where it is missing, and where they hold less than was committed (a power cut).
 */
export async function openPartition(
  options: PartitionOptions,
  committed: CommittedPosition | undefined,
  bounds: { start: number; end: number },
): Promise<{ offset: number; loader: PartitionLoader }> {
  const resume = await findResume(options, committed, bounds);
  const window = createMessageWindow(options.windowSpan);
  if (options.windowSpan > 0) {
    // Rows of the open intent stay out: were they in, the retry would take them for duplicates and not heal what the crash cut off.
    const from = Math.max(0, resume.offset - options.windowSpan);
    for await (const { offset, site, messageId } of options.store.messageIds(options.partition, from, resume.offset))
      window.add(site, messageId, offset);
  }
  return { offset: resume.offset, loader: createPartitionLoader(options, resume, window) };
}

async function findResume(
  options: PartitionOptions,
  committed: CommittedPosition | undefined,
  bounds: { start: number; end: number },
): Promise<Resume> {
  const { topic, table, partition, store, logger } = options;
  const place = { topic, partition };
  const greatest = await store.maxOffset(table, partition);
  const known = Math.max(committed?.offset ?? 0, greatest === undefined ? 0 : greatest + 1);
  if (known > bounds.end) {
    throw new Error(
      `${topic} ${partition}: offsets up to ${known} were loaded before, but the log ends at ${bounds.end}. It was emptied or made anew: ` +
        `bring the old log back, or start with an empty database`,
    );
  }
  if (committed && committed.offset < bounds.start) {
    const lost = { from: committed.offset, to: bounds.start - 1 };
    logger.error("records left the log before they were loaded and are lost: raise its retention", {
      ...place,
      ...lost,
    });
  }

  const afterTable = Math.max(greatest === undefined ? 0 : greatest + 1, bounds.start);
  const goOn = committed ? Math.max(committed.offset, bounds.start) : afterTable;
  // Between the end of the table and the committed position are duplicates and refused rows, which the same rules find again, or rows that a
  // power cut took from the table, which come back.
  const offset = Math.min(afterTable, goOn);
  if (offset < goOn)
    logger.info("reading again what the table does not hold", { ...place, from: offset, to: goOn - 1 });

  const intent = goOn === committed?.offset ? parseIntent(committed.metadata) : undefined;
  if (intent && offset === goOn) return { offset, committed: goOn, intent };
  const greatestAtom = table === "events" ? await store.maxAtom(partition) : undefined;
  const afterAtoms = greatestAtom === undefined ? 1 : Math.floor(greatestAtom / atomStride) + 1;
  return { offset, committed: goOn, intent: intent ?? { atom: afterAtoms } };
}

function createPartitionLoader(options: PartitionOptions, resume: Resume, window: MessageWindow): PartitionLoader {
  const { topic, table, partition, store, ending, logger, now, pause, onLoaded } = options;
  const atoms: Atoms = createAtoms({ partition, store, ending, maxCached: options.maxCachedAtoms });
  let nextAtom = resume.intent.atom;
  /** Last offset of an intent that an earlier life left open: exactly its range must be inserted first. */
  let openTo = resume.intent.to;
  const silent: LogRange["commit"] = () => Promise.resolve();
  let held: readonly StoredRecord[] = [];

  const insert = async (
    into: RowTable,
    token: string,
    bytes: Uint8Array,
  ): Promise<{ ok: true } | { ok: false; message: string }> => {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5_000)) {
      try {
        return await store.insert(into, token, [bytes]);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        logger.warn("ClickHouse did not confirm an insert: sending the same again", {
          topic,
          partition,
          inMs: waitMs,
          error: error.message,
        });
        await pause(waitMs);
      }
    }
  };

  const load = async (records: readonly StoredRecord[], commit: LogRange["commit"]): Promise<LoadOutcome> => {
    const first = records[0]!.offset;
    const last = records.at(-1)!.offset;
    await commit({ offset: first, metadata: formatIntent({ to: last, atom: nextAtom }) });

    const fresh = options.windowSpan > 0 ? dropDuplicates(records, window) : records;
    let outcome: LoadOutcome = { loaded: fresh.length, duplicate: records.length - fresh.length, refused: 0 };
    if (fresh.length > 0) {
      const resolved = table === "events" ? await atoms.resolve(fresh, nextAtom) : undefined;
      const result = await insert(
        table,
        `${topic}:${partition}:${first}-${last}`,
        spliceRows(partition, fresh, resolved?.atoms),
      );
      if (result.ok) {
        if (resolved) {
          atoms.remember(resolved.fresh);
          nextAtom = resolved.next;
        }
        if (options.windowSpan > 0)
          for (const { headers, offset } of fresh) window.add(headers.site, headers.id, offset);
      } else if (records.length > 1) {
        const half = records.length >> 1;
        const left = await load(records.slice(0, half), commit);
        const right = await load(records.slice(half), commit);
        return {
          loaded: left.loaded + right.loaded,
          duplicate: left.duplicate + right.duplicate,
          refused: left.refused + right.refused,
        };
      } else {
        logger.error("ClickHouse refused a row: it is in the table rejected, with the reason", {
          topic,
          partition,
          offset: first,
        });
        const row = refusedRow({ record: records[0]!, partition, message: result.message, now: now() });
        const put = await insert("rejected", `refused:${topic}:${partition}:${first}`, row);
        if (!put.ok) throw new Error(`ClickHouse refuses even the row that says what it refused: ${put.message}`);
        outcome = { loaded: 0, duplicate: 0, refused: 1 };
      }
    }
    await commit({ offset: last + 1, metadata: formatIntent({ atom: nextAtom }) });
    return outcome;
  };

  return {
    async consume(range) {
      held = held.length > 0 ? [...held, ...range.records] : range.records;
      while (held.length > 0) {
        const isAgain = held[0]!.offset < resume.committed;
        if (!isAgain && openTo !== undefined && held.at(-1)!.offset < openTo) return; // the rest of the open range comes with the next one
        const last = isAgain ? resume.committed - 1 : (openTo ?? Infinity);
        const cut = held.findIndex((record) => record.offset > last);
        const end = cut === -1 ? held.length : cut;
        // Committing on the way back up would overwrite an open intent that is still to come.
        const outcome = await load(held.slice(0, end), isAgain ? silent : range.commit);
        if (!isAgain) openTo = undefined;
        held = held.slice(end);
        onLoaded(outcome);
      }
    },
  };
}

/** Without those in the window, and without the second of two in the same range. */
function dropDuplicates(records: readonly StoredRecord[], window: MessageWindow): StoredRecord[] {
  const seen = new Set<string>();
  return records.filter(({ headers: { site, id }, offset }) => {
    const key = `${site}\n${id}`;
    if (seen.has(key) || window.has(site, id, offset)) return false;
    seen.add(key);
    return true;
  });
}
