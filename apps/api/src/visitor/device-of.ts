import {
  choiceCookieName,
  decodeChoice,
  decodeDeviceId,
  decodeRegime,
  deviceIdExpiresAt,
  deviceIdHttpOnlyCookieName,
  type PurposeMask,
  type StoredRegime,
} from "@polder/protocol";

/** The visitor's id in the cookie that no script can read, if it has not outlived its 13 months. Undefined: nobody we know. */
export function deviceOf(cookieHeader: string | undefined, nowMs: number): string | undefined {
  for (const value of valuesOf(cookieHeader, deviceIdHttpOnlyCookieName)) {
    const device = decodeDeviceId(value);
    if (device !== undefined && deviceIdExpiresAt(device, nowMs) > nowMs) return device.anonymousId;
  }
  return undefined;
}

/** What the device was granted last, however long ago; nothing where it keeps no choice. */
export const grantedOnDevice = (cookieHeader: string | undefined): PurposeMask =>
  valuesOf(cookieHeader, choiceCookieName)
    .map((value) => decodeChoice(value)?.mask)
    .find((mask) => mask !== undefined) ?? 0;

/** What the device was told of where it is, in the place of a choice. */
export const regimeOnDevice = (cookieHeader: string | undefined): StoredRegime | undefined =>
  valuesOf(cookieHeader, choiceCookieName)
    .map(decodeRegime)
    .find((regime) => regime !== undefined);

/** In the order in which the browser sends them: the one of the narrowest path first. */
const valuesOf = (cookieHeader: string | undefined, name: string): string[] =>
  (cookieHeader ?? "")
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${name}=`))
    .map((part) => part.slice(name.length + 1));
