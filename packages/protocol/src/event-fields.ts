import { eventTypes, origins, type EventType } from "./event.ts";
import type { RejectReason } from "./reason.ts";

/**
 * What each known field of an event may hold. The parser, the JSON Schema and the OpenAPI document all come from this table.
 * `null` counts as absent in a known field, whatever its kind: Segment's clients send it for what they do not know.
 */
export type Field =
  /** 1 to 200 characters; a whole number is turned to text; empty counts as absent. */
  | { kind: "id"; about: string }
  /** Up to 200 characters; a number is turned to text; empty counts as absent. */
  | { kind: "name"; about: string }
  /** A number is turned to text. */
  | { kind: "text"; about: string }
  /** ISO 8601, or whole milliseconds since 1970; read as UTC when it names no zone; becomes ISO 8601 in UTC. */
  | { kind: "time"; about: string }
  /** Whole, 0 or more. */
  | { kind: "count"; about: string }
  | { kind: "number"; about: string }
  | { kind: "one_of"; about: string; values: readonly string[] }
  /** An object with any content. */
  | { kind: "object"; about: string }
  /** An object whose known fields are these. */
  | { kind: "fields"; about: string; fields: Fields }
  /** Read by {@link readConsentStamp}, which takes anything: what it cannot read counts as a no. */
  | { kind: "consent"; about: string };

export type Fields = { readonly [name: string]: Field };

export const contextField = {
  kind: "fields",
  about: "Where and under which choice it happened.",
  fields: {
    page: {
      kind: "fields",
      about: "The page the event happened on.",
      fields: {
        url: { kind: "text", about: "Full address." },
        path: { kind: "text", about: "Path of the address, with the leading slash." },
        title: { kind: "text", about: "Title of the document." },
        referrer: { kind: "text", about: "Address of the page before." },
        search: { kind: "text", about: "Query of the address, with the question mark." },
      },
    },
    campaign: {
      kind: "fields",
      about: "The campaign that led here: the utm_ parameters without their prefix.",
      fields: {
        name: { kind: "text", about: "utm_campaign" },
        source: { kind: "text", about: "utm_source" },
        medium: { kind: "text", about: "utm_medium" },
        term: { kind: "text", about: "utm_term" },
        content: { kind: "text", about: "utm_content" },
        id: { kind: "text", about: "utm_id" },
      },
    },
    locale: { kind: "text", about: "BCP 47 tag, as nl-NL." },
    timezone: { kind: "text", about: "IANA zone, as Europe/Amsterdam." },
    screen: {
      kind: "fields",
      about: "The visitor's screen in CSS pixels.",
      fields: {
        width: { kind: "number", about: "Width." },
        height: { kind: "number", about: "Height." },
        density: { kind: "number", about: "Device pixels per CSS pixel." },
      },
    },
    library: {
      kind: "fields",
      about: "What sent the event.",
      fields: {
        name: { kind: "text", about: "Name of the library." },
        version: { kind: "text", about: "Version of the library." },
      },
    },
    consent: { kind: "consent", about: "The choice the event was collected under." },
    session: {
      kind: "fields",
      about: "The visit of this browser.",
      fields: {
        id: { kind: "id", about: "Random id of the visit." },
        start: { kind: "count", about: "Start of the visit, in milliseconds since 1970." },
        seq: { kind: "count", about: "Number of this event within the visit, from 0." },
      },
    },
    origin: { kind: "one_of", about: "Who stated it. Absent: observed.", values: origins },
    partner: {
      kind: "fields",
      about: "With the origin partner: who, and on which basis.",
      fields: {
        name: { kind: "name", about: "The partner's name." },
        basis: { kind: "text", about: "The basis on which the partner shares it." },
      },
    },
    userAgent: { kind: "text", about: "User agent of the visitor; counts with a server key only." },
    ip: { kind: "text", about: "Address of the visitor; counts with a server key only." },
  },
} as const satisfies Field;

export const eventFields: Fields = {
  messageId: {
    kind: "id",
    about:
      "Chosen by the sender, the same on every retry. Made by the collector when absent; retries then count twice.",
  },
  timestamp: { kind: "time", about: "When it happened, by the sender's clock." },
  sentAt: { kind: "time", about: "When the request left, by the sender's clock: corrects a skewed clock." },
  anonymousId: { kind: "id", about: "The visitor's random id." },
  userId: { kind: "id", about: "The id that your own system knows the person by." },
  previousId: { kind: "id", about: "alias: the id that joins userId." },
  groupId: { kind: "id", about: "group: the company or household that the person belongs to." },
  event: { kind: "name", about: "track: what happened, as `Order Completed`." },
  name: { kind: "name", about: "page and screen: the name of the page or screen." },
  category: { kind: "name", about: "page and screen: the category of the page or screen." },
  properties: { kind: "object", about: "What is known of what happened." },
  traits: { kind: "object", about: "identify and group: what is known of the person or group." },
  context: contextField,
};

/** A condition on one type of event: at least one of these fields is present. */
export interface Need {
  anyOf: readonly string[];
  reason: RejectReason;
}

const person: Need = { anyOf: ["userId", "anonymousId"], reason: "missing_id" };

/** page, screen and track are legal without any id: they count, and belong to nobody. */
export const eventNeeds: { readonly [T in EventType]: readonly Need[] } = {
  track: [{ anyOf: ["event"], reason: "name_missing" }],
  page: [],
  screen: [],
  identify: [person],
  group: [{ anyOf: ["groupId"], reason: "missing_id" }, person],
  alias: [
    { anyOf: ["userId"], reason: "missing_id" },
    { anyOf: ["previousId", "anonymousId"], reason: "missing_id" },
  ],
  /** Needs a stamp of ours in `context.consent` as well: it is the record of that choice. */
  consent: [],
};

export const isEventType = (value: unknown): value is EventType => (eventTypes as readonly unknown[]).includes(value);
