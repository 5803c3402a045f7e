import { idOf, mark, type Clients } from "./clients.ts";
import type { Installation } from "./installation.ts";
import type { Growth } from "./memory.ts";
import { within } from "./within.ts";

export interface Verdict {
  what: string;
  /** What is wrong, with examples; empty when nothing is. */
  faults: readonly string[];
  /** What was looked at. */
  figures: string;
  /** Why this run cannot tell; then nothing is proved, and nothing is wrong. */
  notJudged?: string;
}

const examples = 5;
const longestExample = 300;
const some = (ids: readonly string[]): string => {
  const shown = ids
    .slice(0, examples)
    .map((id) => (id.length > longestExample ? `${id.slice(0, longestExample)}…` : id));
  return `${ids.length}: ${shown.join(", ")}${ids.length > examples ? ", …" : ""}`;
};

/** Every id that clients know of against every id that is stored. */
export async function judgeIds({ query }: Installation, { marks }: Clients): Promise<Verdict> {
  const wrong = new Map<string, string[]>();
  const blame = (what: string, id: string): unknown => wrong.set(what, [...(wrong.get(what) ?? []), id]);
  let sent = 0;
  let accepted = 0;
  let stored = 0;
  for (const [client, own] of marks.entries()) {
    const [events, rejected] = await Promise.all(
      ["events", "rejected"].map(async (table) => {
        const rows = await query<{ number: number; times: number }>(
          `SELECT toInt32OrDefault(splitByChar('-', message_id)[2], -1::Int32) AS number, count() AS times
           FROM polder.${table} WHERE startsWith(message_id, '${idOf(client, 0).slice(0, -1)}') GROUP BY number`,
        );
        return new Map(rows.map(({ number, times }) => [number, times]));
      }),
    );
    for (const [number, seen] of own.entries()) {
      const id = idOf(client, number);
      const times = events!.get(number) ?? 0;
      if (seen & mark.sent) sent++;
      if (seen & mark.accepted) accepted++;
      if (times > 0) stored++;
      if (seen & mark.accepted && times === 0) blame("accepted and not stored", id);
      if (times > 1) blame("stored more than once", id);
      if (times > 0 && !(seen & mark.sent)) blame("stored and never sent", id);
      if (times > 0 && seen & mark.mayNotBeStored) blame("stored although it may not be", id);
      if (seen & mark.accepted && seen & mark.mayNotBeStored) blame("accepted although it may not be", id);
      if (seen & mark.droppedWrongly) blame("dropped for want of consent, which it has", id);
      if (seen & mark.rejected && !rejected!.has(number)) blame("answered as rejected and not in the table", id);
      if (rejected!.has(number) && !(seen & mark.mayNotBeStored)) blame("rejected although it is right", id);
    }
    for (const number of [...events!.keys(), ...rejected!.keys()])
      if (number < 0 || number >= own.length) blame("stored and never made", idOf(client, number));
  }
  const [others] = await query<{ n: number }>(
    "SELECT countIf(NOT match(message_id, '^c[0-9]+-[0-9]+$')) AS n FROM polder.events",
  );
  if (others!.n > 0) blame("ids that are nobody's", String(others!.n));
  return {
    what: "every accepted event is stored exactly once, and nothing else",
    faults: [...wrong].map(([what, ids]) => `${what}, ${some(ids)}`),
    figures: `${sent} sent, ${accepted} accepted, ${stored} stored`,
  };
}

const states = ["profile_state", "trait_state", "audience_day", "session_state"] as const;
// What a withdrawal took away is not in the states any more, while the rows of it count on.
const nameless = `atom IN (SELECT atom FROM polder.atom GROUP BY atom HAVING max(anonymous_id) = '' AND max(user_id) = '')`;
const withoutNameless: { [table: string]: string } = { profile_state: ` WHERE NOT (${nameless})` };

/** Each state against what its own view makes of all events at once. */
export async function judgeStates(installation: Installation, withinMs: number): Promise<Verdict> {
  const faults: string[] = [];
  const figures: string[] = [];
  for (const table of states) {
    // The views of an insert are filled some milliseconds after its table, and a withdrawal takes its time.
    const { rows, differing } = await within(
      withinMs,
      () => compareState(installation, table),
      (found) => found.differing.length === 0,
    );
    figures.push(`${table} ${rows} rows`);
    if (differing.length > 0) faults.push(`${table} differs in ${some(differing)}`);
    if (rows === 0) faults.push(`${table} is empty`);
  }
  return { what: "states are what a recompute from events gives", faults, figures: figures.join(", ") };
}

async function compareState({ query }: Installation, table: string): Promise<{ rows: number; differing: string[] }> {
  const again = `polder.torture_${table}`;
  const columns = await query<{ name: string; type: string }>(
    `SELECT name, type FROM system.columns WHERE database = 'polder' AND table = '${table}' ORDER BY position`,
  );
  const [view] = await query<{ as_select: string }>(
    `SELECT as_select FROM system.tables WHERE database = 'polder' AND name = '${table}_mv'`,
  );
  const keys = columns.filter(({ type }) => !type.includes("AggregateFunction(")).map(({ name }) => `\`${name}\``);
  const values = columns.filter(({ type }) => type.includes("AggregateFunction(")).map(finalValue);
  const textOf = (from: string, where = ""): string =>
    `SELECT toString(tuple(${[...keys, ...values].join(", ")})) AS line FROM ${from}${where} GROUP BY ${keys.join(", ")}`;
  try {
    await query(`DROP TABLE IF EXISTS ${again}`);
    await query(`CREATE TABLE ${again} AS polder.${table}`);
    const names = columns.map(({ name }) => `\`${name}\``).join(", ");
    await query(`INSERT INTO ${again} (${names}) SELECT ${names} FROM (${view!.as_select})`);
    const differing = await query<{ line: string; found: string }>(
      `SELECT line, if(sum(side) > 0, 'not in the state', 'in the state alone') AS found
       FROM (SELECT line, 1 AS side FROM (${textOf(again, withoutNameless[table])})
             UNION ALL SELECT line, -1 AS side FROM (${textOf(`polder.${table}`)}))
       GROUP BY line HAVING sum(side) != 0 ORDER BY line`,
    );
    const [count] = await query<{ n: number }>(`SELECT count() AS n FROM (${textOf(`polder.${table}`)})`);
    return { rows: count!.n, differing: differing.map(({ line, found }) => `${found}: ${line}`) };
  } finally {
    await query(`DROP TABLE IF EXISTS ${again}`);
  }
}

function finalValue({ name, type }: { name: string; type: string }): string {
  const [, isSimple, state] = /^(Simple)?AggregateFunction\((\w+)/.exec(type)!;
  if (isSimple) return `${state}(\`${name}\`)`;
  if (state === "groupBitmap") return `arraySort(bitmapToArray(groupBitmapMergeState(\`${name}\`)))`;
  return `${state}Merge(\`${name}\`)`;
}

interface Sums {
  received: number;
  stored: number;
  rejected: number;
  duplicate: number;
  dropped: number;
  in_flight: number;
  off: number;
  unanswered: number;
  spooled: number;
  rows: number;
}
const readSums = async ({ query }: Installation): Promise<Sums> =>
  (
    await query<Sums>(`SELECT sum(received) AS received, sum(stored) AS stored, sum(rejected) AS rejected,
      sum(duplicate) AS duplicate, sum(dropped) AS dropped, sum(in_flight) AS in_flight, sum(abs(difference)) AS off,
      sum(unanswered) AS unanswered, sum(spooled) AS spooled, (SELECT count() FROM polder.events) AS rows FROM polder.loss_ledger`)
  )[0]!;

/** Against itself, and against what clients were told: books from which a row is missing on both sides balance, too. */
export async function judgeLedger(installation: Installation, clients: Clients, withinMs: number): Promise<Verdict> {
  const all = (found: Sums): string[] => [...faultsOf(found), ...disagreements(found, clients)];
  const sums = await within(
    withinMs,
    () => readSums(installation),
    (found) => all(found).length === 0,
  );
  return {
    what: "the loss ledger balances to zero, and agrees with what clients were told",
    faults: all(sums),
    figures: JSON.stringify({ ...sums, told: { accepted: clients.accepted(), ...clients.told } }),
  };
}

function disagreements({ stored, rejected, duplicate, dropped }: Sums, clients: Clients): string[] {
  const { told } = clients;
  const accepted = clients.accepted();
  // One that was dropped may have been stored by an attempt before, of which its sender heard nothing.
  const unsure = clients.marks.flat().filter((seen) => seen & mark.dropped && !(seen & mark.accepted)).length;
  const faults = [];
  if (stored < accepted || stored > accepted + unsure)
    faults.push(`${stored} stored by the ledger, ${accepted} accepted as clients were told (${unsure} unsure)`);
  // What was answered is the least: attempts that were cut off count as well.
  for (const [what, counted, least] of [
    ["duplicates", duplicate, told.repeated],
    ["rejected ones", rejected, told.rejected],
    ["dropped ones", dropped, told.dropped],
  ] as const)
    if (counted < least) faults.push(`${counted} ${what} in the ledger, and clients were told of ${least}`);
  return faults;
}

function faultsOf({ received, stored, rejected, duplicate, dropped, in_flight, off, rows }: Sums): string[] {
  const faults = [];
  if (off !== 0) faults.push(`hours are off by ${off} events`);
  if (in_flight !== 0) faults.push(`${in_flight} events are on their way for ever`);
  if (received !== stored + rejected + duplicate + dropped)
    faults.push(`${received} received is not the sum of what became of them`);
  if (stored !== rows) faults.push(`${stored} stored by the ledger, ${rows} rows`);
  return faults;
}

/**
 * Where memory may go, and what counts as flat over as long as is looked at: as much as samples scatter, whatever the time, and what the loader's
 * window of messages takes, minute by minute, until it is full.
 */
export const memoryBounds = { peakMiB: 1_536, scatterMiB: 16, mibPerMinute: 0.5, leastMinutes: 4 };

export function judgePeaks(growths: readonly Growth[]): Verdict {
  const faults = growths.flatMap(({ name, peakMiB }) => {
    if (peakMiB === undefined) return [`nothing was seen of the memory of ${name}`];
    return peakMiB > memoryBounds.peakMiB ? [`${name} had ${peakMiB.toFixed(0)} MiB`] : [];
  });
  const figures = growths.map(({ name, peakMiB }) => `${name} ${peakMiB?.toFixed(0)}`).join(", ");
  return { what: `no process has more than ${memoryBounds.peakMiB} MiB`, faults, figures: `peaks in MiB: ${figures}` };
}

/** A line says something of a life that is long enough; of the others it is said that it was not judged. */
export function judgeGrowth(growths: readonly Growth[]): Verdict {
  const { scatterMiB, mibPerMinute: allowed, leastMinutes } = memoryBounds;
  const judged = growths.filter(({ minutes }) => minutes >= leastMinutes);
  const others = growths.filter((growth) => !judged.includes(growth)).map(({ name }) => name);
  const faults = judged
    .filter(({ minutes, mibPerMinute }) => mibPerMinute * minutes > scatterMiB + allowed * minutes)
    .map(
      ({ name, minutes, mibPerMinute }) =>
        `${name} grew by ${(mibPerMinute * minutes).toFixed(1)} MiB in ${minutes.toFixed(1)} minutes`,
    );
  const figures = growths.map(
    ({ name, minutes, medianMiB, mibPerMinute }) =>
      `${name} ${medianMiB.toFixed(0)} MiB, ${mibPerMinute >= 0 ? "+" : ""}${mibPerMinute.toFixed(1)} a minute in ${minutes.toFixed(1)}`,
  );
  const left = `no life of ${leastMinutes} minutes: ${others.join(", ")}`;
  return {
    what: "memory is flat",
    faults,
    figures: [...figures, ...(judged.length > 0 && others.length > 0 ? [`not judged, ${left}`] : [])].join("; "),
    ...(judged.length === 0 && { notJudged: left }),
  };
}

/** What a run has to contain before the other verdicts mean something. */
export interface Course {
  /** How often each part that can be killed was killed while it ran. */
  kills: ReadonlyMap<string, number>;
  /** Statuses that clients must have heard. */
  expected: readonly string[];
}

export function judgeCourse({ kills, expected }: Course, { heard, told }: Clients): Verdict {
  const faults = [
    ...[...kills].filter(([, times]) => times === 0).map(([name]) => `${name} was never killed`),
    ...expected.filter((status) => !heard.has(status)).map((status) => `clients never heard ${status}`),
    ...(told.repeated === 0 ? ["no event was accepted twice, so nothing had to be recognised"] : []),
  ];
  const figures = `killed: ${[...kills].map(([name, times]) => `${name} ${times}`).join(", ")}; ${told.repeated} events accepted again`;
  return { what: "the run had everything in it that it is about", faults, figures };
}
