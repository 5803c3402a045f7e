import { askAbout } from "../ask-about.ts";
import type { ClickHouse } from "../clickhouse.ts";
import type { FoundPerson } from "./person-of.ts";
import type { TimelineEvent, TimelinePage, TimelineQuestion } from "./read-queries.ts";

type Row = Omit<TimelineEvent, "choices" | "properties"> & {
  choices: [purpose: string, state: string][];
  properties: string;
};

/**
 * By place and not by number: what arrives between two pages, late or new, moves nothing, so no event comes twice and none that was there is left out.
 */
export async function readTimeline(
  clickhouse: ClickHouse,
  site: string,
  found: FoundPerson,
  { before, limit, type, name }: TimelineQuestion,
): Promise<TimelinePage> {
  const conditions = [
    "e.site = {site:String} AND e.atom IN {atoms:Array(UInt32)}",
    ...(before === undefined
      ? []
      : [
          // On its own so that the index can be asked.
          "e.time <= fromUnixTimestamp64Milli({time:Int64}, 'UTC')",
          "(e.time, e._offset, e._partition) < (fromUnixTimestamp64Milli({time:Int64}, 'UTC'), {offset:UInt64}, {partition:UInt16})",
        ]),
    ...(type === undefined ? [] : ["e.type = {type:String}"]),
    ...(name === undefined ? [] : ["e.name = {name:String}"]),
  ];
  const rows = await askAbout(clickhouse, found).query<Row>(
    `SELECT e._partition AS partition, e._offset AS offset, toUnixTimestamp64Milli(e.time) AS time, e.type AS type, e.name AS name, e.atom AS atom,
       session_id AS sessionId, url_host AS urlHost, url_path AS urlPath, page_title AS pageTitle, page_group AS pageGroup, channel, country, device, browser, os,
       origin, partner, consent_mask AS consentMask, basis, order_id AS orderId, toString(e.amount) AS amount, currency,
       arrayZip(\`choice.purpose\`, \`choice.state\`) AS choices, toJSONString(e.properties) AS properties
     FROM atom_event AS e WHERE ${conditions.join(" AND ")}
     ORDER BY e.time DESC, e._offset DESC, e._partition DESC LIMIT 1 BY e._partition, e._offset LIMIT {limit:UInt32}`,
    {
      params: {
        site,
        atoms: found.atoms,
        limit: limit + 1,
        ...(before === undefined ? {} : { ...before }),
        ...(type === undefined ? {} : { type }),
        ...(name === undefined ? {} : { name }),
      },
    },
  );
  const events = rows.slice(0, limit).map((row) => ({
    ...row,
    choices: row.choices.map(([purpose, state]) => ({ purpose, state })),
    properties: JSON.parse(row.properties) as TimelineEvent["properties"],
  }));
  const last = events.at(-1);
  return {
    events,
    next:
      rows.length > limit && last !== undefined
        ? { time: last.time, partition: last.partition, offset: last.offset }
        : undefined,
  };
}
