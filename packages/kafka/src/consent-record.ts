import type { LogRecord, VisitorChoices } from "@polder/core";
import { choiceTimesLength } from "@polder/protocol";

/** Of the shape of a record. A later one counts up when collectors of this one could not read it. */
const version = 1;

/** One visitor's choices in `polder.consent`, under a key of their own: compaction leaves the last record, so each holds all that is known. */
export function toConsentRecord({ visitor, times }: VisitorChoices): LogRecord {
  return {
    key: visitor,
    value: Buffer.from(JSON.stringify({ v: version, times })),
    headers: { id: "", site: "", anonymousId: "", userId: "" },
  };
}

/**
 * What a record says of the visitor who is its key. `removed`: it takes the visitor's earlier ones out of the topic. `newer`: collectors of a later
 * version wrote it. `foreign`: it is none of ours; nobody else should write there, and what they write must not stop us.
 */
export function readConsentRecord({
  key,
  value,
}: Pick<LogRecord, "key" | "value">): VisitorChoices | "removed" | "newer" | "foreign" {
  if (key === "") return "foreign";
  if (value.byteLength === 0) return "removed";
  let record: unknown;
  try {
    record = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString());
  } catch {
    return "foreign";
  }
  if (typeof record !== "object" || record === null) return "foreign";
  const { v, times } = record as { v?: unknown; times?: unknown };
  if (Number.isSafeInteger(v) && Number(v) > version) return "newer";
  const isWhole = v === version && Array.isArray(times) && times.length === choiceTimesLength && times.every(isTime);
  return isWhole ? { visitor: key, times: times as number[] } : "foreign";
}

const isTime = (value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 48;
