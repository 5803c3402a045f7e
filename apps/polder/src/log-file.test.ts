import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLogFile } from "./log-file.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-log-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const now = (): Date => new Date("2026-11-22T12:00:00Z");

it("keeps one JSON object a line over restarts, and tells the terminal of trouble only", async () => {
  const told: string[] = [];
  for (const round of [1, 2]) {
    const file = openLogFile(folder, { now, onTrouble: (level, text) => told.push(`${level} ${text}`) });
    file.loggerOf("loader").info("loaded", { round });
    file.loggerOf("loader").warn("slow", { seconds: 3 });
    await file.close();
  }
  const lines = (await readFile(join(folder, "polder.log"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toEqual({
    time: "2026-11-22T12:00:00.000Z",
    level: "info",
    name: "loader",
    message: "loaded",
    round: 1,
  });
  expect(told).toEqual(["warn loader: slow, seconds 3", "warn loader: slow, seconds 3"]);
});

it("steps aside when it has grown", async () => {
  await writeFile(join(folder, "polder.log"), "x".repeat(11 * 1024 * 1024));
  const file = openLogFile(folder, { now, onTrouble: () => undefined });
  file.loggerOf("a").info("new");
  await file.close();
  expect((await readdir(folder)).sort()).toEqual(["polder.log", "polder.log.1"]);
  expect((await readFile(file.path, "utf8")).split("\n")).toHaveLength(2);
});
