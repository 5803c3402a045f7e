import type { LiveAudiences, LiveBatch, LiveEvent, LivePeople, LivePulse, LiveSeries } from "../schemas.ts";

/** What the page knows of the stream. Pure: see `use-live.ts` for the connection. */
export interface LiveState {
  connection: "connecting" | "open" | "lost" | "locked";
  /** Newest first. */
  events: LiveEvent[];
  /** Arrived while paused: shown when going on. */
  waiting: LiveEvent[];
  isPaused: boolean;
  /** Whose atoms are that changed hands since the page was opened, the latest of them. See {@link personNow}. */
  people: ReadonlyMap<number, number>;
  /** How often identities were joined: answers from before are out of date. */
  joins: number;
  /** Who came into audiences and left them, newest first. */
  audienceChanges: LiveAudiences["changes"];
  /** Events by second of arrival. */
  seconds: ReadonlyMap<number, number>;
  newestReceivedAt: number | null;
  lagMs: number | null;
  isStoreReachable: boolean;
  /** The server's clock less this browser's, in milliseconds. */
  clockOffset: number;
  hasGap: boolean;
  omitted: number;
}

export type LiveAction =
  | { kind: "connection"; connection: LiveState["connection"] }
  | { kind: "batch"; batch: LiveBatch }
  | { kind: "series"; series: LiveSeries }
  | { kind: "people"; people: LivePeople }
  | { kind: "audiences"; audiences: LiveAudiences }
  | { kind: "pulse"; pulse: LivePulse; at: number }
  | { kind: "gap" }
  | { kind: "pause"; isPaused: boolean };

export const initialLiveState: LiveState = {
  connection: "connecting",
  events: [],
  waiting: [],
  isPaused: false,
  people: new Map(),
  joins: 0,
  audienceChanges: [],
  seconds: new Map(),
  newestReceivedAt: null,
  lagMs: null,
  isStoreReachable: true,
  clockOffset: 0,
  hasGap: false,
  omitted: 0,
};

export const maxShownEvents = 200;
const maxHeldChanges = 1_000;
const maxAudienceChanges = 20;
const seriesSeconds = 180;

export function reduceLive(state: LiveState, action: LiveAction): LiveState {
  switch (action.kind) {
    case "connection":
      return { ...state, connection: action.connection };
    case "pause":
      return action.isPaused
        ? { ...state, isPaused: true }
        : { ...state, isPaused: false, waiting: [], events: join(state.waiting, state.events) };
    case "gap":
      return { ...state, hasGap: true };
    case "series":
      return { ...state, seconds: new Map(action.series.seconds) };
    case "people": {
      const changes = new Map(action.people.changes.map(({ atom, person }) => [atom, person]));
      const follow = (event: LiveEvent): LiveEvent => {
        if (event.atom === null || event.person === null) return event;
        const person = changes.get(event.atom) ?? personNow(changes, event.person);
        return person === event.person ? event : { ...event, person };
      };
      // Who was absorbed by somebody that is absorbed now has the same survivor.
      const earlier = [...state.people].map(([atom, person]) => [atom, personNow(changes, person)] as const);
      return {
        ...state,
        people: new Map([...new Map([...earlier, ...changes])].slice(-maxHeldChanges)),
        joins: state.joins + 1,
        events: state.events.map(follow).filter(isOfSomebody),
        waiting: state.waiting.map(follow).filter(isOfSomebody),
      };
    }
    case "audiences": {
      const newest = action.audiences.changes.toReversed();
      return { ...state, audienceChanges: [...newest, ...state.audienceChanges].slice(0, maxAudienceChanges) };
    }
    case "pulse": {
      const { now, newestReceivedAt, lagMs, isStoreReachable } = action.pulse;
      return {
        ...state,
        newestReceivedAt: latest(state.newestReceivedAt, newestReceivedAt),
        lagMs,
        isStoreReachable,
        clockOffset: now - action.at,
      };
    }
    case "batch": {
      const { events, omitted, seconds } = action.batch;
      const newest = [...events].reverse();
      const shown = state.isPaused ? { waiting: join(newest, state.waiting) } : { events: join(newest, state.events) };
      const newestReceivedAt = events.reduce((last, event) => latest(last, event.receivedAt), state.newestReceivedAt);
      return {
        ...state,
        ...shown,
        newestReceivedAt,
        omitted: state.omitted + omitted,
        seconds: addSeconds(state.seconds, seconds),
      };
    }
  }
}

/** Person 0 was erased; without a person it was collected without an identifier. */
const isOfSomebody = ({ person }: LiveEvent): boolean => person !== 0;

/** The person that a person is part of now: another one when they were absorbed. */
export const personNow = (people: ReadonlyMap<number, number>, person: number): number => people.get(person) ?? person;

/** The same event can come twice after a reconnect: it is shown once. */
function join(newer: readonly LiveEvent[], older: readonly LiveEvent[]): LiveEvent[] {
  const ids = new Set(newer.map(({ id }) => id));
  return [...newer, ...older.filter(({ id }) => !ids.has(id))].slice(0, maxShownEvents);
}

function addSeconds(known: ReadonlyMap<number, number>, more: LiveBatch["seconds"]): ReadonlyMap<number, number> {
  if (more.length === 0) return known;
  const sum = new Map(known);
  for (const [second, count] of more) sum.set(second, (sum.get(second) ?? 0) + count);
  const newest = Math.max(...sum.keys());
  for (const second of sum.keys()) if (second < newest - 2 * seriesSeconds) sum.delete(second);
  return sum;
}

const latest = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.max(a, b);

/** The last three minutes up to a moment, for a chart: every second, zeros included. The last second is not over and left out. */
export function seriesUntil(seconds: ReadonlyMap<number, number>, now: number): [number[], number[]] {
  const end = Math.floor(now / 1000) - 1;
  const times = Array.from({ length: seriesSeconds }, (_, index) => end - seriesSeconds + 1 + index);
  return [times, times.map((time) => seconds.get(time) ?? 0)];
}
