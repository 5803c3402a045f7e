import { decodeDeviceId, deviceIdExpiresAt, deviceIdHttpOnlyCookieName } from "@polder/protocol";

/** The visitor's id in the cookie that no script can read, if it has not outlived its 13 months. Undefined: nobody we know. */
export function deviceOf(cookieHeader: string | undefined, nowMs: number): string | undefined {
  for (const part of (cookieHeader ?? "").split(";")) {
    const equals = part.indexOf("=");
    if (equals === -1 || part.slice(0, equals).trim() !== deviceIdHttpOnlyCookieName) continue;
    const device = decodeDeviceId(part.slice(equals + 1).trim());
    if (device !== undefined && deviceIdExpiresAt(device, nowMs) > nowMs) return device.anonymousId;
  }
  return undefined;
}
