import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogUnavailableError, type EventLog, type Logger } from "@polder/core";
import { createLmdbLog } from "@polder/lmdb";
import { gpcTimesOf } from "@polder/protocol";
import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openConsentLedger, type OpenedConsentLedger } from "./open-consent-ledger.ts";

let folder: string;
let log: EventLog;
let warnings: string[];
let opened: OpenedConsentLedger[];
const logger: Logger = { info() {}, error() {}, warn: (message) => void warnings.push(message) };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-ledger-"));
  log = createLmdbLog({ path: join(folder, "log"), logger });
  warnings = [];
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((ledger) => ledger.close()));
  await log.close();
  rmSync(folder, { recursive: true });
});

const open = async (name: string, sharedBy = log, catchUpWithinMs = 120_000) => {
  const ledger = await openConsentLedger({
    dataPath: join(folder, name),
    sharedBy,
    now: Date.now,
    logger,
    registry: new Registry(),
    catchUpWithinMs,
  });
  opened.push(ledger);
  return ledger;
};
const at = Date.now();
const refusal = { visitor: "shop:a", times: gpcTimesOf({ recordedAt: at, sentAt: at, receivedAt: at }) };

/** The log, of which nothing is read before `open`. */
const gated = () => {
  let openGate = (): void => {};
  const gate = new Promise<void>((resolve) => (openGate = resolve));
  const slow: EventLog = {
    ...log,
    openReader(options) {
      const reader = log.openReader(options);
      return {
        ...reader,
        run: (consumer) =>
          reader.run({
            ...consumer,
            async consume(range) {
              await gate;
              await consumer.consume(range);
            },
          }),
      };
    },
  };
  return { slow, open: openGate };
};
/** A log that is away. */
const away = (): EventLog => ({
  ...log,
  partitionCount: async () => Promise.reject(new LogUnavailableError("away")),
  openReader: () => {
    let stop = (): void => {};
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    return { run: () => stopped, stop: async () => stop() };
  },
});

/** A log that takes questions and answers none. */
const hanging = (): EventLog => ({
  ...away(),
  partitionCount: () => new Promise(() => {}),
  offsetsAt: () => new Promise(() => {}),
});

it("is ready at once on one machine", async () => {
  const ledger = await openConsentLedger({
    dataPath: folder,
    sharedBy: undefined,
    now: Date.now,
    logger,
    registry: new Registry(),
  });
  opened.push(ledger);
  expect(ledger.notReady()).toBeUndefined();
});

it("is not ready in a new folder before it knows what the others know, however long that takes", async () => {
  const other = await open("other");
  await other.whenReady();
  await other.record([refusal]);
  const { slow, open: openGate } = gated();
  const ledger = await open("new", slow, 0);
  expect(ledger.notReady()).toContain("polder.consent");
  openGate();
  await ledger.whenReady();
  expect(ledger.notReady()).toBeUndefined();
  expect(ledger.latest("shop:a")).toMatchObject({ refused: 32 });
  expect(warnings).toEqual([]);
});

it("is not ready in a new folder while the log is away, and can be closed", async () => {
  const ledger = await open("new", away(), 0);
  expect(ledger.notReady()).toContain("polder.consent");
  await ledger.close();
  await ledger.whenReady();
});

it("goes on with what its folder knows while the log is away, and says so", async () => {
  const before = await open("mine");
  await before.whenReady();
  await before.record([refusal]);
  await before.close();
  const ledger = await open("mine", away());
  await ledger.whenReady();
  expect(ledger.notReady()).toBeUndefined();
  expect(ledger.latest("shop:a")).toMatchObject({ refused: 32 });
  expect(warnings).toEqual([expect.stringContaining("as it was")]);
});

it("goes on with what its folder knows where the log answers nothing at all", async () => {
  const before = await open("mine");
  await before.whenReady();
  await before.close();
  const ledger = await openConsentLedger({
    dataPath: join(folder, "mine"),
    sharedBy: hanging(),
    now: Date.now,
    logger,
    registry: new Registry(),
    answerWithinMs: 1,
  });
  opened.push(ledger);
  await ledger.whenReady();
  expect(ledger.notReady()).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining("as it was")]);
});

it("says that it does not know how far it is behind where the log answers nothing, instead of keeping all metrics waiting", async () => {
  const registry = new Registry();
  let nowMs = 0;
  const ledger = await openConsentLedger({
    dataPath: join(folder, "mine"),
    sharedBy: hanging(),
    now: () => nowMs,
    logger,
    registry,
    answerWithinMs: 1,
  });
  opened.push(ledger);
  nowMs = 90_000;
  const text = await registry.metrics();
  expect(text).toContain("polder_consent_ledger_lag_records Nan");
  expect(text).toContain("polder_consent_ledger_lag_seconds 90");
});

it("waits a while in its folder for what the others recorded since, and then goes on, and says so", async () => {
  const before = await open("mine");
  await before.whenReady();
  await before.close();
  const other = await open("other");
  await other.whenReady();
  await other.record([refusal]);
  const patient = gated();
  const waiting = await open("mine", patient.slow);
  expect(waiting.notReady()).toContain("polder.consent");
  patient.open();
  await waiting.whenReady();
  expect(waiting.latest("shop:a")).toMatchObject({ refused: 32 });
  await waiting.close();
  expect(warnings).toEqual([]);

  await other.record([{ ...refusal, visitor: "shop:b" }]);
  const { slow, open: openGate } = gated();
  const impatient = await open("mine", slow, 1);
  await impatient.whenReady();
  expect(impatient.latest("shop:b")).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining("as it was")]);
  openGate();
});
