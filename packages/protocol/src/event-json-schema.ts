import { eventFields, eventNeeds, type Field, type Fields } from "./event-fields.ts";
import { consentStates, eventTypes, regimes, type Json, type JsonObject } from "./event.ts";
import { limits } from "./limits.ts";
import { purposes } from "./purpose.ts";

/**
 * JSON Schema (draft 2020-12) of an event as clients send it, from the table that the parser checks by. The limits on size, depth and number of
 * fields are said in words: JSON Schema has no other way.
 */
export function eventJsonSchema(): JsonObject {
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title: "Polder event", ...eventSchema };
}

/** Our own consent object. The collector takes Segment's and RudderStack's too, and reads what it does not know as a no. */
export const consentSchema: JsonObject = {
  type: "object",
  required: ["v", "id", "purposes"],
  properties: {
    v: { const: 1, description: "Version of this object." },
    id: {
      type: "string",
      description: "Random id of the recorded choice, the same on every event collected under it.",
    },
    purposes: {
      type: "object",
      description: "What was chosen, by purpose. Nothing said means no under opt_in.",
      properties: Object.fromEntries(
        purposes.map((purpose): [string, Json] => [purpose, { enum: [...consentStates] }]),
      ),
    },
    regime: { enum: [...regimes], description: "May tighten the site's own, never loosen it." },
    at: {
      type: "string",
      format: "date-time",
      description: "When the choice was made. A grant without it does not count under opt_in.",
    },
    gpc: { type: "boolean", description: "Global Privacy Control, as the page saw it." },
    notice: {
      type: "object",
      description: "The text that was shown.",
      required: ["version"],
      properties: Object.fromEntries(
        ["version", "hash", "language", "variant"].map((name): [string, Json] => [name, { type: "string" }]),
      ),
    },
    texts: {
      type: "object",
      description:
        "By purpose, the hash of the text that was shown for it. A grant for another text than today's does not count.",
      properties: Object.fromEntries(
        purposes.map((purpose): [string, Json] => [purpose, { type: "string", pattern: "^[0-9a-f]{64}$" }]),
      ),
    },
  },
};

export const eventSchema: JsonObject = {
  type: "object",
  description:
    `At most ${limits.maxEventBytes} bytes of JSON, ${limits.maxDepth} levels deep, ${limits.maxKeysPerObject} fields in an object. ` +
    "Fields that are not listed are kept.",
  required: ["type"],
  properties: { type: { enum: [...eventTypes] }, ...schemasOf(eventFields) },
  // "If it is of this type, it needs …" without the keyword `then`, which would make the object look like a promise.
  allOf: eventTypes.flatMap((type) =>
    eventNeeds[type].map((need): Json => ({
      anyOf: [
        { not: { properties: { type: { const: type } } } },
        ...need.anyOf.map((field): Json => ({ required: [field] })),
      ],
    })),
  ),
};

function schemasOf(fields: Fields): JsonObject {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, schemaOf(field)]));
}

function schemaOf(field: Field): JsonObject {
  const description = field.about;
  switch (field.kind) {
    case "id":
      return { type: ["string", "integer", "null"], maxLength: limits.maxIdLength, description };
    case "name":
      return { type: ["string", "number", "null"], maxLength: limits.maxNameLength, description };
    case "text":
      return { type: ["string", "number", "null"], description };
    case "time":
      return {
        type: ["string", "integer", "null"],
        description: `${description} ISO 8601, or milliseconds since 1970.`,
      };
    case "count":
      return { type: ["integer", "null"], minimum: 0, description };
    case "number":
      return { type: ["number", "null"], description };
    case "one_of":
      return { enum: [...field.values, null], description };
    case "object":
      return { type: ["object", "null"], description };
    case "fields":
      return { type: ["object", "null"], description, properties: schemasOf(field.fields) };
    case "consent":
      return {
        description,
        examples: [{ v: 1, id: "3f9c", purposes: { measurement: "granted" }, at: "2026-11-22T20:15:00.000Z" }],
      };
  }
}
