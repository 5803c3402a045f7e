import {
  narrowByRecord,
  recordedChoice,
  regimeIn,
  ruleVersion,
  scrubUrlText,
  visitorOf,
  type ConsentLedger,
  type LogRecord,
  type RejectedRow,
  type RequestContext,
} from "@polder/core";
import {
  consentOf,
  hasPurpose,
  limits,
  maskOf,
  permittedPurposes,
  tighterRegime,
  underCurrentTexts,
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
  arrival: string,
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
  return {
    key: id,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site, anonymousId: "", userId: "", arrival },
  };
}

/**
 * Whether what was sent may be kept with its refusal: only where the sender's events could have been stored as they are, so with
 * consent for a profile, by the event, its batch or the key, and no recorded no. Reads the request again, which is fine for what is rare.
 */
export function createBodyJudge(
  text: string,
  route: RequestRoute,
  context: RequestContext,
  ledger: Pick<ConsentLedger, "latest">,
): (index: number) => boolean {
  let root: Loose | undefined;
  return (index) => {
    root ??= JSON.parse(text) as Loose;
    const isBatch = route === "batch" || route === "import";
    const event = isBatch ? (root["batch"] as unknown[])[index] : root;
    const fields: Loose = isObject(event) ? event : {};
    const time = timeOf(fields);
    const stamp = consentOf(fields["context"], time) ?? (isBatch ? consentOf(root["context"], time) : undefined);
    const { key, gpc, receivedAt: now } = context;
    const basis = stamp === undefined ? key.basis : undefined;
    const { grantLifetimeMs, currentTexts } = key.site;
    // Where the visitor is, is not known here: the strictest of what could hold.
    const strictest = regimeIn(key.site, "");
    const regime = tighterRegime(strictest, stamp?.regime ?? strictest);
    const counted = stamp && underCurrentTexts(stamp, currentTexts);
    const own =
      basis === undefined
        ? permittedPurposes({ stamp: counted, regime, gpc, now, grantLifetimeMs })
        : maskOf(basis.purposes);
    const visitor = visitorOf(
      { anonymousId: idText(fields["anonymousId"]), userId: idText(fields["userId"]) },
      context,
    );
    const recorded = visitor === "" ? undefined : recordedChoice(visitor, context, ledger);
    return hasPurpose(narrowByRecord(own, recorded, { basis, regime, now, grantLifetimeMs }), "profile");
  };
}

type Loose = { readonly [key: string]: unknown };
const isObject = (value: unknown): value is Loose => typeof value === "object" && value !== null;

const timeOf = (event: Loose): string | undefined =>
  typeof event["timestamp"] === "string" ? event["timestamp"] : undefined;

/** As the parser reads an id; one that it would not take is nobody's. */
function idText(value: unknown): string {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  return text.length > limits.maxIdLength ? "" : text;
}

const maxBodyBytes = 2048;

const cut = (text: string): string => Buffer.from(text).subarray(0, maxBodyBytes).toString("utf8");
