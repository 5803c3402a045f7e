import { isIP } from "node:net";

/** The pages' own host, without www; empty when there is none. Of several origins the first that visitors reach. */
export function siteHostOf(origins: readonly string[]): string {
  const origin = origins.find(isPublicHttps) ?? origins[0] ?? "";
  return URL.canParse(origin) ? new URL(origin).hostname.replace(/^www\./, "") : "";
}

export const isDomain = (host: string): boolean => host.includes(".") && isIP(host) === 0;

/** Where browsers reach the collector, unless somebody says otherwise. */
export function proposedCollector(origins: readonly string[]): string {
  const host = siteHostOf(origins);
  return isDomain(host) && origins.some(isPublicHttps) ? `https://data.${host}` : "http://localhost:8081";
}

/** What is wrong with this address of the collector, as the end of a sentence. */
export function collectorFault(address: string, origins: readonly string[]): string | undefined {
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol) || /[?#]/.test(address))
    return "must be an address, as https://data.shop.example.";
  const isOpen = address.startsWith("http:") && !isLocal(address);
  return isOpen && origins.some(isPublicHttps)
    ? "must begin with https://: browsers load nothing from http into a page on https."
    : undefined;
}

/** What is left to do before visitors reach the collector. */
export function collectorAdvice(collector: string, origins: readonly string[]): string | undefined {
  if (!origins.some(isPublicHttps)) return undefined;
  const proxy = "a TLS proxy, listed in trustedProxies, that passes on to port 8081 (POLDER_HOST if it is elsewhere)";
  return isLocal(collector)
    ? `Visitors cannot reach ${collector}: for them, use an address of your own in the tag (--collector) and put there ${proxy}.`
    : `The collector must answer at ${collector}: put there ${proxy}. To try it out on this machine, use http://localhost:8081 in the tag.`;
}

/** A bare host is meant as https, but for this machine, which seldom has a certificate. */
export function withScheme(address: string): string {
  const text = withoutSlash(address.trim());
  if (text === "" || text === "*" || /^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  return isLocal(`http://${text}`) ? `http://${text}` : `https://${text}`;
}

export const withoutSlash = (address: string): string => address.replace(/\/+$/, "");

const isLocal = (address: string): boolean =>
  URL.canParse(address) && ["localhost", "127.0.0.1", "[::1]"].includes(new URL(address).hostname);

const isPublicHttps = (origin: string): boolean => origin.startsWith("https:") && !isLocal(origin);
