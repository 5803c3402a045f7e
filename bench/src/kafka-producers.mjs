import { createKafkaLog } from "@polder/kafka";
import { join } from "node:path";
import { report } from "./report.mjs";
import { writeKey } from "./support/bench-config.mjs";
import { cpuMs, startServer } from "./support/child-server.mjs";
import { browserHeaders, requestBodies } from "./support/events.mjs";
import { median, quantile, sendLoad } from "./support/http-load.mjs";
import { logRecords } from "./support/log-records.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "what appends to Kafka, kafkajs beside platformatic: alone, and in the collector beside one that stores nothing";
export const needs = "a Kafka broker; `-- kafka-producers append` leaves the collector out";

const producers = ["kafkajs", "platformatic"];
const rounds = 5;
const roundMs = 3_000;
const connections = 50;
const topic = "polder.events";

export async function run({ args, kafka }) {
  const brokers = await kafka();
  const alone = await compareAlone(brokers);
  const inCollector = args.includes("append") ? [] : await compareInCollector(brokers);
  report({
    bench: `kafka producers (${connections} connections to the collector)`,
    rows: [...alone, ...inCollector],
    figures: { ...summary(alone), ...summary(inCollector) },
    targets: {},
  });
}

/** Appends from this process, one after the other as the collector's, in turn. */
async function compareAlone(brokers) {
  const records = logRecords(50_000);
  const logs = producers.map((producer) =>
    createKafkaLog({
      brokers: brokers.split(","),
      clientId: "bench",
      partitions: 24,
      replicationFactor: 1,
      createTopics: true,
      topicPrefix: `bench-${process.pid}-${producer}.`,
      appendTimeoutMs: 10_000,
      producer,
      logger: quiet,
    }),
  );
  try {
    for (const log of logs) await log.prepareTopics();
    const rows = [];
    for (const perAppend of [10, 100, 500]) {
      for (let round = 0; round <= rounds; round++) {
        const pair = [];
        for (const log of logs) pair.push(await timeAppends(log, records, perAppend));
        // The first one warms up.
        if (round > 0) rows.push(toRow(`append of ${perAppend}`, round, pair));
      }
    }
    return rows;
  } finally {
    await Promise.all(logs.map((log) => log.close()));
  }
}

async function timeAppends(log, records, perAppend) {
  const count = Math.min(records.length, perAppend * 300);
  const cpu = process.cpuUsage();
  const from = performance.now();
  for (let first = 0; first < count; first += perAppend)
    await log.append(topic, records.slice(first, first + perAppend));
  const { user, system } = process.cpuUsage(cpu);
  return { us: (user + system) / count, perSecond: count / ((performance.now() - from) / 1000) };
}

/** Three collectors, loaded in turn: what Kafka costs one is the difference to the one that stores nothing. */
async function compareInCollector(brokers) {
  return withTemporaryFolder(async (folder) => {
    const servers = [];
    try {
      for (const producer of producers)
        servers.push(
          await startServer("./collector-server.mjs", [`kafka:${brokers}`, join(folder, producer), producer]),
        );
      servers.push(await startServer("./collector-server.mjs", ["nowhere", join(folder, "nowhere")]));
      const rows = [];
      for (const perRequest of [1, 10]) {
        const bodies = requestBodies({ writeKey, count: perRequest === 1 ? 20_000 : 4_000, perRequest });
        for (let round = 0; round <= rounds; round++) {
          const measured = [];
          for (const server of servers) measured.push(await timeRequests(server, bodies, perRequest));
          if (round > 0) rows.push(toRow(`collector, ${perRequest} a request`, round, measured));
        }
      }
      return rows;
    } finally {
      for (const server of servers) await server.stop();
    }
  });
}

async function timeRequests(server, bodies, perRequest) {
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
  };
}

const toRow = (path, round, [kafkajs, platformatic, nowhere]) => ({
  path,
  round,
  kafkajs_us: Number(kafkajs.us.toFixed(1)),
  platformatic_us: Number(platformatic.us.toFixed(1)),
  nowhere_us: nowhere && Number(nowhere.us.toFixed(1)),
  ratio: Number((kafkajs.us / platformatic.us).toFixed(2)),
  kafkajs_per_s: Math.round(kafkajs.perSecond),
  platformatic_per_s: Math.round(platformatic.perSecond),
  nowhere_per_s: nowhere && Math.round(nowhere.perSecond),
  kafkajs_p50_ms: nowhere && Number(kafkajs.p50.toFixed(1)),
  platformatic_p50_ms: nowhere && Number(platformatic.p50.toFixed(1)),
});

/** Of each path the median ratio of CPU, and between which values it lay; in the collector also that of what Kafka alone costs it. */
function summary(rows) {
  const figures = {};
  for (const path of new Set(rows.map((row) => row.path))) {
    const of = (name) => rows.filter((row) => row.path === path).map((row) => row[name]);
    const key = path.replaceAll(/[^a-z0-9]+/g, "_");
    figures[`${key}_cpu_ratio`] = median(of("ratio"));
    figures[`${key}_cpu_ratio_least`] = Math.min(...of("ratio"));
    figures[`${key}_cpu_ratio_most`] = Math.max(...of("ratio"));
    for (const name of [...producers, "nowhere"])
      if (of(`${name}_us`)[0] !== undefined) figures[`${key}_${name}_us`] = median(of(`${name}_us`));
    const nowhere = figures[`${key}_nowhere_us`];
    if (nowhere === undefined) continue;
    const [kafkajs, platformatic] = producers.map((name) => figures[`${key}_${name}_us`] - nowhere);
    figures[`${key}_cpu_ratio_of_kafka_alone`] = Number((kafkajs / platformatic).toFixed(2));
  }
  return figures;
}
