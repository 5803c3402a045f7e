import { LogUnavailableError, type LedgerEntry, type LogRecord } from "@polder/core";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createLossLedger } from "./loss-ledger.ts";

const receivedAt = Date.parse("2026-11-22T20:15:00Z");
const hour = "2026-11-22 20:00:00";

function build() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const appends: LedgerEntry[][] = [];
  const lines: string[] = [];
  let failures = 0;
  const ledger = createLossLedger({
    append: async (records: readonly LogRecord[]) => {
      const entries = records.map(({ value }) => JSON.parse(Buffer.from(value).toString()) as LedgerEntry);
      appends.push(entries);
      if (failures-- > 0) throw new LogUnavailableError("away");
    },
    process: "p",
    logger: { info() {}, warn: (message) => void lines.push(message), error() {} },
  });
  return { ledger, appends, lines, fail: (times: number) => void (failures = times) };
}
const short = ({ site, outcome, reason, first, last, counted }: LedgerEntry): string =>
  [site, outcome, reason, first.map((from, i) => `${from}-${last[i]}`).join(), counted || ""].filter(Boolean).join(" ");

describe("the collector's side of the loss ledger", () => {
  it("writes what was answered within a second, as one entry for many requests", async () => {
    const { ledger, appends } = build();
    for (let request = 0; request < 5; request++) ledger.answered("shop", ledger.arrivals(receivedAt, 3), [], false);
    expect(appends).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(appends).toEqual([
      [{ site: "shop", hour, outcome: "answered", reason: "", process: "p", first: [0], last: [14], counted: 0 }],
    ]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(appends).toHaveLength(1);
  });

  it("leaves out of the answered ones what was dropped, wherever it stood, and numbers that nobody spoke of again", async () => {
    const { ledger, appends } = build();
    ledger.arrivals(receivedAt, 2); // its append failed: the client heard 503
    const block = ledger.arrivals(receivedAt, 6);
    const dropped = [0, 3, 5].map((index) => ({ index, reason: index === 3 ? "no_profile_consent" : "no_consent" }));
    ledger.dropped("shop", block, dropped);
    ledger.answered("shop", block, dropped, false);
    const all = ledger.arrivals(receivedAt, 1);
    ledger.dropped("shop", all, [{ index: 0, reason: "no_consent" }]);
    ledger.answered("shop", all, [{ index: 0, reason: "no_consent" }], false);
    await ledger.flush();
    expect(appends.flat().map(short)).toEqual([
      "shop dropped no_consent 2-2,7-8",
      "shop dropped no_profile_consent 5-5",
      "shop answered 3-4,6-6",
    ]);
  });

  it("tells apart sites, hours, and what waits in the spool", async () => {
    const { ledger, appends } = build();
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    ledger.answered("blog", ledger.arrivals(receivedAt, 1), [], false);
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], true);
    ledger.answered("shop", ledger.arrivals(receivedAt + 3_600_000, 1), [], false);
    await ledger.flush();
    expect(appends.flat().map((entry) => `${entry.hour.slice(11, 13)} ${short(entry)}`)).toEqual([
      "20 shop answered 0-0",
      "20 blog answered 1-1",
      "20 shop spooled 2-2",
      "21 shop answered 0-0",
    ]);
  });

  it("keeps what an append did not confirm and sends it again, complaining once", async () => {
    const { ledger, appends, lines, fail } = build();
    fail(2);
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    await vi.advanceTimersByTimeAsync(1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(lines).toHaveLength(1);
    expect(appends).toHaveLength(3);
    expect(appends[2]!.map(short)).toEqual(["shop answered 0-1"]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(appends).toHaveLength(3);
  });

  it("does no more for being asked more often while the log is away", async () => {
    const { ledger, appends, fail } = build();
    fail(Number.POSITIVE_INFINITY);
    const request = async (): Promise<void> => {
      const block = ledger.arrivals(receivedAt, 2);
      const dropped = [{ index: 0, reason: "no_consent" }];
      ledger.dropped("shop", block, dropped);
      await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    };
    // Of the events that came before the outage the books still have to tell.
    for (let n = 0; n < 3; n++) ledger.answered("shop", ledger.arrivals(receivedAt, 3), [], false);
    for (let second = 0; second < 5; second++) {
      for (let n = 0; n < 1_000; n++) await request();
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(appends).toHaveLength(6);
    for (const entries of appends) expect(entries.length).toBeLessThanOrEqual(2);
    fail(0);
    await vi.advanceTimersByTimeAsync(1_000);
    // Nobody was told that what was dropped in these requests is done with: their senders keep it, and it will be received again.
    expect(appends.at(-1)!.map(short)).toEqual(["shop answered 0-8"]);
    const block = ledger.arrivals(receivedAt, 1);
    ledger.dropped("shop", block, [{ index: 0, reason: "no_consent" }]);
    await ledger.flush();
    expect(appends.at(-1)!.map(short)).toEqual([`shop dropped no_consent ${block.first}-${block.first}`]);
    await ledger.close();
  });

  it("tries again within a second after a failure, and not before", async () => {
    const { ledger, appends, fail } = build();
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    await vi.advanceTimersByTimeAsync(999);
    fail(1);
    await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    await vi.advanceTimersByTimeAsync(999);
    await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    expect(appends).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(appends).toHaveLength(2);
    await ledger.flush();
  });

  it("answers nobody who waits behind a write that fails", async () => {
    let fail = (): void => {};
    let appended = 0;
    const ledger = createLossLedger({
      append: () => {
        if (appended++ > 0) return Promise.reject(new LogUnavailableError("away"));
        return new Promise((_, reject) => (fail = () => reject(new LogUnavailableError("away"))));
      },
      process: "p",
      logger: { info() {}, warn() {}, error() {} },
    });
    const drop = (): Promise<void | "spooled"> => {
      ledger.dropped("shop", ledger.arrivals(receivedAt, 1), [{ index: 0, reason: "no_consent" }]);
      return ledger.flush();
    };
    const both = [drop(), drop()].map((one) => expect(one).rejects.toBeInstanceOf(LogUnavailableError));
    fail();
    await Promise.all(both);
    expect(appended).toBe(1);
    await ledger.close();
  });

  it("forgets what it cannot keep for ever, and says so", async () => {
    const { ledger, appends, lines, fail } = build();
    fail(Number.POSITIVE_INFINITY);
    for (let n = 0; n <= 100_000; n++) {
      ledger.arrivals(receivedAt, 1); // not answered for
      ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    }
    await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    fail(0);
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(appends.at(-1)!.map(short)).toEqual(["shop answered 200002-200002"]);
    expect(lines).toEqual([expect.stringContaining("kept in memory"), expect.stringContaining("forgotten")]);
  });

  it("states a client's total again that was not confirmed", async () => {
    const { ledger, appends, fail } = build();
    fail(1);
    ledger.receipt("shop", receivedAt, { queued: 5, sent: 4, retried: 0, dropped: {} });
    await expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    ledger.receipt("shop", receivedAt, { queued: 1, sent: 0, retried: 0, dropped: {} });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(appends.at(-1)!.map(short)).toEqual(["shop client_queued 6", "shop client_sent 4"]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(appends).toHaveLength(2);
  });

  it("answers a flush only when what came before it is durable, with one append on its way at a time", async () => {
    let open = (): void => {};
    let flying = 0;
    const seen: string[] = [];
    const ledger = createLossLedger({
      append: async (records) => {
        expect(++flying).toBe(1);
        await new Promise<void>((resolve) => (open = resolve));
        for (const { value } of records) seen.push(short(JSON.parse(Buffer.from(value).toString()) as LedgerEntry));
        flying--;
      },
      process: "p",
      logger: { info() {}, warn() {}, error() {} },
    });
    const drop = (): Promise<void | "spooled"> => {
      ledger.dropped("shop", ledger.arrivals(receivedAt, 1), [{ index: 0, reason: "no_consent" }]);
      return ledger.flush();
    };
    const first = drop();
    const others = [drop(), drop()];
    open();
    await first;
    expect(seen).toEqual(["shop dropped no_consent 0-0"]);
    await Promise.resolve();
    open();
    await Promise.all(others);
    expect(seen[1]).toBe("shop dropped no_consent 1-2");
    await ledger.close();
  });

  it("lets nobody wait for a log that says nothing, and goes on trying", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    let answer = (): void => {};
    const ledger = createLossLedger({
      append: () => new Promise((resolve) => (answer = resolve)),
      process: "p",
      logger: { info() {}, warn() {}, error() {} },
      answerWithinMs: 700,
    });
    ledger.dropped("shop", ledger.arrivals(receivedAt, 1), [{ index: 0, reason: "no_consent" }]);
    const flushed = expect(ledger.flush()).rejects.toBeInstanceOf(LogUnavailableError);
    await vi.advanceTimersByTimeAsync(700);
    await flushed;
    const again = ledger.flush();
    answer();
    await expect(again).resolves.toBeUndefined();
    await ledger.close();
  });

  it("adds up what clients say, and states the total again when it has changed", async () => {
    const { ledger, appends } = build();
    const receipt = { queued: 5, sent: 4, retried: 0, dropped: { too_old: 1 } };
    ledger.receipt("shop", receivedAt, receipt);
    await ledger.flush();
    ledger.receipt("shop", receivedAt + 1_000, { ...receipt, dropped: {} });
    await ledger.flush();
    await ledger.flush();
    expect(appends.map((entries) => entries.map(short))).toEqual([
      ["shop client_queued 5", "shop client_sent 4", "shop client_dropped too_old 1"],
      ["shop client_queued 10", "shop client_sent 8"],
    ]);
  });

  it("does not let a client's words become rows without end", async () => {
    const { ledger, appends } = build();
    for (let i = 0; i < 500; i++)
      ledger.receipt("shop", receivedAt, { queued: 0, sent: 0, retried: 0, dropped: { [`reason_${i}`]: 1 } });
    await ledger.flush();
    const entries = appends.flat();
    expect(entries.length).toBeLessThanOrEqual(51);
    expect(entries.reduce((sum, { counted }) => sum + counted, 0)).toBe(500);
    expect(entries.at(-1)).toMatchObject({ reason: "other", counted: 450 });
  });

  it("writes the rest when it is closed, and does not hold up the end when the log is away", async () => {
    const { ledger, appends } = build();
    ledger.answered("shop", ledger.arrivals(receivedAt, 1), [], false);
    await ledger.close();
    expect(appends).toHaveLength(1);
    const away = build();
    away.fail(1);
    away.ledger.answered("shop", away.ledger.arrivals(receivedAt, 1), [], false);
    await away.ledger.close();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(away.appends).toHaveLength(1);
  });
});
