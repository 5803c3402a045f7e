// @ts-check
// A real Kafka broker for tests and benchmarks: one node, its data in a temporary folder, on a free port of 127.0.0.1.
// As a command it runs one until Ctrl-C and prints the line that the tests need in their environment.
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { freeze } from "./freeze.mjs";
import { freePorts } from "./free-ports.mjs";

const run = promisify(execFile);

const kafkaVersion = "4.1.0";
const leastJava = 17;
const cacheFolder = join(fileURLToPath(new URL("..", import.meta.url)), ".cache", "kafka");
const libsFolder = join(cacheFolder, `libs-${kafkaVersion}`);
// A limit, not what is usual: on an idle machine it is five seconds.
const startLimitMs = 180_000;

/**
 * @typedef {object} KafkaBroker
 * @property {string} brokers as `KAFKA_BROKERS` takes it
 * @property {() => Promise<void>} stop ends it and removes its data; nothing when it is not ours
 */

/**
 * @typedef {KafkaBroker & {
 *   kill: () => Promise<void>, // as a crash: kill -9
 *   pause: () => Promise<void>, // as a machine that hangs: its connections stay open and it says nothing more
 *   resume: () => Promise<void>,
 *   start: () => Promise<void>, // again, on the same data and port; resolves when it answers
 * }} OwnKafkaBroker
 */

/**
 * The broker of `KAFKA_BROKERS`, else one of our own.
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<KafkaBroker | { skipped: string }>}
 */
export async function ensureKafka({ env = process.env } = {}) {
  const brokers = env.KAFKA_BROKERS;
  if (!brokers) return startKafkaBroker({ env });
  const [host = "", port] = (brokers.split(",")[0] ?? "").split(/:(?=\d+$)/);
  if (await answers(host, Number(port ?? 9092))) return { brokers, stop: async () => {} };
  return { skipped: `KAFKA_BROKERS is ${brokers}, which does not answer: start it, correct it or unset it` };
}

/**
 * A broker of our own: Java and jars from Maven, else Docker.
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<OwnKafkaBroker | { skipped: string }>}
 */
export async function startKafkaBroker({ env = process.env } = {}) {
  const java = await findJava(env);
  const jars = "path" in java ? await ensureJars(env) : java;
  if ("path" in java && "folder" in jars) return startWithJava(java.path, jars.folder);
  if (await hasDocker()) return startWithDocker();
  const fault = "skipped" in java ? java.skipped : "skipped" in jars ? jars.skipped : "";
  return {
    skipped: `no Kafka broker: ${fault}, and no Docker engine answers. Set KAFKA_BROKERS, or install Java ${leastJava} and Maven, or start Docker`,
  };
}

/** @param {NodeJS.ProcessEnv} env @returns {Promise<{ path: string } | { skipped: string }>} */
async function findJava(env) {
  const path = env.JAVA_HOME ? join(env.JAVA_HOME, "bin", "java") : "java";
  try {
    const { stderr } = await run(path, ["-version"], { timeout: 20_000 });
    const major = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0);
    return major >= leastJava ? { path } : { skipped: `Java is ${major}, Kafka needs ${leastJava}` };
  } catch {
    return { skipped: "there is no Java" };
  }
}

// The first one decides which slf4j-api comes along: Kafka's own would leave the broker without a log.
const artifacts = [
  ["org.apache.logging.log4j", "log4j-slf4j2-impl", "2.25.1"],
  ["org.apache.kafka", "kafka_2.13", kafkaVersion],
];

/** @param {NodeJS.ProcessEnv} env @returns {Promise<{ folder: string } | { skipped: string }>} */
async function ensureJars(env) {
  if (existsSync(libsFolder)) return { folder: libsFolder };
  process.stderr.write("fetching Kafka's jars with Maven (43 MB, once)\n");
  await mkdir(cacheFolder, { recursive: true });
  const folder = await mkdtemp(join(cacheFolder, "fetching-"));
  const dependencies = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>polder</groupId><artifactId>test-broker</artifactId><version>1</version>
<dependencies>
${dependencies.join("\n")}
</dependencies></project>
`;
  await writeFile(join(folder, "pom.xml"), pom);
  const goal = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"];
  try {
    const shell = process.platform === "win32";
    await run("mvn", goal, { cwd: folder, env, timeout: 240_000, maxBuffer: 2 ** 24, shell });
    // Complete or not there at all, also when two runs fetch at the same time.
    await rename(join(folder, "libs"), libsFolder).catch((error) => {
      if (!existsSync(libsFolder)) throw error;
    });
    return { folder: libsFolder };
  } catch (error) {
    const { code, stdout } = /** @type {{ code?: unknown, stdout?: string }} */ (error);
    if (code === "ENOENT") return { skipped: "there is no Maven" };
    const line = /^\[ERROR\] (.*)$/m.exec(stdout ?? "")?.[1] ?? String(error);
    return { skipped: `Maven could not fetch Kafka (${line.slice(0, 200)})` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} java
 * @param {string} libs
 * @returns {Promise<OwnKafkaBroker>}
 */
async function startWithJava(java, libs) {
  const [port = 0, controllerPort = 0] = await freePorts(2);
  const folder = await mkdtemp(join(tmpdir(), "polder-kafka-"));
  const voters = `1@127.0.0.1:${controllerPort}`;
  const node = createNode({
    java,
    libs,
    folder,
    id: 1,
    port,
    controllerPort,
    voters,
    settings: {},
    heap: ["256m", "512m"],
  });
  const stop = async () => {
    await node.kill();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await node.format();
    await node.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const { kill, pause, resume, start } = node;
  return { brokers: `127.0.0.1:${port}`, kill, pause, resume, start, stop };
}

/**
 * @typedef {object} KafkaNode
 * @property {() => Promise<void>} kill
 * @property {() => Promise<void>} pause
 * @property {() => Promise<void>} resume
 * @property {() => Promise<void>} start
 */

/**
 * @typedef {object} KafkaCluster
 * @property {string} brokers
 * @property {readonly KafkaNode[]} nodes each a broker and a controller, to be hurt as {@link OwnKafkaBroker} is
 * @property {() => Promise<void>} stop
 */

/**
 * Nodes of one cluster, of which every topic can have as many copies; with Java only, each on 256 MiB of heap.
 * @public the torture test, which may import nothing outside of its package, takes it by its path
 * @param {number} count an odd one, or one death may leave no majority
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<KafkaCluster | { skipped: string }>}
 */
export async function startKafkaCluster(count, { env = process.env } = {}) {
  const java = await findJava(env);
  if ("skipped" in java) return java;
  const jars = await ensureJars(env);
  if ("skipped" in jars) return jars;
  const ports = await freePorts(2 * count);
  const folder = await mkdtemp(join(tmpdir(), "polder-kafka-"));
  const copies = String(count);
  const settings = {
    "offsets.topic.replication.factor": copies,
    "transaction.state.log.replication.factor": copies,
    "transaction.state.log.min.isr": String(Math.max(1, count - 1)),
    "share.coordinator.state.topic.replication.factor": copies,
    "share.coordinator.state.topic.min.isr": String(Math.max(1, count - 1)),
    // A node that came back leads its share again soon, so that whichever dies next was a leader.
    "leader.imbalance.check.interval.seconds": "3",
    "leader.imbalance.per.broker.percentage": "0",
    "replica.lag.time.max.ms": "4000",
  };
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const voters = ids.map((id) => `${id}@127.0.0.1:${ports[count + id - 1]}`).join(",");
  const nodes = ids.map((id) =>
    createNode({
      java: java.path,
      libs: jars.folder,
      folder: join(folder, String(id)),
      id,
      port: ports[id - 1] ?? 0,
      controllerPort: ports[count + id - 1] ?? 0,
      voters,
      settings,
      heap: ["128m", "256m"],
    }),
  );
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(nodes.map((node) => node.format()));
    await Promise.all(nodes.map((node) => node.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { brokers: ids.map((id) => `127.0.0.1:${ports[id - 1]}`).join(","), nodes, stop };
}

/**
 * @param {{ java: string, libs: string, folder: string, id: number, port: number, controllerPort: number, voters: string,
 *   settings: Record<string, string>, heap: readonly [least: string, most: string] }} options
 */
function createNode({ java, libs, folder, id, port, controllerPort, voters, settings, heap: [least, most] }) {
  const configPath = join(folder, "server.properties");
  const classPath = ["-cp", join(libs, "*")];
  const address = `127.0.0.1:${port}`;
  const format = async () => {
    const all = {
      ...nodeSettings,
      ...settings,
      "node.id": String(id),
      "controller.quorum.voters": voters,
      listeners: `BROKER://${address},CONTROLLER://127.0.0.1:${controllerPort}`,
      "advertised.listeners": `BROKER://${address}`,
      "log.dirs": join(folder, "data").replaceAll("\\", "/"),
    };
    await mkdir(folder, { recursive: true });
    await writeFile(
      configPath,
      Object.entries(all)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    const storage = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", configPath];
    await run(java, [...classPath, "-Xmx128m", "-XX:TieredStopAtLevel=1", ...storage], { timeout: startLimitMs });
  };

  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  const start = async () => {
    const memory = [`-Xms${least}`, `-Xmx${most}`, "-XX:+UseSerialGC"];
    const broker = spawn(java, [...memory, ...classPath, "kafka.Kafka", configPath], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = broker;
    /** @type {string[]} */
    const output = [];
    for (const stream of [broker.stdout, broker.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => void (output.push(text) > 200 && output.shift()));
    }
    await untilAnswers(port, () => {
      if (broker.exitCode === null && broker.signalCode === null) return;
      throw new Error(`the broker ended while it started:\n${output.join("").slice(-2000)}`);
    });
  };
  const kill = async () => {
    const broker = child;
    child = undefined;
    if (!broker || broker.exitCode !== null || broker.signalCode !== null) return;
    const ended = new Promise((resolve) => broker.once("exit", resolve));
    broker.kill("SIGKILL");
    await ended;
  };
  const pause = async () => {
    if (child?.pid !== undefined) await freeze(child.pid);
  };
  const resume = async () => void child?.kill("SIGCONT");
  return { format, start, kill, pause, resume };
}

const clusterId = "cG9sZGVyLXRlc3QtYnJva2Vy";
const nodeSettings = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
  "inter.broker.listener.name": "BROKER",
  "controller.listener.names": "CONTROLLER",
  "auto.create.topics.enable": "false",
  "offsets.topic.replication.factor": "1",
  "offsets.topic.num.partitions": "4",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  // Groups of tests form at once, and a killed member may be declared dead sooner than a real broker would.
  "group.initial.rebalance.delay.ms": "0",
  // A broker that was killed may come back only after its last session has ended.
  "broker.session.timeout.ms": "2000",
  "broker.heartbeat.interval.ms": "500",
  "group.min.session.timeout.ms": "1000",
};

async function hasDocker() {
  return run("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: 20_000 }).then(
    () => true,
    () => false,
  );
}

/** @returns {Promise<OwnKafkaBroker | { skipped: string }>} */
async function startWithDocker() {
  const [port = 0] = await freePorts(1);
  const brokers = `127.0.0.1:${port}`;
  const settings = {
    ...nodeSettings,
    "controller.quorum.voters": "1@localhost:9093",
    listeners: "BROKER://0.0.0.0:9092,CONTROLLER://localhost:9093",
    "advertised.listeners": `BROKER://${brokers}`,
  };
  const variables = Object.entries(settings).flatMap(([name, value]) => [
    "-e",
    `KAFKA_${name.toUpperCase().replaceAll(".", "_")}=${value}`,
  ]);
  const image = `apache/kafka:${kafkaVersion}`;
  /** @type {string} */
  let container;
  try {
    const created = await run("docker", ["run", "-d", "-p", `${brokers}:9092`, ...variables, image], {
      timeout: 240_000,
    });
    container = created.stdout.trim();
  } catch (error) {
    const { stderr = "" } = /** @type {{ stderr?: string }} */ (error);
    return { skipped: `Docker could not run ${image} (${stderr.trim().split("\n").at(-1)})` };
  }
  const kill = async () => void (await run("docker", ["kill", container]).catch(() => {}));
  const start = async () => {
    await run("docker", ["start", container]);
    await untilAnswers(port, () => {});
  };
  const pause = async () => void (await run("docker", ["pause", container]));
  const resume = async () => void (await run("docker", ["unpause", container]));
  const stop = async () => void (await run("docker", ["rm", "-f", "-v", container]).catch(() => {}));
  try {
    await untilAnswers(port, () => {});
  } catch (error) {
    await stop();
    throw error;
  }
  return { brokers, kill, pause, resume, start, stop };
}

/**
 * @param {number} port
 * @param {() => void} assertAlive
 */
async function untilAnswers(port, assertAlive) {
  const deadline = performance.now() + startLimitMs;
  while (!(await answers("127.0.0.1", port))) {
    assertAlive();
    if (performance.now() > deadline) throw new Error(`the broker did not answer within ${startLimitMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// Metadata, version 1, of all topics: size, api key 3, version, correlation id, no client id, a null array.
const metadataRequest = Buffer.from("0000000e0003000100000001ffffffffffff", "hex");

/**
 * Whether a broker answers and counts itself in: a listening socket alone comes seconds earlier.
 * @param {string} host
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    let answer = Buffer.alloc(0);
    /** @param {boolean} yes */
    const end = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.on("connect", () => socket.write(metadataRequest));
    socket.on("data", (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      // Size, correlation id, then how many brokers there are.
      if (answer.length >= 12) end(answer.readInt32BE(8) > 0);
    });
    socket.on("timeout", () => end(false));
    socket.on("error", () => end(false));
    socket.on("close", () => end(false));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const kafka = await startKafkaBroker();
  if ("skipped" in kafka) {
    process.stderr.write(`${kafka.skipped}\n`);
    process.exitCode = 1;
  } else {
    process.stdout.write(`KAFKA_BROKERS=${kafka.brokers}\n`);
    for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
      process.once(signal, () => void kafka.stop().finally(() => process.exit(0)));
    }
  }
}
