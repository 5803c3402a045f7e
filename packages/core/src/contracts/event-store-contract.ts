import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { StoreUnavailableError, type EventStore } from "../ports/event-store.ts";
import { ruleVersion, type RejectedRow } from "../row/event-row.ts";
import { createMessageHash } from "../row/message-hash.ts";
import { buildEventRow, rowBytes, type LoadedEventRow } from "./build-event-row.ts";

/** One store with its server, and the ways to hurt it. */
export interface EventStoreHarness {
  store: EventStore;
  /** Removes every row. */
  empty(): Promise<void>;
  /** How many events each table and view has counted, by a name of the adapter's choice. Events of {@link buildEventRow} count once in each. */
  eventCounts(): Promise<{ [table: string]: number }>;
  /** Makes one view fail on whatever is inserted, until the function returned is called. */
  breakView(): Promise<() => Promise<void>>;
  /** Removes the rows of `events` and of nothing else, as their age or an erasure would. */
  removeEvents(): Promise<void>;
  /** Ends the server at once, without warning. Resolves when it answers again. */
  killServer(): Promise<void>;
  dispose(): Promise<void>;
}

/** What every adapter of {@link EventStore} promises. */
export function describeEventStore(adapter: string, createHarness: () => Promise<EventStoreHarness>): void {
  describe(`${adapter} keeps the promises of an event store`, () => {
    let harness: EventStoreHarness;
    let store: EventStore;

    beforeAll(async () => {
      harness = await createHarness();
      store = harness.store;
    });
    beforeEach(() => harness.empty());
    afterAll(() => harness?.dispose());

    const rows = (count: number, first = 0): LoadedEventRow[] =>
      Array.from({ length: count }, (_, index) => {
        const offset = first + index;
        const visitor = offset % 7;
        return buildEventRow({
          _offset: offset,
          message_id: `message-${offset}`,
          anonymous_id: `visitor-${visitor}`,
          session_id: `session-${visitor}`,
          time: `2026-11-22 20:15:00.${String(offset % 1000).padStart(3, "0")}`,
          atom: 64 + visitor * 64,
        });
      });
    const expectEverywhere = async (count: number): Promise<void> => {
      const counts = await harness.eventCounts();
      expect(Object.keys(counts).length).toBeGreaterThan(1);
      expect(counts).toEqual(Object.fromEntries(Object.keys(counts).map((table) => [table, count])));
    };

    it("stores rows once in every table, however often the same token comes", async () => {
      const bytes = rowBytes(rows(100));
      for (let round = 0; round < 3; round += 1)
        expect(await store.insert("events", "token-1", bytes)).toEqual({ ok: true });
      await expectEverywhere(100);
    });

    it("stores the same rows again under another token", async () => {
      const bytes = rowBytes(rows(100));
      await store.insert("events", "token-1", bytes);
      await store.insert("events", "token-2", bytes);
      await expectEverywhere(200);
    });

    it("stores rows once when the same insert is sent by several at a time", async () => {
      const bytes = rowBytes(rows(50));
      await Promise.all(Array.from({ length: 5 }, () => store.insert("events", "token-1", bytes)));
      await expectEverywhere(50);
    });

    it("joins the chunks of an insert", async () => {
      const [bytes = new Uint8Array()] = rowBytes(rows(20));
      const chunks = [bytes.subarray(0, 700), bytes.subarray(700, 701), bytes.subarray(701)];
      expect(await store.insert("events", "token-1", chunks)).toEqual({ ok: true });
      await expectEverywhere(20);
    });

    it.each([
      ["text where a number belongs", { session_seq: "many" }],
      ["a day that is none", { day: "yesterday" }],
      ["properties that are no object", { properties: "none" }],
      ["traits without their values", { "traits.name": ["email"] }],
    ])("refuses %s in words, stores nothing of the insert, and takes the rest afterwards", async (_, fault) => {
      const good = rows(10);
      const answer = await store.insert(
        "events",
        "token-1",
        rowBytes([...good, { ...buildEventRow({ _offset: 10 }), ...fault }]),
      );
      expect(answer).toEqual({ ok: false, message: expect.stringMatching(/\w{3,}/) });
      await expectEverywhere(0);
      expect(await store.insert("events", "token-2", rowBytes(good))).toEqual({ ok: true });
      await expectEverywhere(10);
    });

    it("does not quote a refused row", async () => {
      const answer = await store.insert("events", "t", rowBytes([{ ...buildEventRow(), day: "Ada Lovelace" }]));
      expect(answer).toMatchObject({ ok: false });
      expect(JSON.stringify(answer)).not.toContain("Lovelace");
    });

    it("refuses bytes that are no rows", async () => {
      const answer = await store.insert("events", "token-1", [new TextEncoder().encode('{"site":"shop"')]);
      expect(answer).toMatchObject({ ok: false });
      await expectEverywhere(0);
    });

    it("calls a view's failure unavailability, and the same insert heals the view", async () => {
      const bytes = rowBytes(rows(30));
      const mend = await harness.breakView();
      try {
        await expect(store.insert("events", "token-1", bytes)).rejects.toBeInstanceOf(StoreUnavailableError);
      } finally {
        await mend();
      }
      expect(await store.insert("events", "token-1", bytes)).toEqual({ ok: true });
      await expectEverywhere(30);
      expect(await store.insert("events", "token-1", bytes)).toEqual({ ok: true });
      await expectEverywhere(30);
    });

    it("has every row once after the server was killed in the middle of inserts that are then sent again", async () => {
      const batches = Array.from({ length: 24 }, (_, index) => ({
        token: `token-${index}`,
        bytes: rowBytes(rows(500, index * 500)),
      }));
      let sent = 0;
      let killing: Promise<void> | undefined;
      let failures = 0;
      for (const { token, bytes } of batches) {
        const insert = store.insert("events", token, bytes);
        sent += 1;
        if (sent % 8 === 4) killing = harness.killServer();
        const failed = await insert.then(
          () => false,
          (error: unknown) => {
            expect(error).toBeInstanceOf(StoreUnavailableError);
            return true;
          },
        );
        if (failed) failures += 1;
        await killing;
        killing = undefined;
        if (failed) expect(await store.insert("events", token, bytes)).toEqual({ ok: true });
      }
      expect(failures).toBeGreaterThan(0);
      await expectEverywhere(12_000);
      for (const { token, bytes } of batches) await store.insert("events", token, bytes);
      await expectEverywhere(12_000);
    });

    it("finds atoms in the order of the keys, and nothing for keys it never saw", async () => {
      const odd = 'o\'dd \\ "key"\n\u{1F600}';
      await store.insert(
        "events",
        "token-1",
        rowBytes([
          buildEventRow({ _offset: 0, atom: 64 }),
          buildEventRow({ _offset: 1, atom: 128, user_id: "ada" }),
          buildEventRow({ _offset: 2, atom: 192, anonymous_id: odd }),
          buildEventRow({ _offset: 3, atom: 256, anonymous_id: "", user_id: "ada" }),
          buildEventRow({ _offset: 4, atom: 320, site: "blog" }),
        ]),
      );
      const key = (anonymousId: string, userId = "", site = "shop") => ({ site, anonymousId, userId });
      expect(
        await store.findAtoms([
          key("", "ada"),
          key("visitor-1"),
          key("visitor-2"),
          key("visitor-1", "ada"),
          key(odd),
          key("visitor-1", "", "blog"),
          key("ada"),
          key("visitor-1"),
        ]),
      ).toEqual([256, 64, undefined, 128, 192, 320, undefined, 64]);
      expect(await store.findAtoms([])).toEqual([]);
    });

    it("finds thousands of atoms at once", async () => {
      const many = Array.from({ length: 5_000 }, (_, index) =>
        buildEventRow({ _offset: index, anonymous_id: `visitor-${index}-${"x".repeat(100)}`, atom: 64 * (index + 1) }),
      );
      await store.insert("events", "token-1", rowBytes(many));
      const keys = many.map((row) => ({ site: row.site, anonymousId: row.anonymous_id, userId: "" })).toReversed();
      expect(await store.findAtoms(keys)).toEqual(many.map((row) => row.atom).toReversed());
    });

    it("gives the smallest atom of a key that has several, whichever came first", async () => {
      await store.insert("events", "token-1", rowBytes([buildEventRow({ _offset: 5, _partition: 1, atom: 193 })]));
      await store.insert("events", "token-2", rowBytes([buildEventRow({ _offset: 1, atom: 128 })]));
      await store.insert("events", "token-3", rowBytes([buildEventRow({ _offset: 6, _partition: 1, atom: 193 })]));
      expect(await store.findAtoms([{ site: "shop", anonymousId: "visitor-1", userId: "" }])).toEqual([128]);
    });

    it("knows the greatest atom of each residue, and that an event without identity has none", async () => {
      expect(await store.maxAtom(0)).toBeUndefined();
      await store.insert(
        "events",
        "token-1",
        rowBytes([
          buildEventRow({ _offset: 0, atom: 0, anonymous_id: "" }),
          buildEventRow({ _offset: 1, atom: 67 }),
          buildEventRow({ _offset: 2, atom: 131, anonymous_id: "visitor-2" }),
        ]),
      );
      expect(await store.maxAtom(3)).toBe(131);
      expect(await store.maxAtom(0)).toBeUndefined();
    });

    it("knows the greatest offset of each partition and table", async () => {
      expect(await store.maxOffset("events", 0)).toBeUndefined();
      expect(await store.maxOffset("rejected", 0)).toBeUndefined();
      await store.insert("events", "token-1", rowBytes(rows(10, 100)));
      await store.insert("events", "token-2", rowBytes([buildEventRow({ _partition: 1, _offset: 7 })]));
      await store.insert(
        "rejected",
        "token-3",
        rowBytes([
          { ...buildRejectedRow(), _partition: 0, _offset: 3 },
          { ...buildRejectedRow({ reason: "refused_by_store" }), _partition: 0, _offset: 104 },
        ]),
      );
      expect(await store.maxOffset("events", 0)).toBe(109);
      expect(await store.maxOffset("events", 1)).toBe(7);
      expect(await store.maxOffset("rejected", 0)).toBe(3);
    });

    it("still knows the greatest offset and atom when the rows have been removed", async () => {
      await store.insert("events", "token-1", rowBytes(rows(10, 100)));
      const greatest = await store.maxAtom(0);
      await harness.removeEvents();
      expect(await store.maxOffset("events", 0)).toBe(109);
      expect(await store.maxAtom(0)).toBe(greatest);
    });

    it("gives the hashes of message ids from the first up to but not including the last, and the ids behind offsets", async () => {
      const odd = 'o\'dd \\ "key"\n\u{1F600}';
      await store.insert("events", "token-1", rowBytes(rows(30, 20)));
      await store.insert("events", "token-2", rowBytes(rows(20)));
      await store.insert("events", "token-3", rowBytes([buildEventRow({ _partition: 1, _offset: 12 })]));
      await store.insert(
        "events",
        "token-4",
        rowBytes([buildEventRow({ _offset: 2 ** 40, site: "blog", message_id: odd })]),
      );
      const key = Uint32Array.from([1, 2, 3, 0xffffffff]);
      const hash = createMessageHash(key);
      const found = new Map<number, string>();
      for (const [from, before] of [
        [10, 40],
        [2 ** 40, 2 ** 40 + 1],
      ] as const)
        for await (const words of store.messageHashes(0, from, before, key))
          for (let at = 0; at < words.length; at += 4)
            found.set(words[at]! + words[at + 1]! * 2 ** 32, `${words[at + 2]}.${words[at + 3]}`);
      const expected = [
        ...Array.from({ length: 30 }, (_, index) => [10 + index, "shop", `message-${10 + index}`] as const),
        [2 ** 40, "blog", odd] as const,
      ].map(([offset, site, messageId]) => {
        const words = new Uint32Array(2);
        hash(site, messageId, words, 0);
        return [offset, words.join(".")] as const;
      });
      expect(new Map([...found].toSorted(([a], [b]) => a - b))).toEqual(new Map(expected));

      const messages = await store.messagesAt(0, [2 ** 40, 12, 11, 500]);
      expect(messages.toSorted((a, b) => a.offset - b.offset)).toEqual([
        { offset: 11, site: "shop", messageId: "message-11" },
        { offset: 12, site: "shop", messageId: "message-12" },
        { offset: 2 ** 40, site: "blog", messageId: odd },
      ]);
      expect(await store.messagesAt(0, [])).toEqual([]);
    });

    it("tells which atoms the rows from the first offset up to but not including the last have", async () => {
      await store.insert(
        "events",
        "token-1",
        rowBytes([
          buildEventRow({ _offset: 9, atom: 64 }),
          buildEventRow({ _offset: 10, atom: 0, anonymous_id: "" }),
          buildEventRow({ _offset: 12, atom: 128, anonymous_id: "visitor-2" }),
          buildEventRow({ _offset: 13, atom: 192, anonymous_id: "visitor-3" }),
          buildEventRow({ _offset: 11, _partition: 1, atom: 65 }),
        ]),
      );
      expect([...(await store.atomsAt(0, 10, 13))].toSorted(([a], [b]) => a - b)).toEqual([
        [10, 0],
        [12, 128],
      ]);
      expect(await store.atomsAt(0, 14, 20)).toEqual(new Map());
    });

    it("knows which events it has refused", async () => {
      const refused = { ...buildRejectedRow({ reason: "refused_by_store" }), _partition: 2, _offset: 104 };
      await store.insert(
        "rejected",
        "token-1",
        rowBytes([refused, { ...buildRejectedRow(), _partition: 2, _offset: 7 }]),
      );
      expect(await store.hasRefusal(2, 104)).toBe(true);
      expect(await store.hasRefusal(2, 7)).toBe(false);
      expect(await store.hasRefusal(1, 104)).toBe(false);
    });

    it("remembers the log that a table was loaded from first", async () => {
      const [one, two] = await Promise.all([store.sourceOf("events", "log-a"), store.sourceOf("events", "log-b")]);
      expect(one).toBe(two);
      expect(await store.sourceOf("events", "log-c")).toBe(one);
      expect(await store.sourceOf("rejected", "log-c")).toBe("log-c");
    });

    it("keeps what was lost until somebody accepts it", async () => {
      const gap = { topic: "polder.events", partition: 3, from: 10, to: 20 };
      const { gaps } = store;
      expect(await gaps.open()).toEqual([]);
      await gaps.found(gap);
      await gaps.found(gap);
      await gaps.found({ ...gap, to: 30 });
      await gaps.found({ ...gap, partition: 4 });
      expect(await gaps.open()).toEqual([
        { ...gap, to: 30 },
        { ...gap, partition: 4 },
      ]);
      expect(await gaps.acceptedTo(gap.topic, 3, 10)).toBeUndefined();
      await gaps.accept({ ...gap, to: 30 });
      expect(await gaps.acceptedTo(gap.topic, 3, 10)).toBe(30);
      expect(await gaps.acceptedTo(gap.topic, 3, 11)).toBeUndefined();
      expect(await gaps.open()).toEqual([{ ...gap, partition: 4 }]);
    });

    it("says whether it can be reached", async () => {
      expect(await store.isReachable()).toBe(true);
    });
  });
}

const buildRejectedRow = (overrides: Partial<RejectedRow> = {}): RejectedRow => ({
  site: "shop",
  received_at: "2026-11-22 20:15:01.000",
  message_id: "message-1",
  type: "track",
  name: "Order Completed",
  reason: "invalid_field",
  detail: "timestamp is not a time",
  body: "{}",
  rule_version: ruleVersion,
  ...overrides,
});
