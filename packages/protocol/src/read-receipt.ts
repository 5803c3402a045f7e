import type { Receipt } from "./event.ts";

// The reasons become labels of metrics: few, short, plain.
const reasonPattern = /^[a-z][a-z_]{0,39}$/;
const maxReasons = 32;

/** A receipt is telemetry about losses, so a malformed one is no reason to refuse the events beside it: undefined. */
export function readReceipt(value: unknown): Receipt | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { queued, sent, retried, dropped } = value as { [key: string]: unknown };
  if (!isCount(queued) || !isCount(sent) || !isCount(retried)) return undefined;
  const entries = typeof dropped === "object" && dropped !== null ? Object.entries(dropped) : [];
  const counts = entries.filter(([reason, count]) => reasonPattern.test(reason) && isCount(count));
  return { queued, sent, retried, dropped: Object.fromEntries(counts.slice(0, maxReasons)) };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
