/** A version of something that an import has stated before. */
export interface StoredVersion {
  /** As `subject:key`. */
  id: string;
  /** Versions of one thing are numbered from 0. */
  number: number;
  fixed: string;
  content: string;
  /** Of the event. Milliseconds since 1970. */
  time: number;
  /** Decimal text; of refunds positive. */
  amount: string;
}

export interface PeopleIds {
  userIds: readonly string[];
  anonymousIds: readonly string[];
}

/** One import, as its events and its marks in the log say. Times are milliseconds since 1970. */
export interface StoredImport {
  id: string;
  site: string;
  kind: string;
  startedAt: number;
  /** Undefined: it was cut off, or goes on. */
  finishedAt: number | undefined;
  actor: string;
  fileName: string;
  origin: string;
  partner: string;
  /** The lawful basis of the key that it came with. */
  basis: string;
  rows: number;
  refused: number;
  /** Events that were accepted. */
  sent: number;
  /** Events of it that are in the tables now. */
  stored: number;
}

/** What imports know of what is stored. Every call may reject when the store is away. */
export interface ImportStore {
  /** All versions of these, `subject:key`. */
  versions(site: string, ids: readonly string[]): Promise<StoredVersion[]>;
  /** Which of these ids somebody has already. */
  knownPeople(site: string, ids: PeopleIds): Promise<{ userIds: string[]; anonymousIds: string[] }>;
  /** How many events of an import can be asked for. */
  countStored(site: string, importId: string): Promise<number>;
  /** The newest first. */
  imports(site: string, limit: number): Promise<StoredImport[]>;
}
