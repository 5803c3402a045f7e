import {
  arrivalText,
  createArrivals,
  createPipeline,
  createRecordEncoder,
  createSiteDirectory,
  parseConfig,
} from "@polder/core";
import { parseRequest } from "@polder/protocol";
import { benchConfig, writeKey } from "./bench-config.mjs";
import { browserHeaders, requestBodies } from "./events.mjs";

/** Records as the collector appends them: `count` events in requests of ten, through the real parser and pipeline. */
export function logRecords(count) {
  const parsed = parseConfig(JSON.stringify(benchConfig));
  const key = createSiteDirectory(parsed.config).findKey(writeKey);
  let made = 0;
  const pipeline = createPipeline({
    ledger: { latest: () => undefined, timesOf: () => undefined },
    countryOf: () => "NL",
    newId: () => `id-${made++}`,
  });
  const toRecord = createRecordEncoder();
  const arrivals = createArrivals("bench");
  const records = [];
  for (const body of requestBodies({ writeKey, count: Math.ceil(count / 10), perRequest: 10 })) {
    const request = parseRequest(body, "batch");
    const receivedAt = Date.now();
    const block = arrivals(receivedAt, request.items.length);
    for (const [index, item] of request.items.entries()) {
      const result = pipeline.run(item.event, {
        key,
        receivedAt,
        sentAt: request.sentAt,
        ip: "192.0.2.7",
        country: "",
        userAgent: browserHeaders["user-agent"],
        gpc: false,
        cookieAnonymousId: () => "",
        cookieRefusesMeasurement: () => false,
        choices: [],
      });
      if (!result.ok) throw new Error(`the benchmark's own event was refused: ${result.reason}`);
      records.push(toRecord(result.row, arrivalText(block, index)));
    }
  }
  return records;
}
