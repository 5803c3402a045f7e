import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  LogUnavailableError,
  NotAssignedError,
  type CommittedPosition,
  type EventLog,
  type LogRecord,
} from "@polder/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLmdbLog, type LmdbLog } from "./event-log.ts";
import { createSpoolForwarder } from "./spool-forwarder.ts";

const topic = "polder.events";
const group = "spool";

const record = (n: number): LogRecord => ({
  key: "shop:v",
  value: Buffer.from("{}"),
  headers: { id: `m${n}`, site: "shop", anonymousId: "v", userId: "" },
});
const numbered = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);

describe("a spool whose disk is full, while the log takes what is in it", () => {
  let folder: string;
  let spool: LmdbLog;
  let isDiskFull: boolean;
  let isTakenOver: boolean;
  let sent: string[];
  let warnings: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "polder-forwarder-"));
    spool = createLmdbLog({ path: folder, pollMs: 5, retryAfterMs: 5, logger: { info() {}, warn() {}, error() {} } });
    isDiskFull = true;
    isTakenOver = false;
    sent = [];
    warnings = [];
  });
  afterEach(async () => {
    await spool.close();
    rmSync(folder, { recursive: true });
  });

  /** The spool, in which no position can be written while the disk is full. */
  const failing: Pick<EventLog, "openReader"> = {
    openReader(options) {
      const reader = spool.openReader(options);
      return {
        ...reader,
        run: (consumer) =>
          reader.run({
            ...consumer,
            consume: (range) =>
              consumer.consume({
                ...range,
                async commit(position: CommittedPosition) {
                  if (isTakenOver) throw new NotAssignedError("another process forwards");
                  if (isDiskFull) throw new LogUnavailableError("no space left");
                  await range.commit(position);
                },
              }),
          }),
      };
    },
  };
  const start = () =>
    createSpoolForwarder({
      spool: failing as EventLog,
      topic,
      group,
      append: async (_topic, records) => void sent.push(...records.map(({ headers }) => headers.id)),
      retryAfterMs: 1,
      clock: () => performance.now(),
      logger: { info() {}, error() {}, warn: (message) => void warnings.push(message) },
      onForwarded() {},
    });
  const until = (isSo: () => boolean) => vi.waitUntil(isSo, { interval: 1, timeout: 120_000 });
  const put = (from: number, to: number) => spool.append(topic, numbered(from, to).map(record));
  const ids = (from: number, to: number) => numbered(from, to).map((n) => `m${n}`);

  it("is forwarded to its end all the same, each record once, and that is said once", async () => {
    // Three ranges.
    await put(0, 11_000);
    const forwarder = start();
    await until(() => forwarder.confirmedTo() === 11_000);
    await put(11_000, 11_010);
    await until(() => forwarder.confirmedTo() === 11_010);
    expect(sent).toEqual(ids(0, 11_010));
    expect(spool.position(topic, group, 0)).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining("cannot be written")]);
    await forwarder.stop();
  });

  it("gets its position as soon as there is room, so that the next life sends nothing again", async () => {
    await put(0, 10);
    const first = start();
    await until(() => first.confirmedTo() === 10);
    isDiskFull = false;
    await until(() => spool.position(topic, group, 0)?.offset === 10);
    await first.stop();
    const second = start();
    await put(10, 20);
    await until(() => second.confirmedTo() === 20);
    expect(sent).toEqual(ids(0, 20));
    await second.stop();
  });

  it("can be closed, and what was not noted is sent again by the next life", async () => {
    await put(0, 10);
    const first = start();
    await until(() => first.confirmedTo() === 10);
    await first.stop();
    const second = start();
    await until(() => second.confirmedTo() === 10);
    expect(sent).toEqual([...ids(0, 10), ...ids(0, 10)]);
    await second.stop();
  });

  it("is not sent again by a process that gave the topic away and got it back", async () => {
    await put(0, 10);
    isTakenOver = true;
    const forwarder = start();
    await until(() => forwarder.confirmedTo() === 10);
    isTakenOver = false;
    await put(10, 20);
    await until(() => forwarder.confirmedTo() === 20);
    expect(sent).toEqual(ids(0, 20));
    await forwarder.stop();
  });
});
