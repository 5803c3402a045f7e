import type { StoredMessage, StoredRecord } from "@polder/core";
import { describe, expect, it } from "vitest";
import { createDuplicateJudge } from "./duplicate-judge.ts";
import { createMessageWindow, type MessageWindow } from "./message-window.ts";

const record = (offset: number, id: string, site = "shop"): StoredRecord => ({
  offset,
  key: "k",
  value: new Uint8Array(),
  headers: { id, site, anonymousId: "", userId: "" },
});

/** The rows that are stored, and how often they were asked for. */
function table(rows: StoredMessage[]) {
  const asked: number[][] = [];
  return {
    rows,
    asked,
    messagesAt: async (offsets: readonly number[]) => {
      asked.push([...offsets]);
      return rows.filter(({ offset }) => offsets.includes(offset));
    },
  };
}

/** A window in which every message has the same hash. */
function collidingWindow(): MessageWindow {
  const window = createMessageWindow(1000);
  return { ...window, hash: (messages) => new Uint32Array(messages.length * 2).fill(7) };
}

const offsetsOf = (records: readonly StoredRecord[]): number[] => records.map(({ offset }) => offset);

describe("the judge of duplicates", () => {
  it("lets through what was never stored, without a question to the table", async () => {
    const { messagesAt, asked } = table([]);
    const judge = createDuplicateJudge({ window: createMessageWindow(1000), messagesAt });
    const { fresh, duplicate } = await judge.judge([record(0, "a"), record(1, "b"), record(2, "a", "blog")]);
    expect(offsetsOf(fresh)).toEqual([0, 1, 2]);
    expect(duplicate).toEqual([]);
    expect(asked).toEqual([]);
  });

  it("drops the second of two in one range, and what is stored already", async () => {
    const { messagesAt, rows } = table([]);
    const judge = createDuplicateJudge({ window: createMessageWindow(1000), messagesAt });
    const first = await judge.judge([record(0, "a"), record(1, "a"), record(2, "b")]);
    expect(offsetsOf(first.duplicate)).toEqual([1]);
    rows.push({ offset: 0, site: "shop", messageId: "a" }, { offset: 2, site: "shop", messageId: "b" });
    first.remember();
    const second = await judge.judge([record(3, "b"), record(4, "c"), record(5, "a"), record(6, "b")]);
    expect(offsetsOf(second.fresh)).toEqual([4]);
    expect(offsetsOf(second.duplicate)).toEqual([3, 5, 6]);
  });

  it("drops nothing for a hash: of a thousand messages that share one, it drops the retries and no other", async () => {
    const { messagesAt, rows } = table([]);
    const judge = createDuplicateJudge({ window: collidingWindow(), messagesAt });
    for (let offset = 0; offset < 900; offset += 30) {
      const range = Array.from({ length: 30 }, (_, i) => record(offset + i, `m${offset + i}`));
      const judged = await judge.judge(range);
      expect(judged.duplicate).toEqual([]);
      for (const one of range) rows.push({ offset: one.offset, site: "shop", messageId: one.headers.id });
      judged.remember();
    }
    const { fresh, duplicate } = await judge.judge([record(900, "m17"), record(901, "new"), record(902, "m899")]);
    expect(offsetsOf(fresh)).toEqual([901]);
    expect(offsetsOf(duplicate)).toEqual([900, 902]);
  });

  it("lets a message through again when its row is gone", async () => {
    const { messagesAt, rows } = table([{ offset: 0, site: "shop", messageId: "a" }]);
    const judge = createDuplicateJudge({ window: createMessageWindow(1000), messagesAt });
    (await judge.judge([record(0, "a")])).remember();
    expect(offsetsOf((await judge.judge([record(1, "a")])).duplicate)).toEqual([1]);
    rows.length = 0;
    expect(offsetsOf((await judge.judge([record(2, "a")])).fresh)).toEqual([2]);
  });

  it("remembers nothing of a range that was not stored", async () => {
    const { messagesAt, asked } = table([]);
    const judge = createDuplicateJudge({ window: createMessageWindow(1000), messagesAt });
    await judge.judge([record(0, "a")]);
    expect(offsetsOf((await judge.judge([record(0, "a")])).fresh)).toEqual([0]);
    expect(asked).toEqual([]);
  });
});
