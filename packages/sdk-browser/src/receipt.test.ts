import { expect, it } from "vitest";
import { createReceiptBook } from "./receipt.ts";

it("starts again when it is taken, and loses nothing when it is put back", () => {
  const book = createReceiptBook();
  book.count("queued", 3);
  book.count("refused");
  const taken = book.take();
  expect(taken).toEqual({ queued: 3, refused: 1 });
  book.count("queued");
  book.putBack(taken);
  expect(book.take()).toEqual({ queued: 4, refused: 1 });
  expect(book.take()).toEqual({});
});
