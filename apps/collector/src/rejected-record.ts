import { ruleVersion, scrubUrlText, type LogRecord, type RejectedRow, type RequestContext } from "@polder/core";
import {
  consentOf,
  hasPurpose,
  permittedPurposes,
  type PolderEvent,
  type RefusedItem,
  type RejectReason,
  type RequestRoute,
} from "@polder/protocol";

/** A refusal by a step, in the form of those of the parser. */
export const refusedItem = (index: number, event: PolderEvent, reason: RejectReason, detail: string): RefusedItem => ({
  ok: false,
  index,
  messageId: event.messageId || null,
  reason,
  detail,
  type: event.type,
  name: event.event ?? event.name ?? "",
  body: cut(JSON.stringify(event)),
});

export function toRejectedRecord(
  item: RefusedItem,
  context: RequestContext,
  keepBody: boolean,
  newId: () => string,
): LogRecord {
  const site = context.key.site.id;
  const row: RejectedRow = {
    site,
    received_at: new Date(context.receivedAt).toISOString().slice(0, 23).replace("T", " "),
    message_id: item.messageId ?? "",
    type: item.type,
    name: item.name,
    reason: item.reason,
    detail: item.detail,
    body: keepBody ? scrubUrlText(item.body) : "",
    rule_version: ruleVersion,
  };
  const id = item.messageId ?? newId();
  return { key: id, value: Buffer.from(JSON.stringify(row)), headers: { id, site, anonymousId: "", userId: "" } };
}

/**
 * Whether what was sent may be kept with its refusal: only where the sender's events could have been stored as they are, so with
 * consent for a profile, by the event, its batch or the key. Reads the request again, which is fine for what is rare.
 */
export function createBodyJudge(
  text: string,
  route: RequestRoute,
  context: RequestContext,
): (index: number) => boolean {
  let root: Loose | undefined;
  return (index) => {
    root ??= JSON.parse(text) as Loose;
    const isBatch = route === "batch" || route === "import";
    const event = isBatch ? (root["batch"] as unknown[])[index] : root;
    const own = isObject(event) ? event["context"] : undefined;
    const stamp = consentOf(own, timeOf(event)) ?? (isBatch ? consentOf(root["context"], timeOf(event)) : undefined);
    const { key, gpc, receivedAt } = context;
    if (stamp === undefined && key.basis !== undefined) return key.basis.purposes.includes("profile");
    return hasPurpose(permittedPurposes({ stamp, regime: key.site.regime, gpc, now: receivedAt }), "profile");
  };
}

type Loose = { readonly [key: string]: unknown };
const isObject = (value: unknown): value is Loose => typeof value === "object" && value !== null;

const timeOf = (event: unknown): string | undefined =>
  isObject(event) && typeof event["timestamp"] === "string" ? event["timestamp"] : undefined;

const maxBodyBytes = 2048;

const cut = (text: string): string => Buffer.from(text).subarray(0, maxBodyBytes).toString("utf8");
