import { join } from "node:path";
import { createCollector, createMessageId, readBrowserBundle, readCountryTable } from "@polder/collector";
import { createSiteDirectory, LogUnavailableError, parseConfig } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbConsentLedger, createSpooledLog, forwardWithinMs, spoolAfterMs } from "@polder/lmdb";
import { Registry } from "prom-client";
// @boundaries-ignore a broker to slow down and to kill, as the test command starts its own
import { startKafkaBroker } from "../../scripts/kafka-broker.mjs";
import { report } from "./report.mjs";
import { benchConfig, writeKey } from "./support/bench-config.mjs";
import { browserHeaders, requestBodies } from "./support/events.mjs";
import { quantile } from "./support/http-load.mjs";
import { logRecords } from "./support/log-records.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "the spool: appending while Kafka is away, forwarding when it is back, and what clients notice of a broker that is killed, or hangs";
export const needs = "a Kafka broker of its own, to kill: Java 17 and Maven, or Docker";

const topic = "polder.events";
const recordCount = 200_000;
const perAppend = 500;
const clients = 20;
const outageMs = 4_000;

export async function run() {
  const broker = await startKafkaBroker();
  if ("skipped" in broker) throw new Error(`This benchmark needs Kafka: ${broker.skipped}`);
  try {
    const records = logRecords(recordCount);
    const spool = await withTemporaryFolder((folder) => timeSpool(broker, folder, records));
    const outages = await withTemporaryFolder((folder) => watchOutages(broker, folder));
    report({
      bench: `spool (${recordCount.toLocaleString("en-GB")} records; ${clients} clients with one event a request, ${outageMs / 1000} s of outage)`,
      rows: outages,
      figures: {
        ...spool,
        slowest_answer_ms: Math.max(...outages.map((row) => row.slowest_ms)),
        refused: outages.reduce((sum, row) => sum + row.refused, 0),
        normal_after_ms: Math.max(...outages.map((row) => row.normal_after_ms)),
      },
      targets: { slowest_answer_ms: { max: 1000 }, refused: { max: 0 }, normal_after_ms: { max: 1000 } },
    });
  } finally {
    await broker.stop();
  }
}

const openKafka = (brokers, appendTimeoutMs, prefix) =>
  createKafkaLog({
    brokers: [brokers],
    clientId: "bench",
    partitions: 24,
    replicationFactor: 1,
    createTopics: true,
    topicPrefix: `${prefix}.`,
    appendTimeoutMs,
    logger: quiet,
  });

/** Appends while the log is away, one after the other as a collector does, and lets the spool run empty into Kafka. */
async function timeSpool(broker, path, records) {
  const kafka = openKafka(broker.brokers, forwardWithinMs, "rate");
  await kafka.prepareTopics();
  let isAway = true;
  const seen = {
    ...kafka,
    append: (...args) => (isAway ? Promise.reject(new LogUnavailableError("away")) : kafka.append(...args)),
  };
  const spooled = createSpooledLog({ log: seen, path, logger: quiet });
  const appendMs = [];
  const from = performance.now();
  for (let first = 0; first < records.length; first += perAppend) {
    const started = performance.now();
    await spooled.append(topic, records.slice(first, first + perAppend));
    appendMs.push(performance.now() - started);
  }
  const appendSeconds = (performance.now() - from) / 1000;
  const { bytes } = await spooled.spool();

  isAway = false;
  const back = performance.now();
  while ((await spooled.spool()).records > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const forwardSeconds = (performance.now() - back) / 1000;
  await spooled.close();
  appendMs.sort((a, b) => a - b);
  return {
    append_per_s: Math.round(records.length / appendSeconds),
    append_p50_ms: Number(quantile(appendMs, 0.5).toFixed(2)),
    append_p99_ms: Number(quantile(appendMs, 0.99).toFixed(2)),
    bytes_per_record: Math.round(bytes / records.length),
    forward_per_s: Math.round(records.length / forwardSeconds),
  };
}

/** A collector under load while its broker is killed and started, and while it hangs. */
async function watchOutages(broker, folder) {
  const log = createSpooledLog({
    log: openKafka(broker.brokers, spoolAfterMs, "outage"),
    patientLog: openKafka(broker.brokers, forwardWithinMs, "outage"),
    path: join(folder, "spool"),
    logger: quiet,
  });
  const ledger = createLmdbConsentLedger({ path: join(folder, "consent"), now: () => Date.now(), logger: quiet });
  const collector = createCollector({
    log,
    ledger,
    sites: createSiteDirectory(parseConfig(JSON.stringify(benchConfig)).config),
    countryOf: readCountryTable(),
    now: () => Date.now(),
    clock: () => performance.now(),
    newId: createMessageId,
    logger: quiet,
    registry: new Registry(),
    browserBundle: readBrowserBundle(),
  });
  const { url } = await collector.listen({ host: "127.0.0.1", port: 0 });
  const load = startLoad(url);
  const rows = [];
  try {
    await load.until(({ status }) => status === 200);
    for (const [name, fail, mend] of [
      ["killed", broker.kill, broker.start],
      ["hangs", broker.pause, broker.resume],
    ]) {
      await load.during(2_000);
      const from = performance.now();
      await fail();
      await load.during(outageMs);
      await mend();
      await untilTaken(broker.brokers);
      const back = performance.now();
      // Well again when what has been answered for a second has all been answered 200.
      await load.until(({ at }, answers) => {
        const last = answers.findLast(({ status }) => status !== 200);
        return at - Math.max(back, last?.at ?? 0) > 1000;
      });
      const during = load.answers.filter(({ at }) => at >= from);
      const lastOther = during.findLast(({ status }) => status !== 200);
      const ms = during.map((answer) => answer.ms).sort((a, b) => a - b);
      rows.push({
        broker: name,
        answers: during.length,
        p50_ms: Number(quantile(ms, 0.5).toFixed(1)),
        p99_ms: Number(quantile(ms, 0.99).toFixed(1)),
        slowest_ms: Math.round(ms.at(-1)),
        refused: during.filter(({ status }) => status !== 200 && status !== 202).length,
        normal_after_ms: Math.max(0, Math.round((lastOther?.at ?? back) - back)),
      });
    }
  } finally {
    await load.stop();
    await collector.close();
    await ledger.close();
    await log.close();
  }
  return rows;
}

/** Resolves when the broker has confirmed an append of somebody else: one that answers may still refuse to lead its partitions. */
async function untilTaken(brokers) {
  const kafka = openKafka(brokers, spoolAfterMs, "probe");
  const [record] = logRecords(1);
  while (
    !(await kafka.append(topic, [record]).then(
      () => true,
      () => false,
    ))
  );
  await kafka.close();
}

/** Clients that send their next event when the last one is answered; every answer with when it came and how long it took. */
function startLoad(url) {
  const bodies = requestBodies({ writeKey, count: 20_000, perRequest: 1 });
  const answers = [];
  let isOver = false;
  let next = 0;
  let look = () => {};
  const client = async () => {
    while (!isOver) {
      const from = performance.now();
      const answer = await fetch(`${url}/v1/batch`, {
        method: "POST",
        body: bodies[next++ % bodies.length],
        headers: browserHeaders,
      });
      await answer.arrayBuffer();
      answers.push({ at: performance.now(), ms: performance.now() - from, status: answer.status });
      look();
    }
  };
  const running = Array.from({ length: clients }, client);
  const load = {
    answers,
    until: (isEnough) =>
      new Promise((resolve) => {
        look = () => isEnough(answers.at(-1), answers) && resolve();
      }),
    during: (ms) => {
      const until = performance.now() + ms;
      return load.until(({ at }) => at >= until);
    },
    async stop() {
      isOver = true;
      await Promise.all(running);
    },
  };
  return load;
}
