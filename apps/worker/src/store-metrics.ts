import type { StoreStatus } from "@polder/core";
import { Gauge, type Registry } from "prom-client";

/** A loss shows when its hour is closed, and is looked at for a day. */
const lossHours = 25;

/** What the store says of itself, asked when it is scraped, at most every `everyMs`. */
export function addStoreMetrics(options: {
  registry: Registry;
  status: StoreStatus;
  now: () => Date;
  everyMs?: number;
}): void {
  const { registry, status, now, everyMs = 10_000 } = options;
  const registers = [registry];
  let askedAt = -Infinity;
  let answer: Promise<Answer> | undefined;

  let isAsking = false;
  let readAt = 0;
  const sites = new Set<string>();

  const ask = async (): Promise<Answer> => {
    const [newest, losses] = await Promise.all([
      status.newestReceivedAt().catch(() => Number.NaN),
      status.losses(lossHours).catch(() => undefined),
    ]);
    if (losses !== undefined) readAt = now().getTime();
    isAsking = false;
    return { newest, losses };
  };
  const current = (): Promise<Answer> => {
    const at = now().getTime();
    // A store that takes its time is not asked on top of that.
    if (answer === undefined || (!isAsking && at - askedAt >= everyMs)) {
      askedAt = at;
      isAsking = true;
      answer = ask();
    }
    return answer;
  };

  const age: Gauge = new Gauge({
    name: "polder_store_newest_event_age_seconds",
    help: "Since the newest event that can be queried was received; NaN when there is none, or the store is away",
    registers,
    async collect() {
      const { newest } = await current();
      age.set(newest === undefined ? Number.NaN : Math.max(0, (now().getTime() - newest) / 1000));
    },
  });
  const difference: Gauge = new Gauge({
    name: "polder_store_loss_difference_events",
    help: "By kind, in closed hours of the last day: lost events, and doubled ones; NaN while the loss ledger cannot be read",
    labelNames: ["site", "kind"],
    registers,
    async collect() {
      const { losses } = await current();
      difference.reset();
      if (losses !== undefined) sites.clear();
      // No series would look like no loss.
      for (const site of sites)
        for (const kind of ["lost", "doubled"] as const) difference.set({ site, kind }, Number.NaN);
      for (const { site, lost, doubled } of losses ?? []) {
        sites.add(site);
        difference.set({ site, kind: "lost" }, lost);
        difference.set({ site, kind: "doubled" }, doubled);
      }
    },
  });
  const lossReadAt: Gauge = new Gauge({
    name: "polder_store_loss_read_timestamp_seconds",
    help: "When the loss ledger was last read; 0 when it never was",
    registers,
    async collect() {
      await current();
      lossReadAt.set(readAt / 1000);
    },
  });
}

interface Answer {
  newest: number | undefined;
  /** Undefined: it could not be read. */
  losses: Awaited<ReturnType<StoreStatus["losses"]>> | undefined;
}
