/** An answer of the proxy itself, in the words and headers that ClickHouse clients know how to read. */
export interface Refusal {
  status: number;
  /** Number and name of ClickHouse's error codes. */
  code: number;
  name: string;
  message: string;
  retryAfterSeconds?: number;
}

const docs = "docs/how-to/sql-refused.md";

/** The statement was understood and may not run: says what, and what to do instead. */
export const notAllowed = (message: string): Refusal => ({
  status: 403,
  code: 497,
  name: "ACCESS_DENIED",
  message: `${message}. See ${docs}`,
});

/** The request is not of a form that the proxy passes on. */
export const badRequest = (message: string, status = 400): Refusal => ({
  status,
  code: 36,
  name: "BAD_ARGUMENTS",
  message: `${message}. See ${docs}`,
});

export const unavailable = (message: string): Refusal => ({
  status: 503,
  code: 210,
  name: "NETWORK_ERROR",
  message,
  retryAfterSeconds: 1,
});

export const tooBusy = (message: string): Refusal => ({
  status: 503,
  code: 202,
  name: "TOO_MANY_SIMULTANEOUS_QUERIES",
  message,
  retryAfterSeconds: 1,
});

export const renderRefusal = (refusal: Refusal): { headers: Record<string, string>; body: string } => ({
  headers: {
    "content-type": "text/plain; charset=UTF-8",
    "x-clickhouse-exception-code": String(refusal.code),
    ...(refusal.retryAfterSeconds === undefined ? {} : { "retry-after": String(refusal.retryAfterSeconds) }),
  },
  body: `Code: ${refusal.code}. DB::Exception: ${refusal.message}. (${refusal.name}) (refused before the engine)\n`,
});
