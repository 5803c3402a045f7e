import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { StoreUnavailableError, type EventStore } from "../ports/event-store.ts";
import { ruleVersion, type RejectedRow } from "../row/event-row.ts";
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

    it("gives message ids by offset, from the first up to but not including the last", async () => {
      await store.insert("events", "token-1", rowBytes(rows(30, 20).toReversed()));
      await store.insert("events", "token-2", rowBytes(rows(20)));
      await store.insert("events", "token-3", rowBytes([buildEventRow({ _partition: 1, _offset: 12 })]));
      const found = [];
      for await (const message of store.messageIds(0, 10, 40)) found.push(message);
      expect(found).toEqual(
        Array.from({ length: 30 }, (_, index) => ({
          offset: 10 + index,
          site: "shop",
          messageId: `message-${10 + index}`,
        })),
      );
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
