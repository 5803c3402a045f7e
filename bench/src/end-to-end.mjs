import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
// @boundaries-ignore ports are picked as the test command picks them
import { freePorts } from "../../scripts/free-ports.mjs";
import { report } from "./report.mjs";
import { benchConfig, writeKey } from "./support/bench-config.mjs";
import { cpuMs, residentBytes } from "./support/child-server.mjs";
import { browserHeaders, requestBodies } from "./support/events.mjs";
import { quantile } from "./support/http-load.mjs";
import { withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "all of Polder in one process at 5,000 events a second, five a request: how long until an event can be queried, how much memory";
export const needs = "the embedded engine; `-- end-to-end --minutes 10` for the full run (1 when not given)";

const requestsPerSecond = 1_000;
const perRequest = 5;
const command = fileURLToPath(new URL("../../apps/polder/bin/polder.mjs", import.meta.url));

export async function run({ args }) {
  const minutes = Number(args[args.indexOf("--minutes") + 1] || 1) || 1;
  await withTemporaryFolder(async (folder) => {
    const polder = await startPolder(folder);
    try {
      const seen = await drive(polder, minutes * 60_000);
      const last = (name) => seen.samples.at(-1)[name];
      report({
        bench: "end-to-end",
        rows: seen.samples,
        figures: {
          minutes,
          events_per_s: Math.round(seen.accepted / (minutes * 60)),
          answers_other_than_200: seen.others,
          p50_queryable_ms: Math.round(quantile(seen.queryableMs, 0.5)),
          p95_queryable_ms: Math.round(quantile(seen.queryableMs, 0.95)),
          max_resident_mib: Math.max(...seen.samples.map((sample) => sample.resident_mib)),
          max_own_mib: Math.max(...seen.samples.map((sample) => sample.own_mib)),
          own_growth_in_second_half_mib: Math.round(
            last("own_mib") - seen.samples[Math.floor(seen.samples.length / 2)].own_mib,
          ),
          stored_minus_accepted: seen.stored - seen.accepted,
          ...(await diskPerEvent(polder, seen.stored)),
        },
        targets: {
          events_per_s: { min: requestsPerSecond * perRequest * 0.99 },
          p95_queryable_ms: { max: 2_000 },
          max_resident_mib: { max: 1_536 },
          stored_minus_accepted: { min: 0, max: 0 },
          disk_bytes_per_event_in_events: { max: 80 },
        },
      });
    } finally {
      await polder.stop();
    }
  });
}

/** Bytes of the tables that events fill, merged or not, and of those the rows themselves. */
async function diskPerEvent(polder, events) {
  const rows = await polder.sql(
    `SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts
     WHERE database = 'polder' AND active AND table NOT LIKE 'consent%' AND table != 'migration' GROUP BY table`,
  );
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  const own = rows.find(({ table }) => table === "events")?.bytes ?? 0;
  return {
    disk_bytes_per_event: Math.round(bytes / events),
    disk_bytes_per_event_in_events: Math.round(own / events),
  };
}

/** Requests leave by the clock, whether or not the ones before were answered: a slow server must not slow the load. */
async function drive(polder, durationMs) {
  const bodies = requestBodies({ writeKey, count: requestsPerSecond * 2, perRequest }).map((body) =>
    body.split(/"messageId":"[^"]*"/),
  );
  const queryableMs = [];
  const samples = [];
  const waiting = new Map(); // message id of a probe → when it was sent
  const open = new Set();
  let accepted = 0;
  let others = 0;
  let sent = 0;
  let isOver = false;

  const send = async (probe) => {
    const parts = bodies[sent++ % bodies.length];
    const ids = parts.slice(1).map(() => randomUUID());
    if (probe) waiting.set(ids[0], performance.now());
    const body = parts.reduce((text, part, i) => `${text}"messageId":"${ids[i - 1]}"${part}`);
    const answer = await fetch(`${polder.collectorUrl}/v1/batch`, { method: "POST", headers: browserHeaders, body });
    await answer.arrayBuffer();
    if (answer.status === 200) accepted += ids.length;
    else {
      others++;
      if (probe) waiting.delete(ids[0]);
    }
  };
  const look = async () => {
    while (!isOver || waiting.size > 0) {
      const ids = [...waiting.keys()];
      if (ids.length > 0) {
        const found = await polder.sql(
          `SELECT message_id FROM polder.events PREWHERE received_at > now() - 60 WHERE message_id IN (${ids.map((id) => `'${id}'`).join(",")})`,
        );
        for (const { message_id: id } of found) {
          queryableMs.push(performance.now() - waiting.get(id));
          waiting.delete(id);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  const looking = look();
  const start = performance.now();
  let due = 0;
  let nextSample = 0;
  let cpu = polder.cpuMs();
  while (performance.now() - start < durationMs) {
    const elapsed = performance.now() - start;
    for (; due < (elapsed / 1000) * requestsPerSecond; due++) {
      const request = send(due % 200 === 0).catch(() => others++);
      open.add(request);
      void request.finally(() => open.delete(request));
    }
    if (elapsed >= nextSample) {
      const now = polder.cpuMs();
      const memory = polder.residentBytes();
      samples.push({
        at_s: Math.round(elapsed / 1000),
        resident_mib: Math.round((memory.own + memory.mapped) / 2 ** 20),
        own_mib: Math.round(memory.own / 2 ** 20),
        cpu_cores: Number(((now - cpu) / (durationMs / 20)).toFixed(2)),
      });
      cpu = now;
      nextSample += durationMs / 20;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  isOver = true;
  await Promise.all(open);
  await looking;
  const stored = async () => (await polder.sql("SELECT count() AS n FROM polder.events"))[0].n;
  while ((await stored()) < accepted) await new Promise((resolve) => setTimeout(resolve, 100));
  queryableMs.sort((a, b) => a - b);
  return { accepted, others, queryableMs, samples, stored: await stored() };
}

async function startPolder(folder) {
  const config = join(folder, "polder.config.json");
  writeFileSync(config, JSON.stringify(benchConfig));
  const [collector, api, sqlPort] = await freePorts(3);
  const child = spawn(process.execPath, [command, "start", "--config", config], {
    env: {
      ...process.env,
      POLDER_DATA: join(folder, "data"),
      POLDER_COLLECTOR_PORT: collector,
      POLDER_API_PORT: api,
      POLDER_SQL_PORT: sqlPort,
      KAFKA_BROKERS: "",
      CLICKHOUSE_URL: "",
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const collectorUrl = `http://127.0.0.1:${collector}`;
  for (const url of [`${collectorUrl}/readyz`, `http://127.0.0.1:${sqlPort}/ping`]) {
    while (
      !(await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ))
    ) {
      if (child.exitCode !== null) throw new Error(`polder start ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const pids = () => [child.pid, ...childrenOf(child.pid)];
  return {
    collectorUrl,
    async sql(statement) {
      const answer = await fetch(
        `http://127.0.0.1:${sqlPort}/?default_format=JSONEachRow&output_format_json_quote_64bit_integers=0`,
        { method: "POST", body: statement },
      );
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      return text
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    },
    residentBytes: () =>
      pids()
        .map(residentBytes)
        .reduce((sum, { own, mapped }) => ({ own: sum.own + own, mapped: sum.mapped + mapped })),
    cpuMs: () => pids().reduce((sum, pid) => sum + cpuMs(pid), 0),
    async stop() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}

const childrenOf = (parent) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return new RegExp(`^PPid:\\s*${parent}$`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"));
      } catch {
        return false;
      }
    })
    .map(Number);
