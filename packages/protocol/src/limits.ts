/** Limits of the wire, the same for every client. Sizes are bytes of UTF-8 after inflating. */
export const limits = {
  maxEventBytes: 32 * 1024,
  maxRequestBytes: 500 * 1024,
  maxEventsPerRequest: 1000,
  maxDepth: 40,
  maxKeysPerObject: 255,
  maxNameLength: 200,
  maxIdLength: 200,
  /** An event may claim to be this much younger than its arrival; older is moved to the bound (server keys may import any past). */
  maxPastMs: 30 * 24 * 3_600_000,
  maxFutureMs: 60_000,
} as const;
