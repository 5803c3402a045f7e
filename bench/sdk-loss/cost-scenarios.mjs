const evaluationRuns = 7;
const callsSettleMs = 12_000;

export const median = (figures) => [...figures].sort((a, b) => a - b)[figures.length >> 1];

/**
 * Of the script's task, start of the SDK included, in a browser that has never seen it: median of seven.
 * @returns `ms` as the visitor waits for it, `cpuMs` as far as the main thread was at work and not waiting for the machine.
 */
export async function evaluationCost(browser, openStage, cpu) {
  const runs = [];
  for (let run = 0; run < evaluationRuns; run++) {
    await openStage(async ({ site, visitor, isReady }) => {
      const tab = await visitor.newTab();
      await tab.slowDown(cpu);
      const events = await browser.trace(["devtools.timeline"], async () => {
        await tab.goTo(`${site.url}/`);
        await tab.until(isReady);
      });
      const evaluation = events.find(
        ({ name, dur, args }) => name === "EvaluateScript" && dur && args.data?.url?.endsWith("/sdk.js"),
      );
      runs.push({ ms: evaluation.dur / 1000, cpuMs: evaluation.tdur / 1000 });
    });
  }
  return { ms: median(runs.map(({ ms }) => ms)), cpuMs: median(runs.map(({ cpuMs }) => cpuMs)) };
}

/** What calls in one go cost the main thread. */
export async function callsCost({ sink, visit }, count, cpu) {
  const tab = await visit();
  await tab.slowDown(cpu);
  const before = await tab.taskMs();
  const loopMs = await tab.evaluate(`burst(0, ${count})`);
  await sink.settle(count, callsSettleMs);
  return { loopMs, taskMs: (await tab.taskMs()) - before, arrived: sink.arrived() };
}
