import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { copyLmdbFolder } from "./copy-folder.ts";
import { createLmdbLog } from "./event-log.ts";

const logger = { info() {}, warn() {}, error() {} };
const text = new TextEncoder();
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-copy-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const record = (n: number) => ({
  key: `shop:${n}`,
  value: text.encode(`{"n":${n},"pad":"${"x".repeat(500)}"}`),
  headers: { id: `m-${n}`, site: "shop", anonymousId: `${n}`, userId: "" },
});

it("copies a log as it was at one moment, while it is written, and leaves it usable", async () => {
  const [from, to] = [join(folder, "log"), join(folder, "copy")];
  const log = createLmdbLog({ path: from, logger });
  await log.append(
    "polder.events",
    Array.from({ length: 1_000 }, (_, n) => record(n)),
  );
  const copying = copyLmdbFolder("log", from, to);
  let n = 1_000;
  let isCopied = false;
  void copying.finally(() => (isCopied = true));
  do await log.append("polder.events", [record(n++)]);
  while (!isCopied);
  await copying;
  await log.append("polder.events", [record(n++)]);
  const lagOf = async (one: typeof log): Promise<number> => (await one.lag("polder.events", "nobody")).get(0)!;
  expect(await lagOf(log)).toBe(n);

  const copy = createLmdbLog({ path: to, logger });
  const copied = await lagOf(copy);
  expect(copied).toBeGreaterThanOrEqual(1_000);
  expect(copied).toBeLessThan(n);
  expect(await copy.identityOf("polder.events")).toBe(await log.identityOf("polder.events"));
  // It goes on as a log of its own.
  await copy.append("polder.events", [record(0)]);
  expect([await lagOf(copy), await lagOf(log)]).toEqual([copied + 1, n]);
  expect(statSync(join(to, "data.mdb")).size).toBeGreaterThan(100_000);
  await copy.close();
  await log.close();
});

it("leaves out who reads the log: the copy is free for another reader", async () => {
  const [from, to] = [join(folder, "log"), join(folder, "copy")];
  const log = createLmdbLog({ path: from, logger });
  await log.append("polder.events", [record(1)]);
  const readingOf = (one: typeof log): Promise<number> =>
    new Promise((resolve, reject) => {
      const reader = one.openReader({
        topic: "polder.events",
        group: "g",
        maxRecords: 10,
        maxBytes: 1_000,
        lingerMs: 0,
        whenTaken: "refuse",
      });
      const consume = async ({ records }: { records: readonly unknown[] }): Promise<void> => resolve(records.length);
      reader.run({ assigned: async (_, __, { start }) => start, consume, revoked() {} }).catch(reject);
    });
  expect(await readingOf(log)).toBe(1);
  await copyLmdbFolder("log", from, to);
  const copy = createLmdbLog({ path: to, logger });
  expect(await readingOf(copy)).toBe(1);
  await copy.close();
  await log.close();
});

it("says which folder cannot be used", async () => {
  await expect(copyLmdbFolder("log", "/dev/null/log", join(folder, "copy"))).rejects.toMatchObject({
    code: "log_misconfigured",
    message: expect.stringContaining("The log folder /dev/null/log cannot be used"),
  });
});

it("stops nothing that this process is writing to it meanwhile", async () => {
  const from = join(folder, "log");
  const log = createLmdbLog({ path: from, logger });
  let isOver = false;
  let written = 0;
  const writing = [1, 2, 3].map(async () => {
    while (!isOver) await log.append("polder.events", [record(written++)]);
  });
  // Opened for writing, the folder made this thread wait for its own process's writer, for good, before all copies were made.
  for (let n = 0; n < 100; n++) {
    const to = join(folder, `copy-${n}`);
    await copyLmdbFolder("log", from, to);
    rmSync(to, { recursive: true });
  }
  isOver = true;
  await Promise.all(writing);
  expect((await log.lag("polder.events", "nobody")).get(0)).toBe(written);
  await log.close();
});
