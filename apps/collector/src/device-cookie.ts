import {
  decodeDeviceId,
  deviceIdCookieName,
  deviceIdExpiresAt,
  deviceIdHttpOnlyCookieName,
  encodeDeviceId,
  type DeviceId,
} from "@polder/protocol";
import type { Site } from "@polder/core";
import { cookieValues } from "./cookie-values.ts";

/** The id that our HttpOnly cookie holds, if it is one that has not outlived its 13 months. */
export function readDeviceCookie(cookieHeader: string | undefined, nowMs: number): DeviceId | undefined {
  return readCookie(cookieHeader, deviceIdHttpOnlyCookieName, nowMs);
}

const none: readonly string[] = [];

export interface CookieQuestion {
  site: Site;
  cookieHeader: string | undefined;
  origin: string | undefined;
  /** The Host header. */
  host: string;
  isHttps: boolean;
  nowMs: number;
}

/**
 * The `Set-Cookie` lines that give a device its id, that of an event accepted with consent for a profile: one for scripts and a copy out of their
 * reach. None when the copy is there already, so its 13 months are never renewed, and what a logout took from scripts is not brought back by a
 * batch from before it; none when scripts have another id by now; and none when the page and the collector are not of one site: that would be
 * somebody else's cookie.
 */
export function deviceCookies(question: CookieQuestion, anonymousId: string): readonly string[] {
  const { cookieHeader, nowMs } = question;
  if (!isFirstParty(question)) return none;
  const readable = readCookie(cookieHeader, deviceIdCookieName, nowMs);
  if (readable !== undefined && readable.anonymousId !== anonymousId) return none;
  if (readCookie(cookieHeader, deviceIdHttpOnlyCookieName, nowMs)?.anonymousId === anonymousId) return none;

  const device = { anonymousId, createdAt: Math.min(readable?.createdAt ?? nowMs, nowMs) };
  const value = encodeDeviceId(device);
  const attributes = attributesOf(question, Math.floor((deviceIdExpiresAt(device, nowMs) - nowMs) / 1000));
  return [
    `${deviceIdCookieName}=${value}; ${attributes}`,
    `${deviceIdHttpOnlyCookieName}=${value}; ${attributes}; HttpOnly`,
  ];
}

/** Takes both cookies from a device whose visitor withdrew: a script cannot reach the copy. None when there is neither. */
export function expiredDeviceCookies(question: CookieQuestion): readonly string[] {
  const names = [deviceIdCookieName, deviceIdHttpOnlyCookieName];
  if (!isFirstParty(question) || !names.some((name) => question.cookieHeader?.includes(`${name}=`))) return none;
  const attributes = attributesOf(question, 0);
  return [`${deviceIdCookieName}=; ${attributes}`, `${deviceIdHttpOnlyCookieName}=; ${attributes}; HttpOnly`];
}

function attributesOf({ site, host, isHttps }: CookieQuestion, maxAgeSeconds: number): string {
  return [
    `Max-Age=${maxAgeSeconds}`,
    "Path=/",
    "SameSite=Lax",
    ...(site.cookieDomain !== undefined ? [`Domain=${site.cookieDomain}`] : []),
    ...(isHttps || !isLocalhost(hostnameOf(host)) ? ["Secure"] : []),
  ].join("; ");
}

function isFirstParty({ site, host, origin }: CookieQuestion): boolean {
  return (
    origin !== undefined && isOfOneSite(site, hostnameOf(host), hostnameOf(origin.slice(origin.indexOf("://") + 3)))
  );
}

function readCookie(header: string | undefined, name: string, nowMs: number): DeviceId | undefined {
  return cookieValues(header, name)
    .map(decodeDeviceId)
    .find((device) => device !== undefined && deviceIdExpiresAt(device, nowMs) > nowMs);
}

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
