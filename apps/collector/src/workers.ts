import cluster, { type Worker } from "node:cluster";
import type { Logger } from "@polder/core";
import { AggregatorRegistry, type Registry } from "prom-client";

const longestPauseMs = 10_000;

/**
 * Keeps `count` copies of this program running on one port, and lets them finish on SIGTERM or SIGINT. Resolves when all are gone; rejects when
 * one ends before any of them could listen, since the next one would fare no better.
 */
export function runWorkers(count: number, logger: Logger): Promise<void> {
  const aggregator = new AggregatorRegistry();
  let isStopping = false;
  let pauseMs = 100;

  return new Promise((resolve, reject) => {
    let hasListened = false;
    const start = (): void => {
      const worker = cluster.fork();
      worker.on("message", (message: unknown) => {
        if (isMetricsRequest(message)) void answerMetrics(worker, message.polderMetrics);
      });
    };
    async function answerMetrics(worker: Worker, id: number): Promise<void> {
      const text = await aggregator.clusterMetrics().catch((error: unknown) => `# ${String(error)}\n`);
      if (worker.isConnected()) worker.send({ polderMetrics: id, text });
    }
    cluster.on("listening", () => {
      hasListened = true;
      pauseMs = 100;
    });
    cluster.on("exit", (worker, code, signal) => {
      if (isStopping) {
        if (Object.keys(cluster.workers ?? {}).length === 0) resolve();
        return;
      }
      if (!hasListened) {
        stop();
        reject(new Error("The workers could not start: the reason is above."));
        return;
      }
      logger.error("a worker ended and is started again", { pid: worker.process.pid, code, signal });
      setTimeout(() => isStopping || start(), pauseMs);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    });
    const stop = (): void => {
      if (isStopping) return;
      isStopping = true;
      const workers = Object.values(cluster.workers ?? {});
      for (const worker of workers) worker?.process.kill("SIGTERM");
      if (workers.length === 0) resolve();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    for (let i = 0; i < count; i++) start();
  });
}

/** In a worker: the counts of all workers together, whichever of them is asked. */
export function createSharedMetrics(registry: Registry): () => Promise<string> {
  AggregatorRegistry.setRegistries(registry);
  // Makes this worker answer when the primary collects.
  void new AggregatorRegistry();
  const waiting = new Map<number, (text: string) => void>();
  let next = 0;
  process.on("message", (message: unknown) => {
    if (!isMetricsAnswer(message)) return;
    waiting.get(message.polderMetrics)?.(message.text);
    waiting.delete(message.polderMetrics);
  });
  return () =>
    new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve);
      process.send?.({ polderMetrics: id });
    });
}

const isMetricsRequest = (message: unknown): message is { polderMetrics: number } =>
  typeof message === "object" && message !== null && "polderMetrics" in message;
const isMetricsAnswer = (message: unknown): message is { polderMetrics: number; text: string } =>
  isMetricsRequest(message) && "text" in message;
