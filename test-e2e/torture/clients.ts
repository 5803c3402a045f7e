import { setTimeout as pause } from "node:timers/promises";
import { grantedConsent } from "../support/load.ts";
import { createRandom, type Random } from "./random.ts";

/** What is known of one event: what it is, and what its sender ever heard. */
export const mark = {
  sent: 1,
  accepted: 2,
  rejected: 4,
  dropped: 8,
  mayNotBeStored: 16,
  /** Its visitor has withdrawn, before or after it was made. */
  mayBeDropped: 32,
  /** For want of consent, when there was one. */
  droppedWrongly: 64,
} as const;

export interface Clients {
  /** By client and number of the event: {@link mark}s. The id of an event is {@link idOf} of the two. */
  marks: readonly (readonly number[])[];
  /** Answers by status, and requests without one. */
  heard: ReadonlyMap<string, number>;
  accepted(): number;
  /** What all answers add up to, in events. Repeated: accepted once more, after a retry or a crash of the page. */
  told: Readonly<Told>;
  /** Lets what is under way be answered, however long that takes. */
  finish(): Promise<void>;
}

export interface Told {
  repeated: number;
  rejected: number;
  dropped: number;
}

export const idOf = (client: number, number: number): string => `c${client}-${number}`;

interface SentEvent {
  messageId: string;
  type: string;
  context: { consent?: object; session: object; page?: object };
  [field: string]: unknown;
}
interface Batch {
  events: SentEvent[];
  numbers: number[];
}
interface Visitor {
  anonymousId: string;
  userId?: string;
  consent: object;
  session: { id: string; start: number };
  seq: number;
  /** Numbers of its events. */
  numbers: number[];
}

const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const timeoutMs = 15_000;
const longestBackoffMs = 1_000;
export const mostInRequest = 8;
// Chosen well before any clock of ours, also one that was put back.
const chosenAt = new Date(Date.now() - 86_400_000).toISOString();

/**
 * Clients that keep what is not answered and send it again with the same ids, to whichever collector comes next. What they send derives from the seed:
 * the n-th event of a client is always the same one, but for its times. The first has one visitor who never stops; the last one is a bot.
 */
export function startClients(options: {
  seed: number;
  count: number;
  urls: readonly string[];
  writeKey: string;
  origin: string;
  /** From one answer to the next request, on average. */
  thinkMs: number;
}): Clients {
  const { seed, count, urls, writeKey, origin, thinkMs } = options;
  const marks: number[][] = Array.from({ length: count }, () => []);
  const heard = new Map<string, number>();
  const told: Told = { repeated: 0, rejected: 0, dropped: 0 };
  let accepted = 0;
  let isDone = false;

  const client = async (index: number): Promise<void> => {
    const traffic = createRandom(seed, `traffic of ${index}`);
    // A stream of its own: how often something has to be sent again depends on faults, and must not move what is sent.
    const patience = createRandom(seed, `patience of ${index}`);
    const own = marks[index]!;
    const userAgent = index === count - 1 ? "torture-bot/1.0" : browser;
    const visitors = createVisitors(index, index === 0 ? 1 : 40, traffic);
    const before: Batch[] = [];
    while (!isDone) {
      const batch = nextBatch(index, own, visitors, traffic);
      // As after a crash of the page: it was answered, and nobody remembers.
      const again = traffic.isIn(0.06) && before.length > 0 ? traffic.pick(before) : undefined;
      await deliver(batch, own, userAgent, patience);
      if (again) await deliver(again, own, userAgent, patience);
      before.push(batch);
      if (before.length > 200) before.shift();
      await pause(traffic.between(0, 2 * thinkMs)); // as people do between two pages
    }
  };

  const deliver = async ({ events, numbers }: Batch, own: number[], userAgent: string, patience: Random) => {
    const body = JSON.stringify({ writeKey, sentAt: new Date().toISOString(), batch: events });
    for (const number of numbers) own[number]! |= mark.sent;
    for (;;) {
      const { status, answer, retryAfterMs } = await ask(patience.pick(urls), body, userAgent);
      heard.set(status, (heard.get(status) ?? 0) + 1);
      if (answer) {
        note(answer, events, numbers, own);
        return;
      }
      // Never acceptable, it says. The end of the run tells who was wrong; until then the others go on.
      if (isFinal(status)) return;
      const most = Math.min(retryAfterMs ?? 100, longestBackoffMs);
      await pause(patience.between(0.5, 1) * most); // a client's backoff
    }
  };

  const ask = async (url: string, body: string, userAgent: string): Promise<Heard> => {
    try {
      const response = await fetch(`${url}/v1/batch`, {
        method: "POST",
        headers: { "content-type": "text/plain", origin, "user-agent": userAgent },
        body,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const status = String(response.status);
      if (isTaken(status)) return { status, answer: (await response.json()) as Answer };
      const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
      // Whatever its body is, and whether it comes whole: this was the answer.
      await response.body?.cancel().catch(() => {});
      return { status, ...(Number.isFinite(retryAfter) && { retryAfterMs: retryAfter * 1_000 }) };
    } catch (error) {
      return { status: error instanceof DOMException ? "timeout" : "cut" };
    }
  };

  const note = (answer: Answer, events: SentEvent[], numbers: number[], own: number[]): void => {
    if (answer.accepted + answer.rejected.length !== events.length)
      throw new Error(`${events.length} events were answered with ${JSON.stringify(answer)}`);
    const refused = new Map(answer.rejected.map(({ index, reason }) => [index, reason]));
    for (const [index, number] of numbers.entries()) {
      const reason = refused.get(index);
      const before = own[number]!;
      if (reason === undefined) {
        if (before & mark.accepted) told.repeated++;
        else accepted++;
        own[number] = before | mark.accepted;
      } else if (dropReasons.has(reason)) {
        told.dropped++;
        const isRight = (before & (mark.mayNotBeStored | mark.mayBeDropped)) !== 0;
        own[number] = before | mark.dropped | (isRight ? 0 : mark.droppedWrongly);
      } else {
        told.rejected++;
        own[number] = before | mark.rejected;
      }
    }
  };

  const clients = Array.from({ length: count }, (_, index) => client(index));
  // An answer that cannot be is told by `finish`, and not before.
  for (const one of clients) one.catch(() => {});
  return {
    marks,
    heard,
    told,
    accepted: () => accepted,
    async finish() {
      isDone = true;
      await Promise.all(clients);
    },
  };
}

interface Answer {
  accepted: number;
  rejected: { index: number; reason: string }[];
}
interface Heard {
  status: string;
  answer?: Answer;
  retryAfterMs?: number;
}
const dropReasons = new Set(["no_consent", "no_profile_consent", "consent_withdrawn"]);
const isTaken = (status: string): boolean => status === "200" || status === "202";
const isFinal = (status: string): boolean => status.startsWith("4") && status !== "429";

/** Visitors of one client; one who leaves makes room for another. */
function createVisitors(client: number, count: number, random: Random) {
  let made = 0;
  const next = (): Visitor => {
    const name = `${client}-${made++}`;
    return {
      anonymousId: `visitor-${name}`,
      consent: { ...grantedConsent, id: `choice-${name}`, at: chosenAt },
      session: { id: `visit-${name}`, start: Date.now() },
      seq: 0,
      numbers: [],
    };
  };
  const all = Array.from({ length: count }, next);
  return {
    pick: (): Visitor => random.pick(all),
    replace: (visitor: Visitor): unknown => (all[all.indexOf(visitor)] = next()),
    isCrowd: count > 1,
  };
}

function nextBatch(client: number, own: number[], visitors: ReturnType<typeof createVisitors>, random: Random): Batch {
  const batch: Batch = { events: [], numbers: [] };
  for (let left = random.whole(1, mostInRequest + 1); left > 0; left--) {
    const number = own.push(0) - 1;
    const visitor = visitors.pick();
    visitor.numbers.push(number);
    const event = nextEvent(idOf(client, number), visitor, visitors, random);
    if (event.event === "" || event.context.consent === undefined) own[number]! |= mark.mayNotBeStored;
    // Also those that were sent before: one that has to be sent again may come after the withdrawal.
    if (event.context.consent && isWithdrawal(event.context.consent))
      for (const earlier of visitor.numbers) own[earlier]! |= mark.mayBeDropped;
    batch.events.push(event);
    batch.numbers.push(number);
  }
  return batch;
}

function nextEvent(
  messageId: string,
  visitor: Visitor,
  visitors: ReturnType<typeof createVisitors>,
  random: Random,
): SentEvent {
  const base = {
    messageId,
    anonymousId: visitor.anonymousId,
    ...(visitor.userId !== undefined && { userId: visitor.userId }),
    timestamp: new Date().toISOString(),
    context: { consent: visitor.consent, session: { ...visitor.session, seq: visitor.seq++ } },
  };
  const product = `p${random.whole(0, 30)}`;
  const kind = random();
  if (kind < 0.05) return { ...base, type: "track", event: "" };
  if (kind < 0.1)
    return { ...base, type: "track", event: "Product Viewed", context: { session: base.context.session } };
  if (kind < 0.3) {
    const page = { url: `https://shop.test/${product}`, path: `/${product}`, referrer: "https://www.bing.com/" };
    return { ...base, type: "page", context: { ...base.context, page } };
  }
  if (kind < 0.36) {
    visitor.userId ??= `user-${visitor.anonymousId}`;
    const traits = { plan: random.pick(["free", "pro"]), city: random.pick(["Utrecht", "Delft"]) };
    return { ...base, type: "identify", userId: visitor.userId, traits };
  }
  if (kind < 0.39) {
    visitor.consent = chosen(visitor, { ads: random.pick(["granted", "denied"]) });
    return { ...base, type: "consent", context: { ...base.context, consent: visitor.consent } };
  }
  if (kind < 0.3903 && visitors.isCrowd) {
    const consent = chosen(visitor, withdrawn);
    visitors.replace(visitor);
    return { ...base, type: "consent", context: { ...base.context, consent } };
  }
  if (kind < 0.44) {
    const properties = { order_id: `order-${messageId}`, total: random.whole(5, 200) + 0.95, currency: "EUR" };
    return { ...base, type: "track", event: "Order Completed", properties };
  }
  const event = random.pick(["Product Viewed", "Product Added", "Clicked"]);
  return { ...base, type: "track", event, properties: { product_id: product, price: 12.5 } };
}

const withdrawn = {
  measurement: "withdrawn",
  profile: "withdrawn",
  personalisation: "withdrawn",
  prediction: "withdrawn",
};

const isWithdrawal = (consent: object): boolean =>
  (consent as typeof grantedConsent).purposes.measurement === withdrawn.measurement;

const chosen = (visitor: Visitor, purposes: object): object => {
  const before = visitor.consent as typeof grantedConsent;
  return { ...before, purposes: { ...before.purposes, ...purposes }, at: new Date().toISOString() };
};
