/** The parts of an address; a user name and password are left out. */
export interface UrlParts {
  scheme: string;
  host: string;
  /** With its colon; empty when none is given. */
  port: string;
  path: string;
  /** Without `?`. */
  query: string;
  /** Without `#`. */
  fragment: string;
}

const none: UrlParts = { scheme: "", host: "", port: "", path: "", query: "", fragment: "" };

/**
 * Splits an absolute address. Several times cheaper than `new URL`, and it never throws: what arrives is text for columns, nothing is fetched.
 * All parts are empty when it is not `scheme://host…`.
 */
export function splitUrl(text: string): UrlParts {
  const colon = text.indexOf("://");
  if (colon < 1 || colon > 20) return none;
  const start = colon + 3;
  let end = text.indexOf("#", start);
  if (end === -1) end = text.length;
  let queryAt = text.indexOf("?", start);
  if (queryAt === -1 || queryAt > end) queryAt = end;
  let pathAt = text.indexOf("/", start);
  if (pathAt === -1 || pathAt > queryAt) pathAt = queryAt;
  let authority = text.slice(start, pathAt);
  const at = authority.lastIndexOf("@");
  if (at !== -1) authority = authority.slice(at + 1);
  const colonAt = authority.lastIndexOf(":");
  const hostEnd = colonAt === -1 || authority.endsWith("]") ? authority.length : colonAt;
  return {
    scheme: text.slice(0, colon).toLowerCase(),
    host: authority.slice(0, hostEnd).toLowerCase(),
    port: authority.slice(hostEnd),
    path: pathAt === queryAt ? "/" : text.slice(pathAt, queryAt),
    query: text.slice(queryAt + 1, end),
    fragment: text.slice(end + 1),
  };
}

/** A percent-encoded name or value of a query as text; as it is when the encoding is broken. */
export function decodeQueryText(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
