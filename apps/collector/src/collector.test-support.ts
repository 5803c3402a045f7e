import type { EventLog, EventRow, LogRecord, Logger, RejectedRow, SiteKey, Topic } from "@polder/core";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { buildSite, builtAt } from "@polder/testing";
import type { BatchAnswer, ErrorAnswer } from "@polder/protocol";
import { Registry } from "prom-client";
import { createCollector, type Collector, type CollectorDeps } from "./create-collector.ts";

export const writeKey = "pk_test_write";
export const serverKey = "sk_test_server";
export const shopOrigin = "https://shop.example";

export interface RecordingLog extends EventLog {
  appends: { topic: Topic; records: readonly LogRecord[] }[];
  rows(): EventRow[];
  rejectedRows(): RejectedRow[];
}

/** Remembers what is appended, after `before` has let it pass. */
export function createRecordingLog(before: () => Promise<void> = () => Promise.resolve()): RecordingLog {
  const appends: RecordingLog["appends"] = [];
  const read = (topic: Topic): unknown[] =>
    appends
      .filter((each) => each.topic === topic)
      .flatMap(({ records }) => records.map(({ value }) => JSON.parse(Buffer.from(value).toString())));
  return {
    appends,
    rows: () => read("polder.events") as EventRow[],
    rejectedRows: () => read("polder.rejected") as RejectedRow[],
    async append(topic, records) {
      await before();
      appends.push({ topic, records });
    },
    openReader() {
      throw new Error("Nobody reads here.");
    },
    lag: () => Promise.resolve(new Map()),
    isReachable: () => Promise.resolve(true),
    partitionCount: () => Promise.resolve(1),
    partitionOf: () => 0,
    identityOf: () => Promise.resolve("recording"),
    offsetsAt: () => Promise.resolve(new Map()),
    close: () => Promise.resolve(),
  };
}

export const site = buildSite();

export const keys: { readonly [key: string]: SiteKey } = {
  [writeKey]: { site, kind: "write" },
  [serverKey]: {
    site,
    kind: "server",
    basis: { purposes: ["measurement", "profile"], basis: "contract", reason: "orders" },
    origins: ["observed", "declared"],
  },
};

export interface TestCollector {
  collector: Collector;
  log: RecordingLog;
  lines: string[];
  registry: Registry;
  post(path: string, body: unknown, headers?: { [name: string]: string }): Promise<Response>;
}

/** A collector at the time when built events happened, with a log that remembers. */
export function buildCollector(
  overrides: Partial<Omit<CollectorDeps, "log">> & { log?: RecordingLog } = {},
): TestCollector {
  const log = overrides.log ?? createRecordingLog();
  const lines: string[] = [];
  const write =
    (level: string): Logger["info"] =>
    (message, fields) =>
      void lines.push(JSON.stringify({ level, message, ...fields }));
  const registry = overrides.registry ?? new Registry();
  let made = 0;
  const collector = createCollector({
    ledger: createMemoryConsentLedger(),
    sites: { findKey: (key) => keys[key], findSite: () => site, sites: () => [site] },
    countryOf: () => "NL",
    now: () => Date.parse(builtAt),
    clock: () => performance.now(),
    newId: () => `made-${++made}`,
    logger: { info: write("info"), warn: write("warn"), error: write("error") },
    browserBundle: [
      { name: "polder.js", script: Buffer.from("globalThis.polder = {};"), sourceMap: Buffer.from("{}") },
      { name: "polder.all.js", script: Buffer.from("globalThis.polder = { all: true };") },
    ],
    ...overrides,
    // Who tests a limit gives one. A busy machine must not reach those of production.
    options: { answerWithinMs: 120_000, drainTimeoutMs: 120_000, ...overrides.options },
    log,
    registry,
  });
  return {
    collector,
    log,
    lines,
    registry,
    post: async (path, body, headers = {}) =>
      collector.app.request(path, {
        method: "POST",
        body: typeof body === "string" || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body),
        headers: { "content-type": "application/json", host: "data.shop.example", ...headers },
      }),
  };
}

export const answerOf = async (response: Response): Promise<BatchAnswer> => (await response.json()) as BatchAnswer;
export const errorOf = async (response: Response): Promise<ErrorAnswer> => (await response.json()) as ErrorAnswer;
