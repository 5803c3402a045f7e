const mark = Buffer.from('"received_at":"');
const textLength = "2026-11-22 20:15:01.000".length;

/** When a row was received, in milliseconds since 1970, found in its bytes without parsing them. Undefined when it does not say. */
export function receivedAtOf(row: Uint8Array): number | undefined {
  const bytes = Buffer.from(row.buffer, row.byteOffset, row.byteLength);
  const at = bytes.indexOf(mark);
  if (at === -1) return undefined;
  const text = bytes.toString("latin1", at + mark.length, at + mark.length + textLength);
  if (text.length < textLength) return undefined;
  const time = Date.parse(`${text.replace(" ", "T")}Z`);
  return Number.isNaN(time) ? undefined : time;
}
