import type { GapStore, LogGap } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";

export interface GapStoreOptions {
  clickhouse: ClickHouse;
  /** Goes around every question. */
  attempt?: <T>(work: Promise<T>) => Promise<T>;
}

/** {@link GapStore} in the table `log_gap`. */
export function createGapStore({ clickhouse, attempt = (work) => work }: GapStoreOptions): GapStore {
  const write = ({ topic, partition, from, to }: LogGap, state: "found" | "accepted"): Promise<void> =>
    attempt(
      clickhouse.insertRows(
        "log_gap",
        [{ topic, _partition: partition, first_offset: from, last_offset: to, state }],
        // The loader finds the same gap on every look.
        {
          settings: {
            insert_deduplicate: 1,
            deduplicate_insert: "enable",
            insert_deduplication_token: `${state}:${topic}:${partition}:${from}-${to}`,
          },
        },
      ),
    );
  return {
    found: (gap) => write(gap, "found"),
    accept: (gap) => write(gap, "accepted"),
    open: () =>
      attempt(
        clickhouse.query<LogGap>(
          `SELECT topic::String AS topic, _partition AS partition, first_offset AS \`from\`, max(last_offset) AS \`to\`
           FROM log_gap GROUP BY topic, partition, \`from\`
           HAVING countIf(state = 'accepted') = 0 ORDER BY topic, partition, \`from\``,
        ),
      ),
    acceptedTo: async (topic, partition, from) => {
      const [row] = await attempt(
        clickhouse.query<{ to: number }>(
          `SELECT max(last_offset) AS \`to\` FROM log_gap
           WHERE state = 'accepted' AND topic = {topic: String} AND _partition = {partition: UInt16} AND first_offset = {from: UInt64}
           HAVING count() > 0`,
          { params: { topic, partition, from } },
        ),
      );
      return row?.to;
    },
  };
}
