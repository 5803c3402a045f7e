import { parseRequest } from "@polder/protocol";
import { expect, it } from "vitest";
import { batchBody } from "./batch-body.ts";
import type { Parcel } from "./outbox.ts";

const parcel = (title: string, ...names: string[]): Parcel => ({
  key: title,
  shared: { page: { url: "https://shop.example/", title } },
  events: names.map((event) =>
    JSON.stringify({
      context: { session: { id: "s", start: 1, seq: 0 } },
      type: "track",
      messageId: `m-${event}`,
      event,
    }),
  ),
  bytes: 0,
});

const read = (parcels: Parcel[], counts = {}) => {
  const text = batchBody("pk_test", parcels, 2, counts);
  const parsed = parseRequest(text, "batch");
  if (!parsed.ok) throw new Error(parsed.message);
  return { text, parsed, events: parsed.items.flatMap((item) => (item.ok ? [item.event] : [])) };
};

it("says once what all events share, and the collector reads it back", () => {
  const { text, parsed, events } = read([parcel("Shop", "A"), parcel("Shop", "B")], { queued: 2, event_too_large: 1 });
  expect(text.match(/Shop/g)).toHaveLength(1);
  expect(events.map(({ event, context }) => [event, context?.page?.title, context?.session?.id])).toEqual([
    ["A", "Shop", "s"],
    ["B", "Shop", "s"],
  ]);
  expect(parsed.writeKey).toBe("pk_test");
  expect(parsed.receipt).toEqual({ queued: 2, sent: 2, retried: 0, dropped: { event_too_large: 1 } });
});

it("lets every event say its own where they differ", () => {
  const { events } = read([parcel("Shop", "A"), parcel("Cart", "B")]);
  expect(events.map(({ event, context }) => [event, context?.page?.title, context?.session?.id])).toEqual([
    ["A", "Shop", "s"],
    ["B", "Cart", "s"],
  ]);
});
