import type { StoreStatus } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";

export const createStatusQueries = (clickhouse: ClickHouse): StoreStatus => ({
  async newestReceivedAt() {
    // Answered from what each part says of its partition key: nothing is read.
    const [row] = await clickhouse.query<{ newest: number }>(
      "SELECT toUnixTimestamp64Milli(max(received_at)) AS newest FROM events HAVING count() > 0",
    );
    return row?.newest;
  },
  losses: (hours) =>
    clickhouse.query(
      `SELECT site, sum(balance.lost) AS lost, sum(balance.doubled) AS doubled FROM loss_balance AS balance
       WHERE is_closed AND hour >= now() - toIntervalHour({hours: UInt32}) GROUP BY site ORDER BY site`,
      { params: { hours } },
    ),
});
