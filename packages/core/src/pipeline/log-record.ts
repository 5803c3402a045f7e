import type { LogRecord } from "../ports/event-log.ts";
import type { EventRow } from "../row/event-row.ts";
import { createRowEncoder } from "./encode-row.ts";

const slabBytes = 256 * 1024;
// A UTF-16 unit takes at most three bytes of UTF-8.
const maxBytesPerUnit = 3;

/** Of one visit: after so many it goes on in a partition of its own choosing, so that no visitor fills one for ever. docs/decisions/0006. */
const eventsPerLane = 1_000;

/**
 * Makes the records that the log keeps: the row's JSON as bytes, never parsed again on its way. The bytes of many rows lie in one slab:
 * a buffer for each row costs more than writing it.
 */
/** The second argument of what it returns is the header `arrival`. */
export function createRecordEncoder(): (row: EventRow, arrival?: string) => LogRecord {
  const encode = createRowEncoder();
  let slab = Buffer.allocUnsafeSlow(slabBytes);
  let used = 0;

  function toBytes(text: string): Uint8Array {
    const most = text.length * maxBytesPerUnit;
    if (most > slabBytes / 4) return Buffer.from(text);
    if (used + most > slabBytes) {
      slab = Buffer.allocUnsafeSlow(slabBytes);
      used = 0;
    }
    const start = used;
    used += slab.write(text, start);
    return slab.subarray(start, used);
  }

  return (row, arrival) => {
    const { site, message_id: id, anonymous_id: anonymousId, user_id: userId } = row;
    const visitor = anonymousId || userId;
    // By what the event says of itself, which a retry repeats: the second copy goes where the first one went, whichever collector takes it.
    const lane = Math.floor(row.session_seq / eventsPerLane);
    return {
      key: visitor === "" ? id : lane === 0 ? `${site}:${visitor}` : `${site}:${visitor}#${lane}`,
      value: toBytes(encode(row)),
      headers: { id, site, anonymousId, userId, arrival },
    };
  };
}
