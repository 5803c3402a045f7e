import type { JsonObject } from "@polder/protocol";

/** A transparent picture of one by one pixel. */
export const gif = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");

const fields = [
  "type",
  "event",
  "name",
  "category",
  "messageId",
  "timestamp",
  "sentAt",
  "anonymousId",
  "userId",
  "groupId",
];
const objects = ["properties", "traits", "context"];

/**
 * The batch that a pixel's address stands for: `data` is base64 of one event's JSON; else the fields of an event are parameters, and
 * `properties`, `traits` and `context` are JSON. The page that shows it (Referer) is the page of the event when it names none.
 */
export function pixelBatch(query: URLSearchParams, referer: string | undefined): string {
  const event = readEvent(query);
  if (typeof event === "object" && event !== null && !Array.isArray(event)) {
    const given = event as JsonObject;
    given["type"] ??= given["event"] === undefined ? "page" : "track";
    const context = given["context"];
    if (referer !== undefined && (context === undefined || (isObject(context) && context["page"] === undefined)))
      given["context"] = { ...context, page: { url: referer } };
  }
  return JSON.stringify({ batch: [event] });
}

function readEvent(query: URLSearchParams): unknown {
  const data = query.get("data");
  if (data !== null) return parseJson(Buffer.from(data, "base64").toString("utf8"));
  const event: { [name: string]: unknown } = {};
  for (const name of fields) {
    const value = query.get(name);
    if (value !== null) event[name] = value;
  }
  for (const name of objects) {
    const value = query.get(name);
    if (value !== null) event[name] = parseJson(value);
  }
  return event;
}

/** What is not JSON stays text, which the parser then refuses by name. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
