export interface Outcome {
  /** Of the answer; 0 when there was none: refused, cut, timed out. The request may have arrived all the same. */
  status: number;
  /** What `Retry-After` asks for, in milliseconds; 0 when it asks for nothing that can be read. */
  retryAfterMs: number;
}

/** Posts a body. Never rejects. */
export type Transport = (body: string) => Promise<Outcome>;

// All keepalive requests of a page share 64 KiB, other scripts' included, until their answers have been read.
const keepaliveBytes = 60_000;
const timeoutMs = 30_000;

/** Text and no header of ours: a cross-origin request goes out at once, without a preflight that a leaving page would not survive. */
export const createTransport = (url: string): Transport => {
  let used = 0;
  return async (body) => {
    const bytes = new TextEncoder().encode(body).length;
    const keepalive = used + bytes <= keepaliveBytes;
    let status = 0;
    let retryAfterMs = 0;
    if (keepalive) used += bytes;
    try {
      const signal = AbortSignal.timeout?.(timeoutMs) ?? null;
      const response = await fetch(url, { method: "POST", credentials: "include", body, keepalive, signal });
      retryAfterMs = Number(response.headers.get("retry-after")) * 1000 || 0;
      // The budget is only given back when the answer has been read.
      await response.text();
      status = response.status;
    } catch {
      // Unknown: see `Outcome`.
    }
    if (keepalive) used -= bytes;
    return { status, retryAfterMs };
  };
};
