import fc from "fast-check";

const repeat = (open: string, middle: string, close: string) => (times: number) =>
  open.repeat(times) + middle + close.repeat(times);

const deep = fc.oneof(
  { maxDepth: 1 },
  fc.integer({ min: 30, max: 60 }).map(repeat('{"a":', "1", "}")),
  fc.integer({ min: 30, max: 60 }).map(repeat("[", "", "]")),
  // Far deeper than a recursive reader has stack for.
  fc.integer({ min: 20_000, max: 60_000 }).map(repeat("[", "1", "]")),
  fc.integer({ min: 10_000, max: 30_000 }).map(repeat('{"a":', "{}", "}")),
);

const huge = fc.oneof(
  fc.integer({ min: 30_000, max: 40_000 }).map((length) => JSON.stringify("x".repeat(length))),
  fc.integer({ min: 5_000, max: 12_000 }).map((length) => JSON.stringify("\u20ac".repeat(length))),
  fc.integer({ min: 4_000, max: 8_000 }).map((length) => JSON.stringify("\u0000".repeat(length))),
  fc.integer({ min: 200, max: 400 }).map((count) => {
    const fields = Array.from({ length: count }, (_, at) => `"k${at}":${at}`);
    return `{${fields.join(",")}}`;
  }),
  fc.integer({ min: 1_000, max: 8_000 }).map((count) => `[${Array.from({ length: count }, () => "1e20").join(",")}]`),
);

const strange = fc.constantFrom(
  '{"__proto__":{"isAdmin":true}}',
  '{"a":{"__proto__":null}}',
  '{"constructor":{"prototype":{"isAdmin":true}}}',
  '{"toString":1,"hasOwnProperty":2,"valueOf":3,"toJSON":4}',
  '{"$ref":"#","self":{"$ref":"#/self"}}',
  '{"type":"Buffer","data":[1,2,3]}',
  '{"a":1,"a":2}',
  '{"length":4294967295}',
  '{"":{"":{"":""}}}',
  "1e999",
  "-1e999",
  "[1e999]",
  "123456789012345678901234567890",
  "-0",
  "5e-324",
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud83d"',
  '"\\u0000"',
  '"\\u2028\\u2029"',
  '{"\\ud800":1}',
  '"\ud800 raw"',
  '"\ufffd"',
  "true",
  "null",
  '""',
  "[]",
  "{}",
);

/** JSON text of a value meant to hurt: deep, huge, cyclic-looking, `__proto__`, of the wrong type, with lone surrogates, past the range of numbers. */
export const hostileJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: strange },
  { weight: 3, arbitrary: fc.json({ maxDepth: 4 }) },
  { weight: 1, arbitrary: huge },
  { weight: 1, arbitrary: deep },
);

const eventFieldNames =
  "type messageId timestamp sentAt anonymousId userId previousId groupId event name properties traits context integrations";
const fieldName = fc.constantFrom(...eventFieldNames.split(" "), "writeKey", "__proto__", "constructor");

const contextFieldNames = "page campaign locale screen library consent consentManagement session origin partner ip";
const contextName = fc.constantFrom(...contextFieldNames.split(" "), "__proto__");

const objectText = (fields: readonly (readonly [string, string])[]): string =>
  `{${fields.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`;

const hostileContext = fc.array(fc.tuple(contextName, hostileJson), { minLength: 1, maxLength: 3 }).map(objectText);

/** JSON text of something in an event's place: of a real type, with hostile values where the parser looks. */
export const hostileEvent: fc.Arbitrary<string> = fc.oneof(
  hostileJson,
  fc
    .tuple(
      fc.constantFrom('"track"', '"page"', '"identify"', '"alias"', '"consent"', '"nonsense"', "1", "null"),
      fc.array(fc.tuple(fieldName, fc.oneof(hostileJson, hostileContext)), { maxLength: 4 }),
    )
    .map(([type, fields]) => objectText([["type", type], ["event", '"Named"'], ...fields])),
);

/** Any text in a request's place: broken JSON, hostile JSON, batches with hostile parts. */
export const hostileRequest: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  hostileJson,
  hostileJson.map((text) => text.slice(0, -1)),
  hostileEvent,
  fc
    .tuple(fc.array(hostileEvent, { maxLength: 4 }), hostileJson, fc.oneof(hostileContext, hostileJson), hostileJson)
    .map(([events, sentAt, context, receipt]) =>
      objectText([
        ["batch", `[${events.join(",")}]`],
        ["sentAt", sentAt],
        ["context", context],
        ["receipt", receipt],
        ["writeKey", sentAt],
      ]),
    ),
);
