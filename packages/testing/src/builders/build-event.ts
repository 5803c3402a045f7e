import type { ConsentStamp, PolderEvent, Purpose } from "@polder/protocol";

/** When every built event happened, unless a test says otherwise. */
export const builtAt = "2026-11-22T20:15:00.000Z";

/** A granted choice, made a minute before the built events, for these purposes. */
export function buildConsent(
  granted: readonly Purpose[] = ["measurement", "profile"],
  overrides: Partial<ConsentStamp> = {},
): ConsentStamp {
  return {
    v: 1,
    id: "consent-1",
    purposes: Object.fromEntries(granted.map((purpose) => [purpose, "granted" as const])),
    regime: "opt_in",
    at: "2026-11-22T20:14:00.000Z",
    notice: { version: "1", language: "en" },
    ...overrides,
  };
}

/** A complete, valid track event of a visitor who said yes. Give `undefined` to leave a field out. */
export function buildEvent(overrides: { [K in keyof PolderEvent]?: PolderEvent[K] | undefined } = {}): PolderEvent {
  return withoutUndefined({
    type: "track",
    messageId: "message-1",
    timestamp: builtAt,
    anonymousId: "visitor-1",
    event: "Product Viewed",
    properties: { product_id: "p1", name: "Running shoes", price: 59.95, currency: "EUR" },
    context: {
      page: { url: "https://shop.example/product/p1", path: "/product/p1", title: "Running shoes", referrer: "" },
      locale: "en-GB",
      timezone: "Europe/Amsterdam",
      library: { name: "polder.js", version: "0.1.0" },
      session: { id: "session-1", start: Date.parse(builtAt), seq: 0 },
      consent: buildConsent(),
    },
    ...overrides,
  });
}

/** A complete, valid page view. */
export function buildPage(overrides: Parameters<typeof buildEvent>[0] = {}): PolderEvent {
  return buildEvent({ type: "page", event: undefined, properties: {}, name: "Product", ...overrides });
}

function withoutUndefined(fields: { [name: string]: unknown }): PolderEvent {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as PolderEvent;
}
