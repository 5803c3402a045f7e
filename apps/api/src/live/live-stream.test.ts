import { expect, it } from "vitest";
import * as v from "valibot";
import { createSampleStore } from "../sample-queries.test-support.ts";
import type { AudienceBatch, AudienceFeed } from "../audiences/create-audience-feed.ts";
import { liveAudiences, liveBatch, livePeople, livePulse, liveSeries } from "../schemas.ts";
import { createLiveFeed } from "./create-live-feed.ts";
import { liveStream, type LiveStreamOptions } from "./live-stream.ts";

const silent = { info: () => {}, warn: () => {}, error: () => {} };

async function build(overrides: Partial<LiveStreamOptions> = {}) {
  const store = createSampleStore();
  const feed = createLiveFeed({ queries: store.queries, logger: silent, now: () => 1_795_000_000_000, feedId: "feed" });
  await feed.poll();
  const open = (lastEventId?: string) => {
    const stream = liveStream({
      feed,
      site: "shop",
      lastEventId,
      now: () => 1_795_000_000_000,
      lagMs: async () => 40,
      pulseMs: 3_600_000,
      maxUnreadBytes: 1024 ** 2,
      ...overrides,
    });
    const reader = stream.getReader();
    let text = "";
    return {
      reader,
      /** Reads on until a message with this name, and gives its data. */
      async until(name: string): Promise<unknown> {
        for (;;) {
          const found = new RegExp(`(?:id: (.*)\\n)?event: ${name}\\ndata: (.*)\\n\\n`).exec(text);
          if (found !== null) {
            text = text.slice(found.index + found[0].length);
            return JSON.parse(found[2]!);
          }
          const { value, done } = await reader.read();
          if (done) throw new Error(`ended before ${name}: ${text}`);
          text += new TextDecoder().decode(value);
        }
      },
    };
  };
  return { store, feed, open };
}

it("tells events of its site only, as the schema says", async () => {
  const { store, feed, open } = await build();
  const stream = open();
  store.add({ site: "other" }, { person: 0, consentMask: 2, urlPath: "/a" });
  await feed.poll();
  const batch = v.parse(liveBatch, await stream.until("events"));
  expect(batch.events).toHaveLength(1);
  expect(batch.events[0]).toMatchObject({ id: "0:1", person: null, purposes: ["measurement"], urlPath: "/a" });
  expect(batch).toMatchObject({ omitted: 0, seconds: [[1_795_000_000, 1]] });
});

it("says nothing of batches without an event of its site", async () => {
  const { store, feed, open } = await build();
  const stream = open();
  store.add({ site: "other" });
  await feed.poll();
  store.add({ urlPath: "/mine" });
  await feed.poll();
  expect(v.parse(liveBatch, await stream.until("events")).events[0]).toMatchObject({ urlPath: "/mine" });
});

it("sends a pulse and the series at once", async () => {
  const { open } = await build();
  const stream = open();
  expect(v.parse(liveSeries, await stream.until("series"))).toEqual({ seconds: [] });
  expect(v.parse(livePulse, await stream.until("pulse"))).toEqual({
    now: 1_795_000_000_000,
    newestReceivedAt: null,
    lagMs: 40,
    isStoreReachable: true,
  });
});

it("does not count twice what is in the series already", async () => {
  const { store, feed, open } = await build();
  store.add({}, {});
  await feed.poll();
  const stream = open();
  expect(await stream.until("events")).toMatchObject({ seconds: [], omitted: 0 });
  expect(await stream.until("series")).toEqual({ seconds: [[1_795_000_000, 2]] });
});

it("goes on after the last event that was seen, and tells of a gap", async () => {
  const { store, feed, open } = await build();
  store.add({ urlPath: "/seen" });
  await feed.poll();
  store.add({ urlPath: "/missed" });
  await feed.poll();
  const batch = v.parse(liveBatch, await open("feed.1").until("events"));
  expect(batch.events.map(({ urlPath }) => urlPath)).toEqual(["/missed"]);
  expect(await open("another.9").until("gap")).toEqual({});
});

it("tells of people of its site that were joined, also after it was away", async () => {
  const { store, feed, open } = await build();
  store.add({ site: "other", atom: 320, person: 320 }, { atom: 128, person: 128 });
  await feed.poll();
  const stream = open();
  store.assign(320, 256);
  store.assign(128, 64);
  await feed.poll();
  const changes = [{ atom: 128, person: 64 }];
  expect(v.parse(livePeople, await stream.until("people"))).toEqual({ changes });
  expect(await open("feed.1").until("people")).toEqual({ changes });
});

it("lets a listener go that does not read", async () => {
  const { store, feed, open } = await build({ maxUnreadBytes: 2_000 });
  const slow = open();
  for (let index = 0; index < 20; index++) {
    store.add({});
    await feed.poll();
  }
  expect(feed.status().listeners).toBe(0);
  await expect(slow.until("never")).rejects.toThrow("ended before never");
});

it("tells nothing more to one that left", async () => {
  const { feed, open } = await build();
  const gone = open();
  expect(feed.status().listeners).toBe(1);
  await gone.reader.cancel();
  expect(feed.status().listeners).toBe(0);
});

it("tells who came into audiences of its site and left them, and nobody once it is left", async () => {
  const listeners = new Set<(batch: AudienceBatch) => void>();
  const audiences: AudienceFeed = {
    start: () => {},
    stop: async () => {},
    poll: async () => {},
    listen: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const { open } = await build({ audiences });
  const stream = open();
  const change = { audience: "viewers", change: "exit", reason: "merged", survivor: 64, at: 7, version: 1 } as const;
  const tell = (...changes: AudienceBatch["changes"]) =>
    listeners.forEach((listener) => listener({ changes, omitted: 0 }));
  tell({ ...change, seq: 1, site: "other", person: 320 });
  tell({ ...change, seq: 2, site: "shop", person: 128 }, { ...change, seq: 3, site: "shop", person: 0 });
  expect(v.parse(liveAudiences, await stream.until("audiences"))).toEqual({
    changes: [
      { seq: 2, audience: "viewers", person: 128, change: "exit", reason: "merged", at: 7 },
      { seq: 3, audience: "viewers", person: null, change: "exit", reason: "merged", at: 7 },
    ],
    omitted: 0,
  });
  await stream.reader.cancel();
  expect(listeners.size).toBe(0);
});
