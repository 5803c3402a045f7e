import { createMessageHash } from "@polder/core";

/**
 * Finds, among the last `span` offsets of one partition, those where a message may have been stored before: a client's retry of it.
 *
 * It keeps 64 bits of a keyed hash a message and no id, so that what it finds is only a suspicion: the caller reads the id at that offset from the
 * table before it drops anything. No event is dropped for a hash, and none is missed, since equal ids have equal hashes.
 *
 * Memory is taken at once and never grows: with the least power of two above the span as the size of the ring, 8 bytes a place for the hash and 8
 * for the index, so 16 MiB for a million offsets whatever the ids look like. Pages that no message has touched cost nothing.
 */
export interface MessageWindow {
  /** Hashes of messages, two words each, for the calls below. Valid until the next call. */
  hash(messages: readonly { headers: { site: string; id: string } }[]): Uint32Array;
  /** The offsets in `offset - span … offset - 1` where a message with this hash was added; undefined when there are none. */
  find(low: number, high: number, offset: number): number[] | undefined;
  /** In any order within a span of the greatest. */
  add(low: number, high: number, offset: number): void;
  /** Which messages have which hash. */
  readonly key: Uint32Array;
  /** Messages that it knows. */
  readonly size: number;
  readonly bytes: number;
}

export function createMessageWindow(span: number, key: Uint32Array = randomKey()): MessageWindow {
  const places = 2 ** Math.ceil(Math.log2(span + 1));
  const placeMask = places - 1;
  const slots = places * 2;
  const slotMask = slots - 1;
  // By the last bits of the offset: 0, 0 where no message is.
  const lows = new Uint32Array(places);
  const highs = new Uint32Array(places);
  // Hash table with open addressing: a place plus one, 0 where free. At most half full.
  const index = new Uint32Array(slots);
  const hashOf = createMessageHash(key);
  let hashes = new Uint32Array(1024);
  /** Places of lower offsets are free. */
  let oldest = 0;
  let size = 0;

  const isFree = (place: number): boolean => lows[place] === 0 && highs[place] === 0;

  const forget = (place: number): void => {
    let hole = lows[place]! & slotMask;
    while (index[hole] !== place + 1) hole = (hole + 1) & slotMask;
    lows[place] = 0;
    highs[place] = 0;
    size--;
    // Closes the hole, so that no mark of what was there has to stay.
    for (let at = (hole + 1) & slotMask; index[at] !== 0; at = (at + 1) & slotMask) {
      const home = lows[index[at]! - 1]! & slotMask;
      const isReachedOverHole = ((at - home) & slotMask) >= ((at - hole) & slotMask);
      if (!isReachedOverHole) continue;
      index[hole] = index[at]!;
      hole = at;
    }
    index[hole] = 0;
  };

  const forgetBefore = (offset: number): void => {
    if (offset <= oldest) return;
    // What lies further back than the ring is long has been forgotten before.
    for (let old = Math.max(oldest, offset - places); old < offset; old++) {
      const place = old & placeMask;
      if (size > 0 && !isFree(place)) forget(place);
    }
    oldest = offset;
  };

  return {
    key,
    get size() {
      return size;
    },
    bytes: places * 8 + slots * 4,
    hash(messages) {
      if (messages.length * 2 > hashes.length) hashes = new Uint32Array(messages.length * 2);
      for (let i = 0; i < messages.length; i++) {
        const { site, id } = messages[i]!.headers;
        hashOf(site, id, hashes, i * 2);
      }
      return hashes;
    },
    find(low, high, offset) {
      forgetBefore(offset - span);
      let found: number[] | undefined;
      for (let at = wordOf(low, high) & slotMask; index[at] !== 0; at = (at + 1) & slotMask) {
        const place = index[at]! - 1;
        if (highs[place] !== high || lows[place] !== wordOf(low, high)) continue;
        const before = offset - ((offset - place) & placeMask);
        if (before < offset) (found ??= []).push(before);
      }
      return found;
    },
    add(low, high, offset) {
      forgetBefore(offset - span);
      if (offset < oldest) return;
      const place = offset & placeMask;
      if (!isFree(place)) forget(place);
      lows[place] = wordOf(low, high);
      highs[place] = high;
      let at = lows[place] & slotMask;
      while (index[at] !== 0) at = (at + 1) & slotMask;
      index[at] = place + 1;
      size++;
    },
  };
}

/** The one hash that stands for a free place counts as its neighbour. */
const wordOf = (low: number, high: number): number => (low === 0 && high === 0 ? 1 : low);

const randomKey = (): Uint32Array => crypto.getRandomValues(new Uint32Array(4));
