import { keepaliveBytes, requestTimeoutMs } from "./limits.ts";

export interface Outcome {
  /** Of the answer; 0 when there was none: refused, cut, timed out. The request may have arrived all the same. */
  status: number;
  /** What `Retry-After` asks for, in milliseconds; 0 when it asks for nothing that can be read. */
  retryAfterMs: number;
}

/** Posts a body. Never rejects. */
export type Transport = (body: string) => Promise<Outcome>;

/** Text and no header of ours: a cross-origin request goes out at once, without a preflight that a leaving page would not survive. */
export const createTransport = (url: string): Transport => {
  let used = 0;
  return async (body) => {
    const bytes = new Blob([body]).size;
    const reserved = used + bytes > keepaliveBytes ? 0 : bytes;
    let status = 0;
    let retryAfterMs = 0;
    used += reserved;
    try {
      // Undefined is no signal: browsers of 2021 have no timeout of this kind.
      const signal = AbortSignal.timeout?.(requestTimeoutMs);
      const response = await fetch(url, {
        method: "POST",
        credentials: "include",
        body,
        keepalive: !!reserved,
        signal,
      });
      retryAfterMs = +response.headers.get("retry-after")! * 1000 || 0;
      // The budget is only given back when the answer has been read.
      await response.text();
      status = response.status;
    } catch {
      // Unknown: see `Outcome`.
    }
    used -= reserved;
    return { status, retryAfterMs };
  };
};
