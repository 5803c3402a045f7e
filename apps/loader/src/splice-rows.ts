import type { StoredRecord } from "@polder/core";

/** More than `,"atom":4294967295,` and the digits of an offset. */
const mostPerRow = 64;

/**
 * The bytes of an INSERT: each record's row with its coordinates put in front, one row a line. A row is never parsed: it is known to be one JSON
 * object, so the coordinates go between its brace and its first member.
 */
export function spliceRows(partition: number, records: readonly StoredRecord[], atoms?: readonly number[]): Uint8Array {
  const start = `{"_partition":${partition},"_offset":`;
  let most = records.length * (start.length + mostPerRow);
  for (const { value } of records) most += value.length;
  const bytes = Buffer.allocUnsafe(most);
  let at = 0;
  for (let i = 0; i < records.length; i++) {
    const { offset, value } = records[i]!;
    const head = atoms ? `${start}${offset},"atom":${atoms[i]},` : `${start}${offset},`;
    // The row first: the last character of the head then takes the place of its brace.
    bytes.set(value, at + head.length - 1);
    bytes.write(head, at, "latin1");
    at += head.length - 1 + value.length;
    bytes[at++] = 0x0a;
  }
  return bytes.subarray(0, at);
}
