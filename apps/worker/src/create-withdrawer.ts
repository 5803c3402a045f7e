import type { Withdrawal, WithdrawalStore } from "@polder/core";

export interface WithdrawerOptions {
  store: WithdrawalStore;
  now: () => Date;
  /**
   * Told of every withdrawal while it is still known whose it was: the place from which audiences are left. At least once each; when it rejects,
   * nothing is removed, and it is told again.
   */
  onWithdrawn?: (withdrawals: readonly Withdrawal[]) => Promise<void>;
  /** Between two rounds, in milliseconds: removing rewrites parts of tables, so what came meanwhile goes together. */
  everyMs?: number;
  /** From what is announced to its removal, in milliseconds: loaders look every two seconds which identities end. */
  graceMs?: number;
  maxWithdrawals?: number;
}

export interface Withdrawer {
  /** Begins a round when one is due, or ends it when its time has come. Returns how many identities were made nameless. */
  tick(): Promise<number>;
}

/** What was announced longer ago may have been forgotten by the loaders. */
const announcedForMs = 300_000;

export function createWithdrawer({
  store,
  now,
  onWithdrawn,
  everyMs = 50_000,
  graceMs = 6_000,
  maxWithdrawals = 200,
}: WithdrawerOptions): Withdrawer {
  let lastRound = -Infinity;
  let begun: { withdrawals: readonly Withdrawal[]; at: number } | undefined;
  return {
    async tick() {
      const startedAt = now().getTime();
      if (begun !== undefined && startedAt - begun.at > announcedForMs) begun = undefined;
      if (begun === undefined) {
        if (startedAt - lastRound < everyMs) return 0;
        const withdrawals = await store.openWithdrawals(maxWithdrawals, now);
        const first = withdrawals.filter(({ round }) => round === 1);
        if (first.length > 0) await onWithdrawn?.(first);
        if (withdrawals.length > 0) await store.begin(withdrawals, now);
        if (withdrawals.length < maxWithdrawals) lastRound = startedAt;
        if (withdrawals.length === 0) return 0;
        begun = { withdrawals, at: now().getTime() };
      }
      if (now().getTime() - begun.at < graceMs) return 0;
      const { withdrawals } = begun;
      // When it fails, it is announced anew: a loader that starts meanwhile looks only at the last minutes.
      begun = undefined;
      return store.carryOut(withdrawals, now).catch((error: unknown) => {
        lastRound = -Infinity;
        throw error;
      });
    },
  };
}
