import { LogUnavailableError, type LogRecord } from "@polder/core";

export interface CoalescerOptions {
  /** One durable append, in the given order. */
  append: (records: readonly LogRecord[]) => Promise<void | "spooled">;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** While requests keep coming, appends start at least this far apart, … */
  lingerMs: number;
  /** … or when this many records wait. Also the most that goes into one append, with … */
  maxRecords: number;
  /** … this many bytes of values. */
  maxBytes: number;
  /** Who waits longer than this hears {@link LogUnavailableError}; what has not gone out by then never does. */
  answerWithinMs: number;
  onAppend?: (outcome: { records: number; milliseconds: number; error: unknown }) => void;
}

export interface Coalescer {
  /**
   * Resolves when all records are durable, with "spooled" when some are in the spool. Rejects as the log does: then some may be stored all the same.
   * @param queue whose records they are: each queue gets the same share of an append, and keeps its order.
   */
  append(records: readonly LogRecord[], queue?: string): Promise<void | "spooled">;
  /** Resolves when nothing waits and nothing is on its way. */
  drained(): Promise<void>;
  /** Records that are not durable yet. */
  pending(): number;
  /** How long the append that is on its way has taken; 0 when none is. */
  appendMs(): number;
}

interface Waiter {
  records: readonly LogRecord[];
  /** How many of them went out, and how many are durable. */
  sent: number;
  stored: number;
  deadline: number;
  isSettled: boolean;
  isSpooled: boolean;
  resolve: (outcome: void | "spooled") => void;
  reject: (error: unknown) => void;
}

/**
 * Joins the records of concurrent requests into one append. One append is on its way at a time, so records of a queue keep the order in which
 * requests handed them over. A request that comes alone goes out at once; one queue that is long does not keep the others waiting.
 */
export function createCoalescer(options: CoalescerOptions): Coalescer {
  const { clock, lingerMs, maxRecords, maxBytes, answerWithinMs } = options;
  /** None is empty. The next append begins with the first one. */
  const queues = new Map<string, Waiter[]>();
  let waitingRecords = 0;
  let flying: { waiter: Waiter; count: number }[] = [];
  let isFlying = false;
  let isTurnPlanned = false;
  let lastStart = Number.NEGATIVE_INFINITY;
  let lingering: NodeJS.Timeout | undefined;
  let watch: NodeJS.Timeout | undefined;
  let idle: (() => void)[] = [];

  function plan(): void {
    if (isFlying || queues.size === 0) return;
    const wait = lastStart + lingerMs - clock();
    if (wait <= 0 || waitingRecords >= maxRecords) {
      if (lingering !== undefined) clearTimeout(lingering);
      lingering = undefined;
      if (isTurnPlanned) return;
      // Requests that arrived in the same turn of the event loop share the append.
      isTurnPlanned = true;
      setImmediate(() => {
        isTurnPlanned = false;
        if (!isFlying && queues.size > 0) void fly();
      });
    } else {
      lingering ??= setTimeout(() => {
        lingering = undefined;
        if (!isFlying && queues.size > 0) void fly();
      }, wait);
    }
  }

  async function fly(): Promise<void> {
    isFlying = true;
    lastStart = clock();
    const records = take();
    let error: unknown;
    let outcome: void | "spooled" = undefined;
    try {
      outcome = await options.append(records);
    } catch (thrown) {
      error = thrown ?? new LogUnavailableError("The log refused without a reason.");
    }
    options.onAppend?.({ records: records.length, milliseconds: clock() - lastStart, error });
    isFlying = false;
    const landed = flying;
    flying = [];
    for (const { waiter, count } of landed) {
      waiter.stored += count;
      waiter.isSpooled ||= outcome === "spooled";
      if (error !== undefined) settle(waiter, () => waiter.reject(error));
      else if (waiter.stored === waiter.records.length)
        settle(waiter, () => waiter.resolve(waiter.isSpooled ? "spooled" : undefined));
    }
    if (error !== undefined) forgetSettled();
    plan();
    finishDrain();
  }

  /** The records of the next append; a request larger than one append is spread over several. */
  function take(): LogRecord[] {
    const records: LogRecord[] = [];
    let bytes = 0;

    /** In the order of the queue, until it is empty or this much more has been taken. */
    function takeFrom(queue: Waiter[], mostRecords: number, mostBytes: number): Waiter[] {
      const untilRecords = Math.min(maxRecords, records.length + mostRecords);
      const untilBytes = Math.min(maxBytes, bytes + mostBytes);
      let done = 0;
      while (done < queue.length) {
        const waiter = queue[done]!;
        const first = waiter.sent;
        while (
          waiter.sent < waiter.records.length &&
          records.length < untilRecords &&
          (bytes < untilBytes || records.length === 0)
        ) {
          const record = waiter.records[waiter.sent++]!;
          records.push(record);
          bytes += record.value.byteLength;
        }
        if (waiter.sent > first) flying.push({ waiter, count: waiter.sent - first });
        if (waiter.sent < waiter.records.length) break;
        done++;
      }
      return done === 0 ? queue : queue.slice(done);
    }

    const each = queues.size;
    // To every queue its share, then what others left of theirs. A queue that has had some goes to the end of the line.
    for (const share of each === 1 ? [1] : [each, 1]) {
      const line = [...queues];
      for (const [name, queue] of line) {
        if (records.length >= maxRecords || (bytes >= maxBytes && records.length > 0)) break;
        const left = takeFrom(queue, Math.ceil(maxRecords / share), Math.ceil(maxBytes / share));
        queues.delete(name);
        if (left.length > 0) queues.set(name, left);
      }
    }
    waitingRecords -= records.length;
    return records;
  }

  function settle(waiter: Waiter, how: () => void): void {
    if (waiter.isSettled) return;
    waiter.isSettled = true;
    how();
  }

  /** What has not gone out of those who were told no never does: they send all of it again. */
  function forgetSettled(): void {
    waitingRecords = 0;
    for (const [name, queue] of queues) {
      const left = queue.filter((waiter) => !waiter.isSettled);
      if (left.length === 0) queues.delete(name);
      else queues.set(name, left);
      for (const { records, sent } of left) waitingRecords += records.length - sent;
    }
  }

  /** Answers who waited too long. Looks four times in the time allowed: a timer a request would cost more than it tells. */
  function watchDeadlines(): void {
    watch ??= setTimeout(() => {
      watch = undefined;
      const now = clock();
      const all = [...flying.map(({ waiter }) => waiter), ...[...queues.values()].flat()];
      const late = all.filter((waiter) => waiter.deadline <= now);
      if (late.length > 0) {
        const error = new LogUnavailableError(`The log did not confirm within ${answerWithinMs} ms.`);
        for (const waiter of late) settle(waiter, () => waiter.reject(error));
        forgetSettled();
      }
      if (flying.length > 0 || queues.size > 0) watchDeadlines();
      finishDrain();
    }, answerWithinMs / 4);
  }

  function finishDrain(): void {
    if (isFlying || queues.size > 0) return;
    const resolvers = idle;
    idle = [];
    for (const resolve of resolvers) resolve();
  }

  return {
    append(records, queue = "") {
      if (records.length === 0) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const deadline = clock() + answerWithinMs;
        const waiter = { records, sent: 0, stored: 0, deadline, isSettled: false, isSpooled: false, resolve, reject };
        const others = queues.get(queue);
        if (others === undefined) queues.set(queue, [waiter]);
        else others.push(waiter);
        waitingRecords += records.length;
        watchDeadlines();
        plan();
      });
    },
    drained() {
      return isFlying || queues.size > 0 ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve();
    },
    appendMs: () => (isFlying ? clock() - lastStart : 0),
    pending: () => waitingRecords + flying.reduce((sum, { count }) => sum + count, 0),
  };
}
