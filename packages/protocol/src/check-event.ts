import { isOwnStamp } from "./consent-stamp.ts";
import { contextField, eventFields, eventNeeds, type Field, type Fields } from "./event-fields.ts";
import type { EventType } from "./event.ts";
import { limits } from "./limits.ts";
import { readTime } from "./read-time.ts";
import type { RejectReason } from "./reason.ts";
import { hasLoneSurrogate, toWellFormed, utf8Length } from "./unicode.ts";

export interface Fault {
  reason: RejectReason;
  detail: string;
}

/** An object out of JSON.parse, and therefore ours to change. */
export type Loose = { [key: string]: unknown };

export const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Checks the event against the table of fields and the limits, and brings its known fields into one form, in place, in one pass.
 * @param mend whether the request may hold lone surrogates, which become U+FFFD.
 * @param sharedBytes what the context it shares adds to its size.
 */
export function checkEvent(event: Loose, mend: boolean, sharedBytes: number): Fault | undefined {
  const walk: Walk = { mend, bytes: sharedBytes, fault: undefined };
  if (!walkObject(event, eventTable, 1, walk)) return walk.fault;
  if (walk.bytes <= limits.maxEventBytes || jsonBytes(event) + sharedBytes <= limits.maxEventBytes) return undefined;
  return fault(
    "event_too_large",
    `An event holds at most ${limits.maxEventBytes} bytes of JSON, the context of its batch included.`,
  );
}

/** As {@link checkEvent}, for the context that the events of a batch share. */
export function checkSharedContext(context: Loose, mend: boolean): { bytes: number; fault: Fault | undefined } {
  const walk: Walk = { mend, bytes: 0, fault: undefined };
  if (!walkObject(context, contextTable, 2, walk)) return { bytes: 0, fault: walk.fault };
  return { bytes: walk.bytes <= limits.maxEventBytes ? walk.bytes : jsonBytes(context), fault: undefined };
}

/** What an event of its type lacks, judged with the shared context merged in. */
export function findUnmetNeed(event: Loose, type: EventType): Fault | undefined {
  for (const need of eventNeeds[type]) {
    if (need.anyOf.some((name) => event[name] !== undefined)) continue;
    const fields = need.anyOf.map((name) => `\`${name}\``).join(" or ");
    return fault(need.reason, `An event of type ${type} needs ${fields}.`);
  }
  if (type === "consent" && !isOwnStamp((event.context as Loose | undefined)?.consent)) {
    return fault(
      "invalid_field",
      "An event of type consent needs `context.consent` with v: 1, id and purposes: it records that choice.",
    );
  }
  return undefined;
}

/** State of one walk over an event. */
interface Walk {
  readonly mend: boolean;
  /** At least the bytes of the compact JSON of what was seen. */
  bytes: number;
  fault: Fault | undefined;
}

/** A part of the table, ready for look-ups: known fields by name, and the words for faults inside it. */
interface Table {
  readonly path: string;
  readonly known: ReadonlyMap<string, KnownField>;
}
interface KnownField {
  readonly field: Field;
  readonly path: string;
  readonly table: Table;
}

function tableOf(path: string, fields: Fields): Table {
  const known = new Map<string, KnownField>();
  for (const [name, field] of Object.entries(fields)) {
    const fieldPath = path === "" ? name : `${path}.${name}`;
    const table = tableOf(fieldPath, field.kind === "fields" ? field.fields : {});
    known.set(name, { field, path: fieldPath, table });
  }
  return { path, known };
}
const eventTable = tableOf("", eventFields);
const contextTable = tableOf("context", contextField.fields);

// A value of n UTF-16 units takes at most 6n bytes of JSON: an escaped control character.
const maxBytesPerUnit = 6;
const maxNumberBytes = 26;

/** False when a fault was found; it is in the walk then. */
function walkObject(object: Loose, table: Table, depth: number, walk: Walk): boolean {
  if (depth > limits.maxDepth) return tooDeep(table, walk);
  walk.bytes += 2;
  let keys = 0;
  for (const key in object) {
    if (++keys > limits.maxKeysPerObject) return tooManyKeys(table, walk);
    if (key === "__proto__" || (walk.mend && hasLoneSurrogate(key))) {
      return fail(walk, "invalid_field", `A field inside ${where(table)} has a name that cannot be stored: rename it.`);
    }
    walk.bytes += key.length * maxBytesPerUnit + 4;
    const value = object[key];
    const field = table.known.get(key);
    const kept =
      field === undefined ? walkValue(value, table, depth + 1, walk) : readField(field, value, depth + 1, walk);
    if (walk.fault !== undefined) return false;
    if (kept !== value) object[key] = kept;
  }
  return true;
}

/** The value, mended, of a field that the table does not know. */
function walkValue(value: unknown, table: Table, depth: number, walk: Walk): unknown {
  if (typeof value === "string") return walkText(value, walk);
  if (typeof value === "number") {
    walk.bytes += maxNumberBytes;
    if (!Number.isFinite(value))
      fail(walk, "invalid_field", `A number inside ${where(table)} is too large: send it as text.`);
  } else if (Array.isArray(value)) walkArray(value, table, depth, walk);
  else if (typeof value === "object" && value !== null) walkObject(value as Loose, innerOf(table), depth, walk);
  else walk.bytes += 6;
  return value;
}

function walkArray(list: unknown[], table: Table, depth: number, walk: Walk): void {
  if (depth > limits.maxDepth) {
    tooDeep(table, walk);
    return;
  }
  walk.bytes += 2;
  for (let at = 0; at < list.length && walk.fault === undefined; at++) {
    const value = list[at];
    walk.bytes += 1;
    const kept = walkValue(value, innerOf(table), depth + 1, walk);
    if (kept !== value) list[at] = kept;
  }
}

function walkText(text: string, walk: Walk): string {
  walk.bytes += text.length * maxBytesPerUnit + 3;
  return walk.mend ? toWellFormed(text) : text;
}

/** The value of a known field in its one form; undefined when it counts as absent. */
function readField({ field, path, table }: KnownField, value: unknown, depth: number, walk: Walk): unknown {
  if (value === null || value === undefined) return undefined;
  switch (field.kind) {
    case "id":
    case "name":
    case "text":
      return readText(field.kind, path, value, walk);
    case "time": {
      walk.bytes += 28;
      const time = readTime(value);
      return time ?? invalid(walk, path, "a time in ISO 8601, as 2026-11-22T20:15:00.123Z");
    }
    case "count":
      walk.bytes += maxNumberBytes;
      return Number.isSafeInteger(value) && (value as number) >= 0
        ? value
        : invalid(walk, path, "a whole number from 0");
    case "number":
      walk.bytes += maxNumberBytes;
      return Number.isFinite(value) ? value : invalid(walk, path, "a number");
    case "one_of":
      walk.bytes += 32;
      return field.values.includes(value as string) ? value : invalid(walk, path, `one of ${field.values.join(", ")}`);
    case "object":
    case "fields":
      if (!isObject(value)) return invalid(walk, path, "an object");
      walkObject(value, table, depth, walk);
      return value;
    case "consent":
      return walkValue(value, table, depth, walk);
  }
}

function readText(kind: "id" | "name" | "text", path: string, value: unknown, walk: Walk): string | undefined {
  let text: string;
  if (typeof value === "string") text = walkText(value, walk);
  // A larger number has lost digits in JSON already, and two people's ids could have become one.
  else if (typeof value === "number" && (kind === "id" ? Number.isSafeInteger(value) : Number.isFinite(value))) {
    text = String(value);
    walk.bytes += maxNumberBytes;
  } else return invalid(walk, path, "a text");
  if (kind === "text") return text;
  if (text === "") return undefined;
  if (kind === "name" && text.length > limits.maxNameLength) {
    fail(walk, "name_too_long", `\`${path}\` holds at most ${limits.maxNameLength} characters.`);
  }
  if (kind === "id" && text.length > limits.maxIdLength) {
    return invalid(walk, path, `a text of at most ${limits.maxIdLength} characters`);
  }
  return text;
}

// Inside a field that the table does not know nothing is known either, but the words for where stay those of the nearest known field.
const innerTables = new WeakMap<Table, Table>();
function innerOf(table: Table): Table {
  if (table.known.size === 0) return table;
  let inner = innerTables.get(table);
  if (inner === undefined) innerTables.set(table, (inner = { path: table.path, known: new Map() }));
  return inner;
}

const where = (table: Table): string => (table.path === "" ? "the event" : `\`${table.path}\``);

const fault = (reason: RejectReason, detail: string): Fault => ({ reason, detail });

function fail(walk: Walk, reason: RejectReason, detail: string): false {
  walk.fault = fault(reason, detail);
  return false;
}

function invalid(walk: Walk, path: string, expected: string): undefined {
  fail(walk, "invalid_field", `\`${path}\` must be ${expected}.`);
}

const tooDeep = (table: Table, walk: Walk): false =>
  fail(walk, "too_deep", `Something inside ${where(table)} is nested deeper than ${limits.maxDepth} levels.`);

const tooManyKeys = (table: Table, walk: Walk): false =>
  fail(walk, "too_many_keys", `An object inside ${where(table)} has more than ${limits.maxKeysPerObject} fields.`);

const jsonBytes = (value: unknown): number => utf8Length(JSON.stringify(value));
