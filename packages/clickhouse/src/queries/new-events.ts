import type { ClickHouse } from "../clickhouse.ts";
import { selectEvent, toStoredEvent, type EventSelection } from "./event-columns.ts";
import { notErased } from "./not-erased.ts";
import type { NewEvents, ReadQueries } from "./read-queries.ts";

type LiveQueries = Pick<ReadQueries, "endPositions" | "otherPartitions" | "newEvents" | "personsOf">;

export const createLiveQueries = (clickhouse: ClickHouse): LiveQueries => ({
  async endPositions() {
    const rows = await clickhouse.query<{ partition: number; last: number }>(
      "SELECT _partition AS partition, max(_offset) AS last FROM events GROUP BY partition",
    );
    return new Map(rows.map(({ partition, last }) => [partition, last]));
  },

  async otherPartitions(known) {
    const rows = await clickhouse.query<{ partition: number }>(
      "SELECT DISTINCT _partition AS partition FROM events WHERE _partition NOT IN {known:Array(UInt16)}",
      { params: { known: [...known] } },
    );
    return rows.map(({ partition }) => partition);
  },

  async newEvents(positions, limit): Promise<NewEvents> {
    const ends = new Map(positions);
    if (positions.size === 0) return { events: [], count: 0, seconds: [], positions: ends };
    // Ranges of `_offset`, so that its index leaves the old parts out. Numbers, so nothing to escape.
    const after = [...positions].map(([partition, offset]) => `_partition = ${partition} AND _offset > ${offset}`);
    const groups = await clickhouse.query<{
      partition: number;
      site: string;
      second: number;
      count: number;
      last: number;
    }>(`
      SELECT _partition AS partition, site, toUnixTimestamp(received_at) AS second, count() AS count, max(_offset) AS last
      FROM events WHERE (${after.join(" OR ")}) AND ${notErased} GROUP BY partition, site, second ORDER BY second`);
    if (groups.length === 0) return { events: [], count: 0, seconds: [], positions: ends };

    let count = 0;
    const seconds = new Map<string, { site: string; second: number; count: number }>();
    for (const group of groups) {
      count += group.count;
      ends.set(group.partition, Math.max(group.last, ends.get(group.partition) ?? -1));
      const key = `${group.second} ${group.site}`;
      const sum = seconds.get(key) ?? { site: group.site, second: group.second, count: 0 };
      seconds.set(key, { ...sum, count: sum.count + group.count });
    }
    // Up to the same end: what came in between the two questions belongs to the next answer.
    const between = [...positions].map(
      ([partition, offset]) =>
        `_partition = ${partition} AND _offset > ${offset} AND _offset <= ${ends.get(partition)}`,
    );
    const rows = await clickhouse.query<EventSelection>(
      `SELECT ${selectEvent} FROM events WHERE (${between.join(" OR ")}) AND ${notErased}
      ORDER BY events.received_at DESC, _partition DESC, _offset DESC LIMIT {limit:UInt32}`,
      { params: { limit } },
    );
    return { events: rows.toReversed().map(toStoredEvent), count, seconds: [...seconds.values()], positions: ends };
  },

  async personsOf(atoms) {
    const persons = new Map(atoms.map((atom) => [atom, atom]));
    if (atoms.length === 0) return persons;
    // In the statement's body: as a parameter, a thousand of them make an address too long for some proxies. Reads no table.
    const moved = await clickhouse.query<{ atom: number; person: number }>(
      `SELECT atom, person(atom) AS person FROM (SELECT arrayJoin([${atoms.join()}]::Array(UInt32)) AS atom) WHERE person != atom`,
    );
    for (const { atom, person } of moved) persons.set(atom, person);
    return persons;
  },
});
