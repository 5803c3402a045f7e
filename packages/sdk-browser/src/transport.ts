import { keepaliveBytes, requestTimeoutMs } from "./limits.ts";

export interface Outcome {
  /** Of the collector's answer; 0 when there was none: refused, cut, timed out, somebody else's. The request may have arrived all the same. */
  status: number;
  /** What `Retry-After` asks for, in milliseconds; 0 when it asks for nothing that can be read, negative for a date that is over. */
  retryAfterMs: number;
  /** Its text. */
  answer: string;
}

/** Posts a body. Never rejects. */
export type Transport = (body: string) => Promise<Outcome>;

/** Text and no header of ours: a cross-origin request goes out at once, without a preflight that a leaving page would not survive. */
export const createTransport =
  (url: string): Transport =>
  async (body) => {
    let status = 0;
    let retryAfterMs = 0;
    let answer = "";
    try {
      const response = await fetch(url, {
        method: "POST",
        credentials: "include",
        body,
        // Beyond its budget it is refused. So is a beacon, which shares that budget: there is nothing to fall back to.
        keepalive: new Blob([body]).size < keepaliveBytes,
        // Undefined is no signal: browsers of 2021 have no timeout of this kind.
        signal: AbortSignal.timeout?.(requestTimeoutMs),
      });
      const after = response.headers.get("retry-after")!;
      // Seconds, or a date.
      retryAfterMs = +after * 1000 || Date.parse(after) - Date.now() || 0;
      // The budget is only given back when the answer has been read.
      answer = await response.text();
      // The sign-in page of a hotel says 200 as well, and a proxy 404. A proxy's 413 is as good as ours.
      if (response.status === 413 || /"(accepted|code)"/.test(answer)) status = response.status;
    } catch {
      // Unknown: see `Outcome`.
    }
    return { status, retryAfterMs, answer };
  };
