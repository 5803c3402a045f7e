import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createDevice, type Flight, type Tab } from "./simulated-device.test-support.ts";

// Random histories of tabs, crashes, choices, networks and answers, over the real outbox and sender. What an event's history may be:
// queued with consent -> stored by the collector, refused by it, taken back by the visitor, or lost with a tab before anything was kept.

const answers = ["ok", "ok", "ok", "busy", "broken", "cut_before", "cut_after", "too_large", "refused"] as const;
type Answer = (typeof answers)[number];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("call" as const), tab: fc.nat(3), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("tick" as const), count: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("settle" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(50, 200, 1000, 5000, 60_000) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("answer" as const), flight: fc.nat(2), as: fc.constantFrom(...answers) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("open" as const, "crash" as const, "leave" as const, "hide" as const),
      tab: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("withdraw" as const, "grant" as const), tab: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("offline" as const, "online" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

interface Call {
  messageId: string;
  page: number;
  i: number;
  era: number;
}

async function run(steps: Step[], supports: { locks: boolean; database: boolean }): Promise<void> {
  const device = createDevice(supports);
  const calls = new Map<string, Call>();
  const stored = new Map<string, number>();
  const refused = new Set<string>();
  const lost = new Set<string>();
  /** Events whose fate a page has been told, as far as another page can know of it. */
  const told = new Set<string>();
  /** What a page left behind: another tab may have sent it just then. */
  const handedOn = new Set<string>();
  let notBefore = 0;
  let queuedInReceipts = 0;
  let order = 0;

  // Collected, because what is thrown in a tab stays there.
  const wrongs: string[] = [];
  const onPost = ({ at, body: { batch } }: Flight): void => {
    const ids = batch.map(({ messageId }) => messageId);
    if (!device.consent.isGranted) wrongs.push("sent without consent");
    if (ids.some((id) => calls.get(id)!.era !== device.consent.era)) wrongs.push("sent after a withdrawal");
    if (!device.network.onLine) wrongs.push("sent while offline");
    if (at < notBefore) wrongs.push("sent before Retry-After");
    // But for a parcel that a page was cutting up when it left.
    if (new Set(ids).size < ids.length && !isCut) wrongs.push("twice in a request");
    // Whoever has its turn has looked. A page that leaves cannot, nor can one that shares nothing with the others.
    const canKnow = supports.locks && supports.database && !isLeaving;
    if (canKnow && ids.some((id) => told.has(id) && !handedOn.has(id))) wrongs.push("sent again although answered for");
  };
  let isLeaving = false;
  const isCut = steps.some((at) => at.do === "answer" && at.as === "too_large");

  const answer = (flight: Flight, as: Answer): void => {
    device.flights.splice(device.flights.indexOf(flight), 1);
    const { batch, receipt } = flight.body;
    const isStored = as === "ok" || as === "cut_after";
    const isRefused = as === "refused" || (as === "too_large" && batch.length === 1);
    for (const { messageId, page, i } of batch) {
      expect({ page, i }, "not the same under the same id").toEqual({
        page: calls.get(messageId)!.page,
        i: calls.get(messageId)!.i,
      });
      if (isStored && !stored.has(messageId)) stored.set(messageId, order++);
      if (isRefused && !stored.has(messageId)) refused.add(messageId);
      if (flight.tab.isOpen && (as === "ok" || isRefused)) told.add(messageId);
    }
    if (isStored) queuedInReceipts += receipt.queued;
    if (!flight.tab.isOpen) return;
    const retryAfterMs = as === "busy" ? 30_000 : 0;
    if (retryAfterMs && device.consent.isGranted) notBefore = device.now() + retryAfterMs;
    const status = { ok: 200, busy: 429, broken: 500, cut_before: 0, cut_after: 0, too_large: 413, refused: 400 }[as];
    flight.answer({ status, retryAfterMs, answer: "" });
  };

  const tabAt = (index: number): Tab => {
    const open = device.openTabs();
    return open[index % open.length] ?? device.open(onPost);
  };

  const made = new Map<Tab, number>();
  const call = (tab: Tab): void => {
    if (!device.consent.isGranted) return;
    device.heed(tab);
    const i = made.get(tab) ?? 0;
    made.set(tab, i + 1);
    const event = { messageId: `${tab.id}.${i}`, page: tab.id, i };
    calls.set(event.messageId, { ...event, era: device.consent.era });
    tab.receipt.count("queued");
    tab.outbox.add(sharedBy(tab), JSON.stringify({ context: {}, ...event }));
    tab.sender.wake();
  };
  const shareds = new Map<Tab, object>();
  const sharedBy = (tab: Tab): object => {
    const shared = shareds.get(tab) ?? { page: { url: `/${tab.id}` } };
    shareds.set(tab, shared);
    return shared;
  };

  /** What it had been told may be gone with it, before the device knew. */
  const close = async (tab: Tab): Promise<Set<string>> => {
    device.close(tab);
    const kept = await device.kept();
    for (const id of kept) told.delete(id);
    return kept;
  };
  const crash = async (tab: Tab): Promise<void> => {
    const kept = await close(tab);
    for (const { messageId, page } of calls.values()) {
      // Without a database, what it had taken over goes with it as well.
      const isHeldElsewhere = page !== tab.id && (supports.database || device.tabs[page]!.isOpen);
      if (!isHeldElsewhere && !kept.has(messageId) && !stored.has(messageId)) lost.add(messageId);
    }
  };

  const play = async (at: Step): Promise<void> => {
    switch (at.do) {
      case "call":
        for (let i = 0; i < at.count; i++) call(tabAt(at.tab));
        break;
      case "tick":
        await device.ticks(at.count);
        break;
      case "settle":
        await device.settle();
        break;
      case "wait":
        // Long enough for the database, too.
        if (at.ms > 200) await device.settle();
        device.advance(at.ms);
        break;
      case "answer": {
        const flight = device.flights[at.flight % Math.max(1, device.flights.length)];
        // Of one tab, in the order in which it sent them.
        if (flight)
          answer(
            device.flights.find(({ tab }) => tab === flight.tab)!,
            at.as,
          );
        break;
      }
      case "open":
        if (device.openTabs().length < 4) device.open(onPost).sender.wake();
        break;
      case "crash":
        await crash(tabAt(at.tab));
        break;
      case "leave": {
        const tab = tabAt(at.tab);
        isLeaving = true;
        tab.sender.leave();
        isLeaving = false;
        for (const id of await close(tab)) if (calls.get(id)!.page === tab.id) handedOn.add(id);
        break;
      }
      case "hide":
        void tabAt(at.tab).sender.flush();
        break;
      case "withdraw": {
        const tab = tabAt(at.tab);
        device.consent.isGranted = false;
        device.consent.era++;
        notBefore = 0;
        queuedInReceipts = -Infinity;
        device.heed(tab);
        break;
      }
      case "grant":
        for (const tab of device.openTabs()) device.heed(tab);
        device.consent.isGranted = true;
        break;
      case "offline":
        device.network.onLine = false;
        break;
      case "online":
        if (!device.network.onLine) {
          device.network.onLine = true;
          for (const tab of device.openTabs()) tab.sender.comeBack();
        }
    }
  };

  for (const at of steps) {
    await play(at);
    // Promises that are ready are run before anything else happens on a page.
    for (let i = 0; i < 30; i++) await Promise.resolve();
  }

  // In the end all goes well, and the visitor comes back.
  await play({ do: "online" });
  await play({ do: "grant", tab: 0 });
  device.open(onPost).sender.wake();
  for (let quiet = 0; quiet < 3;) {
    await device.settle();
    const flight = device.flights[0];
    if (flight) answer(flight, "ok");
    else if (device.hasTimers()) device.advance(60_000);
    else quiet++;
  }

  expect(wrongs).toEqual([]);
  const mustArrive = [...calls.values()].filter(
    ({ messageId, era }) => era === device.consent.era && !lost.has(messageId) && !refused.has(messageId),
  );
  expect(
    mustArrive.filter(({ messageId }) => !stored.has(messageId)),
    "lost",
  ).toEqual([]);
  expect(
    [...(await device.kept())].filter((id) => calls.get(id)!.era === device.consent.era),
    "left on the device",
  ).toEqual([]);
  for (const page of new Set([...calls.values()].map((each) => each.page))) {
    const seen = [...stored.keys()]
      .map((id) => calls.get(id)!)
      .filter((each) => each.page === page && !refused.has(each.messageId))
      .map(({ i }) => i);
    expect(seen, "reordered").toEqual([...seen].sort((a, b) => a - b));
  }
  expect(queuedInReceipts === -Infinity || queuedInReceipts >= stored.size, "receipts that lost counts").toBe(true);
}

const histories = fc.array(step, { minLength: 5, maxLength: 60, size: "max" });

it("loses, reorders, forbids and doubles nothing that it could have known, in random histories", async () => {
  await checkAsyncProperty(
    fc.asyncProperty(histories, (steps) => run(steps, { locks: true, database: true })),
    800,
  );
});
it("nor where there are no locks", async () => {
  await checkAsyncProperty(
    fc.asyncProperty(histories, (steps) => run(steps, { locks: false, database: true })),
    500,
  );
});
it("nor where there is no database", async () => {
  await checkAsyncProperty(
    fc.asyncProperty(histories, (steps) => run(steps, { locks: true, database: false })),
    500,
  );
});
