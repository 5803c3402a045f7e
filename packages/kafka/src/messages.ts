import type { LogRecord, RecordHeaders, StoredRecord } from "@polder/core";
import type { KafkaMessage } from "kafkajs";

const headerNames = ["id", "site", "anonymousId", "userId"] as const satisfies (keyof RecordHeaders)[];

/** Version of a record's headers. One without says nothing: it is of the first version. */
const headerVersion = "1";

/**
 * Empty headers are left out. The arrival stands behind the site, after a space, which no site's id has: kafkajs takes a microsecond for a header,
 * a tenth of which for some more bytes in one.
 */
export function headersOf(record: LogRecord): { [name: string]: string } {
  const headers: { [name: string]: string } = {};
  for (const name of headerNames) if (record.headers[name] !== "") headers[name] = record.headers[name];
  const { site, arrival } = record.headers;
  if (arrival !== undefined) headers["site"] = `${site} ${arrival}`;
  return headers;
}

/** The same bytes, as drivers take them. */
export const valueOf = ({ value }: LogRecord): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);

export function toStoredRecord({ key, value, headers, offset }: KafkaMessage): StoredRecord {
  const header = (name: string) => headers?.[name]?.toString() ?? "";
  const from = header("site");
  const space = from.indexOf(" ");
  const record: StoredRecord = {
    offset: Number(offset),
    key: key?.toString() ?? "",
    value: value ?? new Uint8Array(),
    headers: {
      id: header("id"),
      site: space === -1 ? from : from.slice(0, space),
      anonymousId: header("anonymousId"),
      userId: header("userId"),
      arrival: space === -1 ? undefined : from.slice(space + 1),
    },
  };
  const version = header("v");
  if (version !== "" && version !== headerVersion)
    record.foreign = `Its headers are of version ${version}, and this program knows version ${headerVersion}.`;
  else if (value === null) record.foreign = "It has no value.";
  return record;
}

/** About what a record takes in a request; more rather than less. */
export function requestBytesOf({
  key,
  value,
  headers: { id, site, anonymousId, userId, arrival = "" },
}: LogRecord): number {
  return (
    value.byteLength +
    3 * (key.length + id.length + site.length + anonymousId.length + userId.length + arrival.length) +
    100
  );
}
