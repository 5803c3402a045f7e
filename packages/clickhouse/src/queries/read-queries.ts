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
  /** Undefined when nothing is stored of that person. */
  profile(site: string, person: number, limits: { timeline: number; sessions: number }): Promise<Profile | undefined>;
  /** People and events by value, the most people first, of one day. */
  audiences(site: string, day: string, valuesPerDimension: number): Promise<AudienceCount[]>;
  /** What was stored on one day, and how many events came in by second since `since`. */
  summary(site: string, day: string, span: { now: number; since: number }): Promise<Summary>;
}

export type PersonId = { by: "person"; value: number } | { by: "user" | "anonymous" | "any"; value: string };

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
  identifiers: { kind: "user_id" | "anonymous_id"; value: string; firstSeen: number }[];
  traits: {
    name: string;
    value: string;
    origin: string;
    class: string;
    purpose: string;
    isPersonal: boolean;
    time: number;
  }[];
  counters: { events: number; pageViews: number; clicks: number; sessions: number; orders: number };
  /** One amount a currency: nothing sums across currencies. */
  revenue: { currency: string; amount: string }[];
  firstTouch: Touch;
  lastTouch: Touch;
  devices: { device: string; browser: string; os: string; country: string; events: number; lastSeen: number }[];
  /** Newest first. */
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
  /** Newest first. */
  consent: {
    time: number;
    consentId: string;
    regime: string;
    notice: string;
    choices: { purpose: string; state: string }[];
  }[];
  /** Newest first. */
  timeline: StoredEvent[];
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
