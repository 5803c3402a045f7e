import { decodeDeviceId, deviceIdCookieName, deviceIdExpiresAt, encodeDeviceId } from "@polder/protocol";
import { readLocal, recall, removeCookie, writeLocal } from "./device-storage.ts";
import { randomId } from "./random-id.ts";
import { endSession } from "./session.ts";
import { traitsKey } from "./traits.ts";

const userKey = "polder_uid";

/**
 * Who this browser is: a random id, made here when there is none or it is too old. Only to be called with consent for `profile`.
 * Its cookie is the collector's to set: one that a script sets lives seven days in Safari. We keep the mirror.
 */
export const anonymousId = (): string => {
  const now = Date.now();
  let known = decodeDeviceId(recall(deviceIdCookieName));
  if (!known || deviceIdExpiresAt(known, now) < now) {
    known = { anonymousId: randomId(), createdAt: now };
    writeLocal(deviceIdCookieName, encodeDeviceId(known));
  }
  return known.anonymousId;
};

export const userId = (): string | undefined => readLocal(userKey) || undefined;

export const keepUserId = (id: string): void => writeLocal(userKey, id);

/** Nobody is known here any more: the next event is of someone else, in another session. */
export const forgetIdentity = (): void => {
  removeCookie(deviceIdCookieName);
  writeLocal(deviceIdCookieName, "");
  writeLocal(userKey, "");
  writeLocal(traitsKey, "");
  endSession();
};
