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
  maxWithdrawals?: number;
}

export interface Withdrawer {
  /** Carries out what was withdrawn, when a round is due. Returns how many identities were made nameless. */
  tick(): Promise<number>;
}

export function createWithdrawer({
  store,
  now,
  onWithdrawn,
  everyMs = 60_000,
  maxWithdrawals = 200,
}: WithdrawerOptions): Withdrawer {
  let lastRound = -Infinity;
  return {
    async tick() {
      const startedAt = now().getTime();
      if (startedAt - lastRound < everyMs) return 0;
      let nameless = 0;
      for (;;) {
        const withdrawals = await store.openWithdrawals(maxWithdrawals);
        if (withdrawals.length > 0) {
          await onWithdrawn?.(withdrawals);
          nameless += await store.carryOut(withdrawals, now);
        }
        if (withdrawals.length < maxWithdrawals) break;
      }
      lastRound = startedAt;
      return nameless;
    },
  };
}
