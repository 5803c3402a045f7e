import type { LogRecord, StoredRecord } from "@polder/core";

/** Records of one partition with consecutive offsets, stored as one LMDB value. */
export interface RecordBatch {
  count: number;
  bytes: Buffer;
}

// Small enough that the pages of a removed batch are easily reused by the next one, large enough that LMDB's cost per value does not show.
const targetBatchBytes = 64 * 1024;

const maxVarintBytes = 5;
const varintsPerRecord = 8;

/** Begins a batch of records with six texts. Batches of earlier versions have five and begin with the length of a key, which is never 0. */
const sixTexts = 0;

/*
 * A batch is `sixTexts` and its records, one after the other; a record is
 *   six varints    lengths of key, id, site, anonymousId, userId, arrival in UTF-16 units
 *   varint, bytes  the six texts joined, in UTF-8
 *   varint, bytes  the value
 * Joining the texts makes it one native call a record each way instead of six.
 */
export function encodeBatches(records: readonly LogRecord[]): RecordBatch[] {
  const batches: RecordBatch[] = [];
  let first = 0;
  while (first < records.length) {
    let room = 1;
    let end = first;
    do room += maxEncodedBytes(records[end++]!);
    while (end < records.length && room < targetBatchBytes);
    const buffer = Buffer.allocUnsafe(room);
    buffer[0] = sixTexts;
    let at = 1;
    for (let index = first; index < end; index++) at = writeRecord(buffer, at, records[index]!);
    batches.push({ count: end - first, bytes: buffer.subarray(0, at) });
    first = end;
  }
  return batches;
}

/** The values are views of `bytes`. */
export function decodeBatch(bytes: Buffer, firstOffset: number): StoredRecord[] {
  const records: StoredRecord[] = [];
  const lengths = [0, 0, 0, 0, 0, 0];
  const texts = bytes[0] === sixTexts ? 6 : 5;
  let at = texts - 5;
  const readVarint = () => {
    let value = 0;
    let shift = 1;
    for (;;) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
      shift *= 128;
    }
  };
  while (at < bytes.length) {
    for (let field = 0; field < texts; field++) lengths[field] = readVarint();
    const textBytes = readVarint();
    const text = bytes.toString("utf8", at, (at += textBytes));
    const valueBytes = readVarint();
    // A plain view: `subarray` of a Buffer costs twice as much, which shows at this many.
    const value = new Uint8Array(bytes.buffer, bytes.byteOffset + at, valueBytes);
    at += valueBytes;
    let from = 0;
    const next = (field: number) => text.slice(from, (from += lengths[field]!));
    const key = next(0);
    const headers = {
      id: next(1),
      site: next(2),
      anonymousId: next(3),
      userId: next(4),
      arrival: lengths[5] === 0 ? undefined : next(5),
    };
    records.push({ offset: firstOffset + records.length, key, value, headers });
  }
  return records;
}

function maxEncodedBytes({ key, value, headers }: LogRecord): number {
  const { id, site, anonymousId, userId, arrival = "" } = headers;
  const units = key.length + id.length + site.length + anonymousId.length + userId.length + arrival.length;
  return varintsPerRecord * maxVarintBytes + units * 3 + value.byteLength;
}

function writeRecord(
  buffer: Buffer,
  start: number,
  { key, value, headers: { id, site, anonymousId, userId, arrival = "" } }: LogRecord,
): number {
  const text = key + id + site + anonymousId + userId + arrival;
  let at = start;
  at = writeVarint(buffer, at, key.length);
  at = writeVarint(buffer, at, id.length);
  at = writeVarint(buffer, at, site.length);
  at = writeVarint(buffer, at, anonymousId.length);
  at = writeVarint(buffer, at, userId.length);
  at = writeVarint(buffer, at, arrival.length);
  at = writeVarint(buffer, at, Buffer.byteLength(text));
  at += buffer.write(text, at);
  at = writeVarint(buffer, at, value.byteLength);
  buffer.set(value, at);
  return at + value.byteLength;
}

function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    buffer[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}
