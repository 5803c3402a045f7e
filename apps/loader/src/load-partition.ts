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
import { createAtoms, type Atoms } from "./atoms.ts";
import { createDuplicateJudge, type DuplicateJudge } from "./duplicate-judge.ts";
import type { EndingAtoms } from "./ending-atoms.ts";
import type { ErasedIdCheck } from "./erased-ids.ts";
import { findPosition } from "./find-position.ts";
import { foreignRow, refusedRow, whyForeign } from "./refused-row.ts";
import { formatIntent, type Position } from "./intent.ts";
import { createMessageWindow } from "./message-window.ts";
import { settle, type Settled } from "./settle.ts";
import { spliceRows } from "./splice-rows.ts";

export interface LoadOutcome {
  loaded: number;
  duplicate: number;
  refused: number;
  /** Of people who were erased after it had happened. */
  erased: number;
}

export interface PartitionOptions {
  topic: Topic;
  table: RowTable;
  partition: number;
  store: EventStore;
  ending: EndingAtoms;
  erasedIds: ErasedIdCheck;
  logger: Logger;
  now: () => Date;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  newEpoch: () => string;
  /** Offsets over which a client's retry is caught; 0 for a topic whose rows are not deduplicated by message. */
  windowSpan: number;
  maxCachedAtoms: number;
  /** Rejects when the loader is told to stop. */
  pause: (ms: number) => Promise<void>;
  onLoaded: (outcome: LoadOutcome) => void;
}

export interface PartitionLoader {
  consume(range: LogRange): Promise<void>;
  /** Offset of the next record to load. */
  position(): number;
  /** Whether it is bringing back what the table has lost. */
  isReadingAgain(): boolean;
}

const nobody: Set<StoredRecord> = new Set();

/** An intent confirmed longer ago than this is confirmed again before its rows are sent: another loader may have the partition by now. */
const intentHoldsMs = 5_000;
const longestPauseMs = 5_000;

/** Works out where a partition goes on, and reads back what it has to remember for that. */
export async function openPartition(
  options: PartitionOptions,
  committed: CommittedPosition | undefined,
  bounds: { start: number; end: number },
): Promise<{ offset: number; loader: PartitionLoader }> {
  const position = await findPosition({ ...options, committed, bounds });
  const duplicates = await readWindow(options, position.offset);
  return { offset: position.offset, loader: createPartitionLoader(options, position, duplicates) };
}

/** The window as whoever loaded the rows before the position had it. */
async function readWindow(options: PartitionOptions, before: number): Promise<DuplicateJudge | undefined> {
  const { store, partition, windowSpan } = options;
  if (windowSpan === 0) return undefined;
  const window = createMessageWindow(windowSpan);
  // Rows of the open intent stay out: were they in, the retry would take them for duplicates and not heal what the crash cut off.
  const from = Math.max(0, before - windowSpan);
  for await (const words of store.messageHashes(partition, from, before, window.key)) {
    for (let at = 0; at < words.length; at += 4)
      window.add(words[at + 2]!, words[at + 3]!, words[at]! + words[at + 1]! * 2 ** 32);
  }
  return createDuplicateJudge({ window, messagesAt: (offsets) => store.messagesAt(partition, offsets) });
}

function createPartitionLoader(
  options: PartitionOptions,
  start: Position,
  duplicates: DuplicateJudge | undefined,
): PartitionLoader {
  const { topic, table, partition, store, ending, erasedIds, logger, now, clock, pause, onLoaded } = options;
  const atoms: Atoms = createAtoms({ partition, store, ending, maxCached: options.maxCachedAtoms });
  let at = start;
  let held: readonly StoredRecord[] = [];

  /** Asks until the store answers. Before each further try the partition must still be ours. */
  const persist = async <T>(work: () => Promise<T>, renew: () => Promise<void>): Promise<T> => {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        logger.warn("ClickHouse did not confirm: the same is sent again", {
          topic,
          partition,
          inMs: waitMs,
          error: error.message,
        });
        await pause(waitMs);
        await renew();
      }
    }
  };

  /** `isBegun`: somebody may have inserted these records before, or be about to. */
  const load = async (
    records: readonly StoredRecord[],
    commit: LogRange["commit"],
    isBegun: boolean,
  ): Promise<LoadOutcome> => {
    const first = records[0]!.offset;
    const last = records.at(-1)!.offset;
    let confirmedAt = 0;
    const confirm = async (): Promise<void> => {
      const from = clock();
      await commit({ offset: first, metadata: formatIntent({ ...at, to: last }) });
      confirmedAt = from;
    };
    const insert = (into: RowTable, token: string, bytes: Uint8Array) =>
      persist(async () => {
        if (clock() - confirmedAt > intentHoldsMs) await confirm();
        return store.insert(into, token, [bytes]);
      }, confirm);
    const place = `${topic}:${partition}:${at.epoch === undefined ? "" : `${at.epoch}:`}${first}-${last}`;
    const readStored = () => persist(() => store.atomsAt(partition, first, last + 1), confirm);
    const insertEvents = async (events: readonly StoredRecord[], stored?: ReadonlyMap<number, number>) => {
      const resolved = await persist(() => atoms.resolve(events, at.atom, stored), confirm);
      const result = await insert("events", place, spliceRows(partition, events, resolved.atoms));
      if (result.ok && isBegun) {
        // The insert of an earlier try may have arrived only now, and ours changed nothing then: what is in the table holds.
        const found = await readStored();
        if (events.some(({ offset }, i) => (found.get(offset) ?? resolved.atoms[i]) !== resolved.atoms[i]))
          return insertEvents(events, found);
        // It had more in it than ours: whose rows are there are stored.
        for (const record of erased) if (found.has(record.offset)) takeBack(record);
      }
      return { result, resolved };
    };
    await confirm();

    const foreign = new Set(records.filter((record) => whyForeign(record) !== undefined));
    const ours = foreign.size === 0 ? records : records.filter((record) => !foreign.has(record));
    const erased = table === "events" ? await persist(() => erasedIds.among(ours), confirm) : nobody;
    const storedBefore = isBegun && table === "events" ? await readStored() : undefined;
    // An earlier try has stored them, before anybody was erased: the same rows again, or a view that the crash left behind would not get them.
    for (const record of erased) if (storedBefore?.has(record.offset)) erased.delete(record);
    const toLoad = erased.size === 0 ? ours : ours.filter((record) => !erased.has(record));
    const judged = duplicates && (await persist(() => duplicates.judge(toLoad), confirm));
    let fresh = judged?.fresh ?? toLoad;
    const takeBack = (record: StoredRecord): void => {
      erased.delete(record);
      fresh = [...fresh, record];
    };
    let refused: readonly StoredRecord[] = [...foreign];
    if (fresh.length > 0) {
      const { result, resolved } =
        table === "events"
          ? await insertEvents(fresh, storedBefore)
          : { result: await insert(table, place, spliceRows(partition, fresh)) };
      if (result.ok) {
        if (resolved) {
          atoms.remember(resolved.fresh);
          at = { ...at, atom: resolved.next };
        }
        judged?.remember();
      } else if (records.length > 1) {
        const half = records.length >> 1;
        return sum(
          await load(records.slice(0, half), commit, isBegun),
          await load(records.slice(half), commit, isBegun),
        );
      } else {
        await putAside(records[0]!, result.message, insert);
        refused = fresh;
        fresh = [];
      }
    }
    if (foreign.size > 0) await putAsideForeign([...foreign], place, insert);
    const duplicate = judged?.duplicate ?? [];
    await enter(
      { duplicate, refused, erased: [...erased], ...(table === "events" ? { stored: fresh } : { rejected: fresh }) },
      confirm,
    );
    at = afterRange({ ...at, offset: last + 1 });
    await commit({ offset: at.offset, metadata: formatIntent(at) });
    return { loaded: fresh.length, duplicate: duplicate.length, refused: refused.length, erased: erased.size };
  };

  /** Before the range is committed: what a crash cuts off here is stated again when the range is loaded again, and states the same. */
  const enter = async (became: Partial<Settled>, renew: () => Promise<void>): Promise<void> => {
    const rows = settle({ topic, partition, now, ...became });
    if (rows === undefined) return;
    const entered = await persist(() => store.insertLedger("ledger_entry", rows), renew);
    if (!entered.ok) throw new Error(`ClickHouse refuses entries of the loss ledger: ${entered.message}`);
  };

  type Insert = (
    into: RowTable,
    token: string,
    bytes: Uint8Array,
  ) => Promise<{ ok: true } | { ok: false; message: string }>;

  const putAside = async (record: StoredRecord, message: string, insert: Insert): Promise<void> => {
    const { offset } = record;
    logger.error("ClickHouse refused a row: it is in the table rejected, with the reason", {
      topic,
      partition,
      offset,
    });
    // Read again after a power cut, it is there from the first time; the token may be forgotten by then.
    if (at.next !== undefined && (await store.hasRefusal(partition, offset))) return;
    const row = refusedRow({ record, partition, message, now: now() });
    const put = await insert("rejected", `refused:${topic}:${partition}:${offset}`, row);
    if (!put.ok) throw new Error(`ClickHouse refuses even the row that says what it refused: ${put.message}`);
  };

  const putAsideForeign = async (records: readonly StoredRecord[], place: string, insert: Insert): Promise<void> => {
    const [first] = records;
    logger.error(
      "the log holds records that are no rows: the table rejected has the places of those that should be events",
      {
        topic,
        partition,
        records: records.length,
        firstOffset: first?.offset,
        why: first && whyForeign(first),
      },
    );
    // Of a record about a refusal there is nothing to keep but this line.
    if (table !== "events") return;
    const rows: Uint8Array[] = [];
    for (const record of records) {
      const isThere = at.next !== undefined && (await store.hasRefusal(partition, record.offset));
      if (!isThere) rows.push(foreignRow({ record, topic, partition, why: whyForeign(record) ?? "", now: now() }));
    }
    if (rows.length === 0) return;
    const put = await insert("rejected", `foreign:${place}`, Buffer.concat(rows));
    if (!put.ok) throw new Error(`ClickHouse refuses the rows that say what the log holds: ${put.message}`);
  };

  return {
    position: () => at.offset,
    isReadingAgain: () => at.next !== undefined,
    async consume(range) {
      held = held.length > 0 ? [...held, ...range.records] : range.records;
      while (held.length > 0) {
        if (at.to === undefined && at.next !== undefined && held[0]!.offset >= at.next.offset) {
          at = goOn(at, at.next);
          continue;
        }
        if (at.to !== undefined && held.at(-1)!.offset < at.to) return; // the rest of the open range comes with the next one
        const last = at.to ?? (at.next === undefined ? Infinity : at.next.offset - 1);
        const cut = held.findIndex((record) => record.offset > last);
        const end = cut === -1 ? held.length : cut;
        const outcome = await load(held.slice(0, end), range.commit, at.to !== undefined);
        held = held.slice(end);
        onLoaded(outcome);
      }
    },
  };
}

/** The range is done. Where everything before `next` has been loaded again, it goes on there. */
function afterRange({ floor, to: _to, ...rest }: Position): Position {
  const at = { ...rest, atom: Math.max(rest.atom, floor ?? 0) };
  return at.next !== undefined && at.offset >= at.next.offset ? goOn(at, at.next) : at;
}

function goOn({ atom }: Position, next: Position): Position {
  const free = Math.max(atom, next.floor ?? 0);
  // An open range takes the numbers that it took before, and leaves those behind that were given out since.
  return next.to === undefined ? { ...next, atom: Math.max(next.atom, free) } : { ...next, floor: free };
}

const sum = (left: LoadOutcome, right: LoadOutcome): LoadOutcome => ({
  loaded: left.loaded + right.loaded,
  duplicate: left.duplicate + right.duplicate,
  refused: left.refused + right.refused,
  erased: left.erased + right.erased,
});
