/**
 * Remembers the messages of the last `span` offsets of one partition, to catch a client's retry of a message that was stored already.
 *
 * Keeps 64 bits of a hash per message, not the id: 24 bytes a message, whatever the ids look like. Two different messages within the window share
 * a hash with a chance of about span / 2^64 each (5e-14 for a million), far under the chance that a disk flips a bit.
 */
export interface MessageWindow {
  /** Whether this message was added within the last `span` offsets before `offset`. */
  has(site: string, messageId: string, offset: number): boolean;
  /** Offsets ascend from call to call. */
  add(site: string, messageId: string, offset: number): void;
  readonly size: number;
}

export function createMessageWindow(span: number): MessageWindow {
  let capacity = 1024; // places in the table, a power of two, at most half full
  let low = new Uint32Array(capacity);
  let high = new Uint32Array(capacity);
  let offsets = new Float64Array(capacity).fill(-1); // -1: free
  let used = 0; // places taken, live or outlived

  const place = (lowBits: number, highBits: number): number => {
    let at = lowBits & (capacity - 1);
    while (offsets[at] !== -1 && (low[at] !== lowBits || high[at] !== highBits)) at = (at + 1) & (capacity - 1);
    return at;
  };

  // Outlived messages are left in place, so that probing stays simple, and swept when the table fills.
  const sweep = (oldest: number): void => {
    const before = { low, high, offsets };
    let live = 0;
    for (const offset of offsets) if (offset >= oldest) live++;
    while (capacity < live * 4) capacity *= 2;
    low = new Uint32Array(capacity);
    high = new Uint32Array(capacity);
    offsets = new Float64Array(capacity).fill(-1);
    used = live;
    for (let i = 0; i < before.offsets.length; i++) {
      const offset = before.offsets[i]!;
      if (offset < oldest || offset === -1) continue;
      const at = place(before.low[i]!, before.high[i]!);
      low[at] = before.low[i]!;
      high[at] = before.high[i]!;
      offsets[at] = offset;
    }
  };

  return {
    has(site, messageId, offset) {
      const hash = hash64(site, messageId);
      const found = offsets[place(hash.low, hash.high)]!;
      return found !== -1 && found >= offset - span;
    },
    add(site, messageId, offset) {
      if ((used + 1) * 2 > capacity) sweep(offset - span);
      const hash = hash64(site, messageId);
      const at = place(hash.low, hash.high);
      if (offsets[at] === -1) used++;
      low[at] = hash.low;
      high[at] = hash.high;
      offsets[at] = offset;
    },
    get size() {
      return used;
    },
  };
}

// Two independent multiply-xorshift lanes over UTF-16 units, each with the finaliser of MurmurHash3.
const scratch = { low: 0, high: 0 };
function hash64(site: string, messageId: string): { low: number; high: number } {
  let a = 0x9e3779b9 ^ site.length;
  let b = 0x85ebca6b ^ messageId.length;
  for (let i = 0; i < site.length; i++) {
    const unit = site.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x9e3779b1);
    b = Math.imul(b ^ unit, 0x5f356495);
    b ^= b >>> 15;
  }
  for (let i = 0; i < messageId.length; i++) {
    const unit = messageId.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x9e3779b1);
    a ^= a >>> 13;
    b = Math.imul(b ^ unit, 0x5f356495);
    b ^= b >>> 15;
  }
  scratch.low = finalise(a);
  scratch.high = finalise(b ^ Math.imul(a, 0x27d4eb2f));
  return scratch;
}

function finalise(value: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
