import { hasPurpose, maskOf } from "@polder/protocol";
import type { PolderEvent } from "@polder/protocol";
import type { ConsentLedger } from "../ports/consent-ledger.ts";
import { narrowByRecord, recordedChoice, visitorOf } from "./consent-narrow.ts";
import { splitUrl } from "./split-url.ts";
import type { RequestContext } from "./step.ts";

/** What a page view that is counted before a choice may be used for. */
export const countOnlyMask = maskOf(["measurement"]);
/** Why it may be kept: the exception for measuring one's own audience that the site claims, with its reason, in its configuration. */
export const countOnlyBasis = "audience_measurement";

/**
 * A page view of a page of the site that carries no consent object, where the site counts before a choice: made anew of its address without query and
 * hash, and of the host it came from. Whatever else was sent is not in it, so no later step can keep it. Undefined: not to be counted.
 */
export function pageViewOfNobody(
  { type, context: stated }: PolderEvent,
  { key: { kind, site, basis } }: RequestContext,
): PolderEvent | undefined {
  if (site.beforeChoice.mode !== "measurement" || kind !== "write" || basis !== undefined || type !== "page")
    return undefined;
  // One that says nothing of our purposes is a banner's all the same, and may be a no.
  const choice = stated?.consent ?? stated?.["consentManagement"];
  if (choice !== undefined && choice !== null) return undefined;
  const { scheme, host, port, path } = splitUrl(stated?.page?.url ?? "");
  const origin = `${scheme}://${host}${port}`;
  if (host === "" || !(site.origins.includes(origin) || site.origins.includes("*"))) return undefined;
  const from = splitUrl(stated?.page?.referrer ?? "").host;
  const page = { url: origin + path, ...(from !== "" && { referrer: `https://${from}/` }) };
  return { type: "page", messageId: "", context: { page } };
}

/** Whether the sender can be known to have said no: by a name it should not have sent, or by the cookie that keeps a choice. */
export function hasRefusedMeasurement(
  event: PolderEvent,
  context: RequestContext,
  ledger: Pick<ConsentLedger, "latest">,
): boolean {
  if (context.cookieRefusesMeasurement()) return true;
  const visitor = visitorOf(event, context);
  if (visitor === "") return false;
  const { receivedAt: now, key } = context;
  const rules = { basis: undefined, regime: "opt_in", now, grantLifetimeMs: key.site.grantLifetimeMs } as const;
  const left = narrowByRecord(countOnlyMask, recordedChoice(visitor, context, ledger), rules);
  return !hasPurpose(left, "measurement");
}
