import type { ClickHouse } from "../clickhouse.ts";
import { selectEvent, toStoredEvent, type EventSelection } from "./event-columns.ts";
import type { StoredEvent } from "./read-queries.ts";

/** The place of an event in the timeline of its person. Unique, and the same for ever: nothing that comes in later changes it. */
export interface TimelinePlace {
  /** Milliseconds since 1970. */
  time: number;
  partition: number;
  offset: number;
}

export interface TimelineQuestion {
  /** Events before this place; the newest when left out. */
  before?: TimelinePlace | undefined;
  limit: number;
  type?: string | undefined;
  name?: string | undefined;
}

export type TimelineEvent = StoredEvent & { messageId: string; properties: { readonly [name: string]: unknown } };

export interface TimelinePage {
  /** Newest first. */
  events: TimelineEvent[];
  /** Where the next page begins; undefined when this is the last. */
  next: TimelinePlace | undefined;
}

type Row = EventSelection & { messageId: string; properties: string };

/**
 * By place and not by number: what arrives between two pages, late or new, moves nothing, so no event comes twice and none that was there is left out.
 * `ofPerson` is a condition on `events` with the parameters given.
 */
export async function readTimeline(
  clickhouse: ClickHouse,
  site: string,
  atoms: readonly number[],
  { before, limit, type, name }: TimelineQuestion,
): Promise<TimelinePage> {
  const conditions = [
    "site = {site:String} AND atom IN {atoms:Array(UInt32)} AND bot = ''",
    ...(before === undefined
      ? []
      : [
          // The day lets whole granules be passed over: it is at most a day from the time in UTC, in whichever zone.
          "day <= toDate(fromUnixTimestamp64Milli({time:Int64}, 'UTC')) + 1",
          "(events.time, _partition, _offset) < (fromUnixTimestamp64Milli({time:Int64}, 'UTC'), {partition:UInt16}, {offset:UInt64})",
        ]),
    ...(type === undefined ? [] : ["events.type = {type:String}"]),
    ...(name === undefined ? [] : ["events.name = {name:String}"]),
  ];
  const rows = await clickhouse.query<Row>(
    `SELECT ${selectEvent}, message_id AS messageId, toJSONString(events.properties) AS properties
     FROM events WHERE ${conditions.join(" AND ")}
     ORDER BY events.time DESC, _partition DESC, _offset DESC LIMIT {limit:UInt32}`,
    {
      params: {
        site,
        atoms,
        limit: limit + 1,
        ...(before === undefined ? {} : before),
        ...(type === undefined ? {} : { type }),
        ...(name === undefined ? {} : { name }),
      },
    },
  );
  const events = rows.slice(0, limit).map((row) => ({
    ...toStoredEvent(row),
    messageId: row.messageId,
    properties: JSON.parse(row.properties) as TimelineEvent["properties"],
  }));
  const last = events.at(-1);
  const next =
    rows.length > limit && last !== undefined
      ? { time: last.time, partition: last.partition, offset: last.offset }
      : undefined;
  return { events, next };
}
