import type { RefusedEvent, ReplayedEvent, ReplayStore } from "@polder/clickhouse";
import type { ReplayJudge, ReplayVerdict } from "@polder/collector";
import type { ConsentLedger, EventLog, LogRecord, StoredRecord, VisitorChoices } from "@polder/core";

export interface ReplayDeps {
  log: EventLog;
  store: ReplayStore;
  judge: ReplayJudge;
  ledger: Pick<ConsentLedger, "record">;
  /** Resolves when everything in the log is loaded; rejects when nobody loads it. */
  allLoaded: () => Promise<void>;
  /** What is about to be known, for who waits. */
  say: (note: string) => void;
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
  /** Appended, but in `events` they are not: ClickHouse refused them again, or the loader is behind. */
  missing: number;
}

const atOnce = 2_000;
/** No client sends an event again that is older. */
const longestRetryMs = 30 * 24 * 3_600_000;

/**
 * Brings events of the past into `events`, each once: what the table has is left alone, what it lacks goes through the log as any event does. Stopped
 * at any point and run again it goes on; run again after that it finds everything there.
 */
export function createReplayer(deps: ReplayDeps): {
  fromRejected(range: ReplayRange): Promise<ReplayCounts>;
  fromLog(range: ReplayRange): Promise<ReplayCounts>;
} {
  const { log, store, judge } = deps;

  /** From one source: what is judged there is looked up, appended and written down, some thousand at a time. */
  function createBringer(range: ReplayRange) {
    const counts: ReplayCounts = { read: 0, stored: 0, known: 0, left: new Map(), missing: 0 };
    const brought: ReplayedEvent[] = [];
    // What this run has appended may not be in the table yet.
    const seen = new Set<string>();
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
      const messages = allowed.map(({ record: { headers } }) => ({ site: headers.site, messageId: headers.id }));
      const earliest = Math.min(...allowed.map(({ receivedAt }) => receivedAt));
      const known =
        messages.length === 0 ? new Set() : await store.stored(messages, new Date(earliest - longestRetryMs));
      const knownOnes: ReplayedEvent[] = [];
      const records: LogRecord[] = [];
      const choices: VisitorChoices[] = [];
      for (const { record, place, choices: made } of allowed) {
        const { site, id } = record.headers;
        const message = `${site}\n${id}`;
        const isKnown = known.has(message) || seen.has(message);
        seen.add(message);
        const event = { ...place, site, messageId: id };
        if (isKnown) {
          counts.known += 1;
          // What the log has twice, and what nobody has replayed, is no news.
          if (place.source === "rejected") knownOnes.push({ ...event, outcome: "known" });
          continue;
        }
        counts.stored += 1;
        brought.push({ ...event, outcome: "stored" });
        records.push(record);
        choices.push(...made);
      }
      deps.say(`${counts.read} read, ${counts.stored} to store`);
      if (range.isDryRun) return;
      // The ledger first: it counts from here on.
      if (choices.length > 0) await deps.ledger.record(choices);
      if (records.length > 0) await log.append("polder.events", records);
      await store.mark(knownOnes);
    }

    return {
      bring,
      leave(verdict: ReplayVerdict & { ok: false }): void {
        counts.read += 1;
        leave(verdict);
      },
      async finish(): Promise<ReplayCounts> {
        if (range.isDryRun || brought.length === 0) return counts;
        deps.say(`${counts.stored} appended, being loaded`);
        await deps.allLoaded();
        const stored = await store.stored(brought, new Date(range.from.getTime() - longestRetryMs));
        const there = brought.filter(({ site, messageId }) => stored.has(`${site}\n${messageId}`));
        counts.missing = brought.length - there.length;
        counts.stored = there.length;
        // Last: what is not written down is looked for in the table by the next run.
        for (let first = 0; first < there.length; first += atOnce) await store.mark(there.slice(first, first + atOnce));
        return counts;
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
      await deps.allLoaded();
      const starts = await log.offsetsAt("polder.events", range.from);
      await readLog(log, starts, async (partition, records) => {
        const inRange = records.flatMap((record) => {
          const row = rowIn(record, range);
          return row === undefined ? [] : [{ record, receivedAt: row.receivedAt }];
        });
        if (inRange.length === 0) return;
        const first = inRange[0]!.record.offset;
        const refused = await store.refusedOffsets(partition, first, inRange.at(-1)!.record.offset);
        const judged: Judged[] = [];
        for (const { record, receivedAt } of inRange) {
          // Those are found in `rejected`, and would only be refused again.
          if (refused.has(record.offset)) bringer.leave({ ok: false, why: "refused", reason: "refused_by_store" });
          else {
            const place = { source: "log" as const, partition, offset: record.offset, reason: "" };
            const { offset: _offset, ...appendable } = record;
            judged.push({ place, receivedAt, verdict: judge.judgeRow(appendable) });
          }
        }
        await bringer.bring(judged);
      });
      return bringer.finish();
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

function rowIn(record: StoredRecord, { from, to, site }: ReplayRange): { receivedAt: number } | undefined {
  if (record.foreign !== undefined || (site !== undefined && record.headers.site !== site)) return undefined;
  const row = readRow(Buffer.from(record.value).toString());
  if (row === undefined) return undefined;
  const receivedAt = Date.parse(`${row.received_at.replace(" ", "T")}Z`);
  return receivedAt >= from.getTime() && receivedAt < to.getTime() ? { receivedAt } : undefined;
}

/** Hands over what the log holds now, from these offsets on; what is appended meanwhile is not read. Commits nothing, so nothing is kept for it. */
async function readLog(
  log: EventLog,
  starts: ReadonlyMap<number, number>,
  take: (partition: number, records: readonly StoredRecord[]) => Promise<void>,
): Promise<void> {
  const reader = log.openReader({
    topic: "polder.events",
    group: "polder.replay",
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
      if (!ends.has(partition)) ends.set(partition, end);
      const from = Math.min(Math.max(reached.get(partition) ?? starts.get(partition) ?? start, start), end);
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
