import type { StoredRecord } from "@polder/core";

/**
 * The bytes of an INSERT: each record's row with its coordinates put in front, one row a line. A row is never parsed: it is known to be one JSON
 * object, so the coordinates go between its brace and its first member.
 */
export function spliceRows(partition: number, records: readonly StoredRecord[], atoms?: readonly number[]): Uint8Array {
  const heads = records.map((record, i) => {
    const atom = atoms ? `"atom":${atoms[i]},` : "";
    return `{"_partition":${partition},"_offset":${record.offset},${atom}`;
  });
  let length = 0;
  for (let i = 0; i < records.length; i++) length += heads[i]!.length + records[i]!.value.length; // minus the brace, plus the line break
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (let i = 0; i < records.length; i++) {
    at += bytes.write(heads[i]!, at, "latin1");
    const { value } = records[i]!;
    bytes.set(value.subarray(1), at);
    at += value.length - 1;
    bytes[at++] = 0x0a;
  }
  return bytes;
}
