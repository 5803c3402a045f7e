import { LogUnavailableError, type LogRecord } from "@polder/core";
import { seed } from "@polder/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createCoalescer, type CoalescerOptions } from "./coalescer.ts";

const record = (id: string, bytes = 1): LogRecord => ({
  key: id,
  value: new Uint8Array(bytes),
  headers: { id, site: "shop", anonymousId: "", userId: "" },
});
const records = (prefix: string, count: number): LogRecord[] =>
  Array.from({ length: count }, (_, n) => record(`${prefix}${n}`));

/** A log whose appends end when the test says so. */
function createHeldLog() {
  const appends: { ids: string[]; confirm: () => void; refuse: (error: unknown) => void }[] = [];
  return {
    appends,
    append: (appended: readonly LogRecord[]) =>
      new Promise<void>(
        (confirm, refuse) => void appends.push({ ids: appended.map(({ key }) => key), confirm, refuse }),
      ),
  };
}

const build = (overrides: Partial<CoalescerOptions> = {}) => {
  const log = createHeldLog();
  const coalescer = createCoalescer({
    append: log.append,
    clock: () => Date.now(),
    lingerMs: 3,
    maxRecords: 500,
    maxBytes: 1_000_000,
    answerWithinMs: 1000,
    ...overrides,
  });
  return { ...log, coalescer };
};

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "Date"] }));
afterEach(() => void vi.useRealTimers());

/** Lets the turn of the event loop end. */
const turn = () => vi.advanceTimersByTimeAsync(0);

describe("createCoalescer", () => {
  it("sends what comes alone at once", async () => {
    const { appends, coalescer } = build();
    const answer = coalescer.append([record("a")]);
    await turn();
    expect(appends.map(({ ids }) => ids)).toEqual([["a"]]);
    appends[0]!.confirm();
    await answer;
  });

  it("joins what comes in one turn of the event loop, in order", async () => {
    const { appends, coalescer } = build();
    void coalescer.append(records("a", 2));
    void coalescer.append(records("b", 2));
    await turn();
    expect(appends.map(({ ids }) => ids)).toEqual([["a0", "a1", "b0", "b1"]]);
  });

  it("gathers while one append is on its way, and answers after the own one", async () => {
    const { appends, coalescer } = build();
    const first = coalescer.append([record("a")]);
    await turn();
    let isSecondAnswered = false;
    const second = Promise.all([coalescer.append([record("b")]), coalescer.append([record("c")])]).then(
      () => (isSecondAnswered = true),
    );
    await vi.advanceTimersByTimeAsync(10);
    expect(appends).toHaveLength(1);
    appends[0]!.confirm();
    await first;
    await turn();
    expect(appends[1]!.ids).toEqual(["b", "c"]);
    expect(isSecondAnswered).toBe(false);
    appends[1]!.confirm();
    await second;
  });

  it("starts appends no closer together than the linger while little comes", async () => {
    const { appends, coalescer } = build();
    void coalescer.append([record("a")]);
    await turn();
    appends[0]!.confirm();
    await turn();
    void coalescer.append([record("b")]);
    await vi.advanceTimersByTimeAsync(2);
    expect(appends).toHaveLength(1);
    void coalescer.append([record("c")]);
    await vi.advanceTimersByTimeAsync(1);
    expect(appends[1]!.ids).toEqual(["b", "c"]);
  });

  it("does not linger when enough has come", async () => {
    const { appends, coalescer } = build({ maxRecords: 10 });
    void coalescer.append([record("a")]);
    await turn();
    appends[0]!.confirm();
    await turn();
    void coalescer.append(records("b", 10));
    await turn();
    expect(appends[1]!.ids).toHaveLength(10);
  });

  it("spreads what is larger than one append, and answers after all of it", async () => {
    const { appends, coalescer } = build({ maxRecords: 4, lingerMs: 0 });
    let isAnswered = false;
    const answer = coalescer.append(records("a", 10)).then(() => (isAnswered = true));
    const other = coalescer.append([record("b")]);
    for (const ids of [
      ["a0", "a1", "a2", "a3"],
      ["a4", "a5", "a6", "a7"],
      ["a8", "a9", "b"],
    ]) {
      await turn();
      expect(isAnswered).toBe(false);
      expect(appends.at(-1)!.ids).toEqual(ids);
      appends.at(-1)!.confirm();
    }
    await Promise.all([answer, other]);
  });

  it("bounds an append by bytes, but sends a single large record all the same", async () => {
    const { appends, coalescer } = build({ maxBytes: 100, lingerMs: 0 });
    void coalescer.append([record("a", 60), record("b", 60), record("c", 500), record("d", 1)]);
    for (let i = 0; i < 3; i++) {
      await turn();
      appends.at(-1)?.confirm();
    }
    expect(appends.map(({ ids }) => ids)).toEqual([["a", "b"], ["c"], ["d"]]);
  });

  it("gives every queue its share, so that a long one does not keep the others waiting, and keeps the order of each", async () => {
    const { appends, coalescer } = build({ maxRecords: 10, lingerMs: 0 });
    for (let n = 0; n < 10; n++) void coalescer.append(records(`hot${n}-`, 10), "hot");
    void coalescer.append(records("small", 2), "small");
    void coalescer.append([record("other0"), record("other1")], "other");
    void coalescer.append([record("other2")], "other");
    const sent: string[] = [];
    for (let n = 0; n < 11; n++) {
      await turn();
      sent.push(...appends[n]!.ids);
      expect(appends[n]!.ids.length).toBeLessThanOrEqual(10);
      appends[n]!.confirm();
    }
    // 10 / 3, rounded up, for each of the three; what the others leave goes to who has more.
    expect(appends[0]!.ids).toEqual(
      expect.arrayContaining(["small0", "small1", "other0", "other1", "other2", "hot0-0", "hot0-4"]),
    );
    const expected = Array.from({ length: 10 }, (_, n) => records(`hot${n}-`, 10).map(({ key }) => key)).flat();
    expect(sent.filter((id) => id.startsWith("hot"))).toEqual(expected);
    expect(sent.filter((id) => id.startsWith("other"))).toEqual(["other0", "other1", "other2"]);
    expect(sent).toHaveLength(105);
  });

  it("gives the next append to the queue that waits longest, when one cannot hold a record of each", async () => {
    const { appends, coalescer } = build({ maxRecords: 2, lingerMs: 0 });
    for (const queue of ["a", "b", "c"]) void coalescer.append(records(queue, 2), queue);
    for (let n = 0; n < 3; n++) {
      await turn();
      appends[n]!.confirm();
    }
    expect(appends.map(({ ids }) => ids)).toEqual([
      ["a0", "b0"],
      ["c0", "a1"],
      ["b1", "c1"],
    ]);
  });

  it("tells everyone in a failed append, and nobody else", async () => {
    const { appends, coalescer } = build();
    const failed = [coalescer.append([record("a")]), coalescer.append([record("b")])];
    const outcomes = Promise.allSettled(failed);
    await turn();
    const later = coalescer.append([record("c")]);
    appends[0]!.refuse(new LogUnavailableError("gone"));
    expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await vi.advanceTimersByTimeAsync(3);
    appends[1]!.confirm();
    await later;
  });

  it("never sends the rest of a request whose beginning failed", async () => {
    const { appends, coalescer } = build({ maxRecords: 2, lingerMs: 0 });
    const answer = expect(coalescer.append(records("a", 5))).rejects.toThrow("gone");
    await turn();
    appends[0]!.refuse(new LogUnavailableError("gone"));
    await answer;
    await vi.advanceTimersByTimeAsync(100);
    expect(appends).toHaveLength(1);
    expect(coalescer.pending()).toBe(0);
  });

  it("answers in time when the log says nothing, and forgets what has not gone out", async () => {
    const { appends, coalescer } = build();
    const flying = expect(coalescer.append([record("a")])).rejects.toBeInstanceOf(LogUnavailableError);
    await turn();
    const waiting = expect(coalescer.append([record("b")])).rejects.toBeInstanceOf(LogUnavailableError);
    await vi.advanceTimersByTimeAsync(1250);
    await Promise.all([flying, waiting]);
    appends[0]!.confirm();
    await vi.advanceTimersByTimeAsync(100);
    expect(appends).toHaveLength(1);
    expect(coalescer.pending()).toBe(0);
    const after = coalescer.append([record("c")]);
    await vi.advanceTimersByTimeAsync(3);
    appends[1]!.confirm();
    await after;
  });

  it("is drained when nothing waits and nothing is on its way", async () => {
    const { appends, coalescer } = build();
    await coalescer.drained();
    void coalescer.append([record("a")]);
    let isDrained = false;
    const drained = coalescer.drained().then(() => (isDrained = true));
    await turn();
    void coalescer.append([record("b")]);
    appends[0]!.confirm();
    await vi.advanceTimersByTimeAsync(3);
    expect(isDrained).toBe(false);
    appends[1]!.confirm();
    await drained;
  });

  it.each(Array.from({ length: 60 }, (_, n) => seed + n))(
    "stores everything once and in order, whatever arrives when and fails (seed %i)",
    async (startAt) => {
      const upTo = createRandom(startAt);
      const stored: string[] = [];
      const coalescer = createCoalescer({
        append: async (appended) => {
          const fails = upTo(4) === 0;
          await new Promise((resolve) => setImmediate(resolve));
          if (fails) throw new LogUnavailableError("gone");
          stored.push(...appended.map(({ key }) => key));
        },
        clock: () => Date.now(),
        lingerMs: 3,
        maxRecords: 25,
        maxBytes: 1_000_000,
        answerWithinMs: 1000,
      });
      const queues = ["a", "b", "c"];
      const answers: { queue: string; ids: Promise<string[]> }[] = [];
      for (let n = upTo(20); n >= 0; n--) {
        const request = records(`${n}-`, 1 + upTo(30));
        const ids = request.map(({ key }) => key);
        const queue = queues[upTo(queues.length)]!;
        const answered = coalescer.append(request, queue).then(() => ids);
        answers.push({ queue, ids: answered.catch(() => []) });
        await vi.advanceTimersByTimeAsync(upTo(6));
      }
      await vi.advanceTimersByTimeAsync(2000);
      expect(new Set(stored).size).toBe(stored.length);
      for (const queue of queues) {
        const ofQueue = answers.filter((answer) => answer.queue === queue).map(({ ids }) => ids);
        const acknowledged = (await Promise.all(ofQueue)).flat();
        const known = new Set(acknowledged);
        expect(stored.filter((id) => known.has(id))).toEqual(acknowledged);
      }
    },
  );
});

/** Whole numbers from 0 to below the bound, the same for the same seed (a linear congruential generator). */
function createRandom(startAt: number): (bound: number) => number {
  let state = startAt % 2_147_483_647;
  return (bound) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % bound;
  };
}
