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
    const [states, revenue, traits, identifiers, activity, timeline] = await Promise.all([
      clickhouse.query<StateRow>(stateQuery, { params }),
      clickhouse.query<Profile["revenue"][number]>(revenueQuery, { params }),
      clickhouse.query<TraitRow>(traitQuery, { params }),
      clickhouse.query<IdentifierRow>(identifierQuery, { params }),
      readActivity(clickhouse, params, limits.sessions),
      clickhouse.query<EventSelection>(
        `SELECT ${selectEvent} FROM events WHERE ${ofPerson} ORDER BY events.time DESC, _offset DESC LIMIT {limit:UInt32}`,
        { params: { ...params, limit: limits.timeline } },
      ),
    ]);
    const [state] = states;
    if (state === undefined || state.events === 0) return undefined;
    const { firstSeen, lastSeen, firstTouch, lastTouch, ...counters } = state;
    return {
      person,
      site,
      firstSeen,
      lastSeen,
      identifiers,
      traits: traits.map(({ isPersonal, ...trait }) => ({ ...trait, isPersonal: isPersonal === 1 })),
      counters,
      revenue,
      firstTouch: toTouch(firstTouch),
      lastTouch: toTouch(lastTouch),
      ...activity,
      timeline: timeline.map(toStoredEvent),
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
  orders: number;
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
  sum(page_views) AS pageViews, sum(p.clicks) AS clicks, uniqExactMerge(p.sessions) AS sessions, length(maxMap(p.orders)) AS orders,
  argMinMerge(first_touch) AS firstTouch, argMaxMerge(last_touch) AS lastTouch
FROM profile_state AS p WHERE ${ofPerson}`;

const revenueQuery = `
SELECT currency, toString(sum(amount)) AS amount
FROM (
  SELECT substring(pair.1, 1, 3) AS currency, pair.2 AS amount
  FROM (SELECT arrayJoin(maxMap(orders)::Array(Tuple(String, Decimal(38, 4)))) AS pair FROM profile_state WHERE ${ofPerson})
  UNION ALL
  SELECT pair.1 AS currency, pair.2 AS amount
  FROM (SELECT arrayJoin(sumMap(refunds)::Array(Tuple(String, Decimal(38, 4)))) AS pair FROM profile_state WHERE ${ofPerson}))
GROUP BY currency ORDER BY currency`;

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

async function readActivity(
  clickhouse: ClickHouse,
  params: { site: string; atoms: number[] },
  maxSessions: number,
): Promise<Pick<Profile, "devices" | "sessions" | "consent">> {
  const [devices, sessions, consent] = await Promise.all([
    clickhouse.query<Profile["devices"][number]>(
      `SELECT device, browser, os, country, count() AS events, toUnixTimestamp64Milli(max(time)) AS lastSeen
      FROM events WHERE ${ofPerson} AND device NOT IN ('', 'server') GROUP BY device, browser, os, country ORDER BY lastSeen DESC LIMIT 20`,
      { params },
    ),
    clickhouse.query<Profile["sessions"][number]>(
      `SELECT session_id AS id, toUnixTimestamp64Milli(min(time)) AS start, toUnixTimestamp64Milli(max(time)) AS end, count() AS events,
        countIf(type IN ('page', 'screen')) AS pageViews, argMinIf(url_path, (time, _offset), type IN ('page', 'screen')) AS entryPath,
        argMaxIf(url_path, (time, _offset), type IN ('page', 'screen')) AS exitPath,
        argMinIf(events.channel::String, (time, _offset), events.channel NOT IN ('', 'internal')) AS channel
      FROM events WHERE ${ofPerson} AND session_id != '' GROUP BY session_id ORDER BY start DESC LIMIT {maxSessions:UInt32}`,
      { params: { ...params, maxSessions } },
    ),
    clickhouse.query<Omit<Profile["consent"][number], "choices"> & { choices: [string, string][] }>(
      `SELECT toUnixTimestamp64Milli(events.time) AS time, consent_id AS consentId, regime, notice,
        arrayZip(\`choice.purpose\`, \`choice.state\`) AS choices
      FROM events WHERE ${ofPerson} AND type = 'consent' ORDER BY events.time DESC LIMIT 50`,
      { params },
    ),
  ]);
  return {
    devices,
    sessions,
    consent: consent.map((row) => ({ ...row, choices: row.choices.map(([purpose, state]) => ({ purpose, state })) })),
  };
}

const toTouch = (row: TouchRow): Touch => ({
  channel: row.channel,
  referrerHost: row.referrer,
  utmSource: row.source,
  utmMedium: row.medium,
  utmCampaign: row.campaign,
  landingPage: row.landing_page,
});
