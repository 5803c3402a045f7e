import { personConsent, type ClickHouse } from "@polder/clickhouse";
import {
  consentTo,
  dayOf,
  funnel,
  groupBy,
  isFlagged,
  retention,
  revenueOf,
  uniquePeople,
  uniquePeopleByDay,
  type AtomEvent,
  type ReferenceModel,
} from "@polder/testing";
import { askMembers, membersIn } from "./audiences.test-support.ts";
import { askedPurpose } from "./said-events.test-support.ts";
import { sessionOf } from "./product.test-support.ts";

/** What is asked of both: of the product in SQL over its tables and views, of the model over all events. */
export interface Answers {
  /** By atom: the person. */
  people: { [atom: number]: number };
  unique: number;
  uniqueByDay: { [day: string]: number };
  eventsByDay: { [day: string]: number };
  profiles: { [person: number]: Profile };
  funnel: number[];
  /** By the Monday of the first week and weeks after it. */
  retention: { [cell: string]: number };
  sessions: { [person: number]: number };
  /** People by audience: as the definition is answered at this moment, and as the worker keeps them; and how many that are. */
  audiences: { [audience: string]: number[] };
  members: { [audience: string]: number[] };
  sizes: { [audience: string]: number | undefined };
  /** Whether people may be used for the asked purpose, of those of whom the model knows it. */
  consent: { [person: number]: boolean };
}

interface Profile {
  events: number;
  pageViews: number;
  orders: number;
  revenue: { [currency: string]: number };
  devices: number;
  userIds: string[];
  firstSeen: number;
  lastSeen: number;
  sessions: number;
  traits: { [name: string]: string };
}

const steps = ["Product Viewed", "Product Added", "Order Completed"] as const;
const withinMs = 7 * 86_400_000;

/** What is stored and may be known: by message id, its atom. */
export async function readAtoms(clickhouse: ClickHouse, site: string): Promise<Map<string, number>> {
  const rows = await clickhouse.query<{ id: string; atom: number }>(
    "SELECT message_id AS id, atom FROM events WHERE site = {site:String} AND person(atom) != 0",
    { params: { site } },
  );
  if (new Set(rows.map(({ id }) => id)).size < rows.length) throw new Error("a message is stored twice");
  return new Map(rows.map(({ id, atom }) => [id, atom]));
}

/** @param isThorough also what takes longer to ask: audiences and consent. */
export async function askProduct(
  clickhouse: ClickHouse,
  site: string,
  now: number,
  isThorough: boolean,
): Promise<Partial<Answers>> {
  const ask = <Row>(sql: string, params: { [name: string]: string | number | readonly string[] } = {}) =>
    clickhouse.query<Row>(sql, { params: { site, ...params } });
  const [people, days, profiles, steppers, cells, visits, members, consents] = await Promise.all([
    ask<{ atom: number; person: number }>(
      "SELECT DISTINCT atom, person(atom) AS person FROM atom WHERE site = {site:String} AND person != 0",
    ),
    ask<{ day: string; people: number; events: number }>(
      "SELECT day, people, events FROM audience_days WHERE site = {site:String} AND dimension = 'all' AND people > 0",
    ),
    ask<Omit<Profile, "revenue"> & { person: number; revenue: { [currency: string]: string } }>(
      `SELECT person_id AS person, events, page_views AS pageViews, orders, revenue, devices, user_ids AS userIds, sessions, traits,
        toUnixTimestamp64Milli(first_seen) AS firstSeen, toUnixTimestamp64Milli(last_seen) AS lastSeen
      FROM people WHERE site = {site:String}`,
    ),
    ask<{ reached: number }>(
      `SELECT windowFunnel({within:UInt64})(toUInt64(toUnixTimestamp64Milli(time)), name = {steps:Array(String)}[1],
        name = {steps:Array(String)}[2], name = {steps:Array(String)}[3]) AS reached
      FROM events_v WHERE site = {site:String} AND person_id != 0 AND bot = '' GROUP BY person_id`,
      { within: withinMs, steps },
    ),
    ask<{ cohort: string; weeks: number; people: number }>(
      `SELECT cohort, dateDiff('week', cohort, week) AS weeks, count() AS people
      FROM (
        SELECT person_id, toMonday(day) AS week, min(week) OVER (PARTITION BY person_id) AS cohort
        FROM events_v WHERE site = {site:String} AND person_id != 0 AND bot = '' GROUP BY person_id, week)
      GROUP BY cohort, weeks`,
    ),
    ask<{ person: number; visits: number }>(
      "SELECT person_id AS person, count() AS visits FROM sessions WHERE site = {site:String} GROUP BY person",
    ),
    isThorough && askMembers(clickhouse, site, now),
    isThorough &&
      ask<{ person: number; mask: number }>(`SELECT person_id AS person, mask FROM ${personConsent()}`, { now }),
  ]);
  return {
    people: Object.fromEntries(people.map(({ atom, person }) => [atom, person])),
    unique: profiles.length,
    uniqueByDay: Object.fromEntries(days.map((row) => [row.day, row.people])),
    eventsByDay: Object.fromEntries(days.map((row) => [row.day, row.events])),
    profiles: Object.fromEntries(
      profiles.map(({ person, revenue, ...profile }) => [
        person,
        { ...profile, revenue: mapValues(revenue, Number), userIds: profile.userIds.toSorted() },
      ]),
    ),
    funnel: steps.map((_, i) => steppers.filter(({ reached }) => reached > i).length),
    retention: Object.fromEntries(cells.map((cell) => [`${cell.cohort} +${cell.weeks}`, cell.people])),
    sessions: Object.fromEntries(visits.map((row) => [row.person, row.visits])),
    ...members,
    ...(consents && {
      consent: Object.fromEntries(consents.map(({ person, mask }) => [person, (mask & askedPurpose.bit) !== 0])),
    }),
  };
}

/** @param atoms what the loader numbered each message's identity: the person is the smallest of theirs. */
export function askModel(model: ReferenceModel, atoms: ReadonlyMap<string, number>, now: number): Answers {
  const people = new Map<AtomEvent, number>();
  const persons = new Map<number, readonly AtomEvent[]>();
  const numberOf = (events: readonly AtomEvent[]) => Math.min(...events.map(({ id }) => atoms.get(id)!));
  for (const events of model.eventsOf.values()) {
    const person = numberOf(events);
    persons.set(person, events);
    for (const event of events) people.set(event, person);
  }
  const sessions = new Map<string, { time: number; person: number }>();
  for (const [event, person] of people) {
    const session = sessionOf(event);
    if (session !== "" && event.time >= (sessions.get(session)?.time ?? 0))
      sessions.set(session, { time: event.time, person });
  }
  const visits: Answers["sessions"] = {};
  for (const { person } of sessions.values()) visits[person] = (visits[person] ?? 0) + 1;
  return {
    people: Object.fromEntries([...people].map(([{ id }, person]) => [atoms.get(id)!, person])),
    unique: uniquePeople(model),
    uniqueByDay: Object.fromEntries(uniquePeopleByDay(model)),
    eventsByDay: Object.fromEntries(
      [...groupBy(model.events, ({ time }) => dayOf(time))].map(([day, events]) => [day, events.length]),
    ),
    profiles: Object.fromEntries([...persons].map(([person, events]) => [person, profileOf(events)])),
    funnel: funnel(model, steps, withinMs),
    retention: Object.fromEntries(
      [...retention(model)].flatMap(([cohort, weeks]) => [...weeks].map(([n, count]) => [`${cohort} +${n}`, count])),
    ),
    sessions: visits,
    consent: Object.fromEntries(
      [...persons].flatMap(([person, events]) => {
        const flag = isFlagged(events, model.flags);
        if (flag !== undefined) return flag === "set" ? [[person, false]] : [];
        const isAllowed = consentTo(askedPurpose.name, askedPurpose.bit, events, model.events, now);
        return isAllowed === undefined ? [] : [[person, isAllowed]];
      }),
    ),
    ...membersIn(model, now, (person) => numberOf(model.eventsOf.get(person)!)),
  };
}

function profileOf(events: readonly AtomEvent[]): Profile {
  const different = (values: readonly string[]) => [...new Set(values)].filter((value) => value !== "").toSorted();
  const completed = events.filter(({ name }) => name === "Order Completed");
  return {
    events: events.length,
    pageViews: events.filter(({ type }) => type === "page").length,
    orders: new Set(completed.map(({ order }) => `${order?.currency} ${order?.id}`)).size,
    revenue: Object.fromEntries(revenueOf(events)),
    devices: different(events.map(({ anonymousId }) => anonymousId)).length,
    userIds: different(events.map(({ userId }) => userId)),
    firstSeen: events[0]!.time,
    lastSeen: events.at(-1)!.time,
    sessions: different(events.map(sessionOf)).length,
    traits: Object.assign({}, ...events.map(({ traits }) => traits)) as { [name: string]: string },
  };
}

const mapValues = <From, To>(values: { [name: string]: From }, change: (value: From) => To): { [name: string]: To } =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

/** What the loader stored is what the model says is left, and the same identity has the same number, whatever the order. */
export function faultsOfAtoms(model: ReferenceModel, atoms: ReadonlyMap<string, number>): string[] {
  const faults: string[] = [];
  const numbers = new Map<string, number>();
  const names = new Map<number, string>();
  for (const { id, atom, time } of model.events) {
    const number = atoms.get(id);
    if (number === undefined) faults.push(`${id} of ${dayOf(time)} is not stored`);
    else if ((numbers.get(atom) ?? number) !== number)
      faults.push(`${atom} has the numbers ${numbers.get(atom)} and ${number}`);
    else if ((names.get(number) ?? atom) !== atom) faults.push(`${number} stands for ${names.get(number)} and ${atom}`);
    else {
      numbers.set(atom, number);
      names.set(number, atom);
    }
  }
  const expected = new Set(model.events.map(({ id }) => id));
  for (const id of atoms.keys()) if (!expected.has(id)) faults.push(`${id} is stored and should not be`);
  return faults;
}
