import type { ClickHouse } from "../clickhouse.ts";
import { askedPurposes } from "../migrations/0012-people-consent.ts";

const dayMs = 86_400_000;
/** What a yes stands on: the time in ms of each, 0 where there is none. A later one that is in another row only makes this one not matter. */
const yeses = [
  ...askedPurposes.map((purpose) => `if(bitTest(s.${purpose}, 0), 0, bitShiftRight(s.${purpose}, 1))`),
  ...["by_choice", "by_key"].map((use) => `if(bitTest(s.${use}, 6), bitShiftRight(s.${use}, 7), 0)`),
];
const isFresh = (yes: string): string => `${yes} >= {edge:Int64}`;
const never = "9007199254740991";

const endsQuery = `
SELECT if(count() = 0, ${never}, min(oldest)) AS oldest, groupUniqArrayIf(atom, is_over) AS ended
FROM (
  SELECT atom, least(${yeses.map((_, n) => `if(${isFresh(`y${n}`)}, y${n}, ${never})`).join(", ")}) AS oldest,
    ${yeses.map((_, n) => `(y${n} >= {from:Int64} AND NOT ${isFresh(`y${n}`)})`).join(" OR ")} AS is_over
  FROM (SELECT s.atom AS atom, ${yeses.map((yes, n) => `${yes} AS y${n}`).join(", ")} FROM consent_state AS s WHERE s.site = {site:String})
)`;

/**
 * By age alone a yes ends without anything happening. The identities of a site that have one which ended after one moment and up to another, and when
 * the next one does, at the earliest; milliseconds since 1970, and `term` the days that a yes counts. Infinity where none ever will.
 */
export async function endsOfConsent(
  clickhouse: Pick<ClickHouse, "query">,
  { site, after, at, term }: { site: string; after: number; at: number; term: number },
): Promise<{ ended: number[]; nextEnd: number }> {
  const params = { site, from: after - term * dayMs, edge: at - term * dayMs };
  const [row] = await clickhouse.query<{ oldest: number; ended: number[] }>(endsQuery, { params });
  return { ended: row!.ended, nextEnd: endOf(row!.oldest, term) };
}

/** When at the earliest a yes ends that events stand for which arrived: `arrived` is a condition on `events`. */
export async function nextEndOfArrived(
  clickhouse: Pick<ClickHouse, "query">,
  { site, arrived, at, term }: { site: string; arrived: string; at: number; term: number },
): Promise<number> {
  const time = "toInt64(toUnixTimestamp64Milli(e.time))";
  const [row] = await clickhouse.query<{ oldest: number }>(
    `SELECT if(count() = 0, ${never}, min(${time})) AS oldest FROM events AS e WHERE e.site = {site:String} AND (${arrived}) AND ${isFresh(time)}`,
    { params: { site, edge: at - term * dayMs } },
  );
  return endOf(row!.oldest, term);
}

const endOf = (oldest: number, term: number): number =>
  oldest === Number(never) ? Infinity : oldest + term * dayMs + 1;
