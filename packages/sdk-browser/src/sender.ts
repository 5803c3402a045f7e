import { batchBody } from "./batch-body.ts";
import { readLocal, writeLocal } from "./device-storage.ts";
import type { Outbox, Parcel } from "./outbox.ts";
import type { ReceiptBook } from "./receipt.ts";
import type { Transport } from "./transport.ts";

// Keeps a request under 1,000 events and 500 KiB, even where every character takes three bytes.
const maxBatchChars = 100_000;
// What the browser finishes after the page is gone: see the budget in `transport.ts`.
const maxLeavingChars = 54_500;
const maxBackoffMs = 300_000;
const lockTimeoutMs = 10_000;
const maxPauseMs = 86_400_000;
// Tabs and later pages must not ask earlier either.
const pauseKey = "polder_pause";

const fit = (parcels: Parcel[], room: number): Parcel[] => parcels.filter(({ chars }) => (room -= chars) >= 0);

/**
 * Sends what waits in the outbox, one request at a time in all tabs, and forgets an event only when the collector has answered for it.
 * @param beforeSending runs before the outbox is looked at.
 */
export const createSender = (
  writeKey: string,
  outbox: Outbox,
  post: Transport,
  receipt: ReceiptBook,
  beforeSending: () => void,
  flushAfterMs: number,
) => {
  let maxChars = maxBatchChars;
  let failures = 0;
  let pausedUntil = 0;
  let hasLeft = false;
  let flying: Parcel[] = [];
  let busy: Promise<unknown> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Infinity;

  /** How long nothing may be sent, in milliseconds. */
  const pauseMs = (): number => {
    const asked = Number(readLocal(pauseKey)) - Date.now();
    return Math.max(pausedUntil - Date.now(), asked < maxPauseMs ? asked : 0);
  };

  const schedule = (ms: number): void => {
    if (Date.now() + ms >= due) return;
    clearTimeout(timer);
    due = Date.now() + ms;
    timer = setTimeout(flush, ms);
  };

  const seal = (): Parcel[] => {
    beforeSending();
    return outbox.seal();
  };

  /** @returns whether it makes sense to go on with the next. */
  const deliver = async (parcels: Parcel[]): Promise<boolean> => {
    const count = parcels.flatMap(({ events }) => events).length;
    const counts = receipt.take();
    flying = parcels;
    const { status, retryAfterMs } = await post(batchBody(writeKey, parcels, count, counts));
    flying = [];
    // Every request of a page that leaves is reported as failed, delivered or not. Unknown: the next page sends it again, with the same ids.
    if (hasLeft && !status) return false;
    const isAccepted = status > 199 && status < 300;
    if (!isAccepted) receipt.putBack(counts);
    if (!status || status === 408 || status === 429 || status > 499) {
      receipt.count("retried", count);
      // Doubles from failure to failure, with jitter so that clients do not come back together.
      const backoffMs = Math.min(maxBackoffMs, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
      pausedUntil = Date.now() + Math.max(retryAfterMs, backoffMs);
      if (retryAfterMs && outbox.mayStore()) writeLocal(pauseKey, `${pausedUntil}`);
      schedule(pauseMs());
      return false;
    }
    failures = 0;
    outbox.remove(parcels);
    if (status === 413 && count > 1) {
      maxChars = parcels.reduce((sum, { chars }) => sum + chars, 0) >> 1;
      for (const { shared, events } of parcels) for (const event of events) outbox.add(shared, event, maxChars);
    } else if (!isAccepted) receipt.count(status === 413 ? "too_large" : "refused", count);
    return true;
  };

  const drain = async (): Promise<void> => {
    while (!hasLeft && pauseMs() <= 0) {
      let parcels = seal();
      // Stored while it is under way, so that a killed tab loses nothing.
      if (parcels.length) void outbox.save();
      else parcels = await outbox.stored();
      const [first] = parcels;
      const batch = fit(parcels, maxChars);
      if (!first || !(await deliver(batch[0] ? batch : [first]))) return;
    }
  };

  /** One sender per origin. A lock ends with its tab, crashed or not, so whatever a tab leaves behind is the next one's at once. */
  const exclusively = async (): Promise<void> =>
    navigator.locks.request("polder", { signal: AbortSignal.timeout(lockTimeoutMs) }, drain);

  const done = (): void => {
    busy = undefined;
    if (outbox.seal().length) schedule(0);
  };

  const flush = async (): Promise<void> => {
    due = Infinity;
    if (pauseMs() > 0) {
      seal();
      await outbox.save();
      schedule(pauseMs());
    } else {
      // No locks on plain http, or held by a tab that hangs: two copies, with the same ids, are better than none.
      await (busy ??= exclusively().catch(drain).finally(done));
    }
  };

  return {
    flush,
    /** Soon: events that come together travel together. */
    wake: (): void => schedule(flushAfterMs),
    /** The page is hidden or goes away, and may never get another turn: send what the browser will finish, write down the rest. Synchronous. */
    leave(isGone: boolean): void {
      const parcels = fit(
        seal().filter((parcel) => !flying.includes(parcel)),
        maxLeavingChars,
      );
      if (parcels[0] && pauseMs() <= 0) {
        const sending = deliver(parcels).finally(done);
        busy ??= sending;
      }
      outbox.handOff();
      void outbox.save();
      // Hidden comes after gone, not instead of it.
      hasLeft ||= isGone;
    },
    /** The page is shown again out of the back/forward cache, or has a network again. A collector that asked to wait still gets its time. */
    comeBack(): void {
      hasLeft = false;
      pausedUntil = 0;
      schedule(0);
    },
  };
};
