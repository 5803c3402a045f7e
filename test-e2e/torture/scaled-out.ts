import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "../support/stack.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";
import {
  cutOff,
  engineVictim,
  install,
  jumps,
  queryEngine,
  second,
  shortFreeze,
  slowDisks,
  sumOfMetric,
  type Built,
  type Endings,
  type EngineState,
  type Ground,
  type Installation,
  type Victim,
} from "./installation.ts";
import { createPart, type Part } from "./part.ts";
import { createRandom } from "./random.ts";
import type { Target } from "./schedule.ts";

/** Longer than a member of a group may be silent: another one has its partitions when it goes on. */
const longFreeze = { kind: "freeze", weight: 1, minMs: 8 * second, maxMs: 14 * second } as const;
const fromRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Two collectors, two loaders and a worker on Kafka of one node or three, skipped where there is no Java. */
export async function installScaledOut(seed: number, nodes: number): Promise<Installation | { skipped: string }> {
  const kafka = await startKafka(nodes);
  if ("skipped" in kafka) return kafka;
  return install((ground, endings) => {
    endings.push(kafka.stop);
    return build(seed, kafka, ground, endings);
  });
}

async function build(
  seed: number,
  kafka: Kafka,
  { folder, slowDisk, configPath }: Ground,
  endings: Endings,
): Promise<Built> {
  const { startEngine } = (await import(fromRoot("packages/engine/dist/index.js"))) as {
    startEngine(options: object): Promise<Engine>;
  };
  const logger = { info() {}, warn() {}, error() {} };
  const engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger });
  endings.push(engine.stop);

  const ports = new Map<string, number>();
  const makePart = async (app: string, number: number): Promise<Part> => {
    const name = `${app}-${number}`;
    const [port] = (await freePorts(1)) as [number];
    ports.set(name, port);
    const part = createPart({
      name,
      command: [`apps/${app}/dist/main.js`],
      env: {
        KAFKA_BROKERS: kafka.brokers,
        POLDER_PARTITIONS: "6",
        POLDER_REPLICATION: String(kafka.nodes.length),
        CLICKHOUSE_URL: engine.url,
        CLICKHOUSE_USER: engine.admin.username,
        CLICKHOUSE_PASSWORD: engine.admin.password,
        POLDER_CONFIG: configPath,
        POLDER_DATA: join(folder, "data", name),
        [`POLDER_${app.toUpperCase()}_PORT`]: String(port),
      },
      readyUrls: [`http://127.0.0.1:${port}/readyz`],
      folder,
      slowDisk,
    });
    endings.push(part.kill);
    return part;
  };
  const loaders = [await makePart("loader", 1), await makePart("loader", 2)];
  const collectors = [await makePart("collector", 1), await makePart("collector", 2)];
  const worker = await makePart("worker", 1);
  const parts = [...loaders, ...collectors, worker];
  const urlOf = ({ name }: Part): string => `http://127.0.0.1:${ports.get(name)}`;
  // The first one makes tables and topics.
  loaders[0]!.start();
  await loaders[0]!.ready();
  for (const part of parts) part.start();
  await Promise.all(parts.map((part) => part.ready()));
  const proxies = await Promise.all(
    collectors.map((part) => startCuttingProxy(ports.get(part.name)!, createRandom(seed, `cuts of ${part.name}`))),
  );
  endings.push(...proxies.map((proxy) => proxy.close));

  const killPart = { kind: "kill", weight: 2, minMs: 0, maxMs: 3 * second } as const;
  const nodeNames = kafka.nodes.map((_, index) => `kafka-${index + 1}`);
  return {
    urls: proxies.map(({ url }) => url),
    parts,
    measured: [...parts, { name: "engine", pid: engine.pid }],
    // Kafka is there, and now and then it is not.
    expectedAnswers: ["200", "202"],
    cuts: () => proxies.reduce((sum, proxy) => sum + proxy.cuts(), 0),
    targets: [
      ...collectors.map(({ name }) => ({
        name,
        isMeasured: true,
        faults: [killPart, shortFreeze, jumps, slowDisks],
      })),
      ...loaders.map(({ name }) => ({ name, isMeasured: true, faults: [killPart, longFreeze, jumps] })),
      { name: worker.name, isMeasured: true, faults: [{ ...killPart, weight: 1 }, jumps] },
      {
        name: "engine",
        isMeasured: false,
        faults: [
          { kind: "kill", weight: 1, minMs: 0, maxMs: 1 },
          { ...shortFreeze, weight: 1 },
        ],
      },
      ...nodeNames.map((name): Target => ({
        name,
        isMeasured: false,
        faults: [
          { kind: "kill", weight: 1, minMs: 0, maxMs: 5 * second },
          { ...shortFreeze, weight: 1 },
        ],
      })),
      ...proxies.map((_, index) => cutOff(`connections-${index + 1}`)),
    ],
    victims: new Map<string, Victim>([
      ...parts.map((part) => [part.name, part] as const),
      ["engine", engineVictim(engine.pid)],
      ...kafka.nodes.map((node, index) => [nodeNames[index]!, nodeVictim(node)] as const),
      ...proxies.map((proxy, index) => [`connections-${index + 1}`, { ...proxy, start: proxy.heal }] as const),
    ]),
    query: <Row>(statement: string) => queryEngine<Row>(engine.url, engine.admin, statement),
    async waiting() {
      const metrics = (some: readonly Part[]) => some.map((part) => `${urlOf(part)}/metrics`);
      const [spooled, behind] = await Promise.all([
        sumOfMetric(metrics(collectors), "polder_collector_spool_records"),
        sumOfMetric(metrics(loaders), "polder_loader_lag_records"),
      ]);
      return spooled + behind;
    },
    async stop() {
      const ends = [];
      for (const part of [...collectors, ...loaders, worker]) ends.push({ name: part.name, code: await part.stop() });
      return ends;
    },
  };
}

interface Engine {
  url: string;
  admin: EngineState["admin"];
  pid(): number | undefined;
  stop(): Promise<void>;
}

export interface KafkaNode {
  kill(): Promise<void>;
  start(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
}
interface Kafka {
  brokers: string;
  nodes: readonly KafkaNode[];
  stop(): Promise<void>;
}

async function startKafka(nodes: number): Promise<Kafka | { skipped: string }> {
  const { startKafkaBroker, startKafkaCluster } = (await import(fromRoot("scripts/kafka-broker.mjs"))) as {
    startKafkaBroker(): Promise<(KafkaNode & Omit<Kafka, "nodes">) | { skipped: string }>;
    startKafkaCluster(count: number): Promise<Kafka | { skipped: string }>;
  };
  if (nodes > 1) return startKafkaCluster(nodes);
  const broker = await startKafkaBroker();
  return "skipped" in broker ? broker : { brokers: broker.brokers, nodes: [broker], stop: broker.stop };
}

/** Started once, however often that is asked for. */
export function nodeVictim(node: KafkaNode): Victim {
  let isDown = false;
  let kills = 0;
  return {
    async kill() {
      isDown = true;
      kills++;
      await node.kill();
    },
    isUp: () => !isDown,
    async start() {
      if (!isDown) return;
      isDown = false;
      const killsBefore = kills;
      try {
        await node.start();
      } catch (error) {
        // Ended by a later kill, which has a start of its own.
        if (kills === killsBefore) throw error;
      }
    },
    freeze: node.pause,
    thaw: node.resume,
  };
}
