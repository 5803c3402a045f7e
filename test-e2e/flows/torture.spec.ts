import { expect, test } from "@playwright/test";
import { installEmbedded } from "../torture/embedded.ts";
import type { Installation } from "../torture/installation.ts";
import { report, runTorture } from "../torture/run-torture.ts";
import { installScaledOut } from "../torture/scaled-out.ts";

// `npm run torture` sets these for a long run of one of the tests.
const { POLDER_TORTURE_MINUTES, POLDER_TORTURE_SEED } = process.env;
const durationMs = Number(POLDER_TORTURE_MINUTES ?? 0.35) * 60_000;
const seed = Number(POLDER_TORTURE_SEED ?? 20_261_123);

test.setTimeout(durationMs + 1_200_000);

let installation: Installation | undefined;
test.afterEach(async () => {
  await installation?.end({ isKept: test.info().errors.length > 0 });
  installation = undefined;
});

async function endure(what: Installation, everyMs: number): Promise<void> {
  installation = what;
  const say = (line: string): void => console.info(line);
  const verdicts = await runTorture(what, { seed, durationMs, everyMs, clients: 8, thinkMs: 25, say });
  say(report(verdicts));
  expect(verdicts.flatMap(({ faults }) => faults)).toEqual([]);
}

test("one process with everything, killed, frozen, cut off and with a clock that jumps, keeps its promises @lmdb", async () => {
  await endure(await installEmbedded(seed), 1_500);
});

// One node dies with all of the log, which needs no flow of its own: spools are full of it with three as well.
for (const nodes of POLDER_TORTURE_MINUTES === undefined ? [3] : [1, 3]) {
  test(`collectors, loaders, a worker and each node of Kafka, killed and frozen in turn, keep their promises @kafka-${nodes}`, async () => {
    const found = await installScaledOut(seed, nodes);
    if ("skipped" in found) return test.skip(true, found.skipped);
    await endure(found, 1_000);
  });
}
