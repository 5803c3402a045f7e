import { purposes, type Purpose } from "@polder/protocol";
import type { ClickHouse, QueryOptions } from "./clickhouse.ts";
import { personOutcomes } from "./consent/person-consent.ts";

/** Why somebody may not be sent, the first that holds. */
export const leftOutReasons = [
  "erased",
  "unknown",
  "restricted",
  "objected",
  "denied",
  "expired",
  "no_consent",
] as const;
export type LeftOutReason = (typeof leftOutReasons)[number];

export interface SendRequest {
  site: string;
  /** Person ids, or a subquery with one column of them. */
  people: readonly number[] | { sql: string; params?: QueryOptions["params"] };
  purpose: Purpose;
  /** Milliseconds since 1970: what holds at this moment. */
  now: number;
}

export interface SendCounts {
  permitted: number;
  /** Every reason, also those of nobody. */
  leftOut: { [reason in LeftOutReason]: number };
}

/** The one way out: whatever sends anything about people to somebody else asks it who may be sent, each time. */
export interface SendGate {
  count(request: SendRequest): Promise<SendCounts>;
  /** People who may be sent, ascending, and how many may not and why. Each is the person as known now, once, also where the request has their old numbers. */
  permit(request: SendRequest): Promise<SendCounts & { people: number[] }>;
}

/**
 * Who of these people may be sent for a purpose, as a subquery: `person_id`, their `mask` and the `verdict`, which is `permitted` or a
 * {@link LeftOutReason}. One row for each person; of those who are erased or unknown `person_id` is the number that was asked for. It takes the parameters
 * `{site:String}` and `{now:Int64}`.
 */
export function sendVerdicts({ people, purpose }: { people: string; purpose: Purpose }): string {
  const bit = purposes.indexOf(purpose);
  // Numbers that were given to others since answer for those.
  const asked = `SELECT DISTINCT toUInt32(*) AS number, person(number) AS person_id FROM (${people})`;
  return `(
  SELECT
    asked.id AS person_id,
    outcome.mask AS mask,
    multiIf(
      asked.is_erased, 'erased',
      outcome.person_id = 0, 'unknown',
      bitTest(outcome.off, 6), 'restricted',
      bitTest(outcome.mask, ${bit}), 'permitted',
      bitTest(outcome.off, ${bit}), 'objected',
      bitTest(outcome.refused, ${bit}), 'denied',
      bitTest(outcome.expired, ${bit}), 'expired',
      'no_consent') AS verdict
  FROM (SELECT DISTINCT if(person_id = 0, number, person_id) AS id, person_id = 0 AND number != 0 AS is_erased FROM (${asked})) AS asked
  LEFT JOIN ${personOutcomes({ people: `SELECT person_id FROM (${asked})` })} AS outcome ON outcome.person_id = asked.id
)`;
}

export function createSendGate(clickhouse: ClickHouse): SendGate {
  const ask = async <Row>(select: string, { site, people, purpose, now }: SendRequest, tail = ""): Promise<Row[]> => {
    const asked = "sql" in people ? people : { sql: "SELECT arrayJoin({people:Array(UInt32)})", params: { people } };
    return clickhouse.query<Row>(`SELECT ${select} FROM ${sendVerdicts({ people: asked.sql, purpose })} ${tail}`, {
      params: { ...asked.params, site, now },
    });
  };
  const countsOf = (rows: readonly { verdict: string; people: number }[]): SendCounts => {
    const of = (verdict: string): number => rows.find((row) => row.verdict === verdict)?.people ?? 0;
    const leftOut = Object.fromEntries(leftOutReasons.map((reason) => [reason, of(reason)]));
    return { permitted: of("permitted"), leftOut: leftOut as SendCounts["leftOut"] };
  };
  return {
    count: async (request) => countsOf(await ask("verdict, count() AS people", request, "GROUP BY verdict")),

    permit: async (request) => {
      const rows = await ask<{ verdict: string; people: number; ids: number[] }>(
        "verdict, count() AS people, arraySort(groupArrayIf(person_id, verdict = 'permitted')) AS ids",
        request,
        "GROUP BY verdict",
      );
      const people = rows.find(({ verdict }) => verdict === "permitted")?.ids ?? [];
      return { ...countsOf(rows), people };
    },
  };
}
