import type { Logger, RetentionStore, SiteRetention } from "@polder/core";

export interface RetainerOptions {
  store: Pick<RetentionStore, "applyPolicy" | "forgetIdentities">;
  now: () => Date;
  logger: Logger;
  /** Of the configuration, asked on every tick: the same list as long as it is the same. Absent: what was applied last stays, said once. */
  sites?: () => readonly SiteRetention[];
  /** How often what is left of identities that have gone is looked for. In milliseconds. */
  lookEveryMs?: number;
}

export interface Retainer {
  /** Does what is due. Returns how many identities went. */
  tick(): Promise<number>;
}

/** Hands the retention of the configuration to the store when it changes, and tidies up after what went by it. */
export function createRetainer({ store, now, logger, sites, lookEveryMs = 3_600_000 }: RetainerOptions): Retainer {
  let applied: readonly SiteRetention[] | undefined;
  let lookedAt = -Infinity;
  if (sites === undefined)
    logger.warn(
      "no configuration: retention stays as it was applied last, and where it never was, nothing goes by age",
      {
        next: "set POLDER_CONFIG",
      },
    );

  return {
    async tick() {
      const current = sites?.();
      if (current !== undefined && current !== applied) {
        if (await store.applyPolicy(current, now())) {
          for (const { id, retention } of current) logger.info("retention applied", { site: id, ...retention });
        }
        applied = current;
      }
      const at = now().getTime();
      if (at - lookedAt < lookEveryMs) return 0;
      const gone = await store.forgetIdentities();
      lookedAt = at;
      return gone;
    },
  };
}
