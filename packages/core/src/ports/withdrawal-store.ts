/** The part of the store that carries out what visitors took back. */
export interface WithdrawalStore {
  /** Withdrawals on record that have not been carried out to the end, oldest first, at most `limit`. */
  openWithdrawals(limit: number): Promise<Withdrawal[]>;
  /**
   * Removes what rests on nothing but the withdrawn consent for `profile`, from every table, and writes the receipts: what was there before, and what
   * is left. May be stopped anywhere and asked again: the receipts say what was there at the first time. Returns the number of identities that it
   * made nameless.
   */
  carryOut(withdrawals: readonly Withdrawal[], now: () => Date): Promise<number>;
}

export interface Withdrawal {
  site: string;
  /** Its link in `consent_log`. */
  n: number;
  consentId: string;
  atom: number;
  /** Whose it is, as known now. */
  person: number;
  /** The purposes that were withdrawn. */
  purposes: readonly string[];
}
