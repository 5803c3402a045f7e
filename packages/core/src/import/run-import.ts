import type { JsonObject } from "@polder/protocol";
import type { ImportStore, StoredVersion } from "../ports/import-store.ts";
import { decideVersion, idOf } from "./decide-version.ts";
import type { ImportEvent, PlannedEvent, PlannedRow } from "./plan-row.ts";
import type { CsvRow } from "./read-csv.ts";
import type { ImportSend } from "./send-import.ts";

/** A row, or a part of one, that was not taken. Never repeats what is in a cell. */
export interface RefusedRow {
  line: number;
  /** Header of the column; empty when it is the row as a whole. */
  column: string;
  reason: string;
  detail: string;
}

export interface ImportCounts {
  rows: number;
  /** Rows of which something was refused: here or by the collector. */
  refusedRows: number;
  /** Events that nobody has stated before; that put right what was stated; that were stated already, so that nothing is sent. */
  events: { new: number; corrected: number; known: number };
  /** Of those sent, what the collector took. */
  accepted: number;
  /** Rows that name nobody: they count, and belong to no person. */
  nobody: number;
  people: PeopleCounts;
}

/** Different ids in the file. Counted in a dry run alone, and up to a limit. */
export interface PeopleCounts {
  new: number;
  known: number;
  /** There are more than could be counted. */
  isAtLeast: boolean;
}

export interface ImportRunOptions {
  rows: AsyncIterable<CsvRow>;
  plan: (row: CsvRow) => PlannedRow;
  site: string;
  store: ImportStore;
  /** Undefined: a dry run. */
  send: ImportSend | undefined;
  /** Of when the file is. Milliseconds since 1970. */
  asOf: number;
  /** Under which the import is known: in its events, and in its own two. */
  mark: { importId: string; kind: string; actor: string; fileName: string };
  now: () => number;
  onRefused: (refused: RefusedRow) => void;
  /** Told of the first events of a dry run. */
  onPlanned?: (event: ImportEvent, line: number) => void;
  /** Told after each batch. */
  onProgress?: (counts: Readonly<ImportCounts>) => void;
  /** Asked between batches. */
  isStopped?: () => boolean;
  limits?: { eventsPerBatch?: number; remembered?: number; people?: number };
}

export interface ImportOutcome {
  counts: ImportCounts;
  /** Told to stop before the end. */
  isStopped: boolean;
}

/** Before the first row. */
export const noCounts = (): ImportCounts => ({
  rows: 0,
  refusedRows: 0,
  events: { new: 0, corrected: 0, known: 0 },
  accepted: 0,
  nobody: 0,
  people: { new: 0, known: 0, isAtLeast: false },
});

/**
 * Reads rows, looks up what of them was stated before, and sends the rest. What is in memory does not grow with the file. Begun again at any point it
 * sends the same events under the same ids. Rejects where the file breaks off, the store is away, or the collector takes nothing any more.
 */
export async function runImport(options: ImportRunOptions): Promise<ImportOutcome> {
  const { rows, plan, site, store, send, asOf, mark, now, onRefused, onPlanned, onProgress, isStopped } = options;
  const { eventsPerBatch = 1_000, remembered = 100_000, people: maxPeople = 500_000 } = options.limits ?? {};
  const counts = noCounts();
  const recent = createMemory(remembered);
  const people = send === undefined ? createPeopleCounter(site, store, counts.people, maxPeople) : undefined;
  let lastRefusedLine = 0;
  const refuse = (refused: RefusedRow): void => {
    if (refused.line !== lastRefusedLine) counts.refusedRows++;
    lastRefusedLine = refused.line;
    onRefused(refused);
  };
  let isBegun = false;
  const sendMark = async (name: string, properties: JsonObject): Promise<void> => {
    const { importId, kind, actor, fileName } = mark;
    const all = { import_id: importId, kind, actor, file_name: fileName, ...properties };
    const [at, id] = [new Date(now()).toISOString(), `import-mark:${importId}:${name.split(" ")[1]}`];
    await send?.([{ type: "track", event: name, messageId: id, timestamp: at, properties: all }]);
  };

  async function settle(planned: readonly PlannedEvent[]): Promise<void> {
    const unknown = [...new Set(planned.map(idOf))].filter((id) => !recent.has(id));
    const found = unknown.length === 0 ? [] : await store.versions(site, unknown);
    const stored = new Map<string, StoredVersion[]>(unknown.map((id) => [id, []]));
    for (const version of found) stored.get(version.id)?.push(version);
    for (const [id, versions] of stored) recent.set(id, { line: 0, versions });

    const sent: { line: number; event: ImportEvent }[] = [];
    for (const each of planned) {
      const id = idOf(each);
      const { line, versions } = recent.get(id) ?? { line: 0, versions: stored.get(id) ?? [] };
      const decision = decideVersion(each, versions, asOf);
      if (decision.action === "known") counts.events.known++;
      else if (line !== 0 && each.updated !== undefined)
        refuse({
          line: each.line,
          column: "",
          reason: "repeated_key",
          detail: `Line ${line} has the same id and says something else: one row each.`,
        });
      else if (decision.action === "refused")
        refuse({ line: each.line, column: "", reason: decision.reason, detail: decision.detail });
      else {
        counts.events[decision.action]++;
        recent.set(id, { line: each.line, versions: [...versions, decision.version] });
        onPlanned?.(decision.event, each.line);
        sent.push({ line: each.line, event: withMark(decision.event, mark.importId, each.line) });
      }
    }
    if (send === undefined || sent.length === 0) return;
    if (!isBegun) await sendMark("Import Started", {});
    isBegun = true;
    const outcome = await send(sent.map(({ event }) => event));
    counts.accepted += outcome.accepted;
    for (const { index, reason, detail } of outcome.refused)
      refuse({ line: sent[index]?.line ?? 0, column: "", reason, detail });
  }

  let waiting: PlannedEvent[] = [];
  let stopped = false;
  for await (const row of rows) {
    counts.rows++;
    const planned = plan(row);
    if (!planned.ok) for (const fault of planned.faults) refuse({ line: planned.line, ...fault });
    else {
      if (planned.userId === "" && planned.anonymousId === "") counts.nobody++;
      await people?.add(planned);
      waiting.push(...planned.events);
    }
    if (waiting.length < eventsPerBatch) continue;
    await settle(waiting);
    waiting = [];
    onProgress?.(counts);
    stopped = isStopped?.() ?? false;
    if (stopped) break;
  }
  if (!stopped) {
    await settle(waiting);
    await people?.end();
    if (isBegun)
      await sendMark("Import Finished", {
        rows: counts.rows,
        refused: counts.refusedRows,
        sent: counts.accepted,
        known: counts.events.known,
      });
  }
  onProgress?.(counts);
  return { counts, isStopped: stopped };
}

/** Where it came from, for whoever asks why something is known. No part of its id. */
function withMark(event: ImportEvent, importId: string, line: number): ImportEvent {
  return { ...event, properties: { ...event.properties, import_id: importId, import_line: line } };
}

interface Remembered {
  /** That stated it in this file; 0: it is known from the store alone. */
  line: number;
  versions: StoredVersion[];
}

/** The latest of what was seen: what is forgotten is looked up again. */
function createMemory(size: number) {
  const entries = new Map<string, Remembered>();
  return {
    has: (id: string): boolean => entries.has(id),
    get: (id: string): Remembered | undefined => entries.get(id),
    set(id: string, remembered: Remembered): void {
      entries.delete(id);
      entries.set(id, remembered);
      if (entries.size <= size) return;
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        break;
      }
    },
  };
}

const peopleAtOnce = 1_000;

function createPeopleCounter(site: string, store: ImportStore, counts: PeopleCounts, max: number) {
  const seen = new Set<string>();
  let userIds: string[] = [];
  let anonymousIds: string[] = [];
  const end = async (): Promise<void> => {
    const asked = userIds.length + anonymousIds.length;
    if (asked === 0) return;
    const known = await store.knownPeople(site, { userIds, anonymousIds });
    counts.known += known.userIds.length + known.anonymousIds.length;
    counts.new += asked - known.userIds.length - known.anonymousIds.length;
    userIds = [];
    anonymousIds = [];
  };
  return {
    async add({ userId, anonymousId }: { userId: string; anonymousId: string }): Promise<void> {
      const id = userId === "" ? `a:${anonymousId}` : `u:${userId}`;
      if (id === "a:" || seen.has(id)) return;
      if (seen.size >= max) {
        counts.isAtLeast = true;
        return;
      }
      seen.add(id);
      if (userId === "") anonymousIds.push(anonymousId);
      else userIds.push(userId);
      if (userIds.length + anonymousIds.length >= peopleAtOnce) await end();
    },
    end,
  };
}
