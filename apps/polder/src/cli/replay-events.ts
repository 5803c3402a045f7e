import { randomUUID } from "node:crypto";
import {
  messageKey,
  type ReceivedMessage,
  type RefusedEvent,
  type ReplayedEvent,
  type ReplayStore,
  type StateRebuild,
} from "@polder/clickhouse";
import type { ReplayJudge, ReplayVerdict } from "@polder/collector";
import type { ConsentLedger, EventLog, LogRecord, StoredRecord, VisitorChoices } from "@polder/core";

export interface ReplayDeps {
  log: EventLog;
  store: ReplayStore;
  states: StateRebuild;
  judge: ReplayJudge;
  ledger: Pick<ConsentLedger, "record">;
  /** Resolves when everything that the log held when it was asked is loaded, with how far that is by partition; rejects when it cannot be. */
  allLoaded: () => Promise<ReadonlyMap<number, number>>;
  /** Runs `work` while nothing is loaded; rejects when that cannot be had. */
  whileNothingIsLoaded: (work: () => Promise<void>) => Promise<void>;
  /** What is about to be known, for who waits. */
  say: (note: string) => void;
  /** How many appended events are held in memory; 100,000 when not given. Then they are looked for in the tables. */
  maxHeld?: number;
}

export interface ReplayRange {
  from: Date;
  /** Itself not included. */
  to: Date;
  site?: string | undefined;
  /** From `rejected` only: why they were refused. */
  reason?: string | undefined;
  /** Looks and changes nothing. */
  isDryRun: boolean;
}

/** Every event that was read is in one of them, `missing` apart. */
export interface ReplayCounts {
  read: number;
  /** Appended to the log, and in `events` now; in a dry run: they would be. */
  stored: number;
  /** Already in `events`. */
  known: number;
  /** Not stored, by why and reason. */
  left: Map<string, number>;
  /** Appended, but in `events` they are not: ClickHouse refused them again. */
  missing: number;
  /** Mondays of the weeks whose counts were made anew. */
  weeks: string[];
}

const atOnce = 2_000;

/**
 * Brings events of the past into `events`, each once: what the table has is left alone, what it lacks goes through the log as any event does. Stopped
 * at any point and run again it goes on; run again after that it finds everything there.
 */
export function createReplayer(deps: ReplayDeps): {
  fromRejected(range: ReplayRange): Promise<ReplayCounts>;
  fromLog(range: ReplayRange): Promise<ReplayCounts>;
} {
  const { log, store, states, judge, maxHeld = 100_000 } = deps;

  /** From one source: what is judged there is looked up, appended and written down, some thousand at a time. */
  function createBringer(range: ReplayRange) {
    const counts: ReplayCounts = { read: 0, stored: 0, known: 0, left: new Map(), missing: 0, weeks: [] };
    const weeks = new Set<string>();
    // What was appended and may not be in the table yet. In a dry run it never will be: copies of an event that are far apart count twice there.
    let held = new Map<string, ReplayedEvent & ReceivedMessage>();
    const leave = ({ why, reason }: ReplayVerdict & { ok: false }): void => {
      const label = reason === "" ? why : `${why}: ${reason}`;
      counts.left.set(label, (counts.left.get(label) ?? 0) + 1);
    };

    async function bring(events: readonly Judged[]): Promise<void> {
      counts.read += events.length;
      const allowed = events.flatMap((event) => {
        if (event.verdict.ok) return [{ ...event, ...event.verdict }];
        leave(event.verdict);
        return [];
      });
      const known = await store.stored(
        allowed.map(({ record: { headers }, receivedAt }) => ({
          site: headers.site,
          messageId: headers.id,
          receivedAt,
        })),
      );
      const knownOnes: ReplayedEvent[] = [];
      const records: LogRecord[] = [];
      const choices: VisitorChoices[] = [];
      for (const { record, place, receivedAt, choices: made } of allowed) {
        const { site, id: messageId } = record.headers;
        const key = messageKey({ site, messageId });
        const event = { ...place, site, messageId };
        if (known.has(key) || held.has(key)) {
          counts.known += 1;
          // What the log has twice, and what nobody has replayed, is no news.
          if (place.source === "rejected") knownOnes.push({ ...event, outcome: "known" });
          continue;
        }
        counts.stored += 1;
        held.set(key, { ...event, outcome: "stored", receivedAt });
        weeks.add(mondayOf(receivedAt));
        records.push(record);
        choices.push(...made);
      }
      deps.say(`${counts.read} read, ${counts.stored} to store`);
      if (!range.isDryRun) {
        // The ledger first: it counts from here on.
        if (choices.length > 0) await deps.ledger.record(choices);
        if (records.length > 0) await log.append("polder.events", records);
        await store.mark(knownOnes);
      }
      if (held.size >= maxHeld) await letGo();
    }

    /** What was appended is in the table now, or was refused. */
    async function letGo(): Promise<void> {
      const events = [...held.values()];
      held = new Map();
      if (range.isDryRun || events.length === 0) return;
      deps.say(`${counts.stored} appended, being loaded`);
      await deps.allLoaded();
      const stored = await store.stored(events);
      const there = events.filter((event) => stored.has(messageKey(event)));
      counts.missing += events.length - there.length;
      counts.stored -= events.length - there.length;
      // Last: what is not written down is looked for in the table by the next run.
      for (let first = 0; first < there.length; first += atOnce) await store.mark(there.slice(first, first + atOnce));
    }

    return {
      bring,
      leave(verdict: ReplayVerdict & { ok: false }): void {
        counts.read += 1;
        leave(verdict);
      },
      async finish(): Promise<ReplayCounts> {
        await letGo();
        return counts;
      },
      /**
       * What was in the table before has been counted before, and is counted again when it is loaded again. Weeks that disagree besides were left so
       * by a run that was stopped.
       */
      async countAnew(): Promise<void> {
        if (range.isDryRun) return;
        await deps.whileNothingIsLoaded(async () => {
          const disagreeing = await states.weeksThatDisagree(range);
          counts.weeks = [...new Set([...weeks, ...disagreeing])].toSorted();
          if (counts.weeks.length > 0) deps.say("making counts anew");
          await states.rebuild(counts.weeks);
        });
      },
    };
  }

  return {
    async fromRejected(range) {
      const bringer = createBringer(range);
      // What an earlier run has appended is in the table then.
      await deps.allLoaded();
      let after: RefusedEvent | undefined;
      for (;;) {
        const refused = await store.refused({ ...range, after, limit: atOnce });
        if (refused.length === 0) return bringer.finish();
        await bringer.bring(refused.map((event) => judgeRefused(event, judge)));
        after = refused.at(-1);
      }
    },

    async fromLog(range) {
      const bringer = createBringer(range);
      // What comes meanwhile is not lacking: it is on its way.
      const ends = await deps.allLoaded();
      const starts = await log.offsetsAt("polder.events", range.from);
      await readLog(log, { starts, ends }, async (partition, records) => {
        const inRange = records.flatMap((record) => {
          const row = rowIn(record, range);
          return row === undefined ? [] : [{ record, ...row }];
        });
        if (inRange.length === 0) return;
        const first = inRange[0]!.record.offset;
        const refused = await store.refusedOffsets(partition, first, inRange.at(-1)!.record.offset);
        const judged: Judged[] = [];
        const recorded = await store.recorded(
          inRange.flatMap(({ record: { headers }, receivedAt, isChoice }) =>
            isChoice ? [{ site: headers.site, messageId: headers.id, receivedAt }] : [],
          ),
        );
        for (const { record, receivedAt } of inRange) {
          // Those are found in `rejected`, and would only be refused again.
          if (refused.has(record.offset)) bringer.leave({ ok: false, why: "refused", reason: "refused_by_store" });
          else {
            const place = { source: "log" as const, partition, offset: record.offset, reason: "" };
            const { offset: _offset, ...appendable } = record;
            const { site, id: messageId } = record.headers;
            const isRecorded = recorded.has(messageKey({ site, messageId }));
            judged.push({ place, receivedAt, verdict: judge.judgeRow(appendable, isRecorded) });
          }
        }
        await bringer.bring(judged);
      });
      const counts = await bringer.finish();
      await bringer.countAnew();
      return counts;
    },
  };
}

interface Judged {
  place: Pick<ReplayedEvent, "source" | "partition" | "offset" | "reason">;
  receivedAt: number;
  verdict: ReplayVerdict;
}

function judgeRefused(event: RefusedEvent, judge: ReplayJudge): Judged {
  const { partition, offset, reason, site, body, messageId } = event;
  const receivedAt = Date.parse(`${event.receivedAt.replace(" ", "T")}Z`);
  const place = { source: "rejected" as const, partition, offset, reason };
  if (reason === "refused_by_store") return { place, receivedAt, verdict: judgeRefusedRow(event, judge) };
  const idWithout = `replay:${partition}:${offset}`;
  return { place, receivedAt, verdict: judge.judgeEvent({ site, receivedAt, messageId, idWithout, body }) };
}

/** What ClickHouse refused is a row already. */
function judgeRefusedRow({ site, body, messageId }: RefusedEvent, judge: ReplayJudge): ReplayVerdict {
  if (body === "") return { ok: false, why: "not_kept", reason: "" };
  const row = readRow(body);
  if (row === undefined) return { ok: false, why: "cut", reason: "" };
  const { anonymous_id: anonymousId = "", user_id: userId = "" } = row;
  const visitor = anonymousId || userId;
  return judge.judgeRow({
    key: visitor === "" ? messageId : `${site}:${visitor}`,
    value: Buffer.from(body),
    headers: { id: messageId, site, anonymousId, userId },
  });
}

interface Row {
  site: string;
  type?: string;
  received_at: string;
  anonymous_id?: string;
  user_id?: string;
}

function readRow(text: string): Row | undefined {
  try {
    const row = JSON.parse(text) as Partial<Row> | null;
    return typeof row?.site === "string" && typeof row.received_at === "string" ? (row as Row) : undefined;
  } catch {
    return undefined;
  }
}

function rowIn(
  record: StoredRecord,
  { from, to, site }: ReplayRange,
): { receivedAt: number; isChoice: boolean } | undefined {
  if (record.foreign !== undefined || (site !== undefined && record.headers.site !== site)) return undefined;
  const row = readRow(Buffer.from(record.value).toString());
  if (row === undefined) return undefined;
  const receivedAt = Date.parse(`${row.received_at.replace(" ", "T")}Z`);
  const isInTime = receivedAt >= from.getTime() && receivedAt < to.getTime();
  return isInTime ? { receivedAt, isChoice: row.type === "consent" } : undefined;
}

/** In UTC, as states have it. */
function mondayOf(time: number): string {
  const day = new Date(time);
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
  return day.toISOString().slice(0, "2026-11-16".length);
}

/** Hands over what the log holds from and before these offsets, without an end what it holds now. Commits nothing, so nothing is kept for it. */
async function readLog(
  log: EventLog,
  bounds: { starts: ReadonlyMap<number, number>; ends: ReadonlyMap<number, number> },
  take: (partition: number, records: readonly StoredRecord[]) => Promise<void>,
): Promise<void> {
  const reader = log.openReader({
    topic: "polder.events",
    // Of this run alone: of two in one group each would wait for the partitions of the other.
    group: `polder.replay.${randomUUID()}`,
    maxRecords: atOnce,
    maxBytes: 16 * 2 ** 20,
    lingerMs: 0,
  });
  const partitions = await log.partitionCount("polder.events");
  const ends = new Map<number, number>();
  const done = new Set<number>();
  const reached = new Map<number, number>();
  let failure: unknown;
  // One range at a time: what one has appended is seen by the next.
  let turn = Promise.resolve();
  const reach = (partition: number, offset: number): void => {
    reached.set(partition, offset);
    if (offset >= ends.get(partition)!) done.add(partition);
    if (done.size === partitions) void reader.stop();
  };
  await reader.run({
    async assigned(partition, _committed, { start, end }) {
      if (!ends.has(partition)) ends.set(partition, Math.min(bounds.ends.get(partition) ?? end, end));
      const from = Math.min(Math.max(reached.get(partition) ?? bounds.starts.get(partition) ?? start, start), end);
      reach(partition, from);
      return from;
    },
    async consume({ partition, records }) {
      const end = ends.get(partition)!;
      const wanted = records.filter(({ offset }) => offset < end);
      turn = turn.then(() => (failure === undefined && wanted.length > 0 ? take(partition, wanted) : undefined));
      try {
        await turn;
      } catch (error) {
        failure ??= error;
        turn = Promise.resolve();
        void reader.stop();
        return;
      }
      reach(partition, records.at(-1)!.offset + 1);
    },
    revoked() {},
  });
  if (failure !== undefined) throw failure;
}
