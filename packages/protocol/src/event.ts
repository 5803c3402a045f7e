import type { Purpose } from "./purpose.ts";

/** The shape of what clients send: Segment's spec, plus what is ours under `context`. Unknown fields are kept. */

export const eventTypes = ["track", "page", "screen", "identify", "group", "alias", "consent"] as const;
export type EventType = (typeof eventTypes)[number];

/** Who stated it: we saw it, the visitor typed it (zero-party), a partner (second-party), or someone else. */
export const origins = ["observed", "declared", "partner", "third_party"] as const;
export type Origin = (typeof origins)[number];

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** What a choice about one purpose can be. `unset` means: nothing known, which means no under `opt_in`. */
export const consentStates = [
  "unset",
  "granted",
  "denied",
  "withdrawn",
  "expired",
  "opted_out",
  "not_required",
] as const;
export type ConsentState = (typeof consentStates)[number];

export const regimes = ["opt_in", "opt_out", "notice"] as const;
/** `opt_in` (EU, UK, CH and unknown) is the default and the strictest; a page may only tighten it. */
export type Regime = (typeof regimes)[number];

/** The choice an event was collected under: `context.consent`. */
export interface ConsentStamp {
  /** Version of this object: 1. */
  v: 1;
  /** Random id of the recorded choice, the same on every event collected under it. */
  id: string;
  purposes: { [P in Purpose]?: ConsentState };
  regime?: Regime;
  /** When the choice was made, ISO 8601 UTC. A grant without it does not count under `opt_in`. */
  at?: string;
  /** Global Privacy Control seen by the page. */
  gpc?: boolean;
  /** Version and hash of the text that was shown. */
  notice?: { version: string; hash?: string; language?: string; variant?: string };
  /** For each purpose the hash of the text that was shown for it: SHA-256 of `canonicalText`, in hex. */
  texts?: { [P in Purpose]?: string };
}

/** What the SDK knows about its own delivery since the last accepted receipt: `receipt` of a batch. Counts of events. */
export interface Receipt {
  queued: number;
  sent: number;
  retried: number;
  dropped: { [reason: string]: number };
}

export interface EventContext {
  page?: { url?: string; path?: string; title?: string; referrer?: string; search?: string };
  campaign?: { name?: string; source?: string; medium?: string; term?: string; content?: string; id?: string };
  locale?: string;
  timezone?: string;
  screen?: { width?: number; height?: number; density?: number };
  library?: { name: string; version: string };
  consent?: ConsentStamp;
  /** Visit of this browser: random id, start in milliseconds since 1970, and the number of this event within it from 0. */
  session?: { id: string; start: number; seq: number };
  origin?: Origin;
  /** With origin `partner`: who, and on which basis. */
  partner?: { name: string; basis: string };
  userAgent?: string;
  ip?: string;
  [key: string]: unknown;
}

export interface PolderEvent {
  type: EventType;
  /** Chosen by the client, the same on every retry; 1 to 200 characters. The collector makes one when it is missing. */
  messageId: string;
  /** When it happened, by the client's clock, ISO 8601. */
  timestamp?: string;
  /** When the request left, by the client's clock, ISO 8601: corrects a skewed clock. */
  sentAt?: string;
  anonymousId?: string;
  userId?: string;
  /** alias: the id that joins `userId`. */
  previousId?: string;
  groupId?: string;
  /** track */
  event?: string;
  /** page, screen */
  name?: string;
  category?: string;
  properties?: JsonObject;
  traits?: JsonObject;
  context?: EventContext;
  [key: string]: unknown;
}

export interface RejectedEvent {
  /** Place in the request's batch, from 0. */
  index: number;
  messageId: string | null;
  reason: string;
  /** What was wrong, where, and what to do, in a sentence without the offending value. */
  detail: string;
}

/** Body of every 200 and 202. */
export interface BatchAnswer {
  accepted: number;
  rejected: RejectedEvent[];
}

/** Body of every 4xx and 5xx. */
export interface ErrorAnswer {
  code: string;
  message: string;
  /** Page that tells more. */
  docs: string;
}
