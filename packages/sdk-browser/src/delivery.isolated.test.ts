import "fake-indexeddb/auto";
import { beforeEach, afterEach, expect, it, vi } from "vitest";
import { stubDevice } from "./device.test-support.ts";
import { createReceiptBook } from "./receipt.ts";
import type { Outcome } from "./transport.ts";

// The outbox and the sender together, over the real idb-keyval: what matters is what they promise as a pair.

let device: ReturnType<typeof stubDevice>;
beforeEach(() => {
  // Timers of ours only: the database has its own ways to wait.
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: Date.UTC(2026, 10, 22) });
  vi.spyOn(Math, "random").mockReturnValue(1);
  vi.resetModules();
  device = stubDevice();
  vi.stubGlobal("navigator", { onLine: true });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

interface Batch {
  batch: { i: number }[];
  context: object;
  receipt: { queued: number; sent: number; retried: number; dropped: { [reason: string]: number } };
}

const ascending = (a: number, b: number): number => a - b;
let sites = 0;
const siteOfItsOwn = (): string => `site-${++sites}`;

async function createPage(site: string, answer: (batch: Batch) => Partial<Outcome> | Promise<Partial<Outcome>>) {
  const { createOutbox } = await import("./outbox.ts");
  const { createSender } = await import("./sender.ts");
  const state = { mayStore: true };
  const requests: Batch[] = [];
  const receipt = createReceiptBook(() => {});
  const outbox = createOutbox(site, () => state.mayStore, receipt);
  const post = async (body: string): Promise<Outcome> => {
    const batch = JSON.parse(body) as Batch;
    requests.push(batch);
    return { status: 200, retryAfterMs: 0, answer: "", ...(await answer(batch)) };
  };
  const log: unknown[][] = [];
  const sender = createSender(
    "pk",
    outbox,
    post,
    receipt,
    () => {},
    200,
    (...entry) => log.push(entry),
  );
  const shared = { page: { url: "/" } };
  const add = (...numbers: number[]): void => {
    for (const i of numbers) {
      receipt.count("queued");
      outbox.add(shared, JSON.stringify({ context: {}, i }));
    }
    sender.wake();
  };
  const sent = (): number[][] => requests.map(({ batch }) => batch.map(({ i }) => i));
  return { state, outbox, sender, add, requests, sent, log };
}

it("sends what came together together, and only then forgets it", async () => {
  const page = await createPage(siteOfItsOwn(), () => ({}));
  page.add(1, 2, 3);
  expect(page.requests).toEqual([]);
  await page.sender.flush();
  await page.sender.flush();
  expect(page.sent()).toEqual([[1, 2, 3]]);
  expect(page.requests[0]!.receipt).toEqual({ queued: 3, sent: 3, retried: 0, dropped: {} });
  expect(await page.outbox.stored(() => {})).toEqual([]);
});

it.each([0, 429, 500, 503])("keeps everything after status %i, waits, and sends the same again", async (status) => {
  const site = siteOfItsOwn();
  const answers = [{ status }, {}];
  const page = await createPage(site, () => answers.shift() ?? {});
  page.add(1, 2);
  await page.sender.flush();
  page.add(3);
  await vi.advanceTimersByTimeAsync(999);
  expect(page.sent()).toEqual([[1, 2]]);
  await vi.advanceTimersByTimeAsync(1);
  await vi.waitFor(
    () =>
      expect(page.sent()).toEqual([
        [1, 2],
        [1, 2, 3],
      ]),
    { timeout: 120_000 },
  );
});

it("doubles the wait from failure to failure, up to five minutes", async () => {
  const times: number[] = [];
  const page = await createPage(siteOfItsOwn(), () => {
    times.push(Date.now());
    return { status: 500 };
  });
  page.add(1);
  await page.sender.flush();
  while (times.length < 12) {
    await vi.advanceTimersToNextTimerAsync();
    await page.sender.flush();
  }
  const waits = times.slice(1).map((at, i) => (at - times[i]!) / 1000);
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
});

it("obeys Retry-After on this page and on the next", async () => {
  const site = siteOfItsOwn();
  const page = await createPage(site, () => ({ status: 429, retryAfterMs: 60_000 }));
  page.add(1);
  await page.sender.flush();
  page.sender.leave();
  vi.setSystemTime(Date.now() + 59_000);
  const next = await createPage(site, () => ({}));
  next.add(2);
  await next.sender.flush();
  expect(next.requests).toEqual([]);
  // And a second of its own on top, so that not all clients come back at that moment.
  vi.setSystemTime(Date.now() + 2_000);
  await next.sender.flush();
  expect(next.sent()).toEqual([[1, 2]]);
});

it("lets a network that is back end a wait of its own, but not one that the collector asked for", async () => {
  let answer: Partial<Outcome> = { status: 0 };
  const page = await createPage(siteOfItsOwn(), () => answer);
  page.add(1);
  await page.sender.flush();
  answer = { status: 429, retryAfterMs: 60_000 };
  page.sender.comeBack();
  await vi.advanceTimersByTimeAsync(0);
  await vi.waitFor(() => expect(page.requests).toHaveLength(2), { timeout: 120_000 });
  await page.sender.flush();
  page.sender.comeBack();
  await page.sender.flush();
  expect(page.requests).toHaveLength(2);
});

it("does not try without a network, and tries as soon as there is one", async () => {
  const page = await createPage(siteOfItsOwn(), () => ({}));
  vi.stubGlobal("navigator", { onLine: false });
  page.add(1);
  await page.sender.flush();
  page.sender.leave();
  page.sender.comeBack();
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(page.requests).toEqual([]);
  vi.stubGlobal("navigator", { onLine: true });
  page.sender.comeBack();
  await page.sender.flush();
  expect(page.sent()).toEqual([[1]]);
});

/** The page after one that was left with 1, 2 and 3, which the collector could not take. */
async function pageAfterOutage() {
  const site = siteOfItsOwn();
  const page = await createPage(site, () => ({ status: 503 }));
  page.add(1, 2);
  await page.sender.flush();
  page.add(3);
  page.sender.leave();
  vi.setSystemTime(Date.now() + 5_000);
  return createPage(site, () => ({}));
}

it("keeps the order over pages, and sends what is oldest first", async () => {
  const next = await pageAfterOutage();
  next.add(4);
  await next.sender.flush();
  expect(next.sent()).toEqual([[1, 2, 3, 4]]);
});

it("counts over pages: what the first one could not say, the next one says", async () => {
  const next = await pageAfterOutage();
  await next.sender.flush();
  expect(next.requests[0]!.receipt).toMatchObject({ queued: 3, sent: 3 });
});

it("says what it does to whoever debugs", async () => {
  const answers = [
    { status: 429, retryAfterMs: 5_000 },
    { status: 400, answer: "why" },
  ];
  const page = await createPage(siteOfItsOwn(), () => answers.shift()!);
  page.add(1, 2);
  await page.sender.flush();
  vi.setSystemTime(Date.now() + 6_000);
  await page.sender.flush();
  expect(page.log).toEqual([
    ["sent", 2],
    ["answered", { status: 429, retryAfterMs: 5_000, answer: "" }],
    ["waiting", 6_000],
    ["sent", 2],
    ["answered", { status: 400, retryAfterMs: 0, answer: "why" }],
  ]);
});

it("is on the device right after the task that made it, in one write for a burst", async () => {
  const put = vi.spyOn(IDBObjectStore.prototype, "put");
  const site = siteOfItsOwn();
  const page = await createPage(site, () => ({}));
  page.add(...Array.from({ length: 500 }, (_, i) => i));
  // No timer has run, and no page has left.
  while (put.mock.calls.length === 0) await new Promise<void>((resolve) => void setImmediate(resolve));
  expect(put).toHaveBeenCalledTimes(1);
  expect(page.requests).toEqual([]);
  const next = await createPage(site, () => ({}));
  expect((await next.outbox.stored(() => {})).flatMap(({ events }) => events)).toHaveLength(500);
});

it("keeps the order of what is cut into halves", async () => {
  const page = await createPage(siteOfItsOwn(), ({ batch }) => ({ status: batch.length > 3 ? 413 : 200 }));
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  page.add(...numbers);
  await page.sender.flush();
  page.add(40);
  await page.sender.flush();
  const accepted = page.sent().filter((batch) => batch.length <= 3);
  expect(accepted.flat()).toEqual([...numbers, 40]);
});

it("halves what is too large, down to the one that is", async () => {
  const page = await createPage(siteOfItsOwn(), ({ batch }) => ({
    status: batch.some(({ i }) => i === 5) ? 413 : 200,
  }));
  page.add(1, 2, 3, 4, 5, 6, 7, 8);
  await page.sender.flush();
  const accepted = page.requests
    .filter(({ batch }) => !batch.some(({ i }) => i === 5))
    .flatMap(({ batch }) => batch.map(({ i }) => i));
  expect(accepted.sort(ascending)).toEqual([1, 2, 3, 4, 6, 7, 8]);
  page.add(9);
  await page.sender.flush();
  const dropped = page.requests.map(({ receipt }) => receipt.dropped).filter((each) => Object.keys(each).length > 0);
  expect(dropped).toContainEqual({ too_large: 1 });
});

it.each([400, 401, 403, 404, 415])("drops and counts what is answered %i", async (status) => {
  const answers = [{ status }];
  const page = await createPage(siteOfItsOwn(), () => answers.shift() ?? {});
  page.add(1, 2);
  await page.sender.flush();
  page.add(3);
  await page.sender.flush();
  expect(page.sent()).toEqual([[1, 2], [3]]);
  expect(page.requests[1]!.receipt).toEqual({ queued: 3, sent: 1, retried: 0, dropped: { refused: 2 } });
});

it("hands off what the database has not confirmed when the page leaves, and the next page sends it", async () => {
  const site = siteOfItsOwn();
  // The fetch of a page that leaves is rejected, whatever became of it.
  const page = await createPage(site, () => ({ status: 0 }));
  page.add(1, 2);
  page.sender.leave();
  expect(Object.keys(device.local)).toEqual([expect.stringMatching(/^polder_out\./)]);
  expect(page.sent()).toEqual([[1, 2]]);
  vi.resetModules();
  const next = await createPage(site, () => ({}));
  await next.sender.flush();
  expect(next.sent()).toEqual([[1, 2]]);
  await vi.waitFor(() => expect(device.local).toEqual({}), { timeout: 120_000 });
});

it("keeps going where there is no database", async () => {
  vi.stubGlobal("indexedDB", undefined);
  const answers = [{ status: 500 }];
  const page = await createPage(siteOfItsOwn(), () => answers.shift() ?? {});
  page.add(1);
  await page.sender.flush();
  await vi.advanceTimersByTimeAsync(1000);
  await vi.waitFor(() => expect(page.sent()).toEqual([[1], [1]]), { timeout: 120_000 });
});

it("cuts a long burst into requests that the collector takes, in order", async () => {
  const page = await createPage(siteOfItsOwn(), () => ({}));
  const numbers = Array.from({ length: 12_000 }, (_, i) => i);
  page.add(...numbers);
  await page.sender.flush();
  expect(page.sent().flat()).toEqual(numbers);
  for (const request of page.requests) expect(JSON.stringify(request.batch).length).toBeLessThan(500 * 1024);
});

it("stays within what the device can spare, and counts the oldest that had to go", async () => {
  const page = await createPage(siteOfItsOwn(), () => ({}));
  const text = "x".repeat(20_000);
  for (let i = 0; i < 210; i++) page.outbox.add({ page: i }, JSON.stringify({ context: {}, i, text }));
  const kept = await page.outbox.stored(() => {});
  expect(kept.length).toBeLessThan(200);
  expect(JSON.parse(kept[0]!.events[0]!)).toMatchObject({ i: 210 - kept.length });
  await page.sender.flush();
  const told = page.requests.map(({ receipt }) => receipt.dropped["outbox_full"] ?? 0);
  expect(told.reduce((sum, count) => sum + count)).toBe(210 - kept.length);
});

it("forgets everything when it is wiped, and does not bring it back", async () => {
  const page = await createPage(siteOfItsOwn(), () => ({ status: 500 }));
  page.add(1);
  await page.sender.flush();
  page.add(2);
  await page.sender.flush();
  page.state.mayStore = false;
  page.outbox.wipe();
  page.sender.leave();
  await page.outbox.stored(() => {});
  expect(device.local).toEqual({});
  page.state.mayStore = true;
  expect(await page.outbox.stored(() => {})).toEqual([]);
});
