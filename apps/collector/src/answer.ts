import { requestErrors, type BatchAnswer, type ErrorAnswer, type RequestErrorCode } from "@polder/protocol";

const pages = new Set<string>([
  "unknown_key",
  "origin_refused",
  "no_consent",
  "request_too_large",
  "log_unavailable",
  "starting",
]);
/** The page of this repository that says what to do. */
const docsOf = (code: string): string => (pages.has(code) ? `docs/how-to/${code}.md` : "docs/protocol.md");

/** What one request comes to, before it is HTTP. */
export type Outcome = Accepted | Refusal;
export interface Accepted {
  ok: true;
  answer: BatchAnswer;
  cookies: readonly string[];
  /** Some of it is durable on this machine only, until the log is back: answered 202. */
  isSpooled?: boolean;
}
export interface Refusal {
  ok: false;
  code: RequestErrorCode;
  message: string;
  retryAfterSeconds?: number;
  /** Some of the request has not been read: what comes next on this connection would be the rest of it. */
  isCutOff?: boolean;
}

export const refuse = (code: RequestErrorCode, message: string, retryAfterSeconds?: number): Refusal => ({
  ok: false,
  code,
  message,
  ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
});

/**
 * Headers that let a page read the answer. Every refusal is readable too, whoever asks: a page that cannot see a 401 takes it for a
 * broken connection and tries for ever. Refusals hold nothing but their reason.
 */
export const corsHeaders = (origin: string | undefined): { [name: string]: string } =>
  origin === undefined ? {} : { "access-control-allow-origin": origin, "access-control-allow-credentials": "true" };

export function toResponse(outcome: Outcome, origin: string | undefined): Response {
  const headers = corsHeaders(origin);
  headers["content-type"] = "application/json";
  if (!outcome.ok) {
    headers["cache-control"] = "no-store";
    headers["access-control-expose-headers"] = "Retry-After";
    if (outcome.retryAfterSeconds !== undefined) headers["retry-after"] = String(outcome.retryAfterSeconds);
    // The client may still be sending, or be about to be cut off: this connection is not used again.
    if (outcome.isCutOff || outcome.code === "request_too_large" || outcome.code === "draining")
      headers["connection"] = "close";
    const body: ErrorAnswer = { code: outcome.code, message: outcome.message, docs: docsOf(outcome.code) };
    return new Response(JSON.stringify(body), { status: requestErrors[outcome.code].status, headers });
  }
  const { answer, cookies } = outcome;
  const status = outcome.isSpooled ? 202 : 200;
  const text = answer.rejected.length === 0 ? `{"accepted":${answer.accepted},"rejected":[]}` : JSON.stringify(answer);
  if (cookies.length === 0) return new Response(text, { status, headers });
  const withCookies = new Headers(headers);
  for (const cookie of cookies) withCookies.append("set-cookie", cookie);
  return new Response(text, { status, headers: withCookies });
}
