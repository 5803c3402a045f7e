import {
  consentStates,
  eventTypes,
  purposes,
  regimes,
  type ConsentStamp,
  type JsonObject,
  type PolderEvent,
} from "@polder/protocol";
import fc from "fast-check";

const id = fc.string({ minLength: 1, maxLength: 40 });
const isoTime = fc
  .date({ min: new Date("2020-01-01T00:00:00Z"), max: new Date("2026-11-22T00:00:00Z"), noInvalidDate: true })
  .map((date) => date.toISOString());

// Objects with this key are refused: it is the one name that an assignment cannot store.
const withoutProto = (value: unknown): boolean => !JSON.stringify(value).includes('"__proto__":');

/** A small object of any JSON, as a site sends in `properties`. */
export const jsonObject: fc.Arbitrary<JsonObject> = fc
  .dictionary(fc.string({ maxLength: 20 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6 })
  .filter(withoutProto)
  // As it arrives: JSON has no -0, and its objects have a prototype.
  .map((object) => JSON.parse(JSON.stringify(object)) as JsonObject);

/** A stamp that can be read, with any choice in it. */
export const consentStamp: fc.Arbitrary<ConsentStamp> = fc.record(
  {
    v: fc.constant(1 as const),
    id,
    purposes: fc.dictionary(fc.constantFrom(...purposes), fc.constantFrom(...consentStates), {
      maxKeys: purposes.length,
    }),
    regime: fc.constantFrom(...regimes),
    at: isoTime,
    gpc: fc.boolean(),
  },
  { requiredKeys: ["v", "id", "purposes"], noNullPrototype: true },
);

const context = fc.record(
  {
    page: fc.record(
      { url: fc.webUrl(), title: fc.string(), path: fc.constant("/product/1") },
      { noNullPrototype: true },
    ),
    locale: fc.constantFrom("nl-NL", "en-GB"),
    session: fc.record({ id, start: fc.nat(), seq: fc.nat() }, { noNullPrototype: true }),
    consent: consentStamp,
    origin: fc.constantFrom("observed" as const, "declared" as const),
  },
  { requiredKeys: [], noNullPrototype: true },
);

/** An event that the parser must accept, of any type, with fields that it does not know among the others (their names begin with `x_`). */
export const validEvent: fc.Arbitrary<PolderEvent> = fc
  .record({
    type: fc.constantFrom(...eventTypes),
    messageId: id,
    anonymousId: fc.option(id, { nil: undefined }),
    timestamp: fc.option(isoTime, { nil: undefined }),
    context,
    stamp: consentStamp,
    userId: id,
    name: id,
    payload: jsonObject,
    unknown: fc.dictionary(
      fc.string({ maxLength: 10 }).map((name) => `x_${name}`),
      fc.jsonValue({ maxDepth: 2 }).filter(withoutProto),
      { maxKeys: 3 },
    ),
  })
  .map(({ type, messageId, anonymousId, timestamp, context: about, stamp, userId, name, payload, unknown }) => {
    const event = {
      ...unknown,
      type,
      messageId,
      anonymousId,
      timestamp,
      ...(type === "track" && { event: name, properties: payload }),
      ...((type === "page" || type === "screen") && { name, properties: payload }),
      ...(type === "identify" && { userId, traits: payload }),
      ...(type === "group" && { userId, groupId: name, traits: payload }),
      ...(type === "alias" && { userId, previousId: name }),
      context: type === "consent" ? { ...about, consent: stamp } : about,
    };
    return JSON.parse(JSON.stringify(event)) as PolderEvent;
  });
