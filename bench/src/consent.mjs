import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { createPipeline, createSiteDirectory, parseConfig } from "@polder/core";
import { createLmdbConsentLedger } from "@polder/lmdb";
import { choiceTimesOf, parseRequest } from "@polder/protocol";
import { report } from "./report.mjs";
import { benchConfig, writeKey } from "./support/bench-config.mjs";
import { residentBytes } from "./support/child-server.mjs";
import { browserHeaders, requestBodies } from "./support/events.mjs";
import { median } from "./support/http-load.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "the collector's consent step with 1,000,000 visitors in the ledger, beside the same step with an empty one that is not asked";
export const needs = "nothing but the build";

const visitorCount = 1_000_000;
const rounds = 7;
const requestsPerRound = 20_000;
const mib = (bytes) => Number((bytes / 2 ** 20).toFixed(1));

export async function run() {
  await withTemporaryFolder(async (folder) => {
    const memoryBefore = residentBytes(process.pid);
    const ledger = createLmdbConsentLedger({ path: folder, now: () => Date.now(), logger: quiet });
    try {
      const visitors = Array.from({ length: visitorCount }, () => randomBytes(16).toString("base64url"));
      const from = performance.now();
      await fill(ledger, visitors);
      const fillSeconds = (performance.now() - from) / 1000;

      const rows = [];
      for (const perRequest of [1, 10]) {
        const requests = parsedRequests(visitors, perRequest);
        for (let round = 0; round <= rounds; round++) {
          // In turn, so that a machine that slows down slows both. The first round warms up.
          const without = await measure(unasked, requests);
          const asked = await measure(ledger, requests);
          if (round > 0)
            rows.push({ per_request: perRequest, round, without_ledger_us: without, with_ledger_us: asked });
        }
      }
      const of = (perRequest, name) => {
        const list = rows.filter((row) => row.per_request === perRequest).map((row) => row[name]);
        return [median(list), Math.max(...list)];
      };
      const [stepUs, slowestUs] = of(1, "with_ledger_us");
      const fileBytes = statSync(join(folder, "data.mdb")).size;
      // The visitors' ids belong to the benchmark; what the ledger holds of them is in its file.
      visitors.length = 0;
      globalThis.gc?.();
      const memory = residentBytes(process.pid);
      report({
        bench: `consent (${visitorCount.toLocaleString("en-GB")} visitors, each event another one's)`,
        rows,
        figures: {
          step_us: stepUs,
          step_us_slowest_round: slowestUs,
          step_us_without_ledger: of(1, "without_ledger_us")[0],
          step_us_ten_a_request: of(10, "with_ledger_us")[0],
          file_mib: mib(fileBytes),
          file_bytes_per_visitor: Math.round(fileBytes / visitorCount),
          mapped_mib: mib(memory.mapped - memoryBefore.mapped),
          record_us_per_visitor: Number(((fillSeconds * 1e6) / visitorCount).toFixed(1)),
        },
        targets: { step_us: { max: 5 } },
      });
    } finally {
      await ledger.close();
    }
  });
}

const unasked = { latest: () => undefined, timesOf: () => undefined };

/** Every visitor chose once: two in three everything, the others measurement and profile. */
async function fill(ledger, visitors) {
  const receivedAt = Date.now() - 60_000;
  for (let first = 0; first < visitors.length; first += 10_000) {
    await ledger.record(
      visitors.slice(first, first + 10_000).map((id, n) => {
        const at = receivedAt - first - n;
        const granted =
          n % 3 === 0 ? ["measurement", "profile"] : ["measurement", "profile", "personalisation", "prediction", "ads"];
        const purposes = Object.fromEntries(granted.map((purpose) => [purpose, "granted"]));
        const stamp = { v: 1, id: "c", at: new Date(at).toISOString(), purposes };
        return {
          visitor: `bench:${id}`,
          times: choiceTimesOf({ stamp, regime: "opt_in", gpc: false, recordedAt: at, sentAt: at, receivedAt }),
        };
      }),
    );
  }
}

/** Requests of known visitors at random, parsed. */
function parsedRequests(visitors, perRequest) {
  const bodies = requestBodies({ writeKey, count: 500, perRequest });
  return Array.from({ length: requestsPerRound }, (_, n) => {
    const parsed = parseRequest(bodies[n % bodies.length], "batch");
    const anonymousId = visitors[Math.floor(Math.random() * visitors.length)];
    return { sentAt: parsed.sentAt, events: parsed.items.map(({ event }) => ({ ...event, anonymousId })) };
  });
}

/** Microseconds an event in the step, by the pipeline's own clock around it, without the clock's. */
async function measure(ledger, requests) {
  const key = createSiteDirectory(parseConfig(JSON.stringify(benchConfig)).config).findKey(writeKey);
  let spentMs = 0;
  let events = 0;
  const pipeline = createPipeline({
    ledger,
    countryOf: () => "NL",
    newId: () => "id",
    observer: {
      timeOneIn: 1,
      clock: () => performance.now(),
      onStop: (step, reason) => {
        throw new Error(`the benchmark's own event was stopped in ${step}: ${reason}`);
      },
      onRepair: () => {},
      onTiming: (step, ms) => {
        if (step !== "consent") return;
        spentMs += ms;
        events++;
      },
    },
  });
  for (const [n, request] of requests.entries()) {
    const context = {
      key,
      receivedAt: Date.now(),
      sentAt: request.sentAt,
      ip: "192.0.2.7",
      country: "",
      userAgent: browserHeaders["user-agent"],
      gpc: false,
      cookieAnonymousId: () => "",
      choices: [],
    };
    for (const event of request.events) pipeline.run(event, context);
    // As in production, where a look-up is mostly the first one of its turn of the event loop.
    if (n % 4 === 0) await new Promise(setImmediate);
  }
  return Number(((spentMs * 1000) / events - clockUs).toFixed(3));
}

/** What it costs to ask the clock twice. */
const clockUs = (() => {
  const times = 200_000;
  let sum = 0;
  for (let n = 0; n < times; n++) {
    const from = performance.now();
    sum += performance.now() - from;
  }
  return (sum * 1000) / times;
})();
