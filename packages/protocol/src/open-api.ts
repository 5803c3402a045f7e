import { browserScripts } from "./routes.ts";
import { consentSchema, eventSchema } from "./event-json-schema.ts";
import { eventTypes, regimes, type Json, type JsonObject } from "./event.ts";
import { limits } from "./limits.ts";
import { dropReasons, rejectReasons, requestErrorCodes } from "./reason.ts";
import { requestErrors } from "./request-error.ts";

export interface OpenApiOptions {
  /** Address of the collector, as `https://data.example.com`; where the document was fetched from, when not given. */
  serverUrl?: string;
  version?: string;
}

/** The OpenAPI 3.1 document of everything that a collector answers, from the tables that it checks by. */
export function openApi({ serverUrl = "/", version = "1" }: OpenApiOptions = {}): JsonObject {
  return {
    openapi: "3.1.0",
    info: {
      title: "Polder collector",
      version,
      description:
        "Segment's HTTP API, with what is ours under `context`. A key is given in one of four ways; it never reads anything.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: serverUrl }],
    security: [{ basic: [] }, { header: [] }, { query: [] }, {}],
    paths: {
      "/v1/batch": {
        post: storing("Send events", "A write key or a server key. The key may also be in the body.", ref("Batch")),
      },
      ...Object.fromEntries(
        eventTypes
          .filter((type) => type !== "consent")
          .map((type): [string, Json] => [
            `/v1/${type}`,
            { post: storing(`Send one ${type} event`, "The event's type is that of the address.", singleEvent(type)) },
          ]),
      ),
      "/v1/import": {
        post: storing(
          "Send events of the past",
          "Needs a server key; times may lie as far back as they do.",
          ref("Batch"),
        ),
      },
      "/v1/pixel.gif": { get: pixel },
      "/v1/projects/{writeKey}/settings": { get: settings },
      "/v1/link": { post: link },
      "/v1/regime": { get: regime },
      ...Object.fromEntries(
        Object.entries(browserScripts).flatMap(([name, what]) => [
          [`/${name}`, { get: plain(what, "text/javascript") }],
          [`/${name}.map`, { get: plain("Its source map", "application/json") }],
          [`/${name}.sri`, { get: plain("Its hash, for the attribute `integrity`", "application/json") }],
        ]),
      ),
      "/openapi.json": { get: plain("This document", "application/json") },
      "/livez": { get: plain("Whether the process runs", "text/plain") },
      "/readyz": {
        get: {
          ...plain("Whether events can be stored now", "text/plain"),
          responses: {
            200: { description: "They can.", content: { "text/plain": {} } },
            503: { description: "They cannot, and why.", content: { "text/plain": {} } },
          },
        },
      },
      "/metrics": { get: plain("Counters for Prometheus, without personal data", "text/plain") },
    },
    components: {
      securitySchemes: {
        basic: { type: "http", scheme: "basic", description: "The key as the user, without a password." },
        header: { type: "apiKey", in: "header", name: "X-Write-Key" },
        query: { type: "apiKey", in: "query", name: "writeKey" },
      },
      schemas,
    },
  };
}

const ref = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });

const count: JsonObject = { type: "integer", minimum: 0 };

const schemas: JsonObject = {
  Event: eventSchema,
  ConsentStamp: consentSchema,
  Receipt: {
    type: "object",
    description: "What the sender's outbox did since its last receipt, in events.",
    required: ["queued", "sent", "retried"],
    properties: {
      queued: count,
      sent: count,
      retried: count,
      dropped: { type: "object", description: "By reason.", additionalProperties: count },
    },
  },
  Batch: {
    type: "object",
    description: `At most ${limits.maxRequestBytes} bytes after inflating.`,
    required: ["batch"],
    properties: {
      batch: { type: "array", minItems: 1, maxItems: limits.maxEventsPerRequest, items: ref("Event") },
      writeKey: { type: "string", description: "The key, when it is given nowhere else." },
      sentAt: { type: "string", format: "date-time", description: "When the request left, by the sender's clock." },
      context: { type: "object", description: "Shared by all events; an event's own wins, field by field." },
      receipt: ref("Receipt"),
    },
  },
  BatchAnswer: {
    type: "object",
    required: ["accepted", "rejected"],
    properties: {
      accepted: { ...count, description: "Events that are durable." },
      rejected: {
        type: "array",
        items: {
          type: "object",
          required: ["index", "messageId", "reason", "detail"],
          properties: {
            index: { ...count, description: "Place in the batch, from 0." },
            messageId: { type: ["string", "null"] },
            reason: { enum: [...rejectReasons, ...dropReasons] },
            detail: { type: "string", description: "What was wrong, where, and what to do." },
          },
        },
      },
    },
  },
  ErrorAnswer: {
    type: "object",
    required: ["code", "message", "docs"],
    properties: {
      code: { enum: [...requestErrorCodes] },
      message: { type: "string" },
      docs: { type: "string", description: "Page that tells more." },
    },
  },
};

const meaningOf: { readonly [status: number]: string } = {
  400: "Never acceptable as sent; nothing was stored. Drop it.",
  401: "No key, or nobody's; nothing was stored. Drop it.",
  403: "The key may not do this here; nothing was stored. Drop it.",
  404: "Nothing is here. Drop it.",
  413: "Too much for one request; nothing was stored. Send less.",
  415: "A body of another type or encoding; nothing was stored. Drop it.",
  429: "Too fast; nothing was stored. Keep it, send it again after Retry-After with the same message ids.",
  503: "Not known whether it was stored. Keep it, send it again after Retry-After with the same message ids; second copies are dropped.",
};

const refusals: JsonObject = Object.fromEntries(
  Object.entries(meaningOf).map(([status, meaning]): [string, Json] => {
    const codes = requestErrorCodes.filter((code) => requestErrors[code].status === Number(status));
    const list = codes.map((code) => `- \`${code}\`: ${requestErrors[code].about}`).join("\n");
    const isRetried = status === "429" || status === "503";
    return [
      status,
      {
        description: `${meaning}\n\n${list}`,
        ...(isRetried && { headers: { "Retry-After": { schema: { type: "integer" }, description: "Seconds." } } }),
        content: { "application/json": { schema: ref("ErrorAnswer") } },
      },
    ];
  }),
);

function storing(summary: string, description: string, schema: JsonObject): JsonObject {
  const answer = { "application/json": { schema: ref("BatchAnswer") } };
  return {
    summary,
    description,
    requestBody: {
      required: true,
      description: "May be gzipped. As text/plain it needs no CORS preflight; the content is the same.",
      content: { "application/json": { schema }, "text/plain": { schema } },
    },
    responses: {
      200: {
        description: "The accepted events are durable in the log. Forget them all, rejected ones too.",
        content: answer,
      },
      202: { description: "The same, durable in this collector until the log is back.", content: answer },
      ...refusals,
    },
  };
}

/** The event without the demand for a `type`, which its address gives. */
const singleEvent = (type: string): JsonObject => ({
  ...eventSchema,
  required: [],
  properties: { ...(eventSchema.properties as JsonObject), type: { const: type }, writeKey: { type: "string" } },
});

const parameter = (name: string, description: string, required = false): JsonObject => ({
  name,
  in: "query",
  required,
  description,
  schema: { type: "string" },
});

const pixel: JsonObject = {
  summary: "Send one event by showing a picture",
  description:
    "For mail opens and pages without script. Write keys only. The picture comes whatever happens; X-Polder-Result says `accepted` or the reason.",
  parameters: [
    parameter("writeKey", "The write key.", true),
    parameter("data", "Base64 of one event's JSON. Without it the event's fields are parameters:"),
    ...[
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
    ].map((name) => parameter(name, "As the event's field.")),
    ...["properties", "traits", "context"].map((name) => parameter(name, "As the event's field, in JSON.")),
  ],
  responses: { 200: { description: "A transparent picture.", content: { "image/gif": {} } } },
};

const settings: JsonObject = {
  summary: "What Segment's browser client asks for before it starts",
  parameters: [{ name: "writeKey", in: "path", required: true, schema: { type: "string" } }],
  security: [],
  responses: {
    200: { description: "Settings with this collector as the only integration.", content: { "application/json": {} } },
    404: { description: "Nobody has this write key.", content: { "application/json": { schema: ref("ErrorAnswer") } } },
  },
};

const link: JsonObject = {
  summary: "Take a visitor's id from one host of a site to another",
  description:
    "For pages of the site, by their Origin. The answer to `to` and `id` is a token that holds for 2 minutes, for that host and this browser; the answer to a `token` is its id.",
  security: [],
  requestBody: {
    required: true,
    content: {
      "text/plain": {
        schema: {
          type: "object",
          required: ["writeKey"],
          properties: {
            writeKey: { type: "string" },
            to: { type: "string", description: "Host name of the page that the link leads to." },
            id: { type: "string", description: "What the device keeps as `polder_aid`." },
            token: { type: "string", description: "What the page was opened with." },
          },
        },
      },
    },
  },
  responses: {
    200: { description: "The token, or the id.", content: { "text/plain": {} } },
    204: { description: "None: no consent, or the token does not count here and now." },
    ...refusals,
  },
};

const regime: JsonObject = {
  summary: "What holds without a choice for a visitor from where it is asked",
  description:
    "For pages of the site. By the country of the request; where it is not known, the strictest regime of the site. Sets no cookie, and may be kept for an hour by who asked.",
  security: [{ basic: [] }, { header: [] }, { query: [] }],
  responses: {
    200: {
      description: "The regime.",
      content: {
        "application/json": {
          schema: { type: "object", required: ["regime"], properties: { regime: { enum: [...regimes] } } },
        },
      },
    },
    401: refusals[401]!,
    403: refusals[403]!,
  },
};

function plain(summary: string, type: string): JsonObject {
  return { summary, security: [], responses: { 200: { description: summary, content: { [type]: {} } } } };
}
