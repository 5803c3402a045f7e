import type { AudienceDefinition } from "@polder/core";
import { purposes, type Purpose } from "@polder/protocol";
import { ClickHouseQueryError, type ClickHouse, type QueryOptions } from "../clickhouse.ts";
import { personConsent } from "../consent/person-consent.ts";
import { compileAudience, type AudienceContext } from "./compile-audience.ts";

/** What an audience would be, before it is saved. */
export interface AudiencePreview {
  people: number;
  /** Some of them, the same ones as long as the audience is the same. */
  sample: PreviewPerson[];
  /** How many of the people may be used for each purpose, at the moment that was asked about. */
  consent: Readonly<Record<Purpose, number>>;
}
export interface PreviewPerson {
  person: number;
  /** Empty when anonymous. */
  userIds: string[];
  /** In milliseconds since 1970. */
  firstSeen: number;
  lastSeen: number;
  events: number;
  orders: number;
}
export interface AudiencePreviews {
  /**
   * Undefined when it took longer than `timeoutMs`, and the server has been told to stop.
   * @throws {AudienceError}
   */
  preview(
    definition: AudienceDefinition,
    context: AudienceContext,
    limits: { sample: number; timeoutMs: number },
  ): Promise<AudiencePreview | undefined>;
}

/** Code of a query that was stopped since its time was up. */
const timeoutExceeded = 159;

export function createAudiencePreviews(clickhouse: ClickHouse): AudiencePreviews {
  return {
    async preview(definition, context, { sample, timeoutMs }) {
      const { sql, params } = compileAudience(definition, context);
      const options: QueryOptions = {
        params,
        settings: { max_execution_time: timeoutMs / 1000, timeout_overflow_mode: "throw", max_query_size: 4_194_304 },
      };
      try {
        const [found] = await clickhouse.query<PreviewRow>(previewQuery(sql, sample), options);
        if (found === undefined) throw new Error("A count without a row");
        const facts =
          found.chosen.length === 0
            ? []
            : await clickhouse.query<PreviewPerson>(factsQuery, {
                ...options,
                params: { site: context.site, people: found.chosen },
              });
        return { people: found.people, sample: facts, consent: consentOf(found) };
      } catch (error) {
        if (error instanceof ClickHouseQueryError && error.code === timeoutExceeded) return undefined;
        throw error;
      }
    },
  };
}

type PreviewRow = { people: number; chosen: number[] } & { [purpose in Purpose]: number };

/** The audience is worked out once, and then stands for itself. */
function previewQuery(audience: string, sample: number): string {
  const members = "SELECT arrayJoin(bitmapToArray(members)) AS person_id";
  const counts = purposes.map((purpose, bit) => `countIf(bitTest(mask, ${bit})) AS ${purpose}`).join(", ");
  return `
WITH (SELECT groupBitmapState(person_id) FROM (${audience})) AS members
SELECT
  bitmapCardinality(members) AS people,
  (SELECT arrayMap(pair -> pair.2, groupArraySorted(${sampleSize(sample)})((intHash32(person_id), person_id))) FROM (${members})) AS chosen,
  ${counts}
FROM ${personConsent({ people: members })}`;
}

const consentOf = (row: PreviewRow): AudiencePreview["consent"] =>
  Object.fromEntries(purposes.map((purpose) => [purpose, row[purpose]])) as Record<Purpose, number>;

/** A parameter of an aggregate function has to stand in the statement: a whole number within bounds. */
function sampleSize(sample: number): number {
  if (!Number.isInteger(sample) || sample < 1 || sample > 100) throw new RangeError(`A sample of ${sample} people`);
  return sample;
}

const atomsOfSample =
  "SELECT arrayJoin({people:Array(UInt32)}) UNION DISTINCT SELECT atom FROM identity FINAL WHERE person IN {people:Array(UInt32)}";

const factsQuery = `
SELECT person, userIds, firstSeen, lastSeen, events, orders
FROM (
  SELECT person(atom) AS person, toUnixTimestamp64Milli(min(first_seen)) AS firstSeen, toUnixTimestamp64Milli(max(last_seen)) AS lastSeen,
    sum(p.events) AS events, length(maxMap(p.orders)) AS orders
  FROM profile_state AS p WHERE site = {site:String} AND atom IN (${atomsOfSample}) GROUP BY person
) AS state
LEFT JOIN (
  SELECT person(atom) AS person, arraySort(groupUniqArrayIf(user_id, user_id != '')) AS userIds
  FROM atom WHERE site = {site:String} AND atom IN (${atomsOfSample}) GROUP BY person
) AS ids USING person
ORDER BY person`;
