import { randomUUID } from "node:crypto";
import { compileAudience, createAudienceStore, createAudienceTickStore, type ClickHouse } from "@polder/clickhouse";
import type { EventLog, Logger } from "@polder/core";
import { createAudienceTeller } from "./create-audience-teller.ts";
import { createAudienceTicker, type AudienceTicker, type AudienceTickerOptions } from "./create-audience-ticker.ts";

export interface AudiencesOptions extends Pick<
  AudienceTickerOptions,
  "sites" | "computedTraits" | "now" | "logger" | "everyMs"
> {
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
    ...options,
    store: createAudienceStore(clickhouse),
    ticks,
    compile: compileAudience,
    workerId: randomUUID(),
    ...(log && { teller: createAudienceTeller({ store: ticks, log, logger: options.logger }) }),
  });
}
