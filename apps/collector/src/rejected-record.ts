import {
  narrowByRecord,
  previousVisitorsOf,
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
  eventTypes,
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

/** Of a refusal whose body may not be kept nothing is kept that its sender could have written freely: ids and names are no less theirs. */
export function toRejectedRecord(
  item: RefusedItem,
  context: RequestContext,
  keepBody: boolean,
  newId: () => string,
  arrival: string,
): LogRecord {
  const site = context.key.site.id;
  const messageId = keepBody ? (item.messageId ?? "") : "";
  const row: RejectedRow = {
    site,
    received_at: new Date(context.receivedAt).toISOString().slice(0, 23).replace("T", " "),
    message_id: messageId,
    type: keepBody || isKnownType(item.type) ? item.type : "",
    name: keepBody ? item.name : "",
    reason: item.reason,
    detail: item.detail,
    body: keepBody ? scrubUrlText(item.body) : "",
    rule_version: ruleVersion,
  };
  const id = messageId || newId();
  return {
    key: id,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site, anonymousId: "", userId: "", arrival },
  };
}

/**
 * Whether what was sent may be kept with its refusal: only where the sender's events could have been stored as they are, so with
 * consent for a profile, by the event, its batch or the key, and no recorded no of anybody it names. An id that cannot be read could be anybody's.
 * Reads the request again, which is fine for what is rare.
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
    const [anonymousId, userId, previousId] = idFields.map((name) => idOf(fields[name]));
    if (anonymousId === undefined || userId === undefined || previousId === undefined) return false;
    const stamp = consentOf(contextOf(fields["context"], isBatch ? root["context"] : undefined), timeOf(fields));
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
    const visitor = visitorOf({ anonymousId, userId }, context);
    const visitors = [
      ...(visitor === "" ? [] : [visitor]),
      ...previousVisitorsOf({ type: "alias", previousId }, context),
    ];
    const mask = visitors.reduce(
      (left, each) =>
        narrowByRecord(left, recordedChoice(each, context, ledger), { basis, regime, now, grantLifetimeMs }),
      own,
    );
    return hasPurpose(mask, "profile");
  };
}

const isKnownType = (type: string): boolean => (eventTypes as readonly string[]).includes(type);
const idFields = ["anonymousId", "userId", "previousId"];

type Loose = { readonly [key: string]: unknown };
const isObject = (value: unknown): value is Loose => typeof value === "object" && value !== null;

const timeOf = (event: Loose): string | undefined =>
  typeof event["timestamp"] === "string" ? event["timestamp"] : undefined;

/** As the parser joins them: the event's own wins field by field. */
const contextOf = (own: unknown, shared: unknown): Loose => ({
  ...(isObject(shared) ? shared : {}),
  ...(isObject(own) ? Object.fromEntries(Object.entries(own).filter(([, value]) => value !== null)) : {}),
});

/** As the parser reads an id, "" when there is none; undefined: one that it would not take. */
function idOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return "";
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : undefined;
  return typeof value === "string" && value.length <= limits.maxIdLength ? value : undefined;
}

const maxBodyBytes = 2048;

const cut = (text: string): string => Buffer.from(text).subarray(0, maxBodyBytes).toString("utf8");
