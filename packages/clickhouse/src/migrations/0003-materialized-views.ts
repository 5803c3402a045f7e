import type { Migration } from "./render-migrations.ts";

// (time, _offset) never ties within an atom, so that "first" and "last" mean one event, whatever the order of inserts.
const moment = "(events.time, events._offset)";
const touch = `(
    channel::String, utm_source::String, utm_medium::String, utm_campaign::String, referrer_host::String,
    concat(url_host, url_path))::Tuple(channel String, source String, medium String, campaign String, referrer String, landing_page String)`;
const isTouch = "channel NOT IN ('', 'internal')";
const isPage = "type IN ('page', 'screen')";
const orderAmounts = `maxMap(if(name = 'Order Completed',
    map(concat(currency, ' ', if(order_id = '', message_id, order_id)), amount), map()::Map(String, Decimal(18, 4))))`;
const isPerson = "atom != 0 AND bot = ''";

/** What a view adds to the keys of its table; nothing in this migration. */
export interface MoreKeys {
  /** `expression AS name`, in the same order as the names. */
  columns: readonly string[];
  names: readonly string[];
}

export interface ViewSource {
  from: string;
  /** A condition on top of the view's own, with an AND before it. */
  and: string;
}

const inserted: ViewSource = { from: "{local events}", and: "" };
const none: MoreKeys = { columns: [], names: [] };

/** The question behind each view, by the table that it fills. */
export const viewSelects = {
  atom: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  cityHash64(anonymous_id, user_id) AS key,
  atom,
  anonymous_id,
  user_id,
  min(received_at) AS first_seen${added(more)}
FROM ${source.from} AS events
WHERE atom != 0${source.and}
GROUP BY site, atom, anonymous_id, user_id${keys(more)}`,
  profile_state: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  atom,
  min(events.time) AS first_seen,
  max(events.time) AS last_seen,
  count() AS events,
  countIf(${isPage}) AS page_views,
  countIf(name = 'Clicked') AS clicks,
  uniqExactIfState(sipHash64(session_id), session_id != '') AS sessions,
  ${orderAmounts} AS orders,
  sumMap(if(name = 'Order Refunded', map(currency::String, amount), map()::Map(String, Decimal(18, 4)))) AS refunds,
  argMinIfState(${touch}, ${moment}, ${isTouch}) AS first_touch,
  argMaxIfState(${touch}, ${moment}, ${isTouch}) AS last_touch,
  argMaxIfState(events.device::String, ${moment}, events.device != '') AS device,
  argMaxIfState(events.country::String, ${moment}, events.country != '') AS country${added(more)}
FROM ${source.from} AS events
WHERE ${isPerson}${source.and}
GROUP BY site, atom${keys(more)}`,
  trait_state: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  atom,
  trait_name AS name,
  argMaxState(
    (trait_value, events.origin::String, trait_class::String, trait_purpose::String, trait_personal, events.time)::Tuple(value String, origin String, class String, purpose String, personal UInt8, time DateTime64(3, 'UTC')),
    ${moment}) AS last${added(more)}
FROM ${source.from} AS events
ARRAY JOIN
  \`traits.name\` AS trait_name,
  \`traits.value\` AS trait_value,
  \`traits.class\` AS trait_class,
  \`traits.purpose\` AS trait_purpose,
  \`traits.personal\` AS trait_personal
WHERE ${isPerson}${source.and}
GROUP BY site, atom, trait_name${keys(more)}`,
  audience_day: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  day,
  pair.1 AS dimension,
  pair.2 AS value,
  count() AS events,
  groupBitmapIfState(atom, atom != 0) AS atoms${added(more)}
FROM ${source.from} AS events
ARRAY JOIN arrayFilter(
  dimension_value -> dimension_value.2 != '',
  [
    ('all', 'all'), ('country', country::String), ('device', device::String), ('channel', channel::String),
    ('campaign', utm_campaign::String), ('page_group', page_group::String), ('event', name::String)
  ]) AS pair
WHERE bot = ''${source.and}
GROUP BY site, day, dimension, value${keys(more)}`,
  session_state: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  toDate(session_start) AS start_date,
  session_id,
  min(events.day) AS day,
  min(events.time) AS started_at,
  max(events.time) AS ended_at,
  count() AS events,
  countIf(${isPage}) AS page_views,
  countIf(name = 'Clicked') AS clicks,
  ${orderAmounts} AS orders,
  argMaxState(events.atom, ${moment}) AS atom,
  argMinIfState(url_path, ${moment}, ${isPage}) AS entry_page,
  argMaxIfState(url_path, ${moment}, ${isPage}) AS exit_page,
  argMinIfState(${touch}, ${moment}, ${isTouch}) AS touch,
  argMinIfState(events.device::String, ${moment}, events.device != '') AS device,
  argMinIfState(events.country::String, ${moment}, events.country != '') AS country${added(more)}
FROM ${source.from} AS events
WHERE events.atom != 0 AND bot = '' AND session_id != ''${source.and}
GROUP BY site, start_date, session_id${keys(more)}`,
  identity_edge: (more: MoreKeys = none, source: ViewSource = inserted): string => `SELECT
  site,
  anonymous_id,
  user_id,
  'login' AS kind,
  argMin(events.message_id, ${moment}) AS message_id,
  min(events.time) AS time,
  argMin(events.received_at, ${moment}) AS received_at,
  argMin(events._partition, ${moment}) AS _partition,
  argMin(events._offset, ${moment}) AS _offset${added(more)}
FROM ${source.from} AS events
WHERE anonymous_id != '' AND user_id != '' AND bot = ''${source.and}
GROUP BY site, anonymous_id, user_id${keys(more)}`,
} as const;

function added({ columns }: MoreKeys): string {
  return columns.map((column) => `,\n  ${column}`).join("");
}

function keys({ names }: MoreKeys): string {
  return names.map((name) => `, ${name}`).join("");
}

export type ViewTable = keyof typeof viewSelects;

const createViews = (Object.keys(viewSelects) as ViewTable[])
  .map(
    (table) =>
      `CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.${table}_mv {on_cluster} TO {local ${table}} AS\n${viewSelects[table]()};\n`,
  )
  .join("\n");

export const materializedViews: Migration = {
  number: 3,
  name: "materialized-views",
  sql: `\n${createViews}`,
};
