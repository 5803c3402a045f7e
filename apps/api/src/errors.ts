import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { ErrorBody } from "./schemas.ts";

/** Every 4xx and 5xx of this API. */
export const errors = {
  invalid_request: { status: 400, message: "A parameter is missing or not of its form" },
  token_required: { status: 401, message: "This API shows personal data: send the token as Authorization: Bearer …" },
  host_refused: { status: 421, message: "This API answers to localhost and 127.0.0.1 only" },
  origin_refused: { status: 403, message: "This answers pages on the origins of a site, with its own write key" },
  json_required: { status: 415, message: "Send the body as application/json" },
  too_many_requests: { status: 429, message: "Too many requests from this address: ask again after Retry-After" },
  choice_not_recorded: { status: 503, message: "The collector did not record the choice: send it again" },
  unknown_site: { status: 404, message: "There is no site of that name in polder.config.json" },
  person_not_found: { status: 404, message: "Nobody of this site has that id, or nothing is stored of them" },
  same_person: { status: 409, message: "The two are one person already" },
  nothing_to_unmerge: {
    status: 409,
    message: "Nothing ties that part to the rest of the person: GET /v1/people/<id>/why shows what does",
  },
  decision_not_found: {
    status: 404,
    message: "There is no decision with that id: GET /v1/identity/decisions lists them",
  },
  decision_undone: { status: 409, message: "The decision was taken back before" },
  erasure_not_found: { status: 404, message: "There is no erasure with that id: GET /v1/erasures lists them" },
  audience_not_found: { status: 404, message: "The site has no audience with that id: GET /v1/audiences lists them" },
  audience_exists: {
    status: 409,
    message: "The site has an audience with that id: change it with PUT, or choose another id",
  },
  audience_changed: { status: 409, message: "Somebody else changed the audience meanwhile: read it again" },
  audience_in_use: { status: 409, message: "Other audiences stand on this one: change these first" },
  audience_anonymous: {
    status: 409,
    message: "The audience is anonymous: of its people nothing is told but how many there are",
  },
  audience_not_counted: {
    status: 409,
    message: "The audience is new or has another definition, and was not worked out since: ask again in some seconds",
  },
  audience_invalid: { status: 400, message: "The definition is not as docs/audiences.md says" },
  preview_too_slow: { status: 503, message: "The preview took too long and was stopped" },
  trait_not_found: { status: 404, message: "The site has no computed trait of that name: GET /v1/traits lists them" },
  trait_changed: { status: 409, message: "Somebody else changed the computed trait meanwhile: read it again" },
  trait_in_use: { status: 409, message: "Audiences stand on this computed trait: change these first" },
  trait_invalid: { status: 400, message: "The definition is not as docs/profiles.md says" },
  csv_required: { status: 415, message: "Send the file as text/csv" },
  import_too_large: {
    status: 413,
    message: "A file holds at most 32 MiB here: cut it, or use `npx polder import`, which takes any size",
  },
  import_stopped: {
    status: 503,
    message: "The collector takes no events: send the file again, what it took is not sent twice",
  },
  not_found: { status: 404, message: "There is nothing at this address: see /openapi.json" },
  store_unavailable: { status: 503, message: "ClickHouse does not answer: try again in a second" },
  page_not_built: { status: 503, message: "The live page has not been built: run npm run build" },
  internal: { status: 500, message: "The request could not be handled" },
} as const satisfies Record<string, { status: ContentfulStatusCode; message: string }>;

export type ErrorCode = keyof typeof errors;

export function answerError(context: Context, code: ErrorCode, detail?: string, more: object = {}): Response {
  const { status, message } = errors[code];
  if (status === 503) context.header("retry-after", "1");
  if (status === 401) context.header("www-authenticate", "Bearer");
  const body: ErrorBody = { code, message: detail ?? message, docs: "docs/how-to/api-errors.md" };
  return context.json({ ...body, ...more }, status);
}
