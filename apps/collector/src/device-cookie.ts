import {
  decodeDeviceId,
  deviceIdCookieName,
  deviceIdExpiresAt,
  deviceIdHttpOnlyCookieName,
  encodeDeviceId,
  type DeviceId,
} from "@polder/protocol";
import type { Site } from "@polder/core";

/** The id that our HttpOnly cookie holds, if it is one that has not outlived its 13 months. */
export function readDeviceCookie(cookieHeader: string | undefined, nowMs: number): DeviceId | undefined {
  return readCookie(cookieHeader, deviceIdHttpOnlyCookieName, nowMs);
}

const none: readonly string[] = [];

export interface CookieQuestion {
  site: Site;
  cookieHeader: string | undefined;
  /** Of an event that was accepted with consent for a profile. */
  anonymousId: string;
  origin: string | undefined;
  /** The Host header. */
  host: string;
  isHttps: boolean;
  nowMs: number;
}

/**
 * The `Set-Cookie` lines that give a device its id: one for scripts and a copy out of their reach. Both are written when the copy is not there
 * yet, since browsers let a cookie that a script wrote go stale after days. None when both are there, so their 13 months are never renewed; none
 * when the device has another id by now, as a batch from before a logout must not bring the old one back; and none when the page and the
 * collector are not of one site: that would be somebody else's cookie.
 */
export function deviceCookies(question: CookieQuestion): readonly string[] {
  const { site, cookieHeader, anonymousId, origin, nowMs } = question;
  const host = hostnameOf(question.host);
  if (origin === undefined || !isOfOneSite(site, host, hostnameOf(origin.slice(origin.indexOf("://") + 3))))
    return none;

  const readable = readCookie(cookieHeader, deviceIdCookieName, nowMs);
  if (readable !== undefined && readable.anonymousId !== anonymousId) return none;
  const hidden = readCookie(cookieHeader, deviceIdHttpOnlyCookieName, nowMs);
  const known = [hidden, readable].filter((each) => each?.anonymousId === anonymousId);
  const createdAt = Math.min(...known.map((each) => each!.createdAt), nowMs);
  const device = { anonymousId, createdAt };
  const value = encodeDeviceId(device);
  const maxAge = Math.floor((deviceIdExpiresAt(device, nowMs) - nowMs) / 1000);

  const attributes = [
    `Max-Age=${maxAge}`,
    "Path=/",
    "SameSite=Lax",
    ...(site.cookieDomain !== undefined ? [`Domain=${site.cookieDomain}`] : []),
    ...(question.isHttps || !isLocalhost(host) ? ["Secure"] : []),
  ].join("; ");
  const forScripts = `${deviceIdCookieName}=${value}; ${attributes}`;
  if (!isSame(hidden, device)) return [forScripts, `${deviceIdHttpOnlyCookieName}=${value}; ${attributes}; HttpOnly`];
  return isSame(readable, device) ? none : [forScripts];
}

function readCookie(header: string | undefined, name: string, nowMs: number): DeviceId | undefined {
  if (header === undefined) return undefined;
  for (const part of header.split(";")) {
    const equals = part.indexOf("=");
    if (equals === -1 || part.slice(0, equals).trim() !== name) continue;
    const device = decodeDeviceId(part.slice(equals + 1).trim());
    if (device !== undefined && deviceIdExpiresAt(device, nowMs) > nowMs) return device;
  }
  return undefined;
}

/** Kept to the second, so a younger time within it is the same. */
const isSame = (device: DeviceId | undefined, wanted: DeviceId): boolean =>
  device !== undefined && encodeDeviceId(device) === encodeDeviceId(wanted);

function isOfOneSite(site: Site, host: string, pageHost: string): boolean {
  const { cookieDomain } = site;
  if (cookieDomain === undefined) return host !== "" && host === pageHost;
  return isWithin(host, cookieDomain) && isWithin(pageHost, cookieDomain);
}

const isWithin = (host: string, domain: string): boolean => host === domain || host.endsWith(`.${domain}`);

const isLocalhost = (host: string): boolean =>
  host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);

/** Of `host:port`, as it stands in a Host header and after the scheme of an origin. */
function hostnameOf(authority: string): string {
  const colon = authority.lastIndexOf(":");
  return (colon === -1 || authority.endsWith("]") ? authority : authority.slice(0, colon)).toLowerCase();
}
