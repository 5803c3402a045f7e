import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogUnavailableError, type EventLog, type LogRecord } from "@polder/core";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLmdbLog } from "./event-log.ts";
import { createSpooledLog, type SpooledLog } from "./spooled-log.ts";

/** Of the disk under every LMDB log of this file. */
const disk = vi.hoisted(() => ({ isFull: false }));

vi.mock("./event-log.ts", async (importOriginal) => {
  const original = await importOriginal<{ createLmdbLog: typeof createLmdbLog }>();
  const assertRoom = (): void => {
    if (disk.isFull) throw new LogUnavailableError("no space left");
  };
  const createLogOnDisk: typeof createLmdbLog = (options) => {
    const log = original.createLmdbLog(options);
    return {
      ...log,
      async append(topic, records) {
        assertRoom();
        await log.append(topic, records);
      },
      openReader(readerOptions) {
        const reader = log.openReader(readerOptions);
        return {
          ...reader,
          run: (consumer) =>
            reader.run({
              ...consumer,
              consume: (range) =>
                consumer.consume({
                  ...range,
                  async commit(position) {
                    assertRoom();
                    await range.commit(position);
                  },
                }),
            }),
        };
      },
    };
  };
  return { ...original, createLmdbLog: createLogOnDisk };
});

let folder: string;
let spooled: SpooledLog;
let isAway: boolean;
let inLog: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-spool-"));
  isAway = true;
  disk.isFull = false;
  inLog = [];
  const log = {
    async append(_topic: string, records: readonly LogRecord[]) {
      if (isAway) throw new LogUnavailableError("away");
      inLog.push(...records.map(({ headers }) => headers.id));
    },
    close: () => Promise.resolve(),
  } as unknown as EventLog;
  spooled = createSpooledLog({ log, path: folder, retryAfterMs: 5, logger: { info() {}, warn() {}, error() {} } });
});
afterEach(async () => {
  await spooled.close();
  rmSync(folder, { recursive: true });
});

const put = (id: string) =>
  spooled
    .append("polder.events", [
      { key: "shop:v", value: Buffer.from("{}"), headers: { id, site: "shop", anonymousId: "v", userId: "" } },
    ])
    .then(
      (outcome) => outcome ?? "direct",
      (error: Error) => error.message,
    );

it("takes events again as soon as the log is back, where the disk of the spool is still full", async () => {
  expect(await put("a")).toBe("spooled");
  disk.isFull = true;
  expect(await put("b")).toBe("no space left");
  isAway = false;
  await vi.waitUntil(() => inLog.length === 1, { interval: 1, timeout: 120_000 });
  expect(await put("c")).toBe("direct");
  expect(await put("d")).toBe("direct");
  expect((await spooled.spool()).records).toBe(0);
  expect(inLog).toEqual(["a", "c", "d"]);
});
