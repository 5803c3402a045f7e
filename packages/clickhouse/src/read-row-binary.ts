/** Reads one row of ClickHouse's format RowBinary, column after column. */
export interface RowReader {
  uint32(): number;
  /** Below 2^53, as times in milliseconds are. */
  int64(): number;
  text(): string;
  skipText(): void;
  /** Array(UInt32) */
  numbers(): number[];
}

const cutOff = Symbol("the row goes on in the next bytes");

/** Rows as many at a time as come together; those of which `read` says undefined are left out. Texts that are skipped cost next to nothing. */
export async function* readRowBinary<Row>(
  bytes: AsyncIterable<Uint8Array>,
  read: (reader: RowReader) => Row | undefined,
): AsyncIterable<Row[]> {
  let buffer = Buffer.alloc(0);
  let at = 0;
  /** Where the next column begins; `at` is where this one does. */
  const take = (length: number): number => {
    if (at + length > buffer.length) throw cutOff;
    const from = at;
    at += length;
    return from;
  };
  const length = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = buffer[take(1)]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const reader: RowReader = {
    uint32: () => buffer.readUInt32LE(take(4)),
    int64() {
      const from = take(8);
      return buffer.readInt32LE(from + 4) * 2 ** 32 + buffer.readUInt32LE(from);
    },
    text() {
      const size = length();
      const from = take(size);
      return buffer.toString("utf8", from, from + size);
    },
    skipText: () => void take(length()),
    numbers() {
      const count = length();
      const from = take(4 * count);
      return Array.from({ length: count }, (_, n) => buffer.readUInt32LE(from + 4 * n));
    },
  };
  for await (const some of bytes) {
    buffer = at === buffer.length ? Buffer.from(some) : Buffer.concat([buffer.subarray(at), some]);
    at = 0;
    const rows: Row[] = [];
    let begin = 0;
    try {
      while (at < buffer.length) {
        begin = at;
        const row = read(reader);
        if (row !== undefined) rows.push(row);
      }
    } catch (error) {
      if (error !== cutOff) throw error;
      at = begin;
    }
    if (rows.length > 0) yield rows;
  }
  if (at < buffer.length) throw new Error("ClickHouse ended its answer in the middle of a row");
}
