import { randomUUID } from "node:crypto";
import {
  type ClickHouse,
  compileAudiences,
  computedTraitsOfSite,
  createAudienceStore,
  createAudienceTickStore,
} from "@polder/clickhouse";
import type { ErasureStore, EventLog, Logger } from "@polder/core";
import { createAudienceTeller } from "./create-audience-teller.ts";
import { createAudienceTicker, type AudienceTicker, type AudienceTickerOptions } from "./create-audience-ticker.ts";

export interface AudiencesOptions extends Pick<AudienceTickerOptions, "sites" | "now" | "logger" | "everyMs"> {
  clickhouse: ClickHouse;
  /** Name of the cluster. */
  cluster?: string;
  /** Where changes are told, without a spool between; without it nobody is told. */
  log?: EventLog;
  logger: Logger;
}

/** The ticker over ClickHouse and a log. */
export function createAudiences({ clickhouse, cluster, log, ...options }: AudiencesOptions): AudienceTicker {
  const ticks = createAudienceTickStore({ clickhouse, ...(cluster !== undefined && { cluster }) });
  return createAudienceTicker({
    computedTraits: computedTraitsOfSite(clickhouse),
    ...options,
    store: createAudienceStore(clickhouse),
    ticks,
    compile: compileAudiences,
    workerId: randomUUID(),
    ...(log && { teller: createAudienceTeller({ store: ticks, log, logger: options.logger }) }),
  });
}

/** An erasure whose rows go when the person has left all audiences and whoever listens knows. */
export const leavingAudiencesFirst = <Store extends Pick<ErasureStore, "begin">>(
  store: Store,
  audiences: Pick<AudienceTicker, "onErased">,
): Store => ({
  ...store,
  async begin(erasures, now) {
    await audiences.onErased();
    return store.begin(erasures, now);
  },
});
