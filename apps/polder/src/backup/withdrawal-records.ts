import { createHash } from "node:crypto";
import type { LogRecord } from "@polder/core";
import type { Refusal } from "@polder/lmdb";

/**
 * What visitors took back after a backup was made, as events for the log: the record of choices then has them again, and the worker removes again
 * what they took away. The same withdrawal is the same message, so it counts once however often it is carried over.
 * @param timezoneOf a site's, undefined when it is not configured any more.
 */
export function withdrawalRecords(
  refusals: readonly Refusal[],
  now: Date,
  timezoneOf: (site: string) => string | undefined,
): LogRecord[] {
  return refusals.map(({ visitor, purposes, at: chosenAt }) => {
    const { site, anonymousId, userId } = readVisitor(visitor);
    const at = new Date(Math.min(chosenAt, now.getTime()));
    const said = `${visitor}\n${chosenAt}\n${purposes.join()}`;
    const id = `restored-${createHash("sha256").update(said).digest("hex").slice(0, 32)}`;
    const row = {
      site,
      day: new Intl.DateTimeFormat("en-CA", { timeZone: timezoneOf(site) ?? "UTC" }).format(at),
      type: "consent",
      name: "consent",
      time: textOf(at),
      received_at: textOf(now),
      message_id: id,
      anonymous_id: anonymousId,
      user_id: userId,
      session_start: "1970-01-01 00:00:00.000",
      client_time: "1970-01-01 00:00:00.000",
      origin: "observed",
      consent_mask: 1,
      consent_id: id,
      regime: "opt_in",
      basis: "consent",
      library: "polder restore",
      "choice.purpose": purposes,
      "choice.state": purposes.map(() => "withdrawn"),
    };
    return {
      key: `${site}:${anonymousId || userId}`,
      value: new TextEncoder().encode(JSON.stringify(row)),
      headers: { id, site, anonymousId, userId },
    };
  });
}

/** As `visitorKey` writes it: the id of a site holds neither sign. */
function readVisitor(visitor: string): { site: string; anonymousId: string; userId: string } {
  const at = visitor.search(/[:/]/);
  const [site, id] = [visitor.slice(0, at), visitor.slice(at + 1)];
  return visitor[at] === ":" ? { site, anonymousId: id, userId: "" } : { site, anonymousId: "", userId: id };
}

const textOf = (time: Date): string => time.toISOString().slice(0, -1).replace("T", " ");
