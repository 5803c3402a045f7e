import type { AudienceChange } from "@polder/clickhouse";
import { expect, it } from "vitest";
import { createAudienceFeed, type AudienceBatch } from "./create-audience-feed.ts";

const change = (seq: number, more: Partial<AudienceChange> = {}): AudienceChange => ({
  seq,
  site: "shop",
  audience: "viewers",
  person: 64 * seq,
  change: "enter",
  reason: "enter",
  survivor: 0,
  at: 1_000 * seq,
  version: 1,
  ...more,
});

function build() {
  const stored: AudienceChange[] = [];
  let questions = 0;
  const warned: string[] = [];
  let isAway = false;
  const answer = <T>(value: T): T => {
    questions++;
    if (isAway) throw new Error("away");
    return value;
  };
  const feed = createAudienceFeed({
    queries: {
      newestChange: async () => answer(stored.at(-1)?.seq ?? 0),
      changesAfter: async (seq, limit) => answer(stored.filter((each) => each.seq > seq).slice(0, limit)),
    },
    logger: { info() {}, warn: (message) => void warned.push(message), error() {} },
    maxChanges: 3,
  });
  const heard: AudienceBatch[] = [];
  return {
    feed,
    stored,
    heard,
    warned,
    listen: () => feed.listen((batch) => void heard.push(batch)),
    questions: () => questions,
    setAway: (value: boolean) => void (isAway = value),
  };
}

it("tells what happens from now on, once", async () => {
  const { feed, stored, heard, listen } = build();
  stored.push(change(1));
  listen();
  await feed.poll();
  stored.push(change(2), change(3, { change: "exit", reason: "consent" }));
  await feed.poll();
  await feed.poll();
  expect(heard).toEqual([{ changes: [stored[1], stored[2]], omitted: 0 }]);
});

it("asks nothing while nobody listens, and tells nothing of that time afterwards", async () => {
  const { feed, stored, heard, listen, questions } = build();
  await feed.poll();
  expect(questions()).toBe(0);
  const leave = listen();
  await feed.poll();
  leave();
  stored.push(change(1));
  await feed.poll();
  listen();
  await feed.poll();
  stored.push(change(2));
  await feed.poll();
  expect(heard.flatMap(({ changes }) => changes.map(({ seq }) => seq))).toEqual([2]);
});

it("counts what is too much to list", async () => {
  const { feed, stored, heard, listen } = build();
  listen();
  await feed.poll();
  stored.push(...[1, 2, 3, 4, 5, 6, 7].map((seq) => change(seq)));
  await feed.poll();
  await feed.poll();
  expect(heard.map(({ changes, omitted }) => [changes.map(({ seq }) => seq), omitted])).toEqual([[[1, 2, 3], 4]]);
});

it("goes on where it was when the store is back, and says once that it was away", async () => {
  const { feed, stored, heard, warned, listen, setAway } = build();
  listen();
  await feed.poll();
  setAway(true);
  await feed.poll();
  await feed.poll();
  stored.push(change(1));
  setAway(false);
  await feed.poll();
  expect(heard).toHaveLength(1);
  expect(warned).toHaveLength(1);
});
