import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createClient } from "@clickhouse/client";
import { createClickHouse, createEventStore, migrate } from "@polder/clickhouse";
import { startEngine } from "@polder/engine";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbLog } from "@polder/lmdb";
import { createLoader } from "@polder/loader";
import { Registry } from "prom-client";
import { report } from "./report.mjs";
import { median } from "./support/http-load.mjs";
import { logRecords } from "./support/log-records.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "loading from the log beside the bare client inserting the same bytes into the same tables, views attached";
export const needs = "the embedded engine; `-- loader kafka` also a broker";

const eventCount = 80_000;
// What a loader that is behind takes at a time, as in production: the bare client gets the same.
const perInsert = 10_000;
const rounds = 3;

export async function run({ args, kafka }) {
  const brokers = args.includes("kafka") ? (await kafka()).split(",") : undefined;
  await withTemporaryFolder(async (folder) => {
    const engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger: quiet });
    try {
      const rows = [];
      for (let round = 0; round <= rounds; round++) {
        const { blocks, log } = await prepareRound({ brokers, folder });
        // In turn, so that a machine that slows down slows both. The first round warms up.
        const row = { round, ...(await timeBare(engine, blocks)), ...(await timeLoader(engine, log)) };
        if (round > 0) rows.push(row);
      }
      const ratio = median(rows.map((row) => row.loader_per_s / row.bare_per_s));
      const nodeUs = median(rows.map((row) => row.node_us_per_event));
      const medium = brokers ? "kafka" : "lmdb";
      report({
        bench: `loader (${medium})`,
        rows,
        figures: {
          rate_ratio: ratio,
          node_us_per_event: nodeUs,
          loader_per_s: median(rows.map((row) => row.loader_per_s)),
        },
        targets: { rate_ratio: { min: 0.85 }, node_us_per_event: { max: brokers ? 10 : 4 } },
      });
    } finally {
      await engine.stop();
    }
  });
}

async function withDatabase(engine, use) {
  const clickhouse = createClickHouse({
    url: engine.url,
    ...engine.admin,
    database: `bench_${randomUUID().replaceAll("-", "")}`,
    logger: quiet,
  });
  await migrate(clickhouse);
  try {
    return await use(clickhouse);
  } finally {
    await clickhouse.command(`DROP DATABASE ${clickhouse.database}`);
    await clickhouse.close();
  }
}

/** The same rows for both, as bytes and in a log. The records themselves stay behind here: the collector's garbage is none of the loader's. */
async function prepareRound({ brokers, folder }) {
  const records = logRecords(eventCount);
  const atoms = new Map();
  const blocks = [];
  for (let first = 0; first < records.length; first += perInsert) {
    const rows = records.slice(first, first + perInsert).map(({ value, headers }, i) => {
      const key = `${headers.anonymousId}/${headers.userId}`;
      if (!atoms.has(key)) atoms.set(key, (atoms.size + 1) * 64);
      return `{"_partition":0,"_offset":${first + i},"atom":${atoms.get(key)},${Buffer.from(value).toString().slice(1)}\n`;
    });
    blocks.push(Buffer.from(rows.join("")));
  }
  const log = brokers
    ? createKafkaLog({
        brokers,
        clientId: "bench",
        partitions: 1,
        replicationFactor: 1,
        createTopics: true,
        topicPrefix: `bench-${randomUUID()}.`,
        logger: quiet,
      })
    : createLmdbLog({ path: join(folder, `log-${randomUUID()}`), logger: quiet });
  for (let first = 0; first < records.length; first += 500)
    await log.append("polder.events", records.slice(first, first + 500));
  return { blocks, log };
}

/** The least that can be done: ready-made bytes, one insert after the other, with the settings that make them exact. */
function timeBare(engine, blocks) {
  return withDatabase(engine, async (clickhouse) => {
    const client = createClient({ url: engine.url, ...engine.admin, database: clickhouse.database });
    const from = performance.now();
    for (const [i, block] of blocks.entries()) {
      const { stream } = await client.exec({
        query: "INSERT INTO events FORMAT JSONEachRow",
        values: Readable.from([block], { objectMode: false }),
        clickhouse_settings: {
          async_insert: 0,
          insert_deduplicate: 1,
          deduplicate_insert: "enable",
          deduplicate_blocks_in_dependent_materialized_views: 1,
          insert_deduplication_token: `bare:${i}`,
          input_format_parallel_parsing: 0,
          input_format_try_infer_dates: 0,
          input_format_try_infer_datetimes: 0,
          type_json_skip_duplicated_paths: 1,
        },
      });
      for await (const _ of stream);
    }
    const seconds = (performance.now() - from) / 1000;
    await client.close();
    return { bare_per_s: Math.round(eventCount / seconds) };
  });
}

function timeLoader(engine, log) {
  return withDatabase(engine, async (clickhouse) => {
    const loader = createLoader({
      log,
      store: createEventStore({ clickhouse }),
      logger: quiet,
      registry: new Registry(),
      maxRecords: perInsert,
      lingerMs: 100,
    });
    const running = loader.run();
    // Joining a group is not loading: the clock starts with the first range and reads to the last.
    let start;
    let cpu;
    for (;;) {
      const { loaded } = loader.status();
      if (loaded > 0 && start === undefined) {
        start = { at: performance.now(), loaded };
        cpu = process.cpuUsage();
      }
      if (loaded >= eventCount) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const seconds = (performance.now() - start.at) / 1000;
    const used = process.cpuUsage(cpu);
    const count = eventCount - start.loaded;
    await loader.stop();
    await running;
    await log.close();
    return {
      loader_per_s: Math.round(count / seconds),
      node_us_per_event: Number(((used.user + used.system) / count).toFixed(2)),
    };
  });
}
