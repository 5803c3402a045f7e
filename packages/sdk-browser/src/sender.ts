import { batchBody } from "./batch-body.ts";
import { readLocal, writeLocal } from "./device-storage.ts";
import { lockTimeoutMs, maxBackoffMs, maxBatchBytes, maxPauseMs } from "./limits.ts";
import type { Outbox, Parcel } from "./outbox.ts";
import type { ReceiptBook } from "./receipt.ts";
import type { Log } from "./tracker.ts";
import type { Transport } from "./transport.ts";

// Tabs and later pages must not ask earlier either.
const pauseKey = "polder_pause";

/**
 * Sends what waits in the outbox, one request at a time in all tabs, and forgets an event only when the collector has answered for it.
 * @param beforeSending runs before anything is sent: a choice made elsewhere may forbid it.
 */
export const createSender = (
  writeKey: string,
  outbox: Outbox,
  post: Transport,
  receipt: ReceiptBook,
  beforeSending: () => void,
  flushAfterMs: number,
  log: Log,
) => {
  let maxBytes = maxBatchBytes;
  let failures = 0;
  let pausedUntil = 0;
  let hasLeft = false;
  let newest: object | undefined;
  let letGo = (): void => {};
  let turn: Promise<unknown> = Promise.resolve();
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** How long nothing may be sent, in milliseconds; not above 0 when it may. Without a network until there is one: `comeBack` is called then. */
  const pauseMs = (): number => {
    const ms = Math.max(pausedUntil, +readLocal(pauseKey)) - Date.now();
    return !navigator.onLine ? maxPauseMs : ms > maxPauseMs ? 0 : ms;
  };

  /** The first of them that have room together; always one, however long it is. */
  const fit = (parcels: Parcel[], room = maxBytes): Parcel[] =>
    parcels.filter(({ bytes }, i) => (room -= bytes) > 0 || !i);

  const deliver = async (parcels: Parcel[]): Promise<void> => {
    const count = parcels.flatMap(({ events }) => events).length;
    const latest = { counts: receipt.take(), events: [] };
    receipt.gather([latest, ...parcels]);
    const counts = receipt.take();
    log("sent", count);
    const outcome = await post(batchBody(writeKey, parcels, count, counts));
    const { status, retryAfterMs } = outcome;
    log("answered", outcome);
    // Every request of a page that leaves is reported as failed, delivered or not. Unknown: the next page sends it again, with the same ids.
    if (hasLeft && !status) return;
    // What parcels carry waits with them.
    if (!status || status > 299) receipt.gather([latest]);
    if (!status || status === 429 || status > 499) {
      receipt.count("retried", count);
      // Doubles from failure to failure, with jitter so that clients do not come back together: not after `Retry-After` either.
      const backoffMs = Math.min(maxBackoffMs, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
      pausedUntil = Date.now() + Math.min(maxPauseMs, Math.max(0, retryAfterMs) + backoffMs);
      if (retryAfterMs && outbox.mayStore()) writeLocal(pauseKey, `${pausedUntil}`);
      return;
    }
    failures = 0;
    // Waited for: whoever is next must not find them.
    if (status < 300) return outbox.remove(parcels);
    if (status !== 413) return outbox.drop(parcels, "refused");
    maxBytes >>= 1;
    await (count > 1 ? outbox.cut(parcels) : outbox.drop(parcels, "too_large"));
  };

  /** @returns whether there may be more. */
  const step = async (): Promise<boolean> => {
    const parcels = fit(await outbox.stored(beforeSending));
    const ms = pauseMs();
    if (hasLeft || !parcels[0]) return false;
    if (ms > 0) {
      log("waiting", ms);
      timer ??= setTimeout(flush, ms);
    } else await deliver(parcels);
    return ms <= 0;
  };

  /**
   * One sender per origin. A lock ends with its tab, crashed or not, so whatever a tab leaves behind is the next one's at once.
   * No locks on plain http, or held by a tab that hangs: two copies, with the same ids, are better than none.
   */
  const drain = async (): Promise<void> => {
    // Ends with the page, which Firefox keeps as it is, locks and all; and with a withdrawal, which must not wait for an answer.
    const inTime = () => Promise.race([step(), new Promise<void>((resolve) => (letGo = resolve))]);
    const inTurn = async () =>
      navigator.locks.request("polder", { signal: AbortSignal.timeout?.(lockTimeoutMs) }, inTime);
    while (!hasLeft && (await inTurn().catch(inTime)));
  };

  const flush = (): Promise<unknown> => {
    clearTimeout(timer);
    timer = undefined;
    // What goes wrong here must not reach the page.
    return (turn = turn.then(drain).catch(() => {}));
  };

  return {
    /** Also for a page that is hidden: it may never get another turn. */
    flush,
    /** Whatever is under way: what comes now need not wait until it is answered, in this tab or another. */
    overtake: () => letGo(),
    /** Soon: events that come together travel together. What is first of its page waits its full time: a title may come late. */
    wake(page?: object): void {
      if (page !== newest) {
        clearTimeout(timer);
        timer = undefined;
      }
      newest = page;
      timer ??= setTimeout(flush, flushAfterMs);
    },
    /**
     * The page goes away, and may never come back: it sends what the browser will finish, and writes down what the database has not
     * confirmed. What is under way goes along once more, or the rest could overtake it. Synchronous.
     *
     * No `fetchLater`: measured, it only adds what a page that crashes before it has sent leaves on a device that never comes back, for
     * 117 bytes, a second request and a second copy of whatever does come back.
     */
    leave(): void {
      beforeSending();
      outbox.handOff();
      const parcels = fit(outbox.seal());
      // A withdrawal cannot wait: nothing of it may stay on the device.
      if (parcels[0] && (pauseMs() <= 0 || !outbox.mayStore())) void deliver(parcels);
      hasLeft = true;
      letGo();
    },
    /** The page is shown again out of the back/forward cache, or has a network again. A collector that asked to wait still gets its time. */
    comeBack(): void {
      hasLeft = false;
      pausedUntil = 0;
      void flush();
    },
  };
};
