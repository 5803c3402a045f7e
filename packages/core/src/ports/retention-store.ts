/** How long what arrived is kept, in days, by class: an identity with a user id is known, any other is anonymous. */
export interface Retention {
  anonymousDays: number;
  knownDays: number;
}

export interface SiteRetention {
  id: string;
  retention: Retention;
}

/** What holds for a site that says nothing: as long as a device keeps its id; and three years after that. */
export const defaultRetention: Retention = { anonymousDays: 395, knownDays: 1_125 };

/** Rows go by the week, and a client may send what happened a month ago: less would take what has just come. */
export const minRetentionDays = 30;
export const maxRetentionDays = 36_500;

/** The part of the store that lets go of what is old. The store does the removing itself; this tells it when. */
export interface RetentionStore {
  /**
   * Brings every table to these days, those of sites that are not named to the default. What is there already is judged anew. Returns whether
   * that was a change. May be stopped anywhere and asked again. Before the first time nothing goes by age.
   */
  applyPolicy(sites: readonly SiteRetention[], now: Date): Promise<boolean>;
  /** Removes who belonged to whom of identities that are gone. Returns how many went. */
  forgetIdentities(): Promise<number>;
  /** What is there, by table, site and class, and when it goes. */
  kept(): Promise<KeptRows[]>;
}

export interface KeptRows {
  table: string;
  site: string;
  class: "anonymous" | "known";
  /** 0 as long as no policy was applied: nothing goes by age, and `oldestGoesOn` is 1970-01-01. */
  days: number;
  rows: number;
  /** Monday of the week in which the oldest of them arrived, and the day on which they go: YYYY-MM-DD. */
  oldestWeek: string;
  oldestGoesOn: string;
  /** Of the rows, those that go within the next seven days. */
  rowsNextWeek: number;
  /** Of the rows, those whose day has come: the next merge takes them, within hours. */
  rowsOverdue: number;
}
