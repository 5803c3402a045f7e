import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ownerOf, takeDataFolder } from "./data-folder.ts";

let path = "";
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "polder-data-"));
});
afterEach(() => rm(path, { recursive: true, force: true }));

it("makes the folder for its owner only, and gives it back", async () => {
  const folder = await takeDataFolder(join(path, "a", "b"));
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700);
  expect(await ownerOf(folder.path)).toBe(process.pid);
  await folder.release();
  expect(await ownerOf(folder.path)).toBeUndefined();
  await (await takeDataFolder(folder.path)).release();
});

it("is had by one at a time, also when many ask at once", async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => takeDataFolder(path)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await expect(takeDataFolder(path)).rejects.toThrow(`(process ${process.pid})`);
});

it.each([
  ["a process that is gone", { pid: 2 ** 22 + 1, started: "1" }],
  ["a process that started at another time", { pid: process.pid, started: "1" }],
])("takes over the lock of %s, and leaves nothing behind", async (_, owner) => {
  await writeFile(join(path, "polder.lock"), JSON.stringify(owner));
  expect(await ownerOf(path)).toBeUndefined();
  await takeDataFolder(path);
  expect(await readdir(path)).toEqual(["polder.lock"]);
});

it("takes over a lock that was cut off while it was written", async () => {
  await writeFile(join(path, "polder.lock"), '{"pid":');
  await takeDataFolder(path);
  expect(await ownerOf(path)).toBe(process.pid);
});

it("says what to do about a folder that cannot be made", async () => {
  await mkdir(join(path, "x"));
  await writeFile(join(path, "x", "file"), "");
  await expect(takeDataFolder(join(path, "x", "file", "data"))).rejects.toThrow(
    /cannot be written .*--data or POLDER_DATA/,
  );
});
