/**
 * Why an event was not stored: a closed list, the same words in answers, metrics, tables and docs.
 * `rejected`: stored in the `rejected` table, with what was sent where that is allowed. `dropped`: counted only, nothing of it is kept
 * (a visitor who said no must not end up in a table of refusals).
 */
export const rejectReasons = [
  "not_json",
  "not_an_object",
  "unknown_type",
  "missing_id",
  "invalid_field",
  "name_missing",
  "name_too_long",
  "event_too_large",
  "too_deep",
  "too_many_keys",
  "origin_not_allowed",
  "refused_by_store",
] as const;
export const dropReasons = ["no_consent", "no_profile_consent", "consent_withdrawn"] as const;

export type RejectReason = (typeof rejectReasons)[number];
export type DropReason = (typeof dropReasons)[number];

/** Why a whole request was refused (400, 401, 403, 404, 413, 415, 429, 503): `code` of the error body. */
export const requestErrorCodes = [
  "not_json",
  "invalid_body",
  "empty_batch",
  "too_many_events",
  "request_too_large",
  "unsupported_media_type",
  "unsupported_encoding",
  "broken_encoding",
  "missing_key",
  "unknown_key",
  "origin_refused",
  "server_key_required",
  "not_found",
  "too_many_requests",
  "overloaded",
  "log_unavailable",
  "starting",
  "draining",
] as const;
export type RequestErrorCode = (typeof requestErrorCodes)[number];
