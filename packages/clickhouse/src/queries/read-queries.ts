import type { PurposeConsent } from "@polder/core";
import type { ComputedValue } from "../traits/read-computed-traits.ts";

/** What the read side asks of the store. Times are milliseconds since 1970, days `2026-11-22` in the site's zone. Empty text means none. */
export interface ReadQueries {
  /** The offset of the last row of each partition of `events`. Reads a column of the whole table: for a start. */
  endPositions(): Promise<Map<number, number>>;
  /** Partitions of `events` that are not among these. Reads a column of the whole table. */
  otherPartitions(known: Iterable<number>): Promise<number[]>;
  /**
   * Rows of `events` after these offsets, of every site, and where they end. The newest `limit` are given, in the order of their arrival; all are
   * counted. Rows of a partition become queryable in the order of their offsets, so nothing is given twice and nothing is left out.
   */
  newEvents(positions: ReadonlyMap<number, number>, limit: number): Promise<NewEvents>;
  /** Whose these atoms are as known now. An atom that no merge has touched is its own person. */
  personsOf(atoms: readonly number[]): Promise<Map<number, number>>;
  /** Undefined when nobody of the site has the id. */
  findPerson(site: string, id: PersonId): Promise<number | undefined>;
  /** Undefined when nobody of the site has the id, nothing is stored of them, or they were erased. */
  profile(site: string, id: PersonId, limits: ProfileLimits): Promise<Profile | undefined>;
  /** What somebody did, newest first, a page at a time. Undefined when nobody of the site has the id, or they were erased. */
  timeline(
    site: string,
    id: PersonId,
    question: TimelineQuestion,
  ): Promise<(TimelinePage & { person: number }) | undefined>;
  /** People and events by value, the most people first, of one day. */
  audiences(site: string, day: string, valuesPerDimension: number): Promise<AudienceCount[]>;
  /** What was stored on one day, and how many events came in by second since `since`. */
  summary(site: string, day: string, span: { now: number; since: number }): Promise<Summary>;
}

/**
 * email_hash: SHA-256, in hex, of the address in small letters without space around it. id: a user id, else an anonymous id: where something is done to
 * a person, since a customer's number may be the number of somebody else here. any: such an id, else a person's number or such a hash.
 */
export type PersonId =
  | { by: "person"; value: number }
  | { by: "user" | "anonymous" | "email_hash" | "id" | "any"; value: string };

export interface ProfileLimits {
  /** At most so many of each. */
  timeline: number;
  sessions: number;
  devices: number;
  choices: number;
  /** The moment for which computed traits and consent are worked out. */
  now: Date;
}

/** The place of an event in the timeline of its person: nothing that comes in later changes it. */
export interface TimelinePlace {
  /** Milliseconds since 1970. */
  time: number;
  partition: number;
  offset: number;
}

export interface TimelineQuestion {
  /** Events before this place; the newest when left out. */
  before?: TimelinePlace | undefined;
  limit: number;
  type?: string | undefined;
  name?: string | undefined;
}

export interface TimelineEvent extends TimelinePlace {
  type: string;
  name: string;
  atom: number;
  sessionId: string;
  urlHost: string;
  urlPath: string;
  pageTitle: string;
  pageGroup: string;
  channel: string;
  country: string;
  device: string;
  browser: string;
  os: string;
  origin: string;
  partner: string;
  consentMask: number;
  basis: string;
  orderId: string;
  /** Decimal text. */
  amount: string;
  currency: string;
  choices: { purpose: string; state: string }[];
  properties: { readonly [name: string]: unknown };
}

export interface TimelinePage {
  /** Newest first. */
  events: TimelineEvent[];
  /** Where the next page begins; undefined when this is the last. */
  next: TimelinePlace | undefined;
}

export interface StoredEvent {
  partition: number;
  offset: number;
  site: string;
  time: number;
  receivedAt: number;
  type: string;
  name: string;
  /** Number of the identity that sent it; 0: none. */
  atom: number;
  /** Whose the atom was when this was read; 0: nobody in particular. */
  person: number;
  urlHost: string;
  urlPath: string;
  pageTitle: string;
  pageGroup: string;
  channel: string;
  country: string;
  device: string;
  browser: string;
  os: string;
  bot: string;
  consentMask: number;
  basis: string;
  sessionId: string;
  orderId: string;
  /** Decimal text. */
  amount: string;
  currency: string;
  /** type consent: what was chosen. */
  choices: { purpose: string; state: string }[];
}

export interface NewEvents {
  events: StoredEvent[];
  /** How many there were in all. */
  count: number;
  /** By site and second of arrival (seconds since 1970). */
  seconds: { site: string; second: number; count: number }[];
  /** For the next call. */
  positions: Map<number, number>;
}

export interface Profile {
  person: number;
  site: string;
  firstSeen: number;
  lastSeen: number;
  identifiers: Identifier[];
  traits: {
    name: string;
    value: string;
    origin: string;
    class: string;
    purpose: string;
    isPersonal: boolean;
    time: number;
  }[];
  /** Worked out of all stored events, by name; those without a value are left out. */
  computedTraits: (ComputedValue & { version: number })[];
  counters: { events: number; pageViews: number; clicks: number; sessions: number; orders: number };
  /** One amount a currency: nothing sums across currencies. */
  revenue: { currency: string; amount: string }[];
  firstTouch: Touch;
  lastTouch: Touch;
  /** Of the last thousand events, the one seen last first. */
  devices: { device: string; browser: string; os: string; country: string; events: number; lastSeen: number }[];
  /** Of the last thousand events, newest first. */
  sessions: {
    id: string;
    start: number;
    end: number;
    events: number;
    pageViews: number;
    entryPath: string;
    exitPath: string;
    channel: string;
  }[];
  /** Recorded choices, newest first. */
  consent: {
    time: number;
    consentId: string;
    regime: string;
    notice: string;
    choices: { purpose: string; state: string }[];
  }[];
  /** What may be done with the person now, by purpose, and why. */
  purposes: PurposeConsent[];
  /** Those that name their members, and since when this one is in. */
  audiences: { audience: string; name: string; since: number }[];
  /** Newest first, without their properties. */
  timeline: Omit<TimelineEvent, "properties">[];
  /** Where the timeline goes on; undefined when that is all. */
  next: TimelinePlace | undefined;
}

export interface Identifier {
  kind: "user_id" | "anonymous_id" | "email" | "phone";
  /** email, phone: empty unless it is the one stated last. */
  value: string;
  /** email, phone: what people are compared by, SHA-256 in hex. Else empty. */
  hash: string;
  firstSeen: number;
  verification: {
    /** False: somebody typed it into a form, and no login and no server has said the same. */
    isConfirmed: boolean;
    /** login, server, import or form; site: a user id that only the site can state; device: the cookie of the device itself. */
    rule: string;
    time: number;
  };
}

/** How somebody came: at the first or the last visit. */
export interface Touch {
  channel: string;
  referrerHost: string;
  utmSource: string;
  utmMedium: string;
  utmCampaign: string;
  /** Host and path. */
  landingPage: string;
}

export interface AudienceCount {
  dimension: string;
  value: string;
  people: number;
  events: number;
}

export interface Summary {
  events: number;
  people: number;
  pageViews: number;
  /** Arrival of the newest event that can be queried; undefined when there is none. */
  newestReceivedAt: number | undefined;
  seconds: { second: number; count: number }[];
  /** Refused in the last 24 hours, by reason. */
  rejected: { reason: string; count: number }[];
}
