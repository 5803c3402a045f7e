import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
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
import { createPart } from "./part.ts";
import { createRandom } from "./random.ts";

/** Everything in one process, and its engine. */
export const installEmbedded = (seed: number): Promise<Installation> =>
  install((ground, endings) => build(seed, ground, endings));

async function build(seed: number, { folder, slowDisk, configPath }: Ground, endings: Endings): Promise<Built> {
  const dataPath = join(folder, "data");
  const [collector, api, sql] = (await freePorts(3)) as [number, number, number];
  const polder = createPart({
    name: "polder",
    command: ["apps/polder/bin/polder.mjs", "start", "--config", configPath],
    env: {
      POLDER_DATA: dataPath,
      POLDER_COLLECTOR_PORT: String(collector),
      POLDER_API_PORT: String(api),
      POLDER_SQL_PORT: String(sql),
      KAFKA_BROKERS: "",
      CLICKHOUSE_URL: "",
    },
    readyUrls: [`http://127.0.0.1:${collector}/readyz`, `http://127.0.0.1:${api}/readyz`],
    folder,
    slowDisk,
    speaks: "text",
  });
  endings.push(polder.kill);
  polder.start();
  await polder.ready();
  const proxy = await startCuttingProxy(collector, createRandom(seed, "cuts"));
  endings.push(proxy.close);
  const statePath = join(dataPath, "clickhouse", "engine.json");
  const enginePid = (): number | undefined => processOf(dataPath);
  return {
    urls: [proxy.url],
    parts: [polder],
    measured: [polder, { name: "engine", pid: enginePid }],
    cuts: proxy.cuts,
    expectedAnswers: ["200"],
    targets: [
      {
        name: "polder",
        isMeasured: true,
        faults: [{ kind: "kill", weight: 3, minMs: 0, maxMs: 1.5 * second }, shortFreeze, jumps, slowDisks],
      },
      {
        name: "engine",
        isMeasured: false,
        faults: [{ kind: "kill", weight: 2, minMs: 0, maxMs: 1 }, shortFreeze],
      },
      cutOff("connections"),
    ],
    victims: new Map<string, Victim>([
      ["polder", polder],
      ["engine", engineVictim(enginePid)],
      ["connections", { ...proxy, start: proxy.heal }],
    ]),
    query: <Row>(statement: string) => {
      const { port, admin } = JSON.parse(readFileSync(statePath, "utf8")) as EngineState;
      return queryEngine<Row>(`http://127.0.0.1:${port}`, admin, statement);
    },
    waiting: () => sumOfMetric([`http://127.0.0.1:${collector}/metrics`], "polder_log_lag_records"),
    stop: async () => [{ name: "polder", code: await polder.stop() }],
  };
}

/** The engine that was started on this folder. */
function processOf(dataPath: string): number | undefined {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return line.includes("child.mjs") && line.includes(dataPath);
      } catch {
        return false; // it ended while we looked
      }
    });
}
