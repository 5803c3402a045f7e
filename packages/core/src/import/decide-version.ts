import type { StoredVersion } from "../ports/import-store.ts";
import type { ImportEvent, PlannedEvent } from "./plan-row.ts";

export type VersionReason = "amount_lowered" | "not_correctable";

export type Decision =
  /** To be sent: it is new, or it corrects what is there. */
  | { action: "new" | "corrected"; version: StoredVersion; event: ImportEvent }
  /** It has been stated before, or something newer has. */
  | { action: "known" }
  | { action: "refused"; reason: VersionReason; detail: string };

export const idOf = ({ subject, key }: Pick<PlannedEvent, "subject" | "key">): string => `${subject}:${key}`;

/**
 * What becomes of a statement, by the versions of it that were imported before. Events are never taken back, so a correction is one more event: a trait
 * stated again, an `… Updated`, an order worth more, the rest of a refund. What no event could put right is refused.
 * @param asOf of when the file is: of two files that differ the newer holds.
 */
export function decideVersion(planned: PlannedEvent, versions: readonly StoredVersion[], asOf: number): Decision {
  const { content, fixed, event, amount, updated, time } = planned;
  const [first] = versions;
  const latest = versions.reduce<StoredVersion | undefined>(
    (one, other) => (one === undefined || other.number > one.number ? other : one),
    undefined,
  );
  const send = (action: "new" | "corrected", at: number, changed: Partial<ImportEvent> = {}): Decision => {
    // What comes from the row needs no number: its time tells its versions apart.
    const number = latest === undefined || (updated === undefined && planned.isTimed) ? 0 : latest.number + 1;
    const version: StoredVersion = {
      id: idOf(planned),
      number,
      fixed,
      content,
      time: at,
      amount: amountOf(changed, amount),
    };
    return {
      action,
      version,
      event: { ...event, ...changed, messageId: messageIdOf(version), timestamp: new Date(at).toISOString() },
    };
  };

  if (first === undefined || latest === undefined) return send("new", time);
  const same = versions.filter((version) => version.content === content);
  if (updated === undefined && planned.isTimed) return same.length > 0 ? { action: "known" } : send("corrected", time);
  if (updated === undefined) {
    // Of traits the latest time holds, whichever file came first.
    const holding = versions.reduce((one, other) => (other.time >= one.time ? other : one));
    const isKnown = holding.content === content || same.some((version) => version.time >= time);
    return isKnown ? { action: "known" } : send("corrected", time);
  }
  // Said again by an older file, after a newer one has said otherwise.
  if (latest.content === content || (same.length > 0 && latest.time >= asOf)) return { action: "known" };

  if (first.fixed !== fixed)
    return {
      action: "refused",
      reason: "not_correctable",
      detail: "It was imported before with another time, person or currency, which no import can change.",
    };
  const withUpdate = (): Decision => send("corrected", asOf, { event: updated });
  if (amount === undefined) return withUpdate();
  const stated = toUnits(amount);
  const amounts = versions.map((version) => toUnits(version.amount));
  if (planned.subject === "return") {
    const refunded = amounts.reduce((sum, each) => sum + each, 0n);
    if (stated < refunded) return lowered("import the difference as an order of its own, or leave it");
    if (stated === refunded) return withUpdate();
    const total = Number(fromUnits(stated - refunded));
    return send("corrected", time, { properties: { ...event.properties, total, corrected_total: Number(amount) } });
  }
  const greatest = amounts.reduce((most, each) => (each > most ? each : most), 0n);
  if (stated < greatest) return lowered("import the difference as a return");
  return stated === greatest ? withUpdate() : send("corrected", time);
}

const lowered = (what: string): Decision => ({
  action: "refused",
  reason: "amount_lowered",
  detail: `It was imported before with a greater amount, and of an order or a return the greatest counts: ${what}.`,
});

const messageIdOf = ({ id, number, fixed, content }: StoredVersion): string =>
  `import:${id}:${number}:${fixed}:${content}`;

/** What the event itself counts as: an update counts nothing. */
function amountOf({ event, properties }: Partial<ImportEvent>, amount = "0"): string {
  if (event !== undefined) return "0";
  const total = properties?.["total"];
  return typeof total === "number" ? String(total) : amount;
}

// Money is exact: four decimals, as in the tables.
function toUnits(amount: string): bigint {
  const [whole = "0", decimals = ""] = amount.replace("-", "").split(".");
  return BigInt(whole + decimals.slice(0, 4).padEnd(4, "0"));
}

function fromUnits(units: bigint): string {
  const digits = String(units).padStart(5, "0");
  return `${digits.slice(0, -4)}.${digits.slice(-4)}`;
}
