import { StoreUnavailableError, type CommittedPosition, type EventStore, type StoredRecord } from "@polder/core";
import { expect, it } from "vitest";
import { fakeStore } from "./fakes.test-support.ts";
import { formatIntent } from "./intent.ts";
import { openPartition } from "./load-partition.ts";
import { record, silent } from "./loader.test-support.ts";

interface Row {
  _offset: number;
  atom: number;
  anonymous_id: string;
}

/** A table that knows tokens. */
function createTable() {
  const rows = new Map<number, Row>();
  const tokens = new Set<string>();
  const sent: Row[][] = [];
  const place = (token: string, some: readonly Row[]): void => {
    if (tokens.has(token)) return;
    tokens.add(token);
    for (const row of some) rows.set(row._offset, row);
  };
  const table = {
    place,
    /** Each insert, in full. */
    sent,
    /** Happens before the answer to an insert. */
    onInsert: (_token: string): void => undefined,
    ending: [] as number[],
    atomOf: (offset: number) => rows.get(offset)?.atom,
  };
  const store = fakeStore({
    async insert(_table, token, chunks) {
      const some = Buffer.concat(chunks)
        .toString()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Row);
      sent.push(some);
      table.onInsert(token);
      place(token, some);
      return { ok: true };
    },
    findAtoms: async (keys, except) =>
      keys.map(({ anonymousId }) => {
        const known = [...rows.values()].filter((row) => row.anonymous_id === anonymousId).map(({ atom }) => atom);
        return known.find((atom) => !except?.has(atom));
      }),
    endingAtoms: async () => table.ending,
    atomsAt: async (_partition, from, before) =>
      new Map([...rows].filter(([at]) => at >= from && at < before).map(([at, { atom }]) => [at, atom])),
    maxAtom: async () => Math.max(...[...rows.values()].map(({ atom }) => atom)),
    maxOffset: async () => Math.max(...rows.keys()),
  });
  return { table, store };
}

const at = (offset: number, anonymousId: string): StoredRecord => ({ ...record({ anonymousId }), offset });
const rowOf = (offset: number, anonymousId: string, atom: number): Row => ({
  _offset: offset,
  atom,
  anonymous_id: anonymousId,
});

/** K is known as 64; of the range 1 to 3 an earlier try has said that it begins, with 2 as the next number. */
async function openAfterIntent(table: ReturnType<typeof createTable>["table"], store: EventStore) {
  table.place("before", [rowOf(0, "K", 64)]);
  const committed: CommittedPosition = { offset: 1, metadata: formatIntent({ to: 3, atom: 2 }) };
  const commits: CommittedPosition[] = [];
  const { loader } = await openPartition(
    {
      topic: "polder.events",
      table: "events",
      partition: 0,
      store,
      ending: { current: async () => new Set(table.ending) },
      erasedIds: { among: async () => new Set() },
      logger: silent,
      now: () => new Date(0),
      clock: () => 0,
      newEpoch: () => "new",
      windowSpan: 0,
      maxCachedAtoms: 10,
      pause: async () => undefined,
      onLoaded: () => undefined,
    },
    committed,
    { start: 0, end: 100 },
  );
  const consume = (...records: StoredRecord[]) =>
    loader.consume({
      topic: "polder.events",
      partition: 0,
      records,
      commit: async (position) => void commits.push(position),
    });
  return { consume, commits };
}
const openRange = "polder.events:0:1-3";
const range = [at(1, "K"), at(2, "A"), at(3, "B")];
const firstTry = [rowOf(1, "K", 64), rowOf(2, "A", 128), rowOf(3, "B", 192)];
const atomsOf = (rows: readonly Row[]) => rows.map(({ atom }) => atom);

it("sends the atoms of the earlier try again when a number that it used is about to end, and goes on after them", async () => {
  const { table, store } = createTable();
  const { consume, commits } = await openAfterIntent(table, store);
  table.place(openRange, firstTry);
  table.ending = [64];
  await consume(...range);
  expect(table.sent.map(atomsOf)).toEqual([[64, 128, 192]]);
  expect(commits.at(-1)).toEqual({ offset: 4, metadata: formatIntent({ atom: 4 }) });
  await consume(at(4, "A"), at(5, "B"), at(6, "C"), at(7, "K"));
  expect(atomsOf(table.sent[1]!)).toEqual([128, 192, 256, 320]);
});

it("takes the atoms of an earlier try whose insert arrives only when the range is sent again", async () => {
  const { table, store } = createTable();
  const { consume } = await openAfterIntent(table, store);
  table.ending = [64];
  table.onInsert = (token) => table.place(token, firstTry);
  await consume(...range);
  expect(table.sent.map(atomsOf)).toEqual([
    [128, 192, 256],
    [64, 128, 192],
  ]);
  await consume(at(4, "A"), at(5, "B"), at(6, "C"));
  expect(atomsOf(table.sent[2]!)).toEqual([128, 192, 256]);
});

it("sends the very same bytes again when an answer was lost, whatever was announced meanwhile", async () => {
  const { table, store } = createTable();
  const { consume } = await openAfterIntent(table, store);
  await consume(...range);
  let failures = 2;
  const { insert } = store;
  store.insert = async (...given) => {
    const answer = await insert(...given);
    if (failures-- <= 0) return answer;
    table.ending = [64];
    throw new StoreUnavailableError("the answer was lost");
  };
  await consume(at(4, "K"), at(5, "C"));
  expect(table.sent.slice(1).map(atomsOf)).toEqual([
    [64, 256],
    [64, 256],
    [64, 256],
  ]);
});
