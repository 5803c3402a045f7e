import { ruleVersion, type RejectedRow, type StoredRecord } from "@polder/core";

const maxBodyLength = 2048;

/** The row of `rejected` for an event that ClickHouse would not take, with its place in `polder.events` so that it can be found and replayed. */
export function refusedRow(refused: {
  record: StoredRecord;
  partition: number;
  message: string;
  now: Date;
}): Uint8Array {
  const { record, partition, message, now } = refused;
  const body = Buffer.from(record.value).toString("utf8");
  const { type, name } = readable(body);
  const row: RejectedRow & { _partition: number; _offset: number } = {
    _partition: partition,
    _offset: record.offset,
    site: record.headers.site,
    received_at: now.toISOString().slice(0, 23).replace("T", " "),
    message_id: record.headers.id,
    type,
    name,
    reason: "refused_by_store",
    detail: message.slice(0, maxBodyLength),
    body: body.slice(0, maxBodyLength),
    rule_version: ruleVersion,
  };
  return Buffer.from(`${JSON.stringify(row)}\n`);
}

/** Type and name if the row can be read at all: what was refused may be anything. */
function readable(body: string): { type: string; name: string } {
  try {
    const { type, name } = JSON.parse(body) as { type?: unknown; name?: unknown };
    return { type: typeof type === "string" ? type : "", name: typeof name === "string" ? name : "" };
  } catch {
    return { type: "", name: "" };
  }
}
