import type { ClickHouse } from "./clickhouse.ts";

/** An event that was refused, as it was kept. */
export interface RefusedEvent {
  partition: number;
  offset: number;
  site: string;
  /** As ClickHouse writes it: `2026-11-22 20:15:00.123` in UTC. */
  receivedAt: string;
  messageId: string;
  reason: string;
  body: string;
}

export interface ReplayedEvent {
  site: string;
  source: "rejected" | "log";
  partition: number;
  offset: number;
  /** Why it had been refused; empty for the log. */
  reason: string;
  messageId: string;
  outcome: "stored" | "known";
}

export interface ReceivedMessage {
  site: string;
  messageId: string;
  /** Milliseconds since 1970. */
  receivedAt: number;
}

export interface RefusedQuestion {
  from: Date;
  /** Itself not included. */
  to: Date;
  site?: string | undefined;
  reason?: string | undefined;
  /** The last one of the answer before. */
  after?: RefusedEvent | undefined;
  limit: number;
}

/** What a replay asks and writes down. */
export interface ReplayStore {
  /** Refused events that were received in the time and not replayed yet, in the order in which they were received. */
  refused(question: RefusedQuestion): Promise<RefusedEvent[]>;
  /**
   * Which of these `events` has, in any row: as `site`, line break, message id. Looked for where they were received, and of those that are not there
   * as far around it as a client may send an event again.
   */
  stored(messages: readonly ReceivedMessage[]): Promise<Set<string>>;
  /** Which of these choices are in the record of choices already, in the same form. */
  recorded(choices: readonly ReceivedMessage[]): Promise<Set<string>>;
  /** Offsets of a partition of `polder.events` whose events ClickHouse refused. */
  refusedOffsets(partition: number, from: number, to: number): Promise<Set<number>>;
  /** The same again changes nothing. */
  mark(events: readonly ReplayedEvent[]): Promise<void>;
}

/** Some thousand ids fit in one field of a form. */
const maxMessagesAtOnce = 2_000;
/** No client sends an event again that is older. */
const longestRetryMs = 30 * 24 * 3_600_000;

export const messageKey = ({ site, messageId }: Pick<ReceivedMessage, "site" | "messageId">): string =>
  `${site}\n${messageId}`;

export function createReplayStore(clickhouse: ClickHouse): ReplayStore {
  /** Which of these a table has in rows that were received in the time of the messages, or this much before and after. */
  async function find(table: string, messages: readonly ReceivedMessage[], aroundMs: number): Promise<Set<string>> {
    const found = new Set<string>();
    for (let first = 0; first < messages.length; first += maxMessagesAtOnce) {
      const some = messages.slice(first, first + maxMessagesAtOnce);
      const times = some.map(({ receivedAt }) => receivedAt);
      const rows = await clickhouse.query<Pick<ReceivedMessage, "site" | "messageId">>(
        `SELECT DISTINCT site::String AS site, message_id AS messageId FROM ${table}
         WHERE received_at >= {from: DateTime64(3, 'UTC')} AND received_at <= {to: DateTime64(3, 'UTC')} AND message_id IN {ids: Array(String)}
           AND (site, message_id) IN (SELECT arrayJoin(arrayZip({sites: Array(String)}, {ids: Array(String)})))`,
        {
          params: {
            from: timeText(new Date(Math.min(...times) - aroundMs)),
            to: timeText(new Date(Math.max(...times) + aroundMs)),
            sites: some.map(({ site }) => site),
            ids: some.map(({ messageId }) => messageId),
          },
        },
      );
      for (const row of rows) found.add(messageKey(row));
    }
    return found;
  }

  return {
    refused: ({ from, to, site, reason, after, limit }) =>
      clickhouse.query<RefusedEvent>(
        `SELECT _partition AS partition, _offset AS offset, site::String AS site, toString(r.received_at) AS receivedAt,
           message_id AS messageId, reason::String AS reason, body
         FROM rejected AS r
         WHERE r.received_at >= {from: DateTime64(3, 'UTC')} AND r.received_at < {to: DateTime64(3, 'UTC')}
           ${site === undefined ? "" : "AND site = {site: String}"} ${reason === undefined ? "" : "AND reason = {reason: String}"}
           ${
             after === undefined
               ? ""
               : "AND (r.received_at, _partition, _offset, reason::String) > (toDateTime64({afterAt: String}, 3, 'UTC'), {afterPartition: UInt16}, {afterOffset: UInt64}, {afterReason: String})"
           }
           AND (site, _partition, _offset, reason) NOT IN (SELECT site, _partition, _offset, reason FROM replayed WHERE source = 'rejected')
         ORDER BY r.received_at, _partition, _offset, reason
         LIMIT {limit: UInt32}`,
        {
          params: {
            from: timeText(from),
            to: timeText(to),
            limit,
            ...(site !== undefined && { site }),
            ...(reason !== undefined && { reason }),
            ...(after !== undefined && {
              afterAt: after.receivedAt,
              afterPartition: after.partition,
              afterOffset: after.offset,
              afterReason: after.reason,
            }),
          },
        },
      ),
    async stored(messages) {
      // Nearly all are where they were received: of the whole time around, `message_id` is read for the rest alone.
      const found = await find("events", messages, 0);
      const others = messages.filter((message) => !found.has(messageKey(message)));
      for (const key of await find("events", others, longestRetryMs)) found.add(key);
      return found;
    },
    recorded: (choices) => find("consent_log", choices, longestRetryMs),
    async refusedOffsets(partition, from, to) {
      const rows = await clickhouse.query<{ offset: number }>(
        `SELECT _offset AS offset FROM rejected
         WHERE reason = 'refused_by_store' AND _partition = {partition: UInt16} AND _offset >= {from: UInt64} AND _offset <= {to: UInt64}`,
        { params: { partition, from, to } },
      );
      return new Set(rows.map(({ offset }) => offset));
    },
    async mark(events) {
      const [first] = events;
      if (first === undefined) return;
      const last = events.at(-1)!;
      const places = [first, last].map(({ source, partition, offset, reason }) => [source, partition, offset, reason]);
      await clickhouse.insertRows(
        "replayed",
        events.map(({ site, source, partition, offset, reason, messageId, outcome }) => ({
          site,
          source,
          _partition: partition,
          _offset: offset,
          reason,
          message_id: messageId,
          outcome,
        })),
        {
          settings: {
            insert_deduplicate: 1,
            deduplicate_insert: "enable",
            insert_deduplication_token: JSON.stringify([...places, events.length]),
          },
        },
      );
    },
  };
}

const timeText = (time: Date): string => time.toISOString().slice(0, 23).replace("T", " ");
