/** The part of the store that carries out what visitors took back. */
export interface WithdrawalStore {
  /**
   * Withdrawals on record that have not been carried out to the end, oldest first, at most `limit`; then those of the last days of which rows came to
   * light since. A no to what had been allowed without asking (the regimes `opt_out` and `notice`) is one as well.
   */
  openWithdrawals(limit: number, now: () => Date): Promise<Withdrawal[]>;
  /**
   * Writes down what will be removed, and what is there of it. From now on loaders give these identities new numbers; a while has to pass before
   * {@link carryOut}, so that all of them have read it.
   */
  begin(withdrawals: readonly Withdrawal[], now: () => Date): Promise<void>;
  /**
   * Removes what rests on nothing but the withdrawn consent, from every table, as {@link begin} wrote it down, and writes what is left. Done only
   * when that is nothing. May be stopped anywhere and asked again. Returns the number of identities that it made nameless.
   */
  carryOut(withdrawals: readonly Withdrawal[], now: () => Date): Promise<number>;
}

export interface Withdrawal {
  site: string;
  /** Its link in `consent_log`. */
  n: number;
  /** 1; more where it is carried out again, for rows that were loaded late. */
  round: number;
  consentId: string;
  /** When it was made, in milliseconds since 1970. */
  at: number;
  /** When the collector received it, in milliseconds since 1970. */
  receivedAt: number;
  atom: number;
  /** Whose it is, as known now. */
  person: number;
  /** The purposes that were withdrawn. */
  purposes: readonly string[];
}
