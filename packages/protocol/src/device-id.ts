/** What the device keeps of a visitor: the value of the cookies `polder_aid` (readable) and `polder_id` (HttpOnly), and of the mirror in storage. */
export interface DeviceId {
  anonymousId: string;
  /** When the id was made, in milliseconds since 1970, kept to the second. */
  createdAt: number;
}

export const deviceIdCookieName = "polder_aid";
export const deviceIdHttpOnlyCookieName = "polder_id";

/** 13 months, counted from the making of the id and never renewed. */
export const deviceIdLifetimeMs = 395 * 24 * 3_600_000;

/** Safe as the value of a cookie, whatever the id holds. Throws a URIError when it holds a lone surrogate, which `parseRequest` never lets through. */
export const encodeDeviceId = ({ anonymousId, createdAt }: DeviceId): string =>
  `${encodeURIComponent(anonymousId)}.${Math.floor(createdAt / 1000).toString(36)}`;

/** Undefined when it is not one of ours. */
export function decodeDeviceId(text: string): DeviceId | undefined {
  const [, id, created] = /^([^;,\s]{1,600})\.([0-9a-z]{1,8})$/.exec(text) ?? [];
  if (id === undefined || created === undefined) return undefined;
  try {
    return { anonymousId: decodeURIComponent(id), createdAt: parseInt(created, 36) * 1000 };
  } catch {
    return undefined;
  }
}

/** When the id has to be gone, in milliseconds since 1970. An id that claims to come from the future gets no longer life for it. */
export const deviceIdExpiresAt = ({ createdAt }: DeviceId, nowMs: number): number =>
  Math.min(createdAt, nowMs) + deviceIdLifetimeMs;
