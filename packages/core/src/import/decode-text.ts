import type { ImportEncoding } from "./import-mapping.ts";

/** How far beyond the first sign that is not ASCII the bytes are looked at before they are taken for UTF-8. */
const sampleBytes = 64 * 1024;

/**
 * Text of bytes, as they come. As long as all of them are ASCII every encoding but UTF-16 says the same, so nothing is decided before the first one that is
 * not: then they are UTF-8 when they can be read as that, else Windows-1252. What cannot be read becomes U+FFFD.
 */
export async function* decodeText(
  bytes: AsyncIterable<Uint8Array>,
  stated: ImportEncoding | undefined,
  onDecided: (encoding: ImportEncoding) => void,
): AsyncGenerator<string> {
  let held: Uint8Array = new Uint8Array();
  let decoder: Decoder | undefined;
  let isBegun = false;
  const decide = (encoding: ImportEncoding): void => {
    decoder = decoderOf(encoding);
    onDecided(encoding);
  };
  if (stated !== undefined) decide(stated);

  for await (const chunk of bytes) {
    if (decoder !== undefined) {
      yield decoder.decode(chunk, { stream: true });
      continue;
    }
    held = held.length === 0 ? chunk : concat(held, chunk);
    if (!isBegun) {
      if (held.length < 4) continue;
      isBegun = true;
      const marked = markedEncoding(held);
      if (marked !== undefined) {
        decide(marked);
        yield decoder!.decode(held, { stream: true });
        continue;
      }
    }
    const at = firstNotAscii(held);
    if (at !== -1 && held.length - at >= sampleBytes) {
      decide(isUtf8(held, false) ? "utf-8" : "windows-1252");
      yield decoder!.decode(held, { stream: true });
    } else if (at === -1) {
      yield ascii.decode(held);
      held = new Uint8Array();
    }
  }
  if (decoder === undefined) {
    decide((isBegun ? undefined : markedEncoding(held)) ?? (isUtf8(held, true) ? "utf-8" : "windows-1252"));
    yield decoder!.decode(held);
  } else yield decoder.decode();
}

function firstNotAscii(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; at++) if (bytes[at]! >= 0x80) return at;
  return -1;
}

interface Decoder {
  decode(bytes?: Uint8Array, options?: { stream: boolean }): string;
}

const ascii = new TextDecoder("utf-8");

// What Windows has from 0x80 to 0x9f. Node's own decoder of that name leaves out these.
const windowsSigns = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

function decoderOf(encoding: ImportEncoding): Decoder {
  if (encoding !== "windows-1252") return new TextDecoder(encoding);
  return {
    decode: (bytes = new Uint8Array()) =>
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
        .toString("latin1")
        .replaceAll(/[\u0080-\u009f]/g, (sign) => windowsSigns[sign.charCodeAt(0) - 0x80] ?? sign),
  };
}

function markedEncoding([first, second, third, fourth]: Uint8Array): ImportEncoding | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  // Without a mark: a header begins with letters, of which every other byte is zero.
  if (first !== 0 && second === 0 && third !== 0 && fourth === 0) return "utf-16le";
  if (first === 0 && second !== 0 && third === 0 && fourth !== 0) return "utf-16be";
  return undefined;
}

function isUtf8(bytes: Uint8Array, isWhole: boolean): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !isWhole });
    return true;
  } catch {
    return false;
  }
}

function concat(one: Uint8Array, other: Uint8Array): Uint8Array {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
