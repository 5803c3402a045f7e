/** What an operator asks the store. */
export interface StoreStatus {
  /** When the newest event that can be queried was received, in milliseconds since 1970; undefined when there is none. */
  newestReceivedAt(): Promise<number | undefined>;
  /**
   * Of hours within `hours` whose events are all loaded: by site, how many events the loss ledger misses (above 0) or has too many of (below 0).
   * 0, or something is wrong.
   */
  lossDifference(hours: number): Promise<{ site: string; difference: number }[]>;
}
