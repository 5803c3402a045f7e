import type { RequestHead } from "./request-head.ts";

/** The key of a request by its headers or address, else undefined: the body may still have one. */
export function keyFromRequest({ header, url }: RequestHead): string | undefined {
  const authorization = header("authorization");
  if (authorization !== undefined) {
    const key = basicUser(authorization);
    if (key !== "") return key;
  }
  const query = url.indexOf("?");
  return (
    header("x-write-key") ||
    (query === -1 ? undefined : new URLSearchParams(url.slice(query + 1)).get("writeKey") || undefined)
  );
}

/** Segment's clients send the key as the user of Basic, with an empty password. */
function basicUser(authorization: string): string {
  const match = /^Basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization);
  if (match === null) return "";
  const text = Buffer.from(match[1]!, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon === -1 ? text : text.slice(0, colon);
}
