import { statSync } from "node:fs";
import { join } from "node:path";
import { createPipeline, createSiteDirectory, parseConfig } from "@polder/core";
import { createLmdbConsentLedger } from "@polder/lmdb";
import { choiceTimesOf, parseRequest } from "@polder/protocol";
import { report } from "./report.mjs";
import { benchConfig, writeKey } from "./support/bench-config.mjs";
import { askChild } from "./support/child-server.mjs";
import { browserHeaders, requestBodies, visitorId } from "./support/events.mjs";
import { median, quantile } from "./support/http-load.mjs";
import { quiet, withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "the collector's consent step with 1,000,000 visitors in the ledger, beside the same step with an empty one that is not asked; what a choice costs, and what a visitor takes";
export const needs = "nothing but the build";

const visitorCount = 1_000_000;
const rounds = 7;
const requestsPerRound = 20_000;
const choicesPerRound = 2_000;
/** As the coalescing collector has them under load. */
const choicesAtOnce = 50;

export async function run() {
  await withTemporaryFolder(async (folder) => {
    const ledger = createLmdbConsentLedger({ path: folder, now: () => Date.now(), logger: quiet });
    try {
      await fill(ledger);
      const fileBytes = statSync(join(folder, "data.mdb")).size;
      const memory = await askChild("./ledger-reader.mjs", [folder, String(visitorCount)]);

      const rows = [];
      for (const perRequest of [1, 10]) {
        const requests = parsedRequests(perRequest);
        for (let round = 0; round <= rounds; round++) {
          // In turn, so that a machine that slows down slows both. The first round warms up.
          const without = await measure(unasked, requests);
          const asked = await measure(ledger, requests);
          if (round > 0)
            rows.push({
              per_request: perRequest,
              round,
              without_ledger_us: without.mean,
              with_ledger_us: asked.mean,
              median_us: asked.median,
              p99_us: asked.p99,
            });
        }
      }
      const choices = [];
      for (let round = 0; round <= rounds; round++) {
        const measured = await measureChoices(ledger);
        if (round > 0) choices.push(measured);
      }
      const of = (perRequest, name) =>
        median(rows.filter((row) => row.per_request === perRequest).map((row) => row[name]));
      const ofChoices = (name) => median(choices.map((choice) => choice[name]));
      report({
        bench: `consent (${visitorCount.toLocaleString("en-GB")} visitors, each event another one's)`,
        rows,
        figures: {
          step_us: of(1, "with_ledger_us"),
          step_us_median: of(1, "median_us"),
          step_us_p99: of(1, "p99_us"),
          step_us_without_ledger: of(1, "without_ledger_us"),
          step_us_ten_a_request: of(10, "with_ledger_us"),
          choice_cpu_us: ofChoices("cpuUs"),
          choice_ms_alone: ofChoices("aloneMs"),
          choices_per_s: ofChoices("perSecond"),
          file_bytes_per_visitor: Math.round(fileBytes / visitorCount),
          resident_bytes_per_visitor: Math.round(memory.own / visitorCount),
          mapped_bytes_per_visitor: Math.round(memory.mapped / visitorCount),
        },
        targets: { step_us: { max: 5 } },
      });
    } finally {
      await ledger.close();
    }
  });
}

const unasked = { latest: () => undefined, timesOf: () => undefined };

const timesAt = (at, granted, receivedAt) =>
  choiceTimesOf({
    stamp: {
      v: 1,
      id: "c",
      at: new Date(at).toISOString(),
      purposes: Object.fromEntries(granted.map((purpose) => [purpose, "granted"])),
    },
    regime: "opt_in",
    gpc: false,
    recordedAt: at,
    sentAt: at,
    receivedAt,
  });
const some = ["measurement", "profile"];
const everything = [...some, "personalisation", "prediction", "ads"];

/** Every visitor chose once: two in three everything, the others measurement and profile. */
async function fill(ledger) {
  const receivedAt = Date.now() - 60_000;
  for (let first = 0; first < visitorCount; first += 10_000) {
    await ledger.record(
      Array.from({ length: 10_000 }, (_, i) => {
        const n = first + i;
        const times = timesAt(receivedAt - n, n % 3 === 0 ? some : everything, receivedAt);
        return { visitor: `bench:${visitorId(n)}`, times };
      }),
    );
  }
}

/** Requests of known visitors at random, parsed. */
function parsedRequests(perRequest) {
  const bodies = requestBodies({ writeKey, count: 500, perRequest });
  return Array.from({ length: requestsPerRound }, (_, n) => {
    const parsed = parseRequest(bodies[n % bodies.length], "batch");
    const anonymousId = visitorId(Math.floor(Math.random() * visitorCount));
    return { sentAt: parsed.sentAt, events: parsed.items.map(({ event }) => ({ ...event, anonymousId })) };
  });
}

/** Microseconds an event in the step, by the pipeline's own clock around it, without the clock's. */
async function measure(ledger, requests) {
  const key = createSiteDirectory(parseConfig(JSON.stringify(benchConfig)).config).findKey(writeKey);
  const times = new Float64Array(requests.reduce((sum, { events }) => sum + events.length, 0));
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
        if (step === "consent") times[events++] = ms * 1000 - clockUs;
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
      cookieRefusesMeasurement: () => false,
      choices: [],
    };
    for (const event of request.events) pipeline.run(event, context);
    // As in production, where a look-up is mostly the first one of its turn of the event loop.
    if (n % 4 === 0) await new Promise(setImmediate);
  }
  const mean = times.reduce((sum, us) => sum + us, 0) / events;
  const ascending = times.sort();
  const figure = (us) => Number(us.toFixed(3));
  return { mean: figure(mean), median: figure(quantile(ascending, 0.5)), p99: figure(quantile(ascending, 0.99)) };
}

/** What the ledger takes for a choice until it is durable: CPU of all threads and the rate with many at once, and the wait of one alone. */
async function measureChoices(ledger) {
  const record = () => {
    const at = Date.now();
    const visitor = `bench:${visitorId(Math.floor(Math.random() * visitorCount))}`;
    return ledger.record([{ visitor, times: timesAt(at, everything, at) }]);
  };
  const alone = [];
  for (let n = 0; n < 50; n++) {
    const from = performance.now();
    await record();
    alone.push(performance.now() - from);
  }
  const before = process.cpuUsage();
  const from = performance.now();
  let left = choicesPerRound;
  await Promise.all(
    Array.from({ length: choicesAtOnce }, async () => {
      while (left-- > 0) await record();
    }),
  );
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - from) / 1000;
  return {
    cpuUs: Number(((user + system) / choicesPerRound).toFixed(1)),
    aloneMs: Number(median(alone).toFixed(2)),
    perSecond: Math.round(choicesPerRound / seconds),
  };
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
