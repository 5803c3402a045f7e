import type { NewEvents, Profile, ReadQueries, StoredEvent, TimelineEvent, TimelineQuestion } from "@polder/clickhouse";

/** For tests: a store in memory, with events put in one by one. */
export interface SampleStore {
  queries: ReadQueries;
  add(...events: Partial<StoredEvent>[]): void;
  /** From now on the atom is that person's. */
  assign(atom: number, person: number): void;
  /** Every question fails from now on. */
  breakDown(error?: Error): void;
  repair(): void;
  questions(): number;
  /** What was asked of a timeline, in order. */
  timelineQuestions: readonly TimelineQuestion[];
}

export const sampleEvent = (overrides: Partial<StoredEvent> = {}): StoredEvent => ({
  partition: 0,
  offset: 0,
  site: "shop",
  time: 1_795_000_000_000,
  receivedAt: 1_795_000_000_100,
  type: "page",
  name: "page",
  atom: 64,
  person: 64,
  urlHost: "shop.example",
  urlPath: "/",
  pageTitle: "Home",
  pageGroup: "/",
  channel: "direct",
  country: "NL",
  device: "desktop",
  browser: "Firefox",
  os: "Linux",
  bot: "",
  consentMask: 6,
  basis: "consent",
  sessionId: "visit-1",
  orderId: "",
  amount: "0",
  currency: "",
  choices: [],
  ...overrides,
});

const sampleTimelineEvent = (overrides: Partial<TimelineEvent> = {}): TimelineEvent => ({
  partition: 3,
  offset: 12,
  time: 1_795_000_000_000,
  type: "page",
  name: "page",
  atom: 64,
  sessionId: "visit-1",
  urlHost: "shop.example",
  urlPath: "/",
  pageTitle: "Home",
  pageGroup: "/",
  channel: "direct",
  country: "NL",
  device: "desktop",
  browser: "Firefox",
  os: "Linux",
  origin: "observed",
  partner: "",
  consentMask: 6,
  basis: "consent",
  orderId: "",
  amount: "0",
  currency: "",
  choices: [],
  properties: { price: 12.5 },
  ...overrides,
});
const { properties: _, ...shownEvent } = sampleTimelineEvent();

const touch = {
  channel: "direct",
  referrerHost: "",
  utmSource: "",
  utmMedium: "",
  utmCampaign: "",
  landingPage: "shop.example/",
};

const sampleProfile = (overrides: Partial<Profile> = {}): Profile => ({
  person: 64,
  site: "shop",
  firstSeen: 1_795_000_000_000,
  lastSeen: 1_795_000_060_000,
  identifiers: [
    {
      kind: "anonymous_id",
      value: "device-1",
      hash: "",
      firstSeen: 1_795_000_000_000,
      verification: { isConfirmed: true, rule: "device", time: 1_795_000_000_000 },
    },
  ],
  traits: [
    {
      name: "email",
      value: "a@shop.example",
      origin: "declared",
      class: "identity",
      purpose: "profile",
      isPersonal: true,
      time: 1_795_000_000_000,
    },
  ],
  computedTraits: [{ name: "orders_90d", version: 2, type: "number", value: "3" }],
  counters: { events: 2, pageViews: 1, clicks: 1, sessions: 1, orders: 0 },
  revenue: [{ currency: "EUR", amount: "10" }],
  firstTouch: touch,
  lastTouch: touch,
  devices: [
    { device: "desktop", browser: "Firefox", os: "Linux", country: "NL", events: 2, lastSeen: 1_795_000_060_000 },
  ],
  sessions: [
    {
      id: "visit-1",
      start: 1_795_000_000_000,
      end: 1_795_000_060_000,
      events: 2,
      pageViews: 1,
      entryPath: "/",
      exitPath: "/",
      channel: "direct",
    },
  ],
  consent: [
    {
      time: 1_795_000_000_000,
      consentId: "c",
      regime: "opt_in",
      notice: "v1",
      choices: [{ purpose: "profile", state: "granted" }],
    },
  ],
  purposes: [{ purpose: "ads", isAllowed: false, why: "denied", device: "device:device-1", at: 1_795_000_000_000 }],
  audiences: [{ audience: "buyers", name: "Buyers", since: 1_795_000_000_000 }],
  timeline: [shownEvent],
  next: { time: 1_795_000_000_000, partition: 3, offset: 12 },
  ...overrides,
});

export function createSampleStore(): SampleStore {
  const events: StoredEvent[] = [];
  const persons = new Map<number, number>();
  let fault: Error | undefined;
  let questions = 0;
  const timelineQuestions: TimelineQuestion[] = [];
  const ask = async <T>(answer: () => T): Promise<T> => {
    questions++;
    if (fault !== undefined) throw fault;
    return answer();
  };

  return {
    questions: () => questions,
    timelineQuestions,
    add(...added) {
      for (const event of added) {
        const partition = event.partition ?? 0;
        const offset = events.filter((each) => each.partition === partition).length;
        events.push(sampleEvent({ offset, ...event }));
      }
    },
    assign: (atom, person) => void persons.set(atom, person),
    breakDown: (error = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })) => {
      fault = error;
    },
    repair: () => {
      fault = undefined;
    },
    queries: {
      endPositions: () =>
        ask(() => {
          const ends = new Map<number, number>();
          for (const { partition, offset } of events) ends.set(partition, Math.max(offset, ends.get(partition) ?? -1));
          return ends;
        }),
      otherPartitions: (known) =>
        ask(() => {
          const others = new Set(events.map(({ partition }) => partition));
          for (const partition of known) others.delete(partition);
          return [...others];
        }),
      newEvents: (positions, limit) =>
        ask((): NewEvents => {
          const found = events.filter(
            ({ partition, offset }) => positions.has(partition) && offset > positions.get(partition)!,
          );
          const ends = new Map(positions);
          const seconds = new Map<string, { site: string; second: number; count: number }>();
          for (const { partition, offset, site, receivedAt } of found) {
            ends.set(partition, Math.max(offset, ends.get(partition)!));
            const second = Math.floor(receivedAt / 1000);
            const sum = seconds.get(`${site}${second}`) ?? { site, second, count: 0 };
            seconds.set(`${site}${second}`, { ...sum, count: sum.count + 1 });
          }
          return { events: found.slice(-limit), count: found.length, seconds: [...seconds.values()], positions: ends };
        }),
      personsOf: (atoms) => ask(() => new Map(atoms.map((atom) => [atom, persons.get(atom) ?? atom]))),
      findPerson: (site, id) =>
        ask(() => (site === "shop" && (id.value === "device-1" || id.value === 64) ? 64 : undefined)),
      profile: (site, id) =>
        ask(() => (site === "shop" && (id.value === "device-1" || id.value === 64) ? sampleProfile() : undefined)),
      timeline: (site, id, question) =>
        ask(() => {
          timelineQuestions.push(question);
          return site === "shop" && id.value === "device-1"
            ? {
                person: 64,
                events: [sampleTimelineEvent()],
                next: { time: 1_795_000_000_000, partition: 3, offset: 12 },
              }
            : undefined;
        }),
      audiences: () =>
        ask(() => [
          { dimension: "channel", value: "direct", people: 3, events: 9 },
          { dimension: "channel", value: "mail", people: 1, events: 2 },
          { dimension: "device", value: "mobile", people: 2, events: 5 },
        ]),
      summary: (_site, _day, { since }) =>
        ask(() => ({
          events: 11,
          people: 4,
          pageViews: 6,
          newestReceivedAt: since + 1_000,
          seconds: [{ second: Math.floor(since / 1000), count: 2 }],
          rejected: [{ reason: "too_deep", count: 1 }],
        })),
    },
  };
}
