import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { IDBFactory } from "fake-indexeddb";
import type { Outbox } from "./outbox.ts";
import type { ReceiptBook } from "./receipt.ts";
import type { createSender } from "./sender.ts";
import type { Outcome } from "./transport.ts";

type Tools = Pick<typeof import("./outbox.ts"), "createOutbox"> &
  Pick<typeof import("./receipt.ts"), "createReceiptBook"> & { createSender: typeof createSender };

/** What a tab has sent, and how to answer it. */
export interface Flight {
  tab: Tab;
  body: { batch: { messageId: string; page: number; i: number }[]; receipt: { queued: number } };
  at: number;
  answer(outcome: Outcome): void;
}

export interface Tab {
  id: number;
  isOpen: boolean;
  outbox: Outbox;
  sender: ReturnType<typeof createSender>;
  receipt: ReceiptBook;
  /** Number of the last withdrawal that it has heard of. */
  era: number;
}

const site = "polder_site";

// Each tab runs the real files in a realm of its own: what it can reach ends with it, as in a browser.
const { outputFiles } = await build({
  stdin: {
    contents:
      'export { createOutbox } from "./outbox.ts"; export { createReceiptBook } from "./receipt.ts"; export { createSender } from "./sender.ts";',
    resolveDir: fileURLToPath(new URL(".", import.meta.url)),
  },
  bundle: true,
  format: "iife",
  globalName: "tools",
  conditions: ["source"],
  write: false,
});
const code = outputFiles.map(({ text }) => text).join();

/**
 * A device with storage, locks and a clock, as its tabs see it.
 * @param supports what the browser has.
 */
export function createDevice(supports: { locks: boolean; database: boolean }) {
  const local: { [key: string]: string } = {};
  const factory = new IDBFactory();
  const network = { onLine: true };
  const consent = { isGranted: true, era: 0 };
  const flights: Flight[] = [];
  let timers: { at: number; run: () => void; tab: Tab }[] = [];
  let waiting: { tab: Tab; run: () => Promise<unknown>; settle: (result: Promise<unknown>) => void }[] = [];
  const tabs: Tab[] = [];
  let holder: Tab | undefined;
  let now = Date.UTC(2026, 10, 22);
  /** Rises with everything that a tab does, so that `settle` sees when nothing happens any more. */
  let activity = 0;
  let transactions = 0;

  const passLock = (): void => {
    const next = holder ? undefined : waiting.shift();
    if (!next) return;
    const { tab } = next;
    holder = tab;
    const done = Promise.resolve().then(next.run);
    next.settle(done);
    const release = (): void => {
      if (holder === tab) holder = undefined;
      passLock();
    };
    done.then(release, release);
  };

  const open = (onPost: (flight: Flight) => void): Tab => {
    const tab = { id: tabs.length, isOpen: true, era: consent.era } as Tab;
    const alive =
      <A extends unknown[], R>(run: (...args: A) => R) =>
      (...args: A): R => {
        activity++;
        if (!tab.isOpen) throw new Error("gone");
        return run(...args);
      };
    const context = createContext({
      console,
      AbortSignal,
      crypto,
      btoa,
      TextEncoder,
      localStorage: new Proxy(local, {
        set: (target, key: string, value: string) => !tab.isOpen || Reflect.set(target, key, value),
        deleteProperty: (target, key) => !tab.isOpen || Reflect.deleteProperty(target, key),
      }),
      indexedDB: supports.database && {
        open: alive((name: string) => {
          const request = factory.open(name);
          request.addEventListener("success", () => {
            const db = request.result;
            // What has not begun by then never does.
            if (!tab.isOpen) db.close();
            const begin = db.transaction.bind(db);
            db.transaction = (...args) => {
              const transaction = begin(...args);
              transactions++;
              for (const end of ["complete", "abort"]) transaction.addEventListener(end, () => transactions--);
              return transaction;
            };
          });
          return request;
        }),
        deleteDatabase: alive((name: string) => factory.deleteDatabase(name)),
      },
      navigator: {
        get onLine() {
          return network.onLine;
        },
        locks: supports.locks
          ? {
              request: (_name: string, _options: object, run: () => Promise<unknown>) =>
                new Promise((resolve) => {
                  activity++;
                  if (!tab.isOpen) return;
                  waiting.push({ tab, run, settle: resolve });
                  passLock();
                }),
            }
          : undefined,
      },
      setTimeout: (run: () => void, ms: number) => {
        const timer = { at: now + ms, run, tab };
        timers.push(timer);
        return timer;
      },
      clearTimeout: (gone: unknown) => {
        timers = timers.filter((timer) => timer !== gone);
      },
      Date: class extends Date {
        static override now = (): number => now;
        constructor() {
          super(now);
        }
      },
    });
    runInContext(code, context);
    const { createOutbox, createReceiptBook, createSender: create } = context.tools as Tools;
    tab.receipt = createReceiptBook(() => {});
    tab.outbox = createOutbox(site, () => tab.isOpen && consent.isGranted, tab.receipt);
    const post = (text: string): Promise<Outcome> =>
      new Promise((resolve) => {
        activity++;
        if (!tab.isOpen) return;
        const flight: Flight = { tab, body: JSON.parse(text), at: now, answer: resolve };
        flights.push(flight);
        onPost(flight);
      });
    tab.sender = create(
      "pk",
      tab.outbox,
      post,
      tab.receipt,
      () => heed(tab),
      200,
      () => {},
    );
    tabs.push(tab);
    return tab;
  };

  /** What a page does when it learns of a choice that another one made. */
  const heed = (tab: Tab): void => {
    activity++;
    if (!tab.isOpen || tab.era === consent.era) return;
    tab.era = consent.era;
    tab.outbox.wipe();
  };

  /** A page's realm ends: nothing that it started goes on, and its locks are free. */
  const close = (tab: Tab): void => {
    tab.isOpen = false;
    timers = timers.filter((timer) => timer.tab !== tab);
    waiting = waiting.filter((request) => request.tab !== tab);
    if (holder === tab) holder = undefined;
    passLock();
  };

  const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  return {
    consent,
    network,
    flights,
    tabs,
    open,
    close,
    heed,
    now: () => now,
    hasTimers: () => timers.length > 0,
    openTabs: () => tabs.filter(({ isOpen }) => isOpen),
    async ticks(count: number): Promise<void> {
      for (let i = 0; i < count; i++) await tick();
    },
    /** Until every tab waits for the clock or for an answer. */
    async settle(): Promise<void> {
      for (let quiet = 0, seen = activity; quiet < 25; quiet++, seen = activity) {
        await tick();
        if (seen !== activity || transactions > 0) quiet = 0;
      }
    },
    /** Moves the clock, and runs what is due on the way. */
    advance(ms: number): void {
      const end = now + ms;
      for (;;) {
        timers.sort((a, b) => a.at - b.at);
        if (!timers[0] || timers[0].at > end) break;
        const { at, run } = timers.shift()!;
        now = Math.max(now, at);
        run();
      }
      now = end;
    },
    /** Ids of all that would still be there if every tab crashed now. */
    async kept(): Promise<Set<string>> {
      const texts = Object.entries(local).flatMap(([key, value]) =>
        key.startsWith("polder_out.")
          ? (JSON.parse(value) as { events: string[] }[]).flatMap(({ events }) => events)
          : [],
      );
      if (supports.database) texts.push(...(await readDatabase(factory)));
      return new Set(texts.map((text) => (JSON.parse(text) as { messageId: string }).messageId));
    },
  };
}

async function readDatabase(factory: IDBFactory): Promise<string[]> {
  const opening = factory.open(site);
  const isThere = await new Promise<boolean>((resolve) => {
    // Looking must not create it.
    opening.addEventListener("upgradeneeded", () => opening.transaction?.abort());
    opening.addEventListener("success", () => resolve(true));
    opening.addEventListener("error", () => resolve(false));
  });
  if (!isThere) return [];
  const db = opening.result;
  const found = await new Promise<{ events: string[] }[]>((resolve) => {
    const request = db.transaction(site).objectStore(site).getAll();
    request.addEventListener("success", () => resolve(request.result as { events: string[] }[]));
  });
  db.close();
  return found.flatMap(({ events }) => events);
}
