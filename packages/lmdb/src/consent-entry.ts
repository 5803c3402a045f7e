import { choiceTimesLength, type ChoiceTimes } from "@polder/protocol";

/**
 * One visitor's choices as bytes: `format, count, count × (theirs, ours), the place of each pair of times in that list`. Times are 48 bits; places
 * are half a byte, 0 for never. Most visitors chose once, about everything: 22 bytes.
 */
const format = 1;
const headBytes = 2;
const timeBytes = 6;
const pairBytes = 2 * timeBytes;
const pairs = choiceTimesLength / 2;

export function encodeEntry(times: ChoiceTimes): Buffer {
  const list: number[] = [];
  const placeOf = (theirs: number, ours: number): number => {
    if (ours === 0) return 0;
    for (let at = 0; at < list.length; at += 2) if (list[at] === theirs && list[at + 1] === ours) return at / 2 + 1;
    return list.push(theirs, ours) / 2;
  };
  const places = Array.from({ length: pairs }, (_, n) => placeOf(times[2 * n]!, times[2 * n + 1]!));
  const bytes = Buffer.alloc(headBytes + list.length * timeBytes + Math.ceil(pairs / 2));
  bytes[0] = format;
  bytes[1] = list.length / 2;
  let at = headBytes;
  for (const time of list) at = bytes.writeUIntBE(time, at, timeBytes);
  for (let n = 0; n < pairs; n += 2) bytes[at++] = (places[n]! << 4) | (places[n + 1] ?? 0);
  return bytes;
}

/** Reads the bytes at once: they may be a buffer that the next look-up fills anew. */
export function decodeEntry(bytes: Buffer): ChoiceTimes {
  const list = [0, 0];
  const placesAt = headBytes + bytes[1]! * pairBytes;
  for (let at = headBytes; at < placesAt; at += timeBytes) list.push(bytes.readUIntBE(at, timeBytes));
  const times: number[] = [];
  for (let n = 0; n < pairs; n++) {
    const both = bytes[placesAt + (n >> 1)]!;
    const place = n % 2 === 0 ? both >> 4 : both & 15;
    times.push(list[2 * place]!, list[2 * place + 1]!);
  }
  return times;
}
