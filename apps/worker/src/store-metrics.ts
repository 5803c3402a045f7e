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

  const ask = async (): Promise<Answer> => {
    const [newest, losses] = await Promise.all([
      status.newestReceivedAt().catch(() => Number.NaN),
      status.lossDifference(lossHours).catch(() => []),
    ]);
    return { newest, losses };
  };
  const current = (): Promise<Answer> => {
    const at = now().getTime();
    if (answer === undefined || at - askedAt >= everyMs) {
      askedAt = at;
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
    help: "What the loss ledger misses, in closed hours of the last day: above 0 events are lost, below 0 they are there twice",
    labelNames: ["site"],
    registers,
    async collect() {
      const { losses } = await current();
      difference.reset();
      for (const { site, difference: events } of losses) difference.set({ site }, events);
    },
  });
}

interface Answer {
  newest: number | undefined;
  losses: { site: string; difference: number }[];
}
