import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSettings } from "../settings.ts";
import { checkConsent, examine, type Finding } from "./doctor.ts";

let folder = "";
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-doctor-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true, force: true });
});

const site = {
  id: "shop",
  name: "Shop",
  timezone: "UTC",
  origins: ["https://shop.example"],
  writeKeys: [{ key: "pk_12345678" }],
};
const configOf = (change: object) => {
  const result = parseConfig(JSON.stringify({ sites: [{ ...site, ...change }] }));
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
};

const serve = async (answer: (path: string, body: string) => { status?: number; text: string }): Promise<number> => {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { status = 200, text } = answer(request.url ?? "", body);
      response.writeHead(status).end(text);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

/** A healthy installation, but for what is given. */
const installation = async (
  faults: {
    collector?: number;
    lag?: number;
    clockMs?: number;
    refused?: number;
    tables?: boolean;
    config?: string;
  } = {},
) => {
  const now = new Date("2026-11-22T12:00:00Z");
  const collector = await serve((path) =>
    path === "/metrics"
      ? { text: `# HELP polder_log_lag_records x\npolder_log_lag_records{topic="polder.events"} ${faults.lag ?? 3}\n` }
      : { status: faults.collector ?? 200, text: faults.collector === 503 ? "the log cannot be reached\n" : "ok\n" },
  );
  const api = await serve(() => ({ text: "ok\n" }));
  const sql = await serve((_, body) => {
    if (body.includes("version()")) return { text: `26.7.2.1\t${now.getTime() + (faults.clockMs ?? 0)}\n` };
    return faults.tables === false
      ? { status: 404, text: "Code: 60. DB::Exception: Unknown table\nmore" }
      : { text: `1000\t${faults.refused ?? 0}\n` };
  });
  const configFile = join(folder, "polder.config.json");
  await writeFile(configFile, faults.config ?? JSON.stringify({ sites: [site] }));
  const env = {
    POLDER_COLLECTOR_PORT: String(collector),
    POLDER_API_PORT: String(api),
    POLDER_SQL_PORT: String(sql),
    POLDER_DATA: folder,
  };
  return { settings: readSettings({ flags: {}, env, cwd: folder }), surroundings: { configFile, now: () => now } };
};
const wrongOf = (findings: Finding[]) => findings.filter(({ level }) => level === "wrong").map(({ text }) => text);
const examineWith = async (faults: Parameters<typeof installation>[0]) => {
  const { settings, surroundings } = await installation(faults);
  return examine(settings, surroundings);
};

it("finds nothing wrong with a healthy installation, and tells what it looked at", async () => {
  const findings = await examineWith({});
  expect(wrongOf(findings)).toEqual([]);
  const text = findings.map((finding) => finding.text).join("\n");
  for (const part of [
    "polder.config.json",
    "yes",
    "data folder",
    "collector",
    "live page",
    "26.7.2.1",
    "clocks",
    "1000 events",
    "3 records",
  ])
    expect(text).toContain(part);
});

it.each([
  ["a log that is away", { collector: 503 }, /collector at .* is not ready: the log cannot be reached/],
  ["a loader that is behind", { lag: 60_000 }, /60000 records of polder.events wait/],
  ["a clock that is ahead", { clockMs: 5_000 }, /clocks .* are 5\.0 s apart/],
  ["a clock that is behind", { clockMs: -5_000 }, /clocks .* are 5\.0 s apart/],
  ["many refusals", { refused: 400 }, /400 refused\. Ask why: SELECT reason/],
  ["missing tables", { tables: false }, /Unknown table\)\. Make them with `polder migrate`/],
  ["a bad configuration", { config: '{"sites":[]}' }, /not a configuration that Polder can use/],
])("tells of %s, and of nothing else", async (_, faults, words) => {
  const wrong = wrongOf(await examineWith(faults));
  expect(wrong).toHaveLength(1);
  expect(wrong[0]).toMatch(words);
});

it("says of each part that does not run how to start it", async () => {
  const free = await serve(() => ({ text: "" }));
  await new Promise((resolve) => servers.pop()!.close(resolve));
  const env = {
    POLDER_COLLECTOR_PORT: String(free),
    POLDER_API_PORT: String(free),
    POLDER_SQL_PORT: String(free),
    POLDER_DATA: join(folder, "none"),
  };
  const settings = readSettings({ flags: {}, env, cwd: folder });
  const wrong = wrongOf(await examine(settings, { configFile: undefined, now: () => new Date() }));
  expect(wrong).toHaveLength(5);
  for (const text of wrong) expect(text).toMatch(/polder (start|init)/);
});

describe("consent", () => {
  it.each([
    ["pages anywhere", { origins: ["*"] }, "wrong", /anywhere/],
    ["pages without encryption", { origins: ["http://shop.example"] }, "wrong", /not encrypted/],
    ["another regime", { regime: "opt_out" }, "note", /opt_out/],
    [
      "consent from elsewhere",
      {
        writeKeys: [
          { key: "pk_12345678", basis: { purposes: ["profile"], basis: "consent_elsewhere", reason: "own banner" } },
        ],
      },
      "note",
      /own banner/,
    ],
  ] as const)("mentions %s", (_, change, level, words) => {
    expect(checkConsent(configOf(change))).toEqual([{ level, text: expect.stringMatching(words) }]);
  });

  it("is at ease with the default", () => {
    expect(checkConsent(configOf({ origins: ["https://shop.example", "http://localhost:3000"] }))).toEqual([
      { level: "ok", text: expect.stringContaining("yes") },
    ]);
  });
});
