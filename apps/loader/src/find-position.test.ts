import type { CommittedPosition, LogGap } from "@polder/core";
import { describe, expect, it } from "vitest";
import { findPosition, LoadingBlockedError } from "./find-position.ts";
import { formatIntent, parseIntent, type Intent, type Position } from "./intent.ts";
import { createListeningLogger } from "./loader.test-support.ts";

const partition = 3;

interface Case {
  /** The greatest offset in the table. */
  greatest?: number;
  /** The greatest number of an atom of this partition. */
  atom?: number;
  committed?: CommittedPosition;
  start?: number;
  end?: number;
  accepted?: LogGap[];
}

async function find({ greatest, atom, committed, start = 0, end = 1000, accepted = [] }: Case) {
  const logger = createListeningLogger();
  const found: LogGap[] = [];
  const position = await findPosition({
    topic: "polder.events",
    table: "events",
    partition,
    store: {
      maxOffset: async () => greatest,
      maxAtom: async () => (atom === undefined ? undefined : atom * 64 + partition),
      gaps: {
        found: async (gap) => void found.push(gap),
        open: async () => [],
        accept: async () => {},
        acceptedTo: async (_topic, _partition, from) => accepted.find((gap) => gap.from === from)?.to,
      },
    },
    logger,
    newEpoch: () => "new",
    committed,
    bounds: { start, end },
  });
  return { position, logger, found };
}
const at = (offset: number, intent: Intent): CommittedPosition => ({ offset, metadata: formatIntent(intent) });
const positionOf = async (given: Case): Promise<Position> => (await find(given)).position;
const refusalOf = (given: Case): Promise<unknown> =>
  find(given).then(
    () => undefined,
    (error: unknown) => error,
  );

describe("where loading goes on", () => {
  it("is the beginning for a log that nobody has read, though it has lost records before", async () => {
    expect(await positionOf({})).toEqual({ offset: 0, atom: 1 });
    expect(await positionOf({ start: 50 })).toEqual({ offset: 50, atom: 1 });
  });

  it("is the committed position, with what it says", async () => {
    expect(await positionOf({ committed: at(10, { atom: 7 }), greatest: 9, atom: 6 })).toEqual({ offset: 10, atom: 7 });
    const open = at(10, { to: 19, atom: 7, epoch: "e", floor: 40 });
    for (const greatest of [9, 12, 19])
      expect(await positionOf({ committed: open, greatest })).toEqual({
        offset: 10,
        to: 19,
        atom: 7,
        epoch: "e",
        floor: 40,
      });
  });

  it("is the end of the table where the group has no position, or one that is not ours", async () => {
    expect(await positionOf({ greatest: 9, atom: 4 })).toEqual({ offset: 10, atom: 5 });
    for (const metadata of ["", "{}", '{"atom":"7"}', '{"atom":7,"next":{}}', "not json"]) {
      const { position, logger } = await find({ committed: { offset: 500, metadata }, greatest: 9, atom: 4 });
      expect(position).toEqual({ offset: 10, atom: 5 });
      expect(logger.said.some(({ level }) => level === "warn")).toBe(true);
    }
  });

  it("goes back to the end of the table, and keeps the position for afterwards", async () => {
    expect(await positionOf({ committed: at(100, { atom: 7, epoch: "old" }), greatest: 59, atom: 6 })).toEqual({
      offset: 60,
      atom: 7,
      epoch: "new",
      next: { offset: 100, atom: 7, epoch: "old" },
    });
  });

  it("gives atoms there that the open range cannot have given out, and none that are taken", async () => {
    const open = at(100, { to: 119, atom: 7 });
    expect(await positionOf({ committed: open, greatest: 59, atom: 6 })).toMatchObject({
      atom: 27,
      next: { atom: 7, to: 119 },
    });
    expect(await positionOf({ committed: open, greatest: 59, atom: 90 })).toMatchObject({ atom: 91 });
  });

  it("does not go back again for nothing while it is coming from there", async () => {
    const coming = at(70, { to: 79, atom: 30, epoch: "e", next: { offset: 100, to: 119, atom: 7 } });
    for (const greatest of [69, 75, 79, 110, 119])
      expect(await positionOf({ committed: coming, greatest })).toEqual({
        offset: 70,
        ...parseIntent(coming.metadata),
      });
  });

  it("goes back again when what was brought back has been lost as well", async () => {
    const next = { offset: 100, to: 119, atom: 7 };
    expect(await positionOf({ committed: at(70, { atom: 30, epoch: "e", next }), greatest: 39, atom: 35 })).toEqual({
      offset: 40,
      atom: 36,
      epoch: "new",
      next,
    });
    // A range that was begun on the way is done as it was begun, and then the one that was begun first.
    const open = at(70, { to: 79, atom: 30, epoch: "e", next });
    expect(await positionOf({ committed: open, greatest: 39, atom: 35 })).toEqual({
      offset: 40,
      atom: 40,
      epoch: "new",
      next: { offset: 70, ...parseIntent(open.metadata) },
    });
  });

  it("goes back no further than the log", async () => {
    expect(await positionOf({ committed: at(100, { atom: 7 }), greatest: 59, start: 80 })).toMatchObject({
      offset: 80,
      next: { offset: 100 },
    });
    expect(await positionOf({ committed: at(100, { atom: 7 }), greatest: 59, start: 100 })).toEqual({
      offset: 100,
      atom: 7,
    });
  });

  it("is after the table where the position is behind it, with a warning that names the command", async () => {
    for (const committed of [at(10, { atom: 7 }), at(10, { to: 19, atom: 7 })]) {
      const { position, logger } = await find({ committed, greatest: 59, atom: 30 });
      expect(position).toEqual({ offset: 60, atom: 31 });
      expect(logger.said.find(({ level }) => level === "warn")?.message).toContain("polder replay");
    }
  });

  it("is after the table where that has got back meanwhile what was to be brought back", async () => {
    const coming = (next: Position) => at(70, { to: 79, atom: 30, epoch: "e", next });
    const next = { offset: 100, atom: 7, epoch: "old" };
    expect(await positionOf({ committed: coming(next), greatest: 89, atom: 33 })).toEqual({
      offset: 90,
      atom: 34,
      epoch: "e",
      next,
    });
    for (const open of [next, { ...next, to: 105 }])
      expect(await positionOf({ committed: coming(open), greatest: 110, atom: 20 })).toEqual({
        offset: 111,
        atom: 30,
        epoch: "old",
      });
  });

  it("is refused in a log that ends before what was loaded", async () => {
    for (const given of [{ greatest: 1000 }, { committed: at(1001, { atom: 1 }) }])
      expect(await refusalOf(given)).toBeInstanceOf(LoadingBlockedError);
  });
});

describe("records that left the log", () => {
  const lost: Case = { committed: at(100, { atom: 7 }), greatest: 99, start: 130 };

  it("block, and are written down", async () => {
    const error = await refusalOf(lost);
    expect(error).toBeInstanceOf(LoadingBlockedError);
    expect(String(error)).toContain("polder.events 3: records 100 to 129 (30)");
    expect(await refusalOf({ greatest: 99, start: 130 })).toBeInstanceOf(LoadingBlockedError);
  });

  it("are passed over when somebody has accepted all of them", async () => {
    const gap = { topic: "polder.events", partition };
    const accepted = [
      { ...gap, from: 100, to: 119 },
      { ...gap, from: 120, to: 129 },
    ];
    expect(await refusalOf({ ...lost, accepted: accepted.slice(0, 1) })).toBeInstanceOf(LoadingBlockedError);
    expect(await positionOf({ ...lost, accepted })).toEqual({ offset: 130, atom: 7 });
  });

  it("are none where the open range is in the table, for that is there as a whole", async () => {
    const open = at(100, { to: 129, atom: 7, floor: 50 });
    expect(await positionOf({ committed: open, greatest: 120, start: 130 })).toEqual({ offset: 130, atom: 50 });
    expect(String(await refusalOf({ committed: open, greatest: 99, start: 130 }))).toContain("100 to 129");
    expect(String(await refusalOf({ committed: open, greatest: 120, start: 140 }))).toContain("130 to 139");
  });
});

describe("an intent", () => {
  it("is read as it was written", () => {
    const intent: Intent = { to: 5, atom: 3, floor: 9, epoch: "e", next: { offset: 7, to: 9, atom: 2 } };
    expect(parseIntent(formatIntent(intent))).toEqual(intent);
    expect(parseIntent(formatIntent({ atom: 1 }))).toEqual({ atom: 1 });
  });
});
