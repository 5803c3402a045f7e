import type { ClickHouse } from "../clickhouse.ts";
import { selectEvent, toStoredEvent, type EventSelection } from "./event-columns.ts";
import type { Profile, ReadQueries, Touch } from "./read-queries.ts";

type PeopleQueries = Pick<ReadQueries, "findPerson" | "profile">;

export const createPeopleQueries = (clickhouse: ClickHouse): PeopleQueries => ({
  async findPerson(site, id) {
    if (id.by === "person") return findByNumber(clickhouse, site, id.value);
    if (id.value === "") return undefined; // "none" in every column
    const [found] = await clickhouse.query<{ userPerson: number; devicePerson: number }>(
      // A device that several customers used: the one whose atom came first, its visits without a customer before all.
      `SELECT argMinIf(person(atom), atom, user_id = {id:String}) AS userPerson,
        argMinIf(person(atom), (user_id != '', atom), anonymous_id = {id:String}) AS devicePerson
      FROM atom WHERE site = {site:String} AND (user_id = {id:String} OR anonymous_id = {id:String})`,
      { params: { site, id: id.value } },
    );
    const { userPerson = 0, devicePerson = 0 } = found ?? {};
    if (id.by !== "anonymous" && userPerson !== 0) return userPerson;
    if (id.by !== "user" && devicePerson !== 0) return devicePerson;
    return id.by === "any" && isPersonNumber(id.value) ? findByNumber(clickhouse, site, Number(id.value)) : undefined;
  },

  async profile(site, person, limits) {
    const atoms = (
      await clickhouse.query<{ atom: number }>(
        "SELECT {person:UInt32} AS atom UNION DISTINCT SELECT atom FROM identity FINAL WHERE person = {person:UInt32}",
        { params: { person } },
      )
    ).map(({ atom }) => atom);
    const params = { site, atoms };
    const [states, traits, identifiers, activity, events] = await Promise.all([
      clickhouse.query<StateRow>(stateQuery, { params }),
      clickhouse.query<TraitRow>(traitQuery, { params }),
      clickhouse.query<IdentifierRow>(identifierQuery, { params }),
      clickhouse.query<ActivityRow>(activityQuery, { params }),
      clickhouse.query<TimelineRow>(timelineQuery, { params: { ...params, limit: limits.timeline } }),
    ]);
    const [state] = states;
    if (state === undefined || state.events === 0) return undefined;
    const { firstSeen, lastSeen, firstTouch, lastTouch, orders, refunds, ...counters } = state;
    return {
      person,
      site,
      firstSeen,
      lastSeen,
      identifiers,
      traits: traits.map(({ isPersonal, ...trait }) => ({ ...trait, isPersonal: isPersonal === 1 })),
      counters: { ...counters, orders: orders.length },
      revenue: revenueOf(orders, refunds),
      firstTouch: toTouch(firstTouch),
      lastTouch: toTouch(lastTouch),
      devices: devicesOf(activity),
      sessions: sessionsOf(activity).slice(0, limits.sessions),
      consent: events.filter(({ type }) => type === "consent").map(toChoice),
      timeline: events.slice(0, limits.timeline).map(toStoredEvent),
    };
  },
});

const isPersonNumber = (text: string): boolean => /^[1-9]\d{0,9}$/.test(text) && Number(text) < 2 ** 32;

async function findByNumber(clickhouse: ClickHouse, site: string, value: number): Promise<number | undefined> {
  const [found] = await clickhouse.query<{ person: number }>(
    "SELECT person(atom) AS person FROM atom WHERE site = {site:String} AND atom = {value:UInt32} LIMIT 1",
    { params: { site, value } },
  );
  return found?.person;
}

const ofPerson = "site = {site:String} AND atom IN {atoms:Array(UInt32)}";

interface StateRow {
  firstSeen: number;
  lastSeen: number;
  events: number;
  pageViews: number;
  clicks: number;
  sessions: number;
  /** Amounts by `EUR order-id`: an order that was sent twice is there once. */
  orders: [key: string, amount: string][];
  /** Negative amounts by currency. */
  refunds: [currency: string, amount: string][];
  firstTouch: TouchRow;
  lastTouch: TouchRow;
}
type TouchRow = {
  channel: string;
  source: string;
  medium: string;
  campaign: string;
  referrer: string;
  landing_page: string;
};

const stateQuery = `
SELECT toUnixTimestamp64Milli(min(first_seen)) AS firstSeen, toUnixTimestamp64Milli(max(last_seen)) AS lastSeen, sum(p.events) AS events,
  sum(page_views) AS pageViews, sum(p.clicks) AS clicks, uniqExactMerge(p.sessions) AS sessions,
  arrayMap(pair -> (pair.1, toString(pair.2)), maxMap(p.orders)::Array(Tuple(String, Decimal(38, 4)))) AS orders,
  arrayMap(pair -> (pair.1, toString(pair.2)), sumMap(p.refunds)::Array(Tuple(String, Decimal(38, 4)))) AS refunds,
  argMinMerge(first_touch) AS firstTouch, argMaxMerge(last_touch) AS lastTouch
FROM profile_state AS p WHERE ${ofPerson}`;

function revenueOf(orders: StateRow["orders"], refunds: StateRow["refunds"]): Profile["revenue"] {
  const sums = new Map<string, bigint>();
  const add = (currency: string, amount: string) =>
    sums.set(currency, (sums.get(currency) ?? 0n) + toTenThousandths(amount));
  for (const [key, amount] of orders) add(key.slice(0, key.indexOf(" ")), amount);
  for (const [currency, amount] of refunds) add(currency, amount);
  return [...sums]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([currency, amount]) => ({ currency, amount: fromTenThousandths(amount) }));
}

// Money is exact: amounts have four decimals, and a number of JavaScript would round large sums.
function toTenThousandths(amount: string): bigint {
  const [whole = "0", decimals = ""] = amount.split(".");
  return BigInt(whole + decimals.padEnd(4, "0"));
}

function fromTenThousandths(amount: bigint): string {
  const digits = String(amount < 0n ? -amount : amount).padStart(5, "0");
  const decimals = digits.slice(-4).replace(/0+$/, "");
  return `${amount < 0n ? "-" : ""}${digits.slice(0, -4)}${decimals === "" ? "" : `.${decimals}`}`;
}

type TraitRow = Omit<Profile["traits"][number], "isPersonal"> & { isPersonal: number };

const traitQuery = `
SELECT name, last.value AS value, last.origin AS origin, last.class AS class, last.purpose AS purpose, last.personal AS isPersonal,
  toUnixTimestamp64Milli(last.time) AS time
FROM (SELECT name, argMaxMerge(last) AS last FROM trait_state WHERE ${ofPerson} GROUP BY name)
ORDER BY isPersonal DESC, name`;

type IdentifierRow = Profile["identifiers"][number];

const identifierQuery = `
SELECT pair.1 AS kind, pair.2 AS value, toUnixTimestamp64Milli(min(first_seen)) AS firstSeen
FROM atom ARRAY JOIN [('user_id', user_id), ('anonymous_id', anonymous_id)] AS pair
WHERE ${ofPerson} AND pair.2 != ''
GROUP BY kind, value ORDER BY kind DESC, firstSeen`;

interface ActivityRow {
  id: string;
  device: string;
  browser: string;
  os: string;
  country: string;
  /** 0: a row of a visit, else of a device. */
  isDevice: number;
  first: number;
  last: number;
  events: number;
  pageViews: number;
  entryPath: string;
  exitPath: string;
  channel: string;
}

// Visits and devices in one reading of the person's events.
const activityQuery = `
SELECT session_id AS id, device, browser, os, country, grouping(session_id) AS isDevice,
  toUnixTimestamp64Milli(min(time)) AS first, toUnixTimestamp64Milli(max(time)) AS last, count() AS events,
  countIf(type IN ('page', 'screen')) AS pageViews, argMinIf(url_path, (time, _offset), type IN ('page', 'screen')) AS entryPath,
  argMaxIf(url_path, (time, _offset), type IN ('page', 'screen')) AS exitPath,
  argMinIf(events.channel::String, (time, _offset), events.channel NOT IN ('', 'internal')) AS channel
FROM events WHERE ${ofPerson}
GROUP BY GROUPING SETS ((session_id), (device, browser, os, country))
ORDER BY last DESC`;

const devicesOf = (rows: readonly ActivityRow[]): Profile["devices"] =>
  rows
    .filter(({ isDevice, device }) => isDevice === 1 && device !== "" && device !== "server")
    .slice(0, 20)
    .map(({ device, browser, os, country, events, last }) => ({
      device,
      browser,
      os,
      country,
      events,
      lastSeen: last,
    }));

const sessionsOf = (rows: readonly ActivityRow[]): Profile["sessions"] =>
  rows
    .filter(({ isDevice, id }) => isDevice === 0 && id !== "")
    .toSorted((a, b) => b.first - a.first)
    .map(({ id, first, last, events, pageViews, entryPath, exitPath, channel }) => ({
      id,
      start: first,
      end: last,
      events,
      pageViews,
      entryPath,
      exitPath,
      channel,
    }));

type TimelineRow = EventSelection & { consentId: string; regime: string; notice: string };

// The newest events, and the newest choices even when they are older than those.
const timelineQuery = `
SELECT ${selectEvent}, consent_id AS consentId, regime, notice
FROM events WHERE ${ofPerson}
ORDER BY events.time DESC, _offset DESC LIMIT {limit:UInt32} BY type = 'consent'`;

const toChoice = (row: TimelineRow): Profile["consent"][number] => ({
  time: row.time,
  consentId: row.consentId,
  regime: row.regime,
  notice: row.notice,
  choices: row.choices.map(([purpose, state]) => ({ purpose, state })),
});

const toTouch = (row: TouchRow): Touch => ({
  channel: row.channel,
  referrerHost: row.referrer,
  utmSource: row.source,
  utmMedium: row.medium,
  utmCampaign: row.campaign,
  landingPage: row.landing_page,
});
