/**
 * SipHash-2-4 under a key of 128 bits, given as four words from the lowest, of `site`, a zero byte and `messageId` in UTF-8: what ClickHouse computes
 * as `sipHash64Keyed((k0, k1), concat(site, '\0', message_id))`. The result is written to `into` at `at`: its low word, then its high word.
 */
export type MessageHash = (site: string, messageId: string, into: Uint32Array, at: number) => void;

const encoder = new TextEncoder();

/** Keyed, so that nobody who does not know the key can choose ids with one hash. Numbers are halves: JavaScript has no fast 64-bit integer. */
export function createMessageHash(key: Uint32Array): MessageHash {
  const [k0l = 0, k0h = 0, k1l = 0, k1h = 0] = key;
  // The words of a message, filled up to a whole number of 64-bit blocks.
  let words = new Int32Array(64);
  let word = 0;
  let at = 0;

  const roomFor = (bytes: number): number => {
    const count = ((bytes >> 3) + 1) * 2;
    if (count > words.length) words = new Int32Array(count * 2);
    return count;
  };
  const put = (byte: number): void => {
    word |= byte << ((at & 3) << 3);
    if ((at & 3) === 3) {
      words[at >> 2] = word;
      word = 0;
    }
    at++;
  };
  /** False when a unit is none of ASCII, and so not one byte. */
  const putText = (text: string): boolean => {
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return false;
      put(unit);
    }
    return true;
  };
  /** The message as words, with its length in the last byte. Returns how many there are. */
  const fill = (site: string, messageId: string): number => {
    let count = roomFor(site.length + 1 + messageId.length);
    word = 0;
    at = 0;
    let isAscii = putText(site);
    if (isAscii) {
      put(0);
      isAscii = putText(messageId);
    }
    if (!isAscii) {
      const bytes = encoder.encode(`${site}\0${messageId}`);
      count = roomFor(bytes.length);
      word = 0;
      at = 0;
      for (const byte of bytes) put(byte);
    }
    if (at >> 2 !== count - 1) words[count - 1] = 0;
    words[at >> 2] = word;
    words[count - 1] = words[count - 1]! | (at << 24);
    return count;
  };

  return (site, messageId, into, place) => {
    const count = fill(site, messageId);
    let v0l = k0l ^ 0x70736575;
    let v0h = k0h ^ 0x736f6d65;
    let v1l = k1l ^ 0x6e646f6d;
    let v1h = k1h ^ 0x646f7261;
    let v2l = k0l ^ 0x6e657261;
    let v2h = k0h ^ 0x6c796765;
    let v3l = k1l ^ 0x79746573;
    let v3h = k1h ^ 0x74656462;
    for (let i = 0; i <= count; i += 2) {
      const isLast = i === count;
      const low = isLast ? 0 : words[i]!;
      const high = isLast ? 0 : words[i + 1]!;
      v3l ^= low;
      v3h ^= high;
      if (isLast) v2l ^= 0xff;
      // Locals and no function: V8 then keeps them in registers, which makes it twice as fast.
      for (let rounds = isLast ? 4 : 2; rounds > 0; rounds--) {
        let sum = (v0l + v1l) | 0;
        v0h = (v0h + v1h + (sum >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
        v0l = sum;
        let turned = (v1l << 13) | (v1h >>> 19);
        v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
        v1l = turned ^ v0l;
        turned = v0l;
        v0l = v0h;
        v0h = turned;

        sum = (v2l + v3l) | 0;
        v2h = (v2h + v3h + (sum >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
        v2l = sum;
        turned = (v3l << 16) | (v3h >>> 16);
        v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
        v3l = turned ^ v2l;

        sum = (v0l + v3l) | 0;
        v0h = (v0h + v3h + (sum >>> 0 < v0l >>> 0 ? 1 : 0)) | 0;
        v0l = sum;
        turned = (v3l << 21) | (v3h >>> 11);
        v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
        v3l = turned ^ v0l;

        sum = (v2l + v1l) | 0;
        v2h = (v2h + v1h + (sum >>> 0 < v2l >>> 0 ? 1 : 0)) | 0;
        v2l = sum;
        turned = (v1l << 17) | (v1h >>> 15);
        v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
        v1l = turned ^ v2l;
        turned = v2l;
        v2l = v2h;
        v2h = turned;
      }
      v0l ^= low;
      v0h ^= high;
    }
    into[place] = v0l ^ v1l ^ v2l ^ v3l;
    into[place + 1] = v0h ^ v1h ^ v2h ^ v3h;
  };
}
