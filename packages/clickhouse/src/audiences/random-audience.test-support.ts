import type { AudienceDefinition, Comparison, Condition, EventFilter, NumberComparison, Window } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { purposes } from "@polder/protocol";
import fc from "fast-check";

/** Half past one in the night in which Amsterdam sets its clocks back: a day of 25 hours lies in every window. */
export const randomNow = Date.parse("2026-10-25T23:30:00.000Z");
export const timezone = "Europe/Amsterdam";
const hourMs = 3_600_000;
/** Atoms of one world; another world starts after them. */
export const atomsPerWorld = 16;

const inZone = new Intl.DateTimeFormat("en-CA", {
  timeZone: timezone,
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
});
const timeText = (ms: number): string => new Date(ms).toISOString().replace("T", " ").slice(0, -1);

// Few values of everything, so that many of them meet: on the edge of a window, in the same millisecond, in the same order.
const names = ["page", "Product Added", "Order Completed", "Order Refunded", "identify"] as const;
// Most of them at the edge of a window, or a millisecond beside it.
const hours = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 1.5, 24, 48, 168) },
  { weight: 1, arbitrary: fc.integer({ min: -1, max: 240 }) },
);
const texts = ["bulbs", "table", "Bulbs", "5", "10.5", "true", "it's \\ `quoted`"] as const;
const scalar = fc.oneof(fc.constantFrom(...texts), fc.constantFrom(5, 10.5, 100, true, false));
const numbers = fc.constantFrom(-5, 0, 1, 2, 3, 10, 19.95, 30);

const properties = fc.record(
  {
    category: fc.constantFrom(...texts),
    price: fc.constantFrom<unknown>(5, 10.5, "10.5", "x", null, -1, 1e15, 1e21, "1e308", "-1e308", "1e999"),
    ok: fc.boolean(),
    address: fc.record({ city: fc.constantFrom("Utrecht", "Gent") }, { requiredKeys: [] }),
    products: fc.array(
      fc.record(
        { sku: fc.constantFrom<unknown>("s1", "s2", 7), quantity: fc.constantFrom<unknown>(1, 5, "5", null) },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    tags: fc.array(fc.constantFrom("bulbs", "table", "it's"), { maxLength: 2 }),
  },
  { requiredKeys: [] },
);

const event = fc.record({
  atom: fc.integer({ min: 0, max: atomsPerWorld - 1 }),
  name: fc.constantFrom(...names),
  ago: hours,
  milliseconds: fc.constantFrom(0, 0, 0, 1, -1, 999),
  order: fc.constantFrom("", "o1", "o2", "o3"),
  amount: fc.constantFrom("0", "5", "10", "10", "19.95"),
  currency: fc.constantFrom("EUR", "EUR", "USD"),
  channel: fc.constantFrom("", "direct", "mail", "internal", "search"),
  campaign: fc.constantFrom("", "autumn", "it's"),
  country: fc.constantFrom("", "NL", "BE"),
  device: fc.constantFrom("", "mobile", "desktop"),
  bot: fc.constantFrom("", "", "", "", "Googlebot"),
  traits: fc.array(
    fc.tuple(fc.constantFrom("plan", "age"), fc.constantFrom("", "5", "10.5", "bulbs", "true", "it's \\ `quoted`")),
    { maxLength: 2 },
  ),
  properties,
});

export interface RandomWorld {
  events: readonly LoadedEventRow[];
  /** By atom of the world, from 0: the first one that belongs to the same person; `erased` instead. */
  people: readonly (number | "erased")[];
  /** By atom: whether its profile was withdrawn. */
  withdrawn: readonly boolean[];
}

/** Rows of the atoms 1 and up, of no site yet. */
export const randomWorld: fc.Arbitrary<RandomWorld> = fc
  .record({
    events: fc.array(event, { minLength: 1, maxLength: 40, size: "max" }),
    people: fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 4), fc.nat(atomsPerWorld), fc.constant("erased" as const)), {
      minLength: atomsPerWorld,
      maxLength: atomsPerWorld,
    }),
    withdrawn: fc.array(fc.constantFrom(true, false, false, false, false, false), {
      minLength: atomsPerWorld,
      maxLength: atomsPerWorld,
    }),
  })
  .map(({ events, people, withdrawn }) => ({
    withdrawn,
    people: people.map((person, atom) => {
      if (person === "erased") return atom % 5 === 4 ? person : atom;
      // The smallest atom of a person is the person.
      const target = Math.min(person, atom);
      return people[target] === "erased" ? atom : people[target] === target || target === 0 ? target : atom;
    }),
    events: events.map((each, index) => {
      const time = randomNow - each.ago * hourMs + each.milliseconds;
      const isOrder = each.name === "Order Completed" || each.name === "Order Refunded";
      // Its events stay, and tell nothing of whose they were.
      const isNameless = withdrawn[each.atom] === true;
      const hasTraits = each.name === "identify" && !isNameless;
      const traits = hasTraits ? [...new Map(each.traits)] : [];
      return buildEventRow({
        // The order of arrival is another one than that of the times.
        _offset: index,
        atom: each.atom,
        // As in life: whoever has a user id has it in all events of the atom.
        anonymous_id: each.atom === 0 || isNameless ? "" : `a${each.atom}`,
        user_id: each.atom % 3 === 1 && !isNameless ? `u${each.atom}` : "",
        message_id: `m${index}`,
        session_id: "",
        type: each.name === "page" || each.name === "identify" ? each.name : "track",
        name: each.name,
        time: timeText(time),
        day: inZone.format(time),
        received_at: timeText(randomNow),
        client_time: timeText(time),
        channel: each.channel,
        utm_campaign: each.campaign,
        country: each.country,
        device: each.device,
        bot: each.bot,
        consent_mask: [6, 63, 1][each.atom % 3]!,
        order_id: isOrder ? each.order : "",
        amount: isOrder
          ? each.name === "Order Refunded" && each.amount !== "0"
            ? `-${each.amount}`
            : each.amount
          : "0",
        currency: isOrder ? each.currency : "",
        properties: each.properties as LoadedEventRow["properties"],
        "traits.name": traits.map(([name]) => name),
        "traits.value": traits.map(([, value]) => value),
        "traits.class": traits.map(() => "descriptive"),
        "traits.purpose": traits.map(() => "profile"),
        "traits.personal": traits.map(() => 0),
      });
    }),
  }));

const optional = { requiredKeys: [] as [] };
const isStated = (value: object): boolean => Object.keys(value).length > 0;

const comparison: fc.Arbitrary<Comparison> = fc.oneof(
  fc
    .record(
      {
        is: scalar,
        isNot: scalar,
        in: fc.array(scalar, { minLength: 1, maxLength: 3 }),
        notIn: fc.array(scalar, { minLength: 1, maxLength: 3 }),
        contains: fc.constantFrom("b", "'", "\\", "0"),
        startsWith: fc.constantFrom("b", "it's", "1"),
        endsWith: fc.constantFrom("s", "`", "5"),
        greaterThan: numbers,
        atLeast: numbers,
        lessThan: numbers,
        atMost: numbers,
        exists: fc.boolean(),
      },
      optional,
    )
    .filter(isStated),
  fc.record({ is: scalar }),
  fc.record({ exists: fc.boolean() }),
);

const numberComparison: fc.Arbitrary<NumberComparison> = fc.oneof(
  fc.record({ atLeast: numbers }),
  fc.record({ atMost: numbers }),
  fc.record({ is: numbers }),
  fc.record({ isNot: numbers }),
  fc.record({ greaterThan: numbers, lessThan: numbers }),
);

const duration = fc.constantFrom({ hours: 1 }, { hours: 24 }, { days: 1 }, { days: 2 }, { weeks: 1 }, { minutes: 90 });
const days = fc.constantFrom("2026-10-17", "2026-10-23", "2026-10-24", "2026-10-25", "2026-10-26");
export const window: fc.Arbitrary<Window> = fc.oneof(
  { weight: 5, arbitrary: duration },
  { weight: 1, arbitrary: fc.record({ from: days }) },
  { weight: 1, arbitrary: fc.record({ to: days }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(days, days)
      .map(([one, other]) => (one < other ? { from: one, to: other } : { from: other, to: one })),
  },
);

const moneyFilters = fc
  .tuple(fc.constantFrom("EUR", "USD"), numberComparison)
  .map(([currency, amount]): EventFilter[] => [
    { column: "currency", is: currency },
    { column: "amount", ...amount },
  ]);
const filter: fc.Arbitrary<EventFilter> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(
        "category",
        "price",
        "ok",
        "address.city",
        "products[].sku",
        "products[].quantity",
        "tags[]",
        "none",
      ),
      comparison,
    )
    .map(([property, compared]) => ({ property, ...compared })),
  fc
    .tuple(fc.constantFrom("country", "utm_campaign", "order_id", "channel"), comparison)
    .map(([column, compared]) => ({ column, ...compared })),
);
export const where = fc.oneof(moneyFilters, fc.array(filter, { minLength: 1, maxLength: 2 }));
export const eventNames = fc.oneof(
  fc.constantFrom<string>(...names, "*", "Nothing"),
  fc.uniqueArray(fc.constantFrom<string>(...names), { minLength: 1, maxLength: 3 }),
);
export const maybe = <Value>(key: string, value: fc.Arbitrary<Value>) =>
  fc.oneof(
    fc.constant({}),
    value.map((each) => ({ [key]: each })),
  );

const measure = fc.oneof(
  fc.constant({}),
  numberComparison.map((count) => ({ count })),
  fc
    .tuple(fc.constantFrom("EUR", "USD"), numberComparison)
    .map(([currency, compared]) => ({ sum: { of: "amount" as const, currency, ...compared } })),
  numberComparison.map((compared) => ({ sum: { of: { property: "price" }, ...compared } })),
  fc.tuple(fc.constantFrom("first", "last"), window, maybe("where", where)).map(([which, within, more]) => ({
    [which]: { within, ...more },
  })),
);

const eventCondition = fc
  .tuple(eventNames, maybe("where", where), maybe("within", window), measure)
  .map(([name, ...parts]) => Object.assign({ event: name }, ...parts) as Condition);

const step = fc.tuple(eventNames, maybe("where", where)).map(([name, filters]) => ({ event: name, ...filters }));
const sequenceCondition = fc
  .tuple(fc.array(step, { minLength: 2, maxLength: 3 }), duration, maybe("during", window))
  .map(([sequence, within, more]) => ({ sequence, within, ...more }));

const touchCondition = fc
  .tuple(
    fc.constantFrom("first", "last", "any"),
    fc
      .record({ channel: comparison, campaign: comparison, referrer: fc.record({ exists: fc.boolean() }) }, optional)
      .filter(isStated),
    maybe("within", window),
  )
  .map(([touch, compared, within]) => ({ touch, ...compared, ...(touch === "any" ? within : {}) }));

/** Of these audiences a definition may name every one. */
export const randomAudiences: ReadonlyMap<string, AudienceDefinition> = new Map<string, AudienceDefinition>([
  ["buyers", { people: { event: "Order Completed" } }],
  ["others", { people: { all: [{ not: { audience: "buyers" } }, { country: { exists: true } }] } }],
]);

const leaf: fc.Arbitrary<Condition> = fc.oneof(
  { weight: 8, arbitrary: eventCondition },
  { weight: 3, arbitrary: sequenceCondition },
  { weight: 3, arbitrary: touchCondition },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom("plan", "age"), comparison)
      .map(([trait, compared]) => ({ trait, ...compared })),
  },
  { weight: 1, arbitrary: comparison.map((country) => ({ country })) },
  { weight: 1, arbitrary: fc.constantFrom({ is: "mobile" }, { exists: false }).map((device) => ({ device })) },
  { weight: 2, arbitrary: duration.map((within) => ({ seen: { within } })) },
  { weight: 2, arbitrary: duration.map((length) => ({ notSeen: { for: length } })) },
  { weight: 3, arbitrary: window.map((within) => ({ firstSeen: { within } })) },
  { weight: 1, arbitrary: fc.boolean().map((known) => ({ known })) },
  { weight: 1, arbitrary: fc.constantFrom(...purposes).map((consent) => ({ consent })) },
  { weight: 1, arbitrary: fc.constantFrom("buyers", "others").map((audience) => ({ audience })) },
);

/** Who did something, and where they were last. */
const doneAndLastSeen = fc
  .tuple(eventCondition, fc.boolean(), comparison, fc.array(leaf, { maxLength: 1 }))
  .map(([done, byCountry, last, more]): Condition => ({
    all: [done, byCountry ? { country: last } : { device: last }, ...more],
  }));

const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    { weight: 3, arbitrary: leaf },
    { weight: 1, arbitrary: doneAndLastSeen },
    { weight: 1, arbitrary: fc.array(tie("condition"), { minLength: 1, maxLength: 3 }).map((all) => ({ all })) },
    { weight: 1, arbitrary: fc.array(tie("condition"), { minLength: 1, maxLength: 3 }).map((any) => ({ any })) },
    { weight: 1, arbitrary: tie("condition").map((not) => ({ not })) },
  ),
}));

export const randomDefinition: fc.Arbitrary<AudienceDefinition> = condition.map((people) => ({ people }));
