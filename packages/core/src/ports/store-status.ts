/** What an operator asks the store. */
export interface StoreStatus {
  /** When the newest event that can be queried was received, in milliseconds since 1970; undefined when there is none. */
  newestReceivedAt(): Promise<number | undefined>;
  /**
   * Of hours within `hours` whose events are all loaded: by site, how many events were answered for and are nowhere, and how many rows are there
   * twice. One does not make up for the other. 0, or something is wrong.
   */
  losses(hours: number): Promise<{ site: string; lost: number; doubled: number }[]>;
}
