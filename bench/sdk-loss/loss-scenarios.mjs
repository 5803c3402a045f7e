import { setTimeout as sleep } from "node:timers/promises";

// Each: what a visitor does, then what has arrived. The moment in which a page goes away is nobody else's: a busy machine gives it time.

const atOnceMs = 2_500;
const afterReturnMs = 20_000;
const outageMs = 5_000;

const burst = (from, count) => `burst(${from}, ${count})`;
const burstAndGo = (count, url) => `burst(0, ${count}); location.href = ${JSON.stringify(url)}; 0`;

/** So many visitors, one after the other, each of whom follows one link and never comes back. */
const clickAndLeave = (count) => async (stage) => {
  for (let i = 0; i < count; i++) {
    const tab = await stage.visit(`/?${i}`);
    await stage.alone(() => {
      stage.leaves();
      return tab.arrives(() => tab.clickOn("#away"));
    });
    await sleep(300);
    await stage.visitor.startAnew(tab, stage.site.url);
    await tab.close();
  }
  await stage.sink.settle(count, atOnceMs);
  return { expected: count, ...stage.summary() };
};

const waysToGo = {
  navigate: async (tab, stage, count) => {
    stage.leaves();
    await tab.arrives(() => tab.evaluate(burstAndGo(count, `${stage.site.url}/next`)));
  },
  leave: async (tab, stage, count) => {
    stage.leaves();
    await tab.arrives(() => tab.evaluate(burstAndGo(count, `${stage.elsewhere.url}/`)));
  },
  close: async (tab, stage, count) => {
    await tab.evaluate(burst(0, count));
    stage.leaves();
    await tab.close();
  },
  kill: async (tab, stage, count, other) => {
    await tab.evaluate(burst(0, count));
    await other.show();
    await sleep(600);
    stage.leaves();
    await tab.crash();
  },
};

const go = (way, count) => async (stage) => {
  const other = await stage.visitor.newTab();
  const tab = await stage.visit();
  await tab.show();
  await stage.alone(() => waysToGo[way](tab, stage, count, other));
  // The next page of the same site is a return already.
  if (way === "navigate") {
    await stage.sink.settle(count, afterReturnMs);
    return { expected: count, ...stage.summary() };
  }
  await stage.sink.settle(count, atOnceMs);
  const atOnce = stage.sink.arrived();
  // Whoever was away comes back, and looks at a page.
  const back = await stage.visit();
  await back.show();
  await stage.sink.settle(count, afterReturnMs);
  return { expected: count, atOnce, ...stage.summary() };
};

const refusedThenReload = async (stage) => {
  const tab = await stage.visit();
  await stage.sink.refuse();
  await stage.alone(() => tab.evaluate(burst(0, 200)));
  await sleep(outageMs);
  await stage.sink.accept();
  stage.leaves();
  await tab.goTo(`${stage.site.url}/`);
  await stage.sink.settle(200, afterReturnMs);
  return { expected: 200, ...stage.summary() };
};

const leftWhileRefused = async (stage) => {
  const tab = await stage.visit();
  await stage.sink.refuse();
  await stage.alone(() => tab.evaluate(burst(0, 200)));
  await sleep(1_000);
  await tab.goTo(`${stage.elsewhere.url}/`);
  await sleep(outageMs - 1_000);
  await stage.sink.accept();
  await stage.visit();
  await stage.sink.settle(200, afterReturnMs);
  return { expected: 200, ...stage.summary() };
};

const refusedAndStays = async (stage) => {
  const tab = await stage.visit();
  await stage.sink.refuse();
  await stage.alone(() => tab.evaluate(burst(0, 200)));
  await sleep(outageMs);
  await stage.sink.accept();
  await stage.sink.settle(200, afterReturnMs);
  return { expected: 200, ...stage.summary() };
};

const serverError = async (stage) => {
  const tab = await stage.visit();
  const start = Date.now();
  stage.sink.answer((at) => ({ status: at < start + 4_000 ? 500 : 200 }));
  await stage.alone(() => tab.evaluate(burst(0, 200)));
  await stage.sink.settle(200, afterReturnMs);
  const failed = stage.sink.requests.filter(({ status }) => status === 500).length;
  return { expected: 200, ...stage.summary(), failedRequests: failed };
};

const tooManyRequests = async (stage) => {
  const tab = await stage.visit();
  let end;
  stage.sink.answer((at) => {
    end ??= at + 6_000;
    return at < end ? { status: 429, retryAfterMs: end - at } : { status: 200 };
  });
  await stage.alone(() => tab.evaluate(burst(0, 200)));
  await stage.sink.settle(200, afterReturnMs);
  return { expected: 200, ...stage.summary(), ...stage.sink.retries() };
};

const twoTabs = async (stage) => {
  const [one, two] = [await stage.visit(), await stage.visit()];
  await stage.sink.refuse();
  await Promise.all([one.evaluate(burst(0, 50)), two.evaluate(burst(50, 50))]);
  await sleep(2_000);
  await Promise.all([one.close(), two.close()]);
  await sleep(500);
  await stage.sink.accept();
  await stage.visit();
  await stage.sink.settle(100, afterReturnMs);
  return { expected: 100, ...stage.summary() };
};

/** @returns scenarios by name, in the order of the table. */
export const lossScenarios = ({ clicks }) => ({
  click: clickAndLeave(clicks),
  ...Object.fromEntries(
    [20, 200].flatMap((count) => Object.keys(waysToGo).map((way) => [`${way}-${count}`, go(way, count)])),
  ),
  "refused-reload": refusedThenReload,
  "refused-leave": leftWhileRefused,
  "refused-stay": refusedAndStays,
  "status-500": serverError,
  "status-429": tooManyRequests,
  "two-tabs": twoTabs,
});
