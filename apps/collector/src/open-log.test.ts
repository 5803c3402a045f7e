import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLog } from "./open-log.ts";

let folder: string;
let warnings: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-open-log-"));
  warnings = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (brokers: readonly string[] | undefined, patienceMs?: number) =>
  openLog({
    kafka: brokers && { brokers, partitions: 1, replicationFactor: 1, topicPrefix: "", producer: "kafkajs" },
    dataPath: folder,
    retainBytes: 2 ** 20,
    ...(patienceMs !== undefined && { patienceMs }),
    logger: { info() {}, error() {}, warn: (message) => void warnings.push(message) },
  });

it("opens the embedded log where no brokers are named", async () => {
  const { log } = await open(undefined);
  expect(await log.identityOf("polder.events")).toContain("lmdb:");
  expect(log.spool).toBeUndefined();
  await log.close();
});

it("does not wait for a Kafka that takes connections and answers nothing", async () => {
  const sockets = new Set<Socket>();
  const hanging = createServer((socket) => void sockets.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => hanging.listen(0, "127.0.0.1", resolve));
  const { port } = hanging.address() as { port: number };
  const { log } = await open([`127.0.0.1:${port}`], 10);
  expect(warnings).toEqual([expect.stringContaining("Kafka is away")]);
  expect(await log.spool?.()).toMatchObject({ records: 0 });
  const closed = new Promise((resolve) => hanging.close(resolve));
  for (const socket of sockets) socket.destroy();
  await log.close();
  await closed;
});

it("does not wait for a Kafka that is not there", async () => {
  // Nothing listens there: port 9 is for discarding.
  const { log } = await open(["127.0.0.1:9"], 60_000);
  expect(warnings).toContainEqual(expect.stringContaining("Kafka is away"));
  await log.close();
});
