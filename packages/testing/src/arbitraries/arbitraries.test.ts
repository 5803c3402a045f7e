import {
  eventTypes,
  limits,
  parseRequest,
  permittedPurposes,
  readConsentStamp,
  utf8Length,
  type ParsedItem,
} from "@polder/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkProperty } from "../seeded.ts";
import { hostileEvent, hostileJson, hostileRequest } from "./hostile-json.ts";
import { validEvent } from "./valid-event.ts";

// The parser's own package stands below this one and cannot use these arbitraries, so its properties are proved here.

const routes = ["batch", "import", ...eventTypes] as const;

function itemsOf(text: string, route: (typeof routes)[number] = "batch"): ParsedItem[] {
  const result = parseRequest(text, route);
  return result.ok ? result.items : [];
}

function expectStorable(item: ParsedItem): void {
  const text = JSON.stringify(item);
  // No lone surrogate is left: it would survive JSON.stringify as an escape that other readers refuse.
  expect(/\\ud[89a-f]/i.test(text.replace(/\\\\/g, ""))).toBe(false);
  if (item.ok) {
    expect(utf8Length(JSON.stringify(item.event))).toBeLessThanOrEqual(limits.maxEventBytes + 64);
    expect(eventTypes).toContain(item.event.type);
    expect(typeof item.event.messageId).toBe("string");
    expect(JSON.parse(JSON.stringify(item.event))).toEqual(withoutUndefined(item.event));
  } else {
    expect(utf8Length(item.body)).toBeLessThanOrEqual(2048);
    expect(item.detail).toMatch(/^[`A-Z].*\.$/);
  }
}

// An absent field is undefined in the parser's answer and not there in JSON.
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? 0 : value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([name, inner]) => [name, withoutUndefined(inner)]),
  );
}

describe("parseRequest, given anything", () => {
  it("never throws, and what it accepts can be stored", () => {
    checkProperty(
      fc.property(hostileRequest, fc.constantFrom(...routes), (text, route) => {
        for (const item of itemsOf(text, route)) expectStorable(item);
      }),
      1500,
    );
  });

  it("gives the same answer twice, and leaves no trace on objects", () => {
    checkProperty(
      fc.property(hostileRequest, (text) => {
        expect(parseRequest(text, "batch")).toEqual(parseRequest(text, "batch"));
        expect(Object.keys(Object.prototype)).toEqual([]);
        expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
      }),
    );
  });

  it("gives one item for each event, in order", () => {
    checkProperty(
      fc.property(fc.array(hostileEvent, { minLength: 1, maxLength: 5 }), (events) => {
        const result = parseRequest(`{"batch":[${events.join(",")}]}`, "batch");
        if (result.ok) expect(result.items.map((item) => item.index)).toEqual(events.map((_, index) => index));
        else expect(result.code).toBe("request_too_large");
      }),
    );
  });
});

describe("parseRequest, given good events", () => {
  it("accepts them all and changes nothing in them", () => {
    checkProperty(
      fc.property(fc.array(validEvent, { minLength: 1, maxLength: 5 }), (events) => {
        const items = itemsOf(JSON.stringify({ batch: events }));
        expect(items.map((item) => (item.ok ? withoutUndefined(item.event) : item))).toEqual(events);
      }),
      500,
    );
  });

  it("lets nothing hostile among them hurt them", () => {
    const small = hostileEvent.filter((text) => text.length < 100_000);
    checkProperty(
      fc.property(validEvent, small, validEvent, (before, hostile, after) => {
        const alone = itemsOf(JSON.stringify({ batch: [before, after] }));
        const [first, , last] = itemsOf(`{"batch":[${JSON.stringify(before)},${hostile},${JSON.stringify(after)}]}`);
        expect([first, last]).toEqual([alone[0], { ...alone[1], index: 2 }]);
      }),
      500,
    );
  });
});

it("readConsentStamp and permittedPurposes take anything, and malformed is never a yes", () => {
  checkProperty(
    fc.property(hostileJson, (text) => {
      const stamp = readConsentStamp(JSON.parse(text));
      expect(permittedPurposes({ stamp, regime: "opt_in", gpc: false, now: 0 })).toBe(1);
    }),
    500,
  );
});
