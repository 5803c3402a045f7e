import { expect, it } from "vitest";
import { readRowBinary } from "./read-row-binary.ts";

const long = "ü".repeat(100);
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const int64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => {
  const size = Buffer.byteLength(value);
  return Buffer.concat([Buffer.from(size < 128 ? [size] : [128 | (size & 127), size >> 7]), Buffer.from(value)]);
};
const rows = [
  [7, "an", -5, [1, 4_294_967_295]],
  [8, long, 1_795_000_000_123, []],
  [4_294_967_295, "", 0, [3]],
] as const;
const bytes = Buffer.concat(
  rows.flatMap(([number, name, time, some]) => [
    uint32(number),
    text(name),
    int64(time),
    Buffer.from([some.length]),
    ...some.map(uint32),
  ]),
);

async function read(sizes: number, end = bytes.length): Promise<unknown[]> {
  async function* inPieces(): AsyncIterable<Uint8Array> {
    for (let at = 0; at < end; at += sizes) yield bytes.subarray(at, Math.min(at + sizes, end));
  }
  const found: unknown[] = [];
  for await (const some of readRowBinary(inPieces(), (row) => {
    const number = row.uint32();
    if (number === 8) row.skipText();
    const name = number === 8 ? undefined : row.text();
    const rest = [row.int64(), row.numbers()];
    return number === 7 ? undefined : [number, name, ...rest];
  }))
    found.push(...some);
  return found;
}

it("reads rows wherever the bytes are cut, and leaves out what is not wanted", async () => {
  const wanted = [
    [8, undefined, 1_795_000_000_123, []],
    [4_294_967_295, "", 0, [3]],
  ];
  for (const size of [1, 2, 3, 7, 50, bytes.length]) expect(await read(size)).toEqual(wanted);
});

it("says so when the answer ends in the middle of a row", async () => {
  await expect(read(10, bytes.length - 1)).rejects.toThrow("in the middle of a row");
});
