import { expect, it } from "vitest";
import type { Parcel } from "./outbox.ts";
import { createReceiptBook, type Counts } from "./receipt.ts";

const parcel = (counts: Counts, events: string[]): Parcel => ({ key: "", shared: {}, events, bytes: 0, counts });

it("starts again when it is taken, and loses nothing when it is gathered again", () => {
  const book = createReceiptBook(() => {});
  book.count("queued", 3);
  book.count("refused");
  const taken = book.take();
  expect(taken).toEqual({ queued: 3, refused: 1 });
  book.count("queued");
  book.gather([{ counts: taken, events: [] }]);
  expect(book.take()).toEqual({ queued: 4, refused: 1 });
  expect(book.take()).toEqual({});
});

it("counts what is dropped by its reason, beside what it carries, and says so", () => {
  const log: unknown[][] = [];
  const book = createReceiptBook((...entry) => log.push(entry));
  const dropped = [parcel({ queued: 2 }, ["a", "b"]), parcel({ queued: 1, retried: 4 }, ["c"])];
  book.gather(dropped, "outbox_full");
  expect(book.take()).toEqual({ queued: 3, retried: 4, outbox_full: 3 });
  expect(log).toEqual([
    ["dropped", "2 outbox_full"],
    ["dropped", "1 outbox_full"],
  ]);
});
