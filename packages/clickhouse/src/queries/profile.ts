import { createBlockedCheck, emailHash, phoneHash } from "@polder/core";
import { askAbout } from "../ask-about.ts";
import { askTogether, type Part } from "../ask-together.ts";
import type { ClickHouse } from "../clickhouse.ts";
import {
  edgesPart,
  grantTermQuery,
  readConsentOf,
  saidPart,
  type EdgeRow,
  type IdentityRow,
  type SaidRow,
} from "../consent/person-consent-of.ts";
import { createComputedTraitStore, type StoredComputedTrait } from "../traits/computed-trait-store.ts";
import { readComputedTraits } from "../traits/read-computed-traits.ts";
import type { FoundPerson } from "./person-of.ts";
import {
  devicesOf,
  revenueOf,
  selectActivity,
  sessionsOf,
  totalsOf,
  type ActivityRow,
  type Totals,
} from "./profile-activity.ts";
import type { Identifier, Profile, ProfileLimits, TimelineEvent, Touch } from "./read-queries.ts";

/** Events of which visits, devices and choices are shown. Whoever has fewer is shown from them alone. */
const maxEvents = 1_000;

/**
 * Everything about one person: who it is, then plain questions at once, and the rest is worked out here. A question costs ClickHouse more to
 * understand than to answer, for somebody with some dozens of events.
 */
export async function readProfile(
  clickhouse: ClickHouse,
  who: {
    site: string;
    found: Promise<FoundPerson | undefined>;
    known: Promise<KnownOfSite>;
    /** What stands for nobody at the site besides the built-in values. */
    blocked: readonly string[];
  },
  limits: ProfileLimits,
): Promise<Profile | undefined> {
  const { site } = who;
  const [found, { computedTraits, audienceNames, grantDays }] = await Promise.all([who.found, who.known]);
  if (found === undefined) return undefined;
  const { person, atoms } = found;
  const asked = askAbout(clickhouse, found);
  const params = { site, atoms };
  const definitions = new Map(
    computedTraits.flatMap(({ name, definition }) => (definition === undefined ? [] : [[name, definition]])),
  );
  const [rows, { edges, own, traits, audiences }, computed] = await Promise.all([
    asked.query<ActivityRow>(eventQuery, {
      params: { ...params, limit: Math.max(maxEvents, limits.timeline + 1) },
    }),
    askTogether<{ edges: EdgeRow; own: SaidRow; traits: TraitRow; audiences: MemberRow }>(
      asked,
      {
        edges: edgesPart,
        own: saidPart,
        traits: traitPart,
        audiences: audienceNames.size === 0 ? undefined : audiencePart,
      },
      { params },
    ),
    readComputedTraits(asked, site, atoms, definitions, limits.now),
  ]);
  const ids = rows.length < maxEvents ? rows : [...rows, ...(await readFirstOfIds(asked, params))];
  const purposes = await readConsentOf(asked, {
    site,
    person,
    now: limits.now.getTime(),
    grantDays,
    identities: ids,
    edges,
    own,
  });
  const isAll = rows.length < maxEvents;
  const totals = isAll ? totalsOf(rows) : await readTotals(asked, params);
  if (totals === undefined) return undefined;
  const shown = rows.slice(0, limits.timeline);
  const last = shown.at(-1);
  const sessions = sessionsOf(rows);
  const stated = traits.map(toTrait).toSorted(byName);
  return {
    person,
    site,
    ...totals,
    identifiers: [...idsOf(ids, edges), ...contactsOf(edges, stated, createBlockedCheck(who))],
    purposes,
    traits: stated,
    computedTraits: computed.map((value) => ({
      ...value,
      version: computedTraits.find(({ name }) => name === value.name)?.version ?? 0,
    })),
    devices: devicesOf(rows).slice(0, limits.devices),
    // The oldest may have begun before the oldest event that is here.
    sessions: (isAll ? sessions : sessions.slice(0, -1)).slice(0, limits.sessions),
    consent: (isAll ? rows.filter(({ type }) => type === "consent") : await readChoices(asked, params, limits.choices))
      .slice(0, limits.choices)
      .map(({ time, consentId, regime, notice, choices }) => ({
        time,
        consentId,
        regime,
        notice,
        choices: choices.map(([purpose, state]) => ({ purpose, state })),
      })),
    audiences: audiences
      .toSorted((a, b) => (a.audience < b.audience ? -1 : 1))
      .flatMap(({ audience, since }) => {
        const name = audienceNames.get(audience);
        return name === undefined ? [] : [{ audience, name, since }];
      }),
    timeline: shown.map(toTimelineEvent),
    next:
      last === undefined || rows.length <= shown.length
        ? undefined
        : { time: last.time, partition: last.partition, offset: last.offset },
  };
}

type Asked = Pick<ClickHouse, "query">;
const ofPerson = "site = {site:String} AND atom IN {atoms:Array(UInt32)}";

const readEvents = (
  condition: string,
): string => `SELECT ${selectActivity} FROM atom_event AS e WHERE ${ofPerson} AND ${condition}
ORDER BY e.time DESC, e._offset DESC, e._partition DESC LIMIT 1 BY e._partition, e._offset LIMIT {limit:UInt32}`;
const eventQuery = readEvents("1");
const choiceQuery = readEvents("e.type = 'consent'");

const readChoices = (clickhouse: Asked, params: Params, limit: number): Promise<ActivityRow[]> =>
  clickhouse.query<ActivityRow>(choiceQuery, { params: { ...params, limit } });

const firstOfIdsQuery = `SELECT atom, anonymous_id AS anonymousId, user_id AS userId, toUnixTimestamp64Milli(min(e.time)) AS time
FROM atom_event AS e WHERE ${ofPerson} GROUP BY atom, anonymousId, userId`;

type IdRow = IdentityRow & Pick<ActivityRow, "time">;

const readFirstOfIds = (clickhouse: Asked, params: Params): Promise<IdRow[]> =>
  clickhouse.query<IdRow>(firstOfIdsQuery, { params });

interface Params {
  [name: string]: string | readonly number[];
  site: string;
  atoms: readonly number[];
}

/** Of a user id the log-in on a device says whose it is, and of a device the log-in on it; or an import, where that said so first. */
function idsOf(rows: readonly IdRow[], edges: readonly EdgeRow[]): Identifier[] {
  const first = new Map<string, { kind: "user_id" | "anonymous_id"; value: string; seen: number; login: number }>();
  const see = (kind: "user_id" | "anonymous_id", value: string, { time, anonymousId, userId }: IdRow): void => {
    if (value === "") return;
    const known = first.get(`${kind} ${value}`) ?? { kind, value, seen: time, login: Infinity };
    known.seen = Math.min(known.seen, time);
    if (anonymousId !== "" && userId !== "") known.login = Math.min(known.login, time);
    first.set(`${kind} ${value}`, known);
  };
  for (const row of rows) {
    see("user_id", row.userId, row);
    see("anonymous_id", row.anonymousId, row);
  }
  const earliest = new Map<string, EdgeRow>();
  for (const edge of edges) {
    if (edge.kind !== "login" && edge.kind !== "import") continue;
    for (const key of [`user_id ${edge.userId}`, `anonymous_id ${edge.anonymousId}`]) {
      const known = earliest.get(key);
      const isEarlier = known === undefined || edge.time < known.time;
      if (isEarlier || (edge.time === known.time && edge.kind === "login")) earliest.set(key, edge);
    }
  }
  return [...first.values()]
    .toSorted((a, b) =>
      a.kind === b.kind ? a.seen - b.seen || (a.value < b.value ? -1 : 1) : a.kind < b.kind ? 1 : -1,
    )
    .map(({ kind, value, seen, login }) => {
      const own = kind === "user_id" ? "site" : "device";
      const tie = earliest.get(`${kind} ${value}`)?.kind ?? "login";
      const verification = login === Infinity ? { rule: own, time: seen } : { rule: tie, time: login };
      return { kind, value, hash: "", firstSeen: seen, verification: { isConfirmed: true, ...verification } };
    });
}

/** Confirmed where a login or a server says it; what was typed into a form alone is not, nor what came with a user id that stands for nobody. */
function contactsOf(
  edges: readonly EdgeRow[],
  traits: Profile["traits"],
  { isBlockedId }: Pick<ReturnType<typeof createBlockedCheck>, "isBlockedId">,
): Identifier[] {
  // Only the value that was stated last is kept in clear; of others there is the hash that people are compared by.
  const clear = new Map<string, string>();
  for (const { name, value } of traits) {
    const plain = name.toLowerCase().replaceAll(/[-_\s]/g, "");
    if (plain === "email") clear.set(`email ${emailHash(value)}`, value);
    if (plain === "phone" || plain === "mobile") clear.set(`phone ${phoneHash(value)}`, value);
  }
  const found = new Map<string, Identifier>();
  const inOrder = edges.toSorted((a, b) => a.time - b.time || (a.kind + a.other < b.kind + b.other ? -1 : 1));
  for (const { kind, other: hash, rule: stored, userId, time } of inOrder) {
    if (kind !== "email" && kind !== "phone") continue;
    const rule = stored === "login" && isBlockedId(userId) ? "form" : stored;
    const key = `${kind} ${hash}`;
    const isConfirmed = rule !== "form";
    const known = found.get(key);
    if (known === undefined)
      found.set(key, {
        kind,
        value: clear.get(key) ?? "",
        hash,
        firstSeen: time,
        verification: { isConfirmed, rule, time },
      });
    else if (isConfirmed && !known.verification.isConfirmed) known.verification = { isConfirmed, rule, time };
  }
  return [...found.values()];
}

type TraitRow = Omit<Profile["traits"][number], "isPersonal"> & { isPersonal: number };

const traitPart: Part<TraitRow> = {
  columns: {
    name: "name",
    value: "last.value",
    origin: "last.origin",
    class: "last.class",
    purpose: "last.purpose",
    isPersonal: "last.personal",
    time: "toUnixTimestamp64Milli(last.time)",
  },
  from: `FROM (SELECT name, argMaxMerge(last) AS last FROM trait_state WHERE ${ofPerson} GROUP BY name)`,
};

const toTrait = ({ isPersonal, ...trait }: TraitRow): Profile["traits"][number] => ({
  ...trait,
  isPersonal: isPersonal === 1,
});

const byName = (a: Profile["traits"][number], b: Profile["traits"][number]): number =>
  a.isPersonal === b.isPersonal ? (a.name < b.name ? -1 : 1) : a.isPersonal ? -1 : 1;

/** What a site has defined. */
export interface KnownOfSite {
  computedTraits: readonly StoredComputedTrait[];
  /** By id, the names of audiences that name their members: of an anonymous one nobody is told who is in it. */
  audienceNames: ReadonlyMap<string, string>;
  /** How long a yes holds. */
  grantDays: number;
}

export async function readSite(clickhouse: ClickHouse, site: string): Promise<KnownOfSite> {
  const [computedTraits, audiences, [term]] = await Promise.all([
    createComputedTraitStore(clickhouse).list(site),
    clickhouse.query<{ id: string; name: string }>(
      `SELECT audience AS id, argMax(a.name, revision) AS name FROM audience AS a WHERE site = {site:String}
       GROUP BY id HAVING argMax(is_anonymous, revision) = 0`,
      { params: { site } },
    ),
    clickhouse.query<{ days: number }>(grantTermQuery, { params: { site } }),
  ]);
  return {
    computedTraits,
    audienceNames: new Map(audiences.map(({ id, name }) => [id, name])),
    grantDays: term?.days ?? 365,
  };
}

type MemberRow = Omit<Profile["audiences"][number], "name">;

const audiencePart: Part<MemberRow> = {
  columns: { audience: "audience", since: "toUnixTimestamp64Milli(min(m.since))" },
  from: `FROM audience_member AS m FINAL WHERE site = {site:String} AND person IN {atoms:Array(UInt32)} AND has_left = 0 GROUP BY audience`,
};

interface StateRow extends Omit<Totals, "counters" | "revenue" | "firstTouch" | "lastTouch"> {
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

/** Of somebody with more events than are read for a profile. */
async function readTotals(clickhouse: Asked, params: Params): Promise<Totals | undefined> {
  const [state] = await clickhouse.query<StateRow>(stateQuery, { params });
  if (state === undefined || state.events === 0) return undefined;
  const { firstSeen, lastSeen, firstTouch, lastTouch, orders, refunds, ...counters } = state;
  return {
    firstSeen,
    lastSeen,
    counters: { ...counters, orders: orders.length },
    revenue: revenueOf(orders, refunds),
    firstTouch: toTouch(firstTouch),
    lastTouch: toTouch(lastTouch),
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

const toTimelineEvent = (row: ActivityRow): Omit<TimelineEvent, "properties"> => ({
  partition: row.partition,
  offset: row.offset,
  time: row.time,
  type: row.type,
  name: row.name,
  atom: row.atom,
  sessionId: row.sessionId,
  urlHost: row.urlHost,
  urlPath: row.urlPath,
  pageTitle: row.pageTitle,
  pageGroup: row.pageGroup,
  channel: row.channel,
  country: row.country,
  device: row.device,
  browser: row.browser,
  os: row.os,
  origin: row.origin,
  partner: row.partner,
  consentMask: row.consentMask,
  basis: row.basis,
  orderId: row.orderId,
  amount: row.amount,
  currency: row.currency,
  choices: row.choices.map(([purpose, state]) => ({ purpose, state })),
});
