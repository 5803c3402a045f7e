import { createHash } from "node:crypto";
import type { EventContext, Json, JsonObject } from "@polder/protocol";
import type { ImportKind } from "./import-kinds.ts";
import { personFields, targetOf, type ImportMapping, type Target } from "./import-mapping.ts";
import type { CsvRow } from "./read-csv.ts";
import {
  readBoolean,
  readCell,
  readCurrency,
  readDate,
  readDuration,
  readEmail,
  readId,
  readMoney,
  readNumber,
  readPhone,
  readTime,
  type CellReason,
  type Conventions,
  type Money,
  type Read,
} from "./read-values.ts";

export type RowReason =
  | CellReason
  | "missing_cell"
  | "too_few_cells"
  | "too_many_cells"
  | "no_person"
  | "negative_amount";

export interface RowFault {
  /** Header of the column; empty when it is the row as a whole. */
  column: string;
  reason: RowReason;
  detail: string;
}

/** What a row states of one thing: the person, the order, the ticket. Tells its versions apart. */
export type ImportSubject = "contact" | "order" | "return" | "ticket" | "ticket-closed" | "call";

/** What a row states, on the wire but for its context, which is the same for all of an import. */
export interface ImportEvent {
  type: "identify" | "track";
  messageId: string;
  /** ISO 8601 UTC. */
  timestamp: string;
  userId?: string;
  anonymousId?: string;
  /** track */
  event?: string;
  properties?: JsonObject;
  /** identify */
  traits?: JsonObject;
}

/** An event as a row states it, before it is known whether it was stated before. */
export interface PlannedEvent {
  line: number;
  subject: ImportSubject;
  /** Of what it is, by its natural key: the same in every file. */
  key: string;
  /** Of what a correction cannot change: when, whose, in which currency. */
  fixed: string;
  /** Of all that it says. */
  content: string;
  /** Whether its time comes from the row: then it is part of what it says. */
  isTimed: boolean;
  /** When it happened. Milliseconds since 1970. */
  time: number;
  /** Decimal text, never negative; of orders and returns. */
  amount?: string;
  /** Its id and its time are given when it is known which version it is. */
  event: Omit<ImportEvent, "messageId" | "timestamp">;
  /** Name of the event that tells of a correction; undefined: it is stated again under its own name. */
  updated?: string;
}

export type PlannedRow =
  | { ok: true; line: number; events: PlannedEvent[]; userId: string; anonymousId: string }
  | { ok: false; line: number; faults: RowFault[] };

export interface RowPlannerOptions {
  mapping: ImportMapping;
  headers: readonly string[];
  site: { timezone: string; currency: string };
  /** As of when the file speaks, for rows without a time. Milliseconds since 1970. Undefined: nobody knows, and such a row is refused. */
  asOf: number | undefined;
  now: () => number;
}

/** What was read of a row. */
interface Cells {
  own: Map<string, string | number>;
  traits: { [name: string]: string | number | boolean };
  properties: { [name: string]: string | number | boolean };
  amount: Money | undefined;
}

interface Place {
  column: string;
  target: Target;
  isNeeded: boolean;
  mayBeLeftOut: boolean;
}

// The day column of events begins in 1970, and the day of the site may be the one before.
const earliestMs = 2 * 86_400_000;
const maxAheadMs = 60_000;

/** From a row to the events it states, or all that is wrong with it. Pure but for the clock: the same row gives the same events, in whatever file it stands. */
export function createRowPlanner(options: RowPlannerOptions): (row: CsvRow) => PlannedRow {
  const { mapping, headers, site, asOf, now } = options;
  const { kind } = mapping;
  const conventions: Conventions = {
    timezone: mapping.timezone ?? site.timezone,
    dates: mapping.dates,
    decimal: mapping.decimal,
    phoneCode: mapping.phoneCode,
  };
  const places = headers.map((header) => placeOf(mapping, header, mapping.columns[header] ?? "-"));
  const constants = Object.entries(mapping.constants).map(([to, value]) => ({
    place: placeOf(mapping, `constants.${to}`, to),
    value,
  }));

  const put = (cells: Cells, place: Place | undefined, cell: string, faults: RowFault[]): void => {
    if (place === undefined) return;
    const { column, target, isNeeded, mayBeLeftOut } = place;
    const text = readCell(cell);
    if (text.ok && text.value === "") {
      if (isNeeded) faults.push({ column, reason: "missing_cell", detail: `Every row of ${kind} needs it.` });
      return;
    }
    const value = text.ok ? readAs(target, text.value, conventions) : text;
    if (!value.ok) {
      if (!mayBeLeftOut || isNeeded) faults.push({ column, reason: value.reason, detail: value.detail });
      return;
    }
    if (target.type === "time") {
      const fault = checkTime(value.value as number, now());
      if (fault !== undefined) {
        faults.push({ column, ...fault });
        return;
      }
    }
    keep(cells, target, value.value);
  };

  return ({ line, cells: row }) => {
    const faults: RowFault[] = [];
    const cells: Cells = { own: new Map(), traits: {}, properties: {}, amount: undefined };
    const extra = row.slice(headers.length).some((cell) => cell.trim() !== "");
    if (extra || row.length < headers.length) {
      const reason = extra ? "too_many_cells" : "too_few_cells";
      const detail = `The row has ${row.length} cells and the first line ${headers.length}. Is there a separator or a line break in a cell without quotes?`;
      return { ok: false, line, faults: [{ column: "", reason, detail }] };
    }
    for (const { place, value } of constants) put(cells, place, value, faults);
    places.forEach((place, index) => put(cells, place, row[index] ?? "", faults));
    if (faults.length > 0) return { ok: false, line, faults };
    return planOf(kind, line, cells, { mapping, site, asOf, headerOf: (name) => headerOf(mapping, name) });
  };
}

function placeOf(mapping: ImportMapping, column: string, to: string): Place | undefined {
  const target = to === "-" ? undefined : targetOf(mapping.kind, to);
  if (target === undefined) return undefined;
  return { column, target, isNeeded: neededOwn(mapping.kind, to), mayBeLeftOut: mapping.leaveOut.includes(column) };
}

const needs: { readonly [K in ImportKind]: readonly string[] } = {
  contacts: [],
  orders: ["order_id", "time", "total"],
  returns: ["order_id", "time", "total"],
  tickets: ["ticket_id", "time"],
  calls: ["time"],
};
const neededOwn = (kind: ImportKind, to: string): boolean => needs[kind].includes(to);

const headerOf = ({ columns }: ImportMapping, name: string): string =>
  Object.keys(columns).find((header) => columns[header] === name) ?? "";

function readAs({ type, to }: Target, text: string, conventions: Conventions): Read<string | number | boolean | Money> {
  switch (type) {
    case "id": {
      const id = readId(text);
      // Guests of a shop have the customer number 0; an order or a ticket without a number of its own is none.
      if (id.ok && id.value === "" && !("own" in to))
        return { ok: false, reason: "not_an_id", detail: "This stands for nothing: write the id, or leave it empty." };
      return id;
    }
    case "text":
      return { ok: true, value: text };
    case "email":
      return readEmail(text);
    case "phone":
      return readPhone(text, conventions);
    case "time":
      return readTime(text, conventions);
    case "date":
      return readDate(text, conventions);
    case "money":
      return readMoney(text, conventions);
    case "number": {
      const number = readNumber(text, conventions);
      return number.ok ? { ok: true, value: Number(number.value) } : number;
    }
    case "duration":
      return readDuration(text, conventions);
    case "boolean":
      return readBoolean(text);
    case "currency":
      return readCurrency(text);
  }
}

function checkTime(ms: number, now: number): Omit<RowFault, "column"> | undefined {
  if (ms > now + maxAheadMs)
    return {
      reason: "time_out_of_range",
      detail: "This is in the future: is the day before the month, or the zone another?",
    };
  return ms < earliestMs
    ? { reason: "time_out_of_range", detail: "Nothing is kept from before 1970-01-03." }
    : undefined;
}

function keep(cells: Cells, { to }: Target, value: string | number | boolean | Money): void {
  if (value === "") return;
  if ("own" in to) {
    if (typeof value === "string" || typeof value === "number") cells.own.set(to.own, value);
  } else if ("trait" in to) setOwn(cells.traits, to.trait, plainOf(to.trait, value));
  else if (typeof value === "object" && to.property === "total") cells.amount = value;
  else setOwn(cells.properties, to.property, typeof value === "object" ? Number(value.amount) : value);
}

const plainOf = (trait: string, value: string | number | boolean | Money): string | number | boolean => {
  if (typeof value === "object") return value.amount;
  return trait === "createdAt" && typeof value === "number" ? isoOf(value) : value;
};

const isoOf = (ms: number): string => new Date(ms).toISOString();

/** Plain assignment would run the setter of `__proto__`. */
function setOwn<V extends Json>(target: { [name: string]: V }, name: string, value: V): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

interface PlanContext {
  mapping: ImportMapping;
  site: { currency: string };
  asOf: number | undefined;
  headerOf: (name: string) => string;
}

function planOf(kind: ImportKind, line: number, cells: Cells, context: PlanContext): PlannedRow {
  const { mapping, asOf } = context;
  const { own, traits, properties } = cells;
  const refuse = (column: string, reason: RowReason, detail: string): PlannedRow => ({
    ok: false,
    line,
    faults: [{ column, reason, detail }],
  });
  const { userId, anonymousId } = whoOf(cells);
  const ids = { ...(userId !== "" && { userId }), ...(anonymousId !== "" && { anonymousId }) };
  const isTimed = own.has("time");
  if (!isTimed && asOf === undefined)
    return refuse(
      context.headerOf("time"),
      "missing_cell",
      "Nothing says of when this is, so it would overrule what is newer: fill a time, or say of when the file is.",
    );
  const time = Number(own.get("time") ?? asOf);
  const origin: JsonObject = { origin: mapping.origin, partner: mapping.partner?.name ?? "" };
  const person = `${userId}\n${anonymousId}`;
  const base = { line, isTimed, time };
  const events: PlannedEvent[] = [];

  if (userId === "" && anonymousId === "" && kind === "contacts")
    return refuse("", "no_person", `Nothing says who this is: fill one of ${personFields.join(", ")}.`);
  if (Object.keys(traits).length > 0 && (userId !== "" || anonymousId !== "")) {
    events.push({
      ...base,
      subject: "contact",
      // What has a time of its own is told apart by it: nothing of it can be older or newer.
      key: digest(["contact", userId === "" ? anonymousId : `u:${userId}`, isTimed ? time : ""]),
      fixed: "-",
      content: digest(["contact", ids, sorted(traits), origin, isTimed ? time : ""]),
      event: { type: "identify", ...ids, traits },
    });
  } else if (kind === "contacts") {
    // Two ids and nothing else: they are one person, and that is worth saying.
    if (userId === "" || anonymousId === "")
      return refuse("", "missing_cell", "The row says who, and nothing about them: map or fill a column of a trait.");
    events.push({
      ...base,
      subject: "contact",
      key: digest(["contact", `u:${userId}`, isTimed ? time : ""]),
      fixed: "-",
      content: digest(["contact", ids, {}, origin, isTimed ? time : ""]),
      event: { type: "identify", ...ids, traits: {} },
    });
  }
  const happened = (
    subject: ImportSubject,
    natural: Json,
    name: string,
    updated: string,
    stated: { properties: JsonObject; time?: number; amount?: string; currency?: string; isTimeFixed?: boolean },
  ): void => {
    const at = stated.time ?? time;
    const isTimeFixed = stated.isTimeFixed ?? true;
    events.push({
      ...base,
      time: at,
      subject,
      key: digest([subject, natural]),
      fixed: digest([isTimeFixed ? at : "", person, stated.currency ?? ""]).slice(0, 11),
      content: digest([subject, ids, sorted(stated.properties), origin, at]),
      ...(stated.amount !== undefined && { amount: stated.amount }),
      event: { type: "track", event: name, ...ids, properties: stated.properties },
      updated,
    });
  };

  if (kind === "orders" || kind === "returns") {
    const column = context.headerOf("total");
    const money = moneyOf(cells, context);
    if (!money.ok) return refuse(column, money.reason, money.detail);
    const { amount, currency } = money.value;
    const isReturn = kind === "returns";
    if (!isReturn && amount.startsWith("-"))
      return refuse(column, "negative_amount", "An order is worth nothing or more: import what went back as returns.");
    const size = amount.replace("-", "");
    const all = { ...properties, total: Number(size), currency };
    const orderId = String(properties["order_id"]);
    if (isReturn) {
      const natural = properties["return_id"] ?? [orderId, time, size];
      happened("return", natural, "Order Refunded", "Return Updated", { properties: all, amount: size, currency });
    } else happened("order", orderId, "Order Completed", "Order Updated", { properties: all, amount: size, currency });
  } else if (kind === "tickets") {
    const ticketId = String(properties["ticket_id"]);
    const { status, agent, satisfaction, ...opened } = properties;
    happened("ticket", ticketId, "Ticket Opened", "Ticket Updated", { properties: opened });
    const closedAt = own.get("closed_at");
    if (closedAt !== undefined) {
      const seconds = Math.max(0, Math.round((Number(closedAt) - time) / 1000));
      const later = { status, agent, satisfaction };
      const closed: JsonObject = { ticket_id: ticketId, seconds_open: seconds };
      for (const [name, value] of Object.entries(later)) if (value !== undefined) closed[name] = value;
      happened("ticket-closed", ticketId, "Ticket Closed", "Ticket Updated", {
        properties: closed,
        time: Number(closedAt),
        isTimeFixed: false,
      });
    }
  } else if (kind === "calls") {
    const duration = properties["duration_seconds"];
    const endedAt =
      own.get("ended_at") ?? (typeof duration === "number" ? time + Math.round(duration * 1000) : undefined);
    const ended = Math.max(time, Number(endedAt ?? time));
    const all: JsonObject = { ...properties, started_at: isoOf(time) };
    if (duration === undefined && endedAt !== undefined) all["duration_seconds"] = Math.round((ended - time) / 1000);
    const callId = properties["call_id"];
    if (callId === undefined && userId === "" && anonymousId === "")
      return refuse("", "no_person", "Nothing tells this call apart: fill call_id, or who called.");
    happened("call", callId ?? [person, time], "Call Completed", "Call Updated", { properties: all, time: ended });
  }
  return { ok: true, line, events, userId, anonymousId };
}

/** A row that names nobody by an id is of whoever has its address, else its number: a device of its own, which the address then joins to the person. */
function whoOf({ own, traits }: Cells): { userId: string; anonymousId: string } {
  const userId = String(own.get("user_id") ?? "");
  const anonymousId = String(own.get("anonymous_id") ?? "");
  if (userId !== "" || anonymousId !== "") return { userId, anonymousId };
  for (const name of ["email", "phone"])
    if (typeof traits[name] === "string") return { userId, anonymousId: `${name}-${hexDigest(traits[name])}` };
  return { userId, anonymousId };
}

function moneyOf({ amount, own }: Cells, { mapping, site }: PlanContext): Read<{ amount: string; currency: string }> {
  const stated = own.get("currency");
  const inCell = amount?.currency;
  if (typeof stated === "string" && inCell !== undefined && stated !== inCell)
    return { ok: false, reason: "not_a_currency", detail: "The amount names another currency than its column does." };
  const currency = typeof stated === "string" ? stated : (inCell ?? mapping.currency ?? site.currency);
  return { ok: true, value: { amount: amount?.amount ?? "0", currency } };
}

/** In the order of names, so that the order of columns says nothing. */
const sorted = (object: JsonObject): [string, Json][] =>
  Object.entries(object).toSorted(([one], [other]) => (one < other ? -1 : 1));

/** 128 bits in 22 characters. */
const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, 22);

const hexDigest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);

/** Of how rows become events: events of another version are told apart by it. */
const importVersion = "1";

/** What all events of an import have in common. The name of the library makes the ids in them edges of kind import. */
export const importContext = (mapping: ImportMapping): EventContext => ({
  library: { name: "polder-import", version: importVersion },
  origin: mapping.origin,
  ...(mapping.partner !== undefined && { partner: mapping.partner }),
});
