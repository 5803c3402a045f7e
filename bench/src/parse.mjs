import { parseRequest } from "@polder/protocol";
import { report } from "./report.mjs";
import { writeKey } from "./support/bench-config.mjs";
import { requestBodies } from "./support/events.mjs";
import { median } from "./support/http-load.mjs";

export const description =
  "parsing and checking a request, for 1, 10 and 100 events in it, beside JSON.parse alone on the same text";
export const needs = "nothing but the build";

const rounds = 7;
const eventsPerRound = 40_000;

export async function run() {
  const rows = [];
  for (const perRequest of [1, 10, 100]) {
    const bodies = requestBodies({ writeKey, count: Math.ceil(2000 / perRequest), perRequest });
    for (let round = 0; round <= rounds; round++) {
      // In turn, so that a machine that slows down slows both. The first round warms up.
      const json = measure(JSON.parse, bodies, perRequest);
      const ours = measure(parse, bodies, perRequest);
      if (round > 0)
        rows.push({
          per_request: perRequest,
          round,
          json_us: json,
          parse_us: ours,
          ratio: Number((ours / json).toFixed(2)),
        });
    }
  }
  const of = (perRequest, name) => median(rows.filter((row) => row.per_request === perRequest).map((row) => row[name]));
  report({
    bench: "parse (an event with eight properties, consent, session and page)",
    rows,
    figures: {
      parse_us_one_a_request: of(1, "parse_us"),
      parse_us_ten_a_request: of(10, "parse_us"),
      parse_us_hundred_a_request: of(100, "parse_us"),
      ratio_one_a_request: of(1, "ratio"),
      ratio_ten_a_request: of(10, "ratio"),
      ratio_hundred_a_request: of(100, "ratio"),
    },
    targets: {},
  });
}

function parse(text) {
  const parsed = parseRequest(text, "batch");
  if (!parsed.ok || parsed.items.some(({ ok }) => !ok)) throw new Error("the benchmark's own request was refused");
}

/** Microseconds an event. */
function measure(work, bodies, perRequest) {
  const requests = eventsPerRound / perRequest;
  const from = performance.now();
  for (let n = 0; n < requests; n++) work(bodies[n % bodies.length]);
  return Number((((performance.now() - from) * 1000) / eventsPerRound).toFixed(2));
}
