import { batchBody } from "./batch-body.ts";
import { readLocal, writeLocal } from "./device-storage.ts";
import { lockTimeoutMs, maxBackoffMs, maxBatchChars, maxLeavingChars, maxPauseMs } from "./limits.ts";
import { countEvents, fit, type Outbox, type Parcel } from "./outbox.ts";
import type { ReceiptBook } from "./receipt.ts";
import type { Transport } from "./transport.ts";

// Tabs and later pages must not ask earlier either.
const pauseKey = "polder_pause";

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
  let turn: Promise<unknown> = Promise.resolve();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Infinity;

  /** How long nothing may be sent, in milliseconds. */
  const pauseMs = (): number => {
    const asked = +readLocal(pauseKey) - Date.now();
    return Math.max(0, pausedUntil - Date.now(), asked < maxPauseMs ? asked : 0);
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

  const deliver = async (parcels: Parcel[]): Promise<void> => {
    const count = countEvents(parcels);
    const counts = receipt.take();
    flying = parcels;
    const { status, retryAfterMs } = await post(batchBody(writeKey, parcels, count, counts));
    flying = [];
    // Every request of a page that leaves is reported as failed, delivered or not. Unknown: the next page sends it again, with the same ids.
    if (hasLeft && !status) return;
    const isAccepted = status && status < 300;
    if (!isAccepted) receipt.putBack(counts);
    if (!status || status === 408 || status === 429 || status > 499) {
      receipt.count("retried", count);
      // Doubles from failure to failure, with jitter so that clients do not come back together.
      const backoffMs = Math.min(maxBackoffMs, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
      pausedUntil = Date.now() + Math.max(retryAfterMs, backoffMs);
      if (retryAfterMs && outbox.mayStore()) writeLocal(pauseKey, `${pausedUntil}`);
      return;
    }
    failures = 0;
    outbox.remove(parcels);
    if (status === 413 && count > 1) {
      maxChars = parcels.reduce((sum, { chars }) => sum + chars, 0) >> 1;
      for (const { shared, events } of parcels) for (const event of events) outbox.add(shared, event, maxChars);
    } else if (!isAccepted) receipt.count(status === 413 ? "too_large" : "refused", count);
  };

  const drain = async (): Promise<void> => {
    while (!hasLeft) {
      let parcels = seal();
      // Not waited for, but started before it is sent, so that a killed tab loses nothing.
      const saved = outbox.save();
      if (pauseMs()) {
        await saved;
        return schedule(pauseMs());
      }
      if (!parcels[0]) parcels = await outbox.stored();
      if (!parcels[0]) return;
      await deliver(fit(parcels, maxChars));
    }
  };

  /**
   * One sender per origin. A lock ends with its tab, crashed or not, so whatever a tab leaves behind is the next one's at once.
   * No locks on plain http, or held by a tab that hangs: two copies, with the same ids, are better than none.
   */
  const flush = (): Promise<unknown> => {
    due = Infinity;
    return (turn = turn
      .then(() => navigator.locks.request("polder", { signal: AbortSignal.timeout(lockTimeoutMs) }, drain))
      .catch(drain)
      // What goes wrong here must not reach the page.
      .catch(() => {}));
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
      if (parcels[0] && !pauseMs()) {
        turn = Promise.all([turn, deliver(parcels)]);
        void flush();
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
