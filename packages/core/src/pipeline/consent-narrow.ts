import { recordedChoiceOf, stricterOf } from "@polder/protocol";
import type { PolderEvent, PurposeMask, RecordedChoice, Regime } from "@polder/protocol";
import { visitorKey, type ConsentLedger } from "../ports/consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import { isUsableId } from "./identity.ts";
import type { RequestContext } from "./step.ts";

type Named = Pick<PolderEvent, "anonymousId" | "userId">;

/** Whose recorded choices an event is judged by, as {@link visitorKey}: by the id that it would be kept under. Empty when it names nobody. */
export function visitorOf(event: Named, context: RequestContext): string {
  const device = deviceOf(event, context);
  return visitorKey(context.key.site.id, device, device === "" ? usable(event.userId) : "");
}

/** Whether it says which user it is of, and neither it nor our cookie says which device. */
export const namesUserAlone = (event: Named, context: RequestContext): boolean =>
  usable(event.userId) !== "" && deviceOf(event, context) === "";

/** Who an alias says the user was before, as {@link visitorKey}: a device or another user, which it does not say. Empty for all else. */
export function previousVisitorsOf(
  { type, previousId }: Pick<PolderEvent, "type" | "previousId">,
  { key }: RequestContext,
): readonly string[] {
  const id = type === "alias" ? usable(previousId) : "";
  return id === "" ? nobody : [visitorKey(key.site.id, id, ""), visitorKey(key.site.id, "", id)];
}

const nobody: readonly string[] = [];

const deviceOf = ({ anonymousId }: Named, { cookieAnonymousId }: RequestContext): string =>
  usable(anonymousId) || cookieAnonymousId();

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
