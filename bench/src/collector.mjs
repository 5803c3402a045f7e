import { join } from "node:path";
import { report } from "./report.mjs";
import { benchConfig, writeKey } from "./support/bench-config.mjs";
import { cpuMs, startServer } from "./support/child-server.mjs";
import { browserHeaders, requestBodies } from "./support/events.mjs";
import { median, quantile, sendLoad } from "./support/http-load.mjs";
import { withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "the collector, answering after the event is durable, beside the same framework that parses and answers without storing";
export const needs = "nothing but the build; `-- collector kafka` also a broker";

const connections = 50;
const roundMs = 4_000;
const rounds = 4;
/** Different requests, by events in each. */
const bodyCounts = { 1: 20_000, 10: 4_000, 100: 400 };

export async function run({ args, kafka }) {
  const brokers = args.includes("kafka") ? await kafka() : undefined;
  await withTemporaryFolder(async (folder) => {
    const ours = await startServer("./collector-server.mjs", [
      brokers ? `kafka:${brokers}` : join(folder, "log"),
      join(folder, "consent"),
    ]);
    const reference = await startServer("./reference-server.mjs");
    try {
      const rows = [];
      for (const perRequest of [1, 10, 100]) {
        const bodies = requestBodies({ writeKey, count: bodyCounts[perRequest], perRequest });
        for (let round = 0; round <= rounds; round++) {
          // In turn, so that a machine that slows down slows both. The first round warms up.
          const pair = [await measure(reference, bodies, perRequest), await measure(ours, bodies, perRequest)];
          if (round > 0) rows.push(toRow(round, perRequest, pair));
        }
      }
      const of = (perRequest, name) =>
        median(rows.filter((row) => row.per_request === perRequest).map((row) => row[name]));
      report({
        bench: `collector (${brokers ? "kafka" : "lmdb"}, ${connections} connections, site ${benchConfig.sites[0].id})`,
        rows,
        figures: {
          cpu_ratio_one_a_request: of(1, "cpu_ratio"),
          cpu_ratio_ten_a_request: of(10, "cpu_ratio"),
          cpu_ratio_hundred_a_request: of(100, "cpu_ratio"),
          cpu_us_per_event_one_a_request: of(1, "our_us"),
          cpu_us_per_event_ten_a_request: of(10, "our_us"),
          cpu_us_per_event_hundred_a_request: of(100, "our_us"),
          events_per_s_one_a_request: of(1, "our_events_per_s"),
          events_per_s_hundred_a_request: of(100, "our_events_per_s"),
          p50_ms: of(1, "p50_ms"),
          p99_ms: of(1, "p99_ms"),
        },
        targets: {
          cpu_ratio_one_a_request: { max: 1.3 },
          cpu_ratio_ten_a_request: { max: 2 },
          p50_ms: { max: 6 },
          p99_ms: { max: 13 },
        },
      });
    } finally {
      await ours.stop();
      await reference.stop();
    }
  });
}

async function measure(server, bodies, perRequest) {
  const before = cpuMs(server.pid);
  const from = performance.now();
  const load = await sendLoad({
    url: `${server.url}/v1/batch`,
    bodies,
    headers: browserHeaders,
    connections,
    durationMs: roundMs,
  });
  if (load.others > 0) throw new Error(`${load.others} of ${load.requests} requests were not answered 200`);
  const events = load.requests * perRequest;
  return {
    us: ((cpuMs(server.pid) - before) * 1000) / events,
    perSecond: events / ((performance.now() - from) / 1000),
    p50: quantile(load.latencies, 0.5),
    p99: quantile(load.latencies, 0.99),
  };
}

const toRow = (round, perRequest, [reference, ours]) => ({
  per_request: perRequest,
  round,
  reference_us: Number(reference.us.toFixed(1)),
  our_us: Number(ours.us.toFixed(1)),
  cpu_ratio: Number((ours.us / reference.us).toFixed(2)),
  our_events_per_s: Math.round(ours.perSecond),
  p50_ms: Number(ours.p50.toFixed(2)),
  p99_ms: Number(ours.p99.toFixed(2)),
});
