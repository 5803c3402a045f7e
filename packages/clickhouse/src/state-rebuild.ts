import type { ClickHouse, QueryOptions } from "./clickhouse.ts";
import { isAnyMarker, isSubtracted } from "./erasure-correction.ts";
import { inSlice, sliceEvents, sliceSettings } from "./event-slices.ts";
import { stateInsert } from "./state-selects.ts";

/** Brings counts back to what `events` says. Nothing may be loaded meanwhile: it would be counted twice, or not at all. */
export interface StateRebuild {
  /** Mondays, as `2026-11-16`, of the weeks in this time of which the states count other events than `events` has, or the ledger more. */
  weeksThatDisagree(time: { from: Date; to: Date }): Promise<string[]>;
  /** Makes the states of these weeks anew. The same again changes nothing; begun and not ended, the weeks disagree. */
  rebuild(weeks: readonly string[]): Promise<void>;
}

/** States that add up. In the others an event that is loaded twice changes nothing. */
const states = ["session_state", "audience_day", "profile_state"] as const;
/** Of the others, the one whose loss nobody would see: a no that is not there is a yes. What is there already, and what a withdrawal took out, stays so. */
const greatest = "consent_state";

const isPerson = "atom != 0 AND bot = ''";
// Of an identity whose profile was withdrawn the events go on counting, and its profile stays away.
const isNamed = "atom IN (SELECT atom FROM atom WHERE anonymous_id != '' OR user_id != '')";
const inWeeks = "week IN {weeks: Array(Date)}";

/** @param maxEvents of one insert, about: some seconds, and memory for their identities. */
export function createStateRebuild(clickhouse: ClickHouse, maxEvents?: number): StateRebuild {
  const remove = (table: string, where: string, params: NonNullable<QueryOptions["params"]>): Promise<void> =>
    clickhouse.command(`ALTER TABLE ${table} DELETE WHERE ${where}`, {
      params,
      settings: { mutations_sync: 2, allow_nondeterministic_mutations: 1 },
      isLong: true,
    });

  return {
    async weeksThatDisagree({ from, to }) {
      const params = { from: dayText(from), to: dayText(to) };
      const found = await Promise.all(
        [disagreeing, overcountedWeeks].map((sql) => clickhouse.query<{ week: string }>(sql, { params })),
      );
      return [...new Set(found.flat().map(({ week }) => week))].toSorted();
    },

    async rebuild(weeks) {
      if (weeks.length === 0) return;
      const slices = await sliceEvents({ clickhouse, events: "events", ...(maxEvents && { maxEvents }) }, weeks);
      for (const table of states)
        await remove(table, table === "audience_day" ? `${inWeeks} AND NOT ${isAnyMarker}` : inWeeks, { weeks });
      for (const table of states) {
        const named =
          table === "profile_state" ? ` AND ${isNamed}` : table === "audience_day" ? ` AND NOT ${isSubtracted}` : "";
        for (const { params } of slices)
          await clickhouse.command(
            `INSERT INTO ${table} ${stateInsert(table, { from: "events", and: inSlice + named })}`,
            {
              params,
              isLong: true,
              settings: sliceSettings,
            },
          );
      }
      for (const { params } of slices)
        await clickhouse.command(`INSERT INTO ${greatest} ${stateInsert(greatest, { from: "events", and: inSlice })}`, {
          params,
          isLong: true,
          settings: { ...sliceSettings, insert_deduplicate: 0 },
        });
      // A withdrawal may have been carried out while profiles were read. One that comes after this finds what is there, as always.
      const leftBehind = `${inWeeks} AND NOT ${isNamed}`;
      const [left] = await clickhouse.query<{ count: number }>(
        `SELECT count() AS count FROM profile_state WHERE ${leftBehind}`,
        { params: { weeks } },
      );
      if (left !== undefined && left.count > 0) await remove("profile_state", leftBehind, { weeks });
      await clickhouse.command(correctLedger, { params: { weeks }, settings: { insert_deduplicate: 0 }, isLong: true });
    },
  };
}

// Sums of a week and site, in one look at each table. What counts a row twice, or was stopped half-way, moves them all.
const disagreeing = `
SELECT DISTINCT toString(week) AS week FROM (
  SELECT toMonday(e.received_at) AS week, site,
    [countIf(bot = ''), countIf(${isPerson} AND session_id != ''), countIf(${isPerson} AND ${isNamed}), uniqExactIf(atom, ${isPerson})] AS there,
    [0, 0, 0, 0]::Array(UInt64) AS counted
  FROM events AS e WHERE e.received_at >= toMonday({from: Date}) AND e.received_at < toMonday({to: Date}) + 7 GROUP BY week, site
  UNION ALL
  SELECT week, site, [0, 0, 0, 0]::Array(UInt64), [sum(a.events), 0, 0, 0] FROM audience_day AS a
  WHERE dimension = 'all' AND week >= toMonday({from: Date}) AND week <= {to: Date} GROUP BY week, site
  UNION ALL
  SELECT week, site, [0, 0, 0, 0]::Array(UInt64), [0, sum(s.events), 0, 0] FROM session_state AS s
  WHERE week >= toMonday({from: Date}) AND week <= {to: Date} GROUP BY week, site
  UNION ALL
  SELECT week, site, [0, 0, 0, 0]::Array(UInt64), [0, 0, sum(p.events), 0] FROM profile_state AS p
  WHERE week >= toMonday({from: Date}) AND week <= {to: Date} GROUP BY week, site
  UNION ALL
  -- Whose rows of a week are gone altogether; a part of them cannot be told from what the events have not said.
  SELECT week, site, [0, 0, 0, 0]::Array(UInt64), [0, 0, 0, uniqExact(c.atom)] FROM consent_state AS c
  WHERE week >= toMonday({from: Date}) AND week <= {to: Date} GROUP BY week, site
)
GROUP BY week, site HAVING sumForEach(there) != sumForEach(counted)`;

/**
 * Hours in which ClickHouse counted a row a second time: more than were ever settled as stored, and than there are. It is only made less: a count that
 * is too low is a loss, and has to be seen.
 */
const overcounted = (isWanted: (week: string) => string): string => `
SELECT site, hour, greatest(settled, there) - counted AS correction
FROM (
  SELECT site, hour, sum(settled_here) AS settled, sum(counted_here) AS counted
  FROM (
    SELECT site, hour, process, bitmapCardinality(groupBitmapMergeStateIf(arrivals, outcome = 'stored')) AS settled_here, sum(l.rows) AS counted_here
    FROM ledger AS l WHERE ${isWanted("toMonday(hour)")} GROUP BY site, hour, process
  )
  GROUP BY site, hour
) AS book
LEFT JOIN (
  SELECT site, toStartOfHour(e.received_at)::DateTime('UTC') AS hour, count() AS there
  FROM events AS e WHERE ${isWanted("toMonday(e.received_at)")} GROUP BY site, hour
) AS held USING (site, hour)
WHERE counted > greatest(settled, there)`;

const overcountedWeeks = `SELECT DISTINCT toString(toMonday(hour)) AS week
FROM (${overcounted((week) => `${week} >= toMonday({from: Date}) AND ${week} <= {to: Date}`)})`;

// The sum of the table wraps around, so that one row takes away, and half of it is never there.
const correctLedger = `INSERT INTO ledger (site, hour, outcome, rows)
SELECT site, hour, 'row', toUInt64(correction)
FROM (${overcounted((week) => `${week} IN {weeks: Array(Date)}`)})`;

const dayText = (time: Date): string => time.toISOString().slice(0, "2026-11-22".length);
