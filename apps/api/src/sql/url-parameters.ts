/** One `name=value` of a URL. The value keeps its bytes: a statement need not be UTF-8. */
export interface UrlParameter {
  name: string;
  value: Buffer;
}

/** `?a=b&c=d` as the engine reads it: split at `&`, `+` is a space, the rest percent-encoded. */
export function parseParameters(search: string): UrlParameter[] {
  const parameters: UrlParameter[] = [];
  for (const pair of search.replace(/^\?/, "").split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = at < 0 ? pair : pair.slice(0, at);
    const value = at < 0 ? "" : pair.slice(at + 1);
    parameters.push({ name: decode(name).toString("utf8"), value: decode(value) });
  }
  return parameters;
}

const decode = (text: string): Buffer => {
  const bytes = text
    .replaceAll("+", " ")
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
};

/** Everything but letters, digits and `-_.~` is encoded, so that no reader can split it elsewhere. */
export const renderParameters = (parameters: readonly UrlParameter[]): string =>
  parameters.map(({ name, value }) => `${encode(Buffer.from(name))}=${encode(value)}`).join("&");

const encode = (bytes: Buffer): string => {
  let text = "";
  for (const byte of bytes) text += isPlain(byte) ? String.fromCharCode(byte) : percent[byte]!;
  return text;
};

const percent = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`);

const isPlain = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x5f ||
  byte === 0x7e;
