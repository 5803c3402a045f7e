import { ruleVersion, type RejectedRow, type StoredRecord } from "@polder/core";

/** More than any row of ours: what is kept of a refused one is enough to load it when the fault is mended. */
const maxBodyLength = 256 * 1024;
const maxTextLength = 2048;

type PlacedRow = RejectedRow & { _partition: number; _offset: number };

/** The row of `rejected` for an event that ClickHouse would not take, with its place in `polder.events` so that it can be found and replayed. */
export function refusedRow(refused: {
  record: StoredRecord;
  partition: number;
  message: string;
  now: Date;
}): Uint8Array {
  const { record, partition, message, now } = refused;
  const body = Buffer.from(record.value).toString("utf8");
  const { type, name, receivedAt } = readable(body);
  return rowBytes({
    _partition: partition,
    _offset: record.offset,
    site: record.headers.site,
    received_at: receivedAt ?? timeText(now),
    message_id: record.headers.id,
    type,
    name,
    reason: "refused_by_store",
    detail: message.slice(0, maxTextLength),
    body: body.slice(0, maxBodyLength),
    rule_version: ruleVersion,
  });
}

/** Why a record can be no row of ours; undefined when it may be one. */
export function whyForeign({ foreign, headers, value }: StoredRecord): string | undefined {
  if (foreign !== undefined) return foreign;
  if (headers.id === "" || headers.site === "") return "Its headers name no message or no site.";
  if (value[0] !== braceOpen || value.at(-1) !== braceClose) return "It is no JSON object.";
  // A second line would be a second row, without a place in the log.
  if (hasLineBreak(value)) return "It has a line break, which no row has.";
  return undefined;
}

// That of Buffer: the one of Uint8Array takes six times as long, for each event.
const hasLineBreak = (value: Uint8Array): boolean => Buffer.prototype.indexOf.call(value, lineBreak) !== -1;

const braceOpen = 0x7b;
const braceClose = 0x7d;
const lineBreak = 0x0a;

/** Nothing of the record is kept, since nobody knows what it holds: only where it is. */
export function foreignRow(found: {
  record: StoredRecord;
  topic: string;
  partition: number;
  why: string;
  now: Date;
}): Uint8Array {
  const { record, topic, partition, why, now } = found;
  return rowBytes({
    _partition: partition,
    _offset: record.offset,
    site: record.foreign === undefined ? record.headers.site.slice(0, maxTextLength) : "",
    received_at: timeText(now),
    message_id: "",
    type: "",
    name: "",
    reason: "refused_by_store",
    detail: `A record of ${topic} is no row of Polder's. ${why} See who else writes to this topic.`,
    body: "",
    rule_version: ruleVersion,
  });
}

const rowBytes = (row: PlacedRow): Uint8Array => Buffer.from(`${JSON.stringify(row)}\n`);

const timeText = (time: Date): string => time.toISOString().slice(0, 23).replace("T", " ");

/** Type, name and time if the row can be read at all: what was refused may be anything. */
function readable(body: string): { type: string; name: string; receivedAt: string | undefined } {
  try {
    const { type, name, received_at: receivedAt } = JSON.parse(body) as { [field: string]: unknown };
    return { type: textOf(type), name: textOf(name), receivedAt: isTime(receivedAt) ? receivedAt : undefined };
  } catch {
    return { type: "", name: "", receivedAt: undefined };
  }
}

const textOf = (value: unknown): string => (typeof value === "string" ? value.slice(0, maxTextLength) : "");

/** One that ClickHouse takes as well. */
function isTime(value: unknown): value is string {
  if (typeof value !== "string" || !/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/.test(value)) return false;
  const time = new Date(`${value.replace(" ", "T")}Z`);
  return !Number.isNaN(time.getTime()) && timeText(time) === value;
}
