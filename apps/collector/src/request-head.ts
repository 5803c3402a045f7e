import type { IncomingMessage } from "node:http";
import type { Context } from "hono";

/** What a request says before its body. */
export interface RequestHead {
  /** By its name in lower case. */
  header(name: string): string | undefined;
  /** With its query. */
  url: string;
  /** Empty when it came without a connection. */
  remoteAddress: string;
  /** What is read from the connection, where there is one. */
  incoming?: IncomingMessage;
}

/** Node has read the headers into a plain object already; a `Headers` would look through the raw ones for each question. */
export function headOf(c: Context): RequestHead {
  const { incoming } = (c.env ?? {}) as { incoming?: IncomingMessage };
  if (incoming !== undefined) {
    const { headers } = incoming;
    return {
      header: (name) => headers[name] as string | undefined,
      url: c.req.raw.url,
      remoteAddress: incoming.socket.remoteAddress ?? "",
      incoming,
    };
  }
  const { headers, url } = c.req.raw;
  return { header: (name) => headers.get(name) ?? undefined, url, remoteAddress: "" };
}
