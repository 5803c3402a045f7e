import {
  createArrivals,
  createLedgerBook,
  hourMs,
  hourText,
  type ArrivalBlock,
  type ArrivalEntry,
  type ClientOutcome,
  type LedgerEntry,
  type Logger,
  LogUnavailableError,
  type LogRecord,
  type Spans,
} from "@polder/core";
import type { Receipt } from "@polder/protocol";
import { within } from "./within.ts";

/**
 * What this process received and what became of it, for the table `ledger`. Every event gets a number, its arrival; the loss ledger of the
 * installation compares the numbers that collectors answered for with those that loaders found.
 */
export interface LossLedger {
  /** Numbers for the events of a request. Those that are never spoken of again count as not received. */
  arrivals(receivedAt: number, count: number): ArrivalBlock;
  /** Nothing is kept of these. Written down with the next {@link flush}, which has to come before the answer: there is no other trace of them. */
  dropped(site: string, block: ArrivalBlock, dropped: readonly DroppedEvent[]): void;
  /**
   * The others of the block are durable and are being answered for. Written down within a second: the log itself bears witness of them, so a crash
   * before that costs nothing but knowing that they were answered.
   */
  answered(site: string, block: ArrivalBlock, dropped: readonly DroppedEvent[], isSpooled: boolean): void;
  /** What a client says of its own delivery. Written down within a second. */
  receipt(site: string, receivedAt: number, receipt: Receipt): void;
  /**
   * Resolves when all of the above is durable, with "spooled" when in the spool. Rejects as the log does, when it takes longer than a client is to
   * wait, and at once for a moment after a failure. What was answered is then kept and tried again; dropped events of a write that failed are
   * forgotten, since their clients hear that nothing is done with them and send them again.
   */
  flush(): Promise<void | "spooled">;
  /** The last flush. Never rejects: what cannot be written down is lost with the process. */
  close(): Promise<void>;
}

export interface DroppedEvent {
  /** Place in the request. */
  index: number;
  reason: string;
}

export interface LossLedgerDeps {
  append: (records: readonly LogRecord[]) => Promise<void | "spooled">;
  /** A random id of this run of the process: letters, digits, `-` and `_`. */
  process: string;
  logger: Logger;
  /** Who waits longer for {@link LossLedger.flush} hears {@link LogUnavailableError}; 1,000 when not given. */
  answerWithinMs?: number;
  /** 1,000 when not given. */
  flushEveryMs?: number;
}

interface ClientTotal {
  outcome: ClientOutcome;
  reason: string;
  counted: number;
  isChanged: boolean;
}

interface ClientTotals {
  site: string;
  hour: number;
  totals: Map<string, ClientTotal>;
}

/** Anyone can write a receipt: not every word of theirs becomes a row for ever. */
const maxClientReasons = 50;
/** Totals are of an hour, and nothing is added to one that is this many hours old. */
const keptHours = 48;
/** A few megabytes. Numbers that follow on each other are one span, so an outage alone does not make so many. */
const maxKeptSpans = 100_000;

export function createLossLedger(deps: LossLedgerDeps): LossLedger {
  const { append, process, logger, answerWithinMs = 1_000, flushEveryMs = 1_000 } = deps;
  const arrivals = createArrivals(process);
  const clients = new Map<string, ClientTotals>();
  const book = createLedgerBook();
  let isEmpty = true;
  let isAway = false;
  let written = 0;
  /** Where the last request went: most of them go where the one before went. */
  let latest: { site: string; hour: number; isSpooled: boolean; spans: Spans } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let flying: Promise<void | "spooled"> | undefined;
  let next: Promise<void | "spooled"> | undefined;

  function plan(): void {
    isEmpty = false;
    timer ??= setTimeout(() => {
      timer = undefined;
      attempt().catch(plan);
    }, flushEveryMs);
  }

  function unplan(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function toRecord(entry: LedgerEntry): LogRecord {
    const headers = { id: `${process}-${written++}`, site: entry.site, anonymousId: "", userId: "" };
    // One key a process: its entries are in order, though they need not be.
    return { key: process, value: Buffer.from(JSON.stringify(entry)), headers };
  }

  async function write(): Promise<void | "spooled"> {
    isEmpty = true;
    latest = undefined;
    const entries = book.take();
    const changed = takeChanged();
    const records = [...entries, ...changed.map(({ entry }) => entry)].map(toRecord);
    if (records.length === 0) return;
    try {
      const outcome = await append(records);
      isAway = false;
      forgetOldHours();
      return outcome;
    } catch (error) {
      // One line for an outage.
      if (!isAway)
        logger.warn("entries of the loss ledger are kept in memory until the log is back", { error: String(error) });
      isAway = true;
      keep(entries.filter(({ outcome }) => outcome !== "dropped"));
      for (const { total } of changed) total.isChanged = true;
      // Counted from here: the next attempt is not earlier.
      unplan();
      plan();
      throw error;
    }
  }

  function keep(entries: readonly ArrivalEntry[]): void {
    const spans = entries.reduce((sum, { first }) => sum + first.length, 0);
    if (spans <= maxKeptSpans) return book.putBack(entries);
    logger.warn(
      "entries of the loss ledger are forgotten, since the log has not taken them for too long: loss_ledger counts their events as unanswered",
      { spans },
    );
  }

  function attempt(): Promise<void | "spooled"> {
    const start = (): Promise<void | "spooled"> => {
      next = undefined;
      flying = write().finally(() => (flying = undefined));
      return flying;
    };
    if (flying === undefined) return start();
    // Behind a write that fails nothing else is tried at once.
    next ??= flying.then(start, (error: unknown) => {
      next = undefined;
      throw error;
    });
    return next;
  }

  function takeChanged(): { total: ClientTotal; entry: LedgerEntry }[] {
    const changed: { total: ClientTotal; entry: LedgerEntry }[] = [];
    for (const { site, hour, totals } of clients.values())
      for (const total of totals.values()) {
        if (!total.isChanged) continue;
        total.isChanged = false;
        const { outcome, reason, counted } = total;
        const entry = { site, hour: hourText(hour), outcome, reason, process, first: [], last: [], counted };
        changed.push({ total, entry });
      }
    return changed;
  }

  function forgetOldHours(): void {
    const newest = Math.max(...[...clients.values()].map(({ hour }) => hour));
    for (const [key, { hour, totals }] of clients)
      if (hour < newest - keptHours && [...totals.values()].every(({ isChanged }) => !isChanged)) clients.delete(key);
  }

  function count({ totals }: ClientTotals, outcome: ClientOutcome, word: string, by: number): void {
    if (by === 0) return;
    const isNew = word !== "" && !totals.has(`${outcome} ${word}`);
    const reason = isNew && totals.size >= maxClientReasons ? "other" : word;
    const key = `${outcome} ${reason}`;
    let total = totals.get(key);
    if (total === undefined) totals.set(key, (total = { outcome, reason, counted: 0, isChanged: true }));
    total.counted += by;
    total.isChanged = true;
  }

  return {
    arrivals,
    dropped(site, { hour, first }, dropped) {
      for (const { index, reason } of dropped)
        book.page({ site, hour, outcome: "dropped", reason, process }).add(first + index, first + index);
      plan();
    },
    answered(site, { hour, first, count: length }, dropped, isSpooled) {
      if (length === dropped.length) return;
      if (latest?.site !== site || latest.hour !== hour || latest.isSpooled !== isSpooled) {
        const outcome = isSpooled ? "spooled" : "answered";
        latest = { site, hour, isSpooled, spans: book.page({ site, hour, outcome, reason: "", process }) };
      }
      const { spans } = latest;
      let from = first;
      for (const { index } of dropped) {
        if (first + index > from) spans.add(from, first + index - 1);
        from = first + index + 1;
      }
      if (from < first + length) spans.add(from, first + length - 1);
      plan();
    },
    receipt(site, receivedAt, { queued, sent, retried, dropped }) {
      const hour = Math.floor(receivedAt / hourMs);
      const key = `${site} ${hour}`;
      let client = clients.get(key);
      if (client === undefined) clients.set(key, (client = { site, hour, totals: new Map() }));
      count(client, "client_queued", "", queued);
      count(client, "client_sent", "", sent);
      count(client, "client_retried", "", retried);
      for (const [reason, events] of Object.entries(dropped)) count(client, "client_dropped", reason, events);
      plan();
    },
    flush() {
      const isWaiting = isAway && flying === undefined && timer !== undefined;
      if (isWaiting) return Promise.reject(new LogUnavailableError("The log did not take what came a moment ago."));
      return within(answerWithinMs, attempt());
    },
    async close() {
      unplan();
      await flying?.catch(() => undefined);
      while (!isEmpty || flying !== undefined) {
        const done = await attempt().then(
          () => true,
          () => false,
        );
        if (!done) break;
      }
      unplan();
    },
  };
}
