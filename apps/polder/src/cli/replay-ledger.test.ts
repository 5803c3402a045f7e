import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSharedConsentLedger } from "@polder/kafka";
import { createLmdbConsentLedger, createLmdbLog } from "@polder/lmdb";
import { gpcTimesOf } from "@polder/protocol";
import type { EventLog } from "@polder/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLedgerOfToday } from "./replay-ledger.ts";

const logger = { info() {}, warn() {}, error() {} };
const now = (): Date => new Date();
let folder: string;
let log: EventLog;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-replay-ledger-"));
  log = createLmdbLog({ path: join(folder, "log"), logger });
});
afterEach(async () => {
  await log.close();
  rmSync(folder, { recursive: true });
});

it("knows what visitors said at the collectors before it is handed out, though its folder is new", async () => {
  const at = Date.now();
  const refusal = { visitor: "shop:a", times: gpcTimesOf({ recordedAt: at, sentAt: at, receivedAt: at }) };
  const collector = createSharedConsentLedger({
    ledger: createLmdbConsentLedger({ path: join(folder, "collector"), now: Date.now, logger }),
    log,
    instance: "collector",
    logger,
  });
  await collector.record([refusal]);
  await collector.close();

  const ledger = await openLedgerOfToday({ dataPath: join(folder, "new"), sharedBy: log, now, logger });
  expect(ledger.timesOf("shop:a")).toEqual(refusal.times);
  await ledger.close();
});

it("is not handed out while that is still being read", async () => {
  // A reader that is not given its partitions.
  const silent: EventLog = {
    ...log,
    openReader: () => {
      let stop = (): void => {};
      const stopped = new Promise<void>((resolve) => (stop = resolve));
      return { run: () => stopped, stop: async () => stop() };
    },
  };
  const opened = openLedgerOfToday({ dataPath: join(folder, "new"), sharedBy: silent, now, logger, withinMs: 20 });
  await expect(opened).rejects.toThrow(/not known yet .* so nothing is replayed/);
});
