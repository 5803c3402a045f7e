import { decodeDeviceId, deviceIdCookieName, deviceIdExpiresAt, encodeDeviceId, type DeviceId } from "@polder/protocol";
import { readCookie, readLocal, removeCookie, writeLocal } from "./device-storage.ts";
import { randomId } from "./random-id.ts";
import { endSession } from "./session.ts";
import { traitsKey } from "./traits.ts";

const userKey = "polder_uid";

/** The id that was made last: the cookie's, which subdomains share, unless an answer that was under way brought an older one back. */
const deviceId = (): DeviceId | undefined => {
  const shared = decodeDeviceId(readCookie(deviceIdCookieName) ?? "");
  const own = decodeDeviceId(readLocal(deviceIdCookieName));
  if (!own || (shared && shared.createdAt >= own.createdAt)) return shared;
  if (shared) removeCookie(deviceIdCookieName);
  return own;
};

const makeId = (createdAt: number): DeviceId => {
  const made = { anonymousId: randomId(), createdAt };
  writeLocal(deviceIdCookieName, encodeDeviceId(made));
  return made;
};

/**
 * Who this browser is: a random id, made here when there is none or it is too old. Only to be called with consent for `profile`.
 * Its cookie is the collector's to set: one that a script sets lives seven days in Safari. We keep the mirror.
 */
export const anonymousId = (): string => {
  const now = Date.now();
  const known = deviceId();
  return (known && deviceIdExpiresAt(known, now) >= now ? known : makeId(now)).anonymousId;
};

/** @param owner the anonymous id that it was said with: a subdomain may not have heard of a reset. */
export const userId = (owner = anonymousId()): string | undefined => readLocal(userKey).split(`${owner} `)[1];

export const keepUserId = (id: string): void => writeLocal(userKey, `${anonymousId()} ${id}`);

/** Nobody is known here any more. */
export const forgetIdentity = (): void => {
  removeCookie(deviceIdCookieName);
  writeLocal(deviceIdCookieName, "");
  writeLocal(userKey, "");
  writeLocal(traitsKey, "");
  endSession();
};

/** The next event is of someone else, in another session. */
export const changeIdentity = (): void => {
  const { createdAt = 0 } = deviceId() ?? {};
  forgetIdentity();
  // Later than the one before, by the second that ids are kept to.
  makeId(Math.max(Date.now(), createdAt + 1000));
};
