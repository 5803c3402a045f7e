import { checkEvent, checkSharedContext, findUnmetNeed, isObject, type Fault, type Loose } from "./check-event.ts";
import { isEventType } from "./event-fields.ts";
import type { EventType, PolderEvent, Receipt } from "./event.ts";
import { jsonHead } from "./json-head.ts";
import { limits } from "./limits.ts";
import { readReceipt } from "./read-receipt.ts";
import { readTime } from "./read-time.ts";
import type { RejectReason, RequestErrorCode } from "./reason.ts";
import { hasLoneSurrogate, toWellFormed } from "./unicode.ts";

/** `batch` and `import` take `{ batch: [event, …] }`; the name of a type takes one event, whose `type` is the route's. */
export type RequestRoute = "batch" | "import" | EventType;

export type ParseResult = ParsedRequest | { ok: false; code: RequestErrorCode; message: string };

export interface ParsedRequest {
  ok: true;
  writeKey?: string;
  /** When the request left, by the sender's clock; ISO 8601 UTC. Every event has it too, unless it brought its own. */
  sentAt?: string;
  receipt?: Receipt;
  /** One for each event of the request, in its order. */
  items: ParsedItem[];
}

export type ParsedItem = AcceptedItem | RefusedItem;

export interface AcceptedItem {
  ok: true;
  index: number;
  /**
   * As sent, with the known fields checked and brought into one form (see `eventFields`), unknown fields kept. `messageId` is "" when the sender
   * gave none. The values inside a context that the batch shares are shared by its events: replace them, don't change them in place.
   */
  event: PolderEvent;
}

export interface RefusedItem {
  ok: false;
  index: number;
  messageId: string | null;
  reason: RejectReason;
  /** What was wrong, where, and what to do: names fields of ours and never repeats what was sent. */
  detail: string;
  /** As sent, cut at 200 characters; "" when there is none. */
  type: string;
  name: string;
  /** JSON text of what was sent, with what its batch shares, cut at 2 KiB. */
  body: string;
}

const maxBodyBytes = 2048;

/** Never throws, whatever the text: a collector must be able to count bad input, not crash on it. */
export function parseRequest(text: string, route: RequestRoute): ParseResult {
  if (text.length > limits.maxRequestBytes) {
    return refuse(
      "request_too_large",
      `A request holds at most ${limits.maxRequestBytes} bytes: send smaller batches.`,
    );
  }
  const root = parseJson(text);
  if (root === undefined) return refuse("not_json", "The body is not JSON: send one JSON object in UTF-8.");
  if (!isObject(root)) return refuse("invalid_body", "The body is JSON but not an object: send { … }.");
  return route === "batch" || route === "import" ? parseBatch(root, text) : parseSingle(root, text, route);
}

function parseSingle(root: Loose, text: string, type: EventType): ParsedRequest {
  const writeKey = readWriteKey(root);
  root.type = type;
  const item = readItem(root, 0, noShared, mayNeedMending(text), () => parseJson(text));
  if (!item.ok) return { ok: true, ...writeKey, items: [{ ...item, type }] };
  const { sentAt } = item.event;
  return { ok: true, ...writeKey, ...(sentAt !== undefined && { sentAt }), items: [item] };
}

function parseBatch(root: Loose, text: string): ParseResult {
  const { batch } = root;
  if (!Array.isArray(batch)) return refuse("invalid_body", "The body has no list `batch`: send { batch: [event, …] }.");
  if (batch.length === 0) return refuse("empty_batch", "`batch` is empty: send at least one event.");
  if (batch.length > limits.maxEventsPerRequest) {
    return refuse(
      "too_many_events",
      `A request holds at most ${limits.maxEventsPerRequest} events: send smaller batches.`,
    );
  }
  const mend = mayNeedMending(text);
  const shared = readShared(root, mend);
  const receipt = readReceipt(root.receipt);

  // Checking changes events in place; a refusal reports them as they came, so the text is read once more when there is one.
  let original: Loose | undefined;
  const sentItem = (index: number): unknown => {
    original ??= parseJson(text) as Loose;
    return withShared((original.batch as unknown[])[index], original);
  };
  return {
    ok: true,
    ...readWriteKey(root),
    ...(shared.sentAt !== undefined && { sentAt: shared.sentAt }),
    ...(receipt !== undefined && { receipt }),
    items: batch.map((event: unknown, index) => readItem(event, index, shared, mend, () => sentItem(index))),
  };
}

/** What the events of a batch have in common. */
interface Shared {
  context: Loose | undefined;
  contextBytes: number;
  sentAt: string | undefined;
  /** Refuses every event: each would carry the fault. */
  fault: Fault | undefined;
}
const noShared: Shared = { context: undefined, contextBytes: 0, sentAt: undefined, fault: undefined };

function readShared(root: Loose, mend: boolean): Shared {
  const shared = { ...noShared };
  if (root.sentAt !== undefined && root.sentAt !== null) {
    shared.sentAt = readTime(root.sentAt);
    if (shared.sentAt === undefined) shared.fault = invalidShared("`sentAt` of the batch must be a time in ISO 8601.");
  }
  if (root.context === undefined || root.context === null) return shared;
  if (!isObject(root.context)) return { ...shared, fault: invalidShared("`context` of the batch must be an object.") };
  const { bytes, fault } = checkSharedContext(root.context, mend);
  return { ...shared, context: root.context, contextBytes: bytes, fault: shared.fault ?? fault };
}

/** The event as it would have been sent alone: what is kept of a refusal is enough to judge it again. */
function withShared(event: unknown, { context, sentAt }: Loose): unknown {
  if (!isObject(event)) return event;
  const own = event.context ?? undefined;
  const isMergeable = isObject(context) && (own === undefined || isObject(own));
  return {
    ...event,
    ...(isMergeable && { context: { ...context, ...own } }),
    ...(typeof sentAt === "string" && { sentAt: event.sentAt ?? sentAt }),
  };
}

const invalidShared = (detail: string): Fault => ({ reason: "invalid_field", detail });

function readItem(event: unknown, index: number, shared: Shared, mend: boolean, sent: () => unknown): ParsedItem {
  const fault = isObject(event) ? findFault(event, shared, mend) : notAnObject;
  if (fault === undefined) return { ok: true, index, event: event as PolderEvent };
  return { ok: false, index, ...fault, ...describe(sent()) };
}

const notAnObject: Fault = { reason: "not_an_object", detail: "An event must be an object." };

/** Brings the event into its final form on the way. */
function findFault(event: Loose, shared: Shared, mend: boolean): Fault | undefined {
  const { type } = event;
  if (!isEventType(type)) {
    return { reason: "unknown_type", detail: "`type` must be track, page, screen, identify, group, alias or consent." };
  }
  // Segment's clients put the key into each event, and a key is no part of what happened.
  if (event.writeKey !== undefined) event.writeKey = undefined;
  const fault = shared.fault ?? checkEvent(event, mend, shared.contextBytes);
  if (fault !== undefined) return fault;
  event.messageId ??= "";
  if (shared.sentAt !== undefined) event.sentAt ??= shared.sentAt;
  if (shared.context !== undefined) {
    event.context = mergeContext(shared.context, event.context as Loose | undefined);
    if (Object.keys(event.context as Loose).length > limits.maxKeysPerObject) {
      return {
        reason: "too_many_keys",
        detail: `\`context\`, with the batch's, has more than ${limits.maxKeysPerObject} fields.`,
      };
    }
  }
  return findUnmetNeed(event, type);
}

function mergeContext(shared: Loose, own: Loose | undefined): Loose {
  const merged = { ...shared };
  // null counts as absent, and what is absent takes nothing back: not a no of the batch.
  for (const key in own) if (own[key] !== undefined && own[key] !== null) merged[key] = own[key];
  return merged;
}

function describe(sent: unknown): Pick<RefusedItem, "messageId" | "type" | "name" | "body"> {
  const event = isObject(sent) ? sent : {};
  const head = (value: unknown): string =>
    typeof value === "string" || typeof value === "number"
      ? toWellFormed(String(value).slice(0, limits.maxNameLength))
      : "";
  return {
    messageId: head(event.messageId) || null,
    type: head(event.type),
    name: head(event.event) || head(event.name),
    body: jsonHead(sent, maxBodyBytes),
  };
}

function readWriteKey(root: Loose): { writeKey?: string } {
  return typeof root.writeKey === "string" && root.writeKey !== "" ? { writeKey: root.writeKey } : {};
}

// A string can be broken by an escape, or because the text was: one look at the whole spares a look at each.
const mayNeedMending = (text: string): boolean => text.includes("\\u") || hasLoneSurrogate(text);

/** Undefined when it is not JSON, which no JSON is. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const refuse = (code: RequestErrorCode, message: string): ParseResult => ({ ok: false, code, message });
