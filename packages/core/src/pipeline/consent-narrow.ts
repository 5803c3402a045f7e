import { recordedChoiceOf, stricterOf } from "@polder/protocol";
import type { PolderEvent, PurposeMask, RecordedChoice, Regime } from "@polder/protocol";
import { visitorKey, type ConsentLedger } from "../ports/consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import { isUsableId } from "./identity.ts";
import type { RequestContext } from "./step.ts";

/** Whose recorded choices an event is judged by, as {@link visitorKey}: by the id that it would be kept under. Empty when it names nobody. */
export function visitorOf(
  { anonymousId, userId }: Pick<PolderEvent, "anonymousId" | "userId">,
  { key, cookieAnonymousId }: RequestContext,
): string {
  const device = usable(anonymousId) || cookieAnonymousId();
  return visitorKey(key.site.id, device, device === "" ? usable(userId) : "");
}

/** What is recorded of a visitor, the choices of the request itself included. */
export function recordedChoice(
  visitor: string,
  { choices }: RequestContext,
  ledger: Pick<ConsentLedger, "latest">,
): RecordedChoice | undefined {
  const chosen = choices.length === 0 ? undefined : choices.findLast((choice) => choice.visitor === visitor);
  return chosen === undefined ? ledger.latest(visitor) : recordedChoiceOf(chosen.times);
}

/**
 * What is left of `own` after a look at the record. A contract and the law do not ask whether the visitor agrees; a key's other grounds give way to
 * a recorded no.
 * @param basis of the key, for an event that carries no choice.
 */
export function narrowByRecord(
  own: PurposeMask,
  recorded: RecordedChoice | undefined,
  { basis, ...rules }: { basis: SiteKey["basis"]; regime: Regime; now: number; grantLifetimeMs: number },
): PurposeMask {
  if (basis === undefined) return stricterOf(own, recorded, rules);
  if (basis.basis === "contract" || basis.basis === "legal_obligation") return own;
  return stricterOf(own, recorded, { ...rules, regime: "notice" });
}

function usable(value: string | undefined): string {
  if (value === undefined) return "";
  const id = value.trim();
  return isUsableId(id) ? id : "";
}
