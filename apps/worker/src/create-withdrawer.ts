import type { Withdrawal, WithdrawalStore } from "@polder/core";
import { createAnnouncedRemoval } from "./create-announced-removal.ts";

export interface WithdrawerOptions {
  store: WithdrawalStore;
  now: () => Date;
  /**
   * Told of every withdrawal while it is still known whose it was: the place from which audiences are left. At least once each; when it rejects,
   * nothing is removed, and it is told again.
   */
  onWithdrawn?: (withdrawals: readonly Withdrawal[]) => Promise<void>;
  /**
   * What is asked says whether it is settled who is one person with whom, as far as it was known when this was called: the edges of who withdraws go, and
   * with a log-in that nobody has looked at their no would be nobody's.
   */
  settling?: () => Promise<() => Promise<boolean>>;
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

export function createWithdrawer({
  store,
  now,
  onWithdrawn,
  settling,
  everyMs = 50_000,
  graceMs = 6_000,
  maxWithdrawals = 200,
}: WithdrawerOptions): Withdrawer {
  return createAnnouncedRemoval({
    now,
    open: (limit) => store.openWithdrawals(limit, now),
    async begin(withdrawals) {
      const first = withdrawals.filter(({ round }) => round === 1);
      if (first.length > 0) await onWithdrawn?.(first);
      await store.begin(withdrawals, now);
    },
    awaited: settling,
    carryOut: (withdrawals) => store.carryOut(withdrawals, now),
    everyMs,
    graceMs,
    maxItems: maxWithdrawals,
  });
}
