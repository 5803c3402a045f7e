import { expect, it } from "vitest";
import { sampleEvent } from "../sample-queries.test-support.ts";
import type { LiveBatch } from "../schemas.ts";
import { toLiveEvent } from "../to-live-event.ts";
import {
  initialLiveState,
  maxShownEvents,
  personNow,
  reduceLive,
  seriesUntil,
  type LiveAction,
  type LiveState,
} from "./live-state.ts";

const batch = (offsets: number[], overrides: Partial<LiveBatch> = {}): LiveAction => ({
  kind: "batch",
  batch: {
    events: offsets.map((offset) => toLiveEvent(sampleEvent({ offset, receivedAt: 1_000 * offset }))),
    omitted: 0,
    seconds: [],
    ...overrides,
  },
});
const after = (...actions: LiveAction[]): LiveState => actions.reduce(reduceLive, initialLiveState);
const ids = (state: LiveState) => state.events.map(({ id }) => id);

it("shows the newest first", () => {
  const state = after(batch([1, 2]), batch([3]));
  expect(ids(state)).toEqual(["0:3", "0:2", "0:1"]);
  expect(state.newestReceivedAt).toBe(3_000);
});

it("shows an event once that comes again after a reconnect", () => {
  expect(ids(after(batch([1, 2]), batch([2, 3])))).toEqual(["0:3", "0:2", "0:1"]);
});

it("keeps a bounded list", () => {
  const state = after(batch(Array.from({ length: maxShownEvents + 50 }, (_, index) => index)));
  expect(state.events).toHaveLength(maxShownEvents);
  expect(state.events[0]?.id).toBe(`0:${maxShownEvents + 49}`);
});

it("holds the list still while paused, and catches up afterwards", () => {
  const paused = after(batch([1]), { kind: "pause", isPaused: true }, batch([2]), batch([3]));
  expect(ids(paused)).toEqual(["0:1"]);
  expect(paused.waiting).toHaveLength(2);
  const on = reduceLive(paused, { kind: "pause", isPaused: false });
  expect(ids(on)).toEqual(["0:3", "0:2", "0:1"]);
  expect(on.waiting).toEqual([]);
});

it("gives the rows to the person that they belong to now, those that wait included", () => {
  const seen = (offset: number, atom: number, person: number) => toLiveEvent(sampleEvent({ offset, atom, person }));
  const before = after(
    batch([], { events: [seen(1, 64, 64), seen(2, 192, 128), seen(3, 0, 0)] }),
    { kind: "pause", isPaused: true },
    batch([], { events: [seen(4, 128, 128)] }),
  );
  const joined = reduceLive(before, { kind: "people", people: { changes: [{ atom: 128, person: 64 }] } });
  expect(joined.events.map(({ person }) => person)).toEqual([null, 64, 64]);
  expect(joined.waiting.map(({ person }) => person)).toEqual([64]);
});

it("forgets what it showed of somebody who was erased, and nobody else", () => {
  const seen = (offset: number, atom: number, person: number) => toLiveEvent(sampleEvent({ offset, atom, person }));
  const before = after(
    batch([], { events: [seen(1, 64, 64), seen(2, 128, 64), seen(3, 0, 0), seen(4, 192, 192)] }),
    { kind: "pause", isPaused: true },
    batch([], { events: [seen(5, 64, 64)] }),
  );
  const changes = [64, 128].map((atom) => ({ atom, person: 0 }));
  const erased = reduceLive(before, { kind: "people", people: { changes } });
  expect(ids(erased)).toEqual(["0:4", "0:3"]);
  expect(erased.waiting).toEqual([]);
});

it("follows a person through one merge after another", () => {
  const join = (atom: number, person: number): LiveAction => ({
    kind: "people",
    people: { changes: [{ atom, person }] },
  });
  const state = after(join(192, 128), join(128, 64));
  expect([192, 128, 64].map((person) => personNow(state.people, person))).toEqual([64, 64, 64]);
  expect(state.joins).toBe(2);
});

it("adds seconds to the series that it was given", () => {
  const state = after({ kind: "series", series: { seconds: [[10, 2]] } }, batch([], { seconds: [[10, 1], [11, 4]] }), batch([], { omitted: 7 })); // oxfmt-ignore
  expect([...state.seconds]).toEqual([
    [10, 3],
    [11, 4],
  ]);
  expect(state.omitted).toBe(7);
});

it("fills the chart with every second that is over, zeros included", () => {
  const [times, counts] = seriesUntil(new Map([[1_000, 5], [999, 2], [1_001, 9]]), 1_001_400); // oxfmt-ignore
  expect(times).toHaveLength(180);
  expect(times.at(-1)).toBe(1_000);
  expect(counts.slice(-3)).toEqual([0, 2, 5]);
});

it("knows how far this clock is from the server's", () => {
  const pulse = { now: 5_000, newestReceivedAt: 4_000, lagMs: null, isStoreReachable: false };
  expect(after({ kind: "pulse", pulse, at: 4_200 })).toMatchObject({
    clockOffset: 800,
    newestReceivedAt: 4_000,
    isStoreReachable: false,
  });
});

it("holds the last changes of audiences, newest first", () => {
  const audiences = (...seqs: number[]): LiveAction => ({
    kind: "audiences",
    audiences: {
      changes: seqs.map((seq) => ({ seq, audience: "viewers", person: 64, change: "enter", reason: "enter", at: seq })),
      omitted: 0,
    },
  });
  const state = after(audiences(1, 2), audiences(3), audiences(...Array.from({ length: 18 }, (_, n) => n + 4)));
  expect(state.audienceChanges.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, n) => 21 - n));
});
