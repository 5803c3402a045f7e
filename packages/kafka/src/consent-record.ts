import type { LogRecord, VisitorChoices } from "@polder/core";
import { choiceTimesLength } from "@polder/protocol";

/** One visitor's choices in `polder.consent`, under a key of their own: compaction leaves the last record, so each holds all that is known. */
export function toConsentRecord({ visitor, times }: VisitorChoices): LogRecord {
  return {
    key: visitor,
    value: Buffer.from(JSON.stringify({ v: 1, times })),
    headers: { id: "", site: "", anonymousId: "", userId: "" },
  };
}

/** Undefined for what is none: nobody else should write there, and a record of theirs must not stop us. */
export function readConsentRecord({ key, value }: Pick<LogRecord, "key" | "value">): VisitorChoices | undefined {
  let record: unknown;
  try {
    record = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString());
  } catch {
    return undefined;
  }
  if (typeof record !== "object" || record === null || key === "") return undefined;
  const { v, times } = record as { v?: unknown; times?: unknown };
  const isWhole = v === 1 && Array.isArray(times) && times.length === choiceTimesLength && times.every(isTime);
  return isWhole ? { visitor: key, times: times as number[] } : undefined;
}

const isTime = (value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 48;
