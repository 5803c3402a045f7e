import { randomUUID } from "node:crypto";

/** A client that behaves as ours must: keeps an event until an answer says that it may be forgotten, and sends it again with the same id. */
export interface Load {
  /** Ids that were answered 200 or 202. */
  accepted: Set<string>;
  /** Ids that were ever sent. */
  sent: Set<string>;
  /** Events that were sent and heard 503 or nothing, each time that happened. */
  unheard(): number;
  /** Lets what is under way be answered, however long that takes. */
  finish(): Promise<void>;
}

export function startLoad(options: {
  url: string;
  writeKey: string;
  origin: string;
  clients: number;
  eventsPerRequest: number;
}): Load {
  const accepted = new Set<string>();
  const sent = new Set<string>();
  let isDone = false;
  let number = 0;
  let unheard = 0;

  const client = async (index: number): Promise<void> => {
    const session = { id: `visit-${index}`, start: Date.now() };
    let seq = 0;
    while (!isDone) {
      const at = new Date().toISOString();
      const batch = Array.from({ length: options.eventsPerRequest }, () => ({
        type: "track",
        event: number++ % 7 === 0 ? "Product Added" : "Product Viewed",
        messageId: randomUUID(),
        anonymousId: `visitor-${index}-${number % 50}`,
        context: { session: { ...session, seq: seq++ } },
        timestamp: at,
        properties: { product_id: `p${number % 20}`, price: 12.5 },
      }));
      for (const event of batch) sent.add(event.messageId);
      await deliver(
        JSON.stringify({ writeKey: options.writeKey, sentAt: at, context: { consent: grantedConsent }, batch }),
      );
      for (const event of batch) accepted.add(event.messageId);
    }
  };

  const deliver = async (body: string): Promise<void> => {
    for (;;) {
      try {
        const answer = await fetch(`${options.url}/v1/batch`, {
          method: "POST",
          headers: { "content-type": "text/plain;charset=UTF-8", origin: options.origin, "user-agent": browser },
          body,
          signal: AbortSignal.timeout(10_000),
        });
        const text = await answer.text();
        if (answer.status === 200 || answer.status === 202) {
          const { rejected } = JSON.parse(text) as { rejected: unknown[] };
          if (rejected.length > 0) throw new Refused(`events were rejected: ${text}`);
          return;
        }
        if (answer.status < 500 && answer.status !== 429)
          throw new Refused(`refused for good: ${answer.status} ${text}`);
      } catch (error) {
        if (error instanceof Refused) throw error; // not a matter of trying again
      }
      unheard += options.eventsPerRequest;
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.floor(Math.random() * 30))); // a client's backoff
    }
  };

  const clients = Array.from({ length: options.clients }, (_, index) => client(index));
  // What was refused for good is told by `finish`, and not to whichever test runs then.
  for (const one of clients) one.catch(() => {});
  return {
    accepted,
    sent,
    unheard: () => unheard,
    async finish() {
      isDone = true;
      await Promise.all(clients);
    },
  };
}

class Refused extends Error {}

/** Everything but ads, chosen just now. */
export const grantedConsent = {
  v: 1,
  id: "consent-of-the-load",
  purposes: {
    necessary: "granted",
    measurement: "granted",
    profile: "granted",
    personalisation: "granted",
    prediction: "granted",
    ads: "denied",
  },
  at: new Date().toISOString(),
};

// Without it the collector rightly takes a script of ours for a bot, and keeps it out of every count of people.
const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
