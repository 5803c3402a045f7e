import { eventColumns } from "./0001-tables.ts";
import type { Migration } from "./render-migrations.ts";

const eventViewColumns = eventColumns
  .map(([name, type, , comment]) => `  \`${name}\` ${type} COMMENT '${comment}'`)
  .join(",\n");
const eventNames = eventColumns.map(([name]) => `\`${name}\``).join(", ");

/** Whatever counts people groups by person(atom) and merges the states of all their atoms: nothing is added up per device. */
export const views: Migration = {
  number: 4,
  name: "views",
  sql: `
CREATE OR REPLACE VIEW {db}.events_v {on_cluster} (
${eventViewColumns},
  person_id UInt32 COMMENT 'The person, as known now; 0 when the event has no identity'
)
AS SELECT ${eventNames}, person(atom) AS person_id
FROM {db}.events
COMMENT 'Every event with its person. Bots have their name in bot';

CREATE OR REPLACE VIEW {db}.people {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  person_id UInt32 COMMENT 'The person, as known now',
  user_ids Array(String) COMMENT 'Ids the site gave to this customer; empty for a visitor who never logged in',
  devices UInt64 COMMENT 'Number of different anonymous ids',
  first_seen DateTime64(3, 'UTC') COMMENT 'Time of the first event on any device',
  last_seen DateTime64(3, 'UTC') COMMENT 'Time of the last event on any device',
  events UInt64 COMMENT 'Events of all types',
  page_views UInt64 COMMENT 'Events of type page or screen',
  clicks UInt64 COMMENT 'Events named Clicked',
  sessions UInt64 COMMENT 'Different visits',
  orders UInt64 COMMENT 'Different orders; one sent twice counts once',
  revenue Map(String, Decimal(38, 4)) COMMENT 'By currency: amounts of the orders less refunds',
  first_channel String COMMENT 'Channel of the first visit that came from outside',
  first_source String COMMENT 'Its utm_source',
  first_medium String COMMENT 'Its utm_medium',
  first_campaign String COMMENT 'Its utm_campaign',
  first_referrer String COMMENT 'Its referrer host',
  first_landing_page String COMMENT 'Host and path where it landed',
  last_channel String COMMENT 'Channel of the last visit that came from outside',
  last_source String COMMENT 'Its utm_source',
  last_medium String COMMENT 'Its utm_medium',
  last_campaign String COMMENT 'Its utm_campaign',
  last_referrer String COMMENT 'Its referrer host',
  last_landing_page String COMMENT 'Host and path where it landed',
  device String COMMENT 'Device class last seen',
  country String COMMENT 'Country last seen',
  traits Map(String, String) COMMENT 'Last value of each trait, as text'
)
AS SELECT
  state.site AS site,
  state.person_id AS person_id,
  ids.user_ids AS user_ids,
  ids.devices AS devices,
  state.first_seen AS first_seen,
  state.last_seen AS last_seen,
  state.events AS events,
  state.page_views AS page_views,
  state.clicks AS clicks,
  state.sessions AS sessions,
  state.orders AS orders,
  state.revenue AS revenue,
  state.first.1 AS first_channel,
  state.first.2 AS first_source,
  state.first.3 AS first_medium,
  state.first.4 AS first_campaign,
  state.first.5 AS first_referrer,
  state.first.6 AS first_landing_page,
  state.last.1 AS last_channel,
  state.last.2 AS last_source,
  state.last.3 AS last_medium,
  state.last.4 AS last_campaign,
  state.last.5 AS last_referrer,
  state.last.6 AS last_landing_page,
  state.device AS device,
  state.country AS country,
  stated.traits AS traits
FROM (
  SELECT
    p.site AS site,
    person(p.atom) AS person_id,
    min(p.first_seen) AS first_seen,
    max(p.last_seen) AS last_seen,
    sum(p.events) AS events,
    sum(p.page_views) AS page_views,
    sum(p.clicks) AS clicks,
    uniqExactMerge(p.sessions) AS sessions,
    maxMap(p.orders) AS amounts,
    length(amounts) AS orders,
    mapSort(mapAdd(
      arrayFold(
        (total, currency, amount) -> mapAdd(total, map(currency, amount)),
        arrayMap(key -> splitByChar(' ', key)[1], mapKeys(amounts)),
        arrayMap(amount -> amount::Decimal(38, 4), mapValues(amounts)),
        map()::Map(String, Decimal(38, 4))),
      sumMap(p.refunds))) AS revenue,
    argMinMerge(p.first_touch) AS first,
    argMaxMerge(p.last_touch) AS last,
    argMaxMerge(p.device) AS device,
    argMaxMerge(p.country) AS country
  FROM {db}.profile_state AS p
  GROUP BY site, person_id
) AS state
LEFT JOIN (
  SELECT
    site,
    person(atom) AS person_id,
    arraySort(groupUniqArrayIf(user_id, user_id != '')) AS user_ids,
    uniqExactIf(anonymous_id, anonymous_id != '') AS devices
  FROM {db}.atom
  GROUP BY site, person_id
) AS ids ON ids.site = state.site AND ids.person_id = state.person_id
LEFT JOIN (
  SELECT site, person_id, mapSort(mapFromArrays(groupArray(trait), groupArray(value))) AS traits
  FROM (
    SELECT site, person(atom) AS person_id, name::String AS trait, argMaxMerge(last).1 AS value
    FROM {db}.trait_state
    GROUP BY site, person_id, trait
  )
  GROUP BY site, person_id
) AS stated ON stated.site = state.site AND stated.person_id = state.person_id
COMMENT 'One row a person, without bots';

CREATE OR REPLACE VIEW {db}.sessions {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day of its first event in the time zone of the site',
  session_id String COMMENT 'Id of the visit',
  person_id UInt32 COMMENT 'The person, as known now',
  started_at DateTime64(3, 'UTC') COMMENT 'Time of the first event',
  ended_at DateTime64(3, 'UTC') COMMENT 'Time of the last event',
  seconds Decimal(18, 3) COMMENT 'From the first event to the last',
  events UInt64 COMMENT 'Events of all types',
  page_views UInt64 COMMENT 'Events of type page or screen',
  clicks UInt64 COMMENT 'Events named Clicked',
  orders UInt64 COMMENT 'Different orders',
  entry_page String COMMENT 'Path of the first page viewed',
  exit_page String COMMENT 'Path of the last page viewed',
  channel String COMMENT 'Where the visit came from: direct, search, social, mail, paid or referral',
  source String COMMENT 'utm_source',
  medium String COMMENT 'utm_medium',
  campaign String COMMENT 'utm_campaign',
  referrer String COMMENT 'Referrer host',
  device String COMMENT 'Device class',
  country String COMMENT 'Country'
)
AS SELECT
  s.site AS site,
  min(s.day) AS day,
  s.session_id AS session_id,
  person(argMaxMerge(s.atom)) AS person_id,
  min(s.started_at) AS started_at,
  max(s.ended_at) AS ended_at,
  (max(s.ended_at)::Decimal(18, 3) - min(s.started_at)::Decimal(18, 3))::Decimal(18, 3) AS seconds,
  sum(s.events) AS events,
  sum(s.page_views) AS page_views,
  sum(s.clicks) AS clicks,
  length(maxMap(s.orders)) AS orders,
  argMinMerge(s.entry_page) AS entry_page,
  argMaxMerge(s.exit_page) AS exit_page,
  (argMinMerge(s.touch) AS first).1 AS channel,
  first.2 AS source,
  first.3 AS medium,
  first.4 AS campaign,
  first.5 AS referrer,
  argMinMerge(s.device) AS device,
  argMinMerge(s.country) AS country
FROM {db}.session_state AS s
GROUP BY s.site, s.start_date, s.session_id
COMMENT 'One row a visit, without bots';

CREATE OR REPLACE VIEW {db}.page_views {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When it was viewed',
  person_id UInt32 COMMENT 'The person, as known now; 0 when the view has no identity',
  session_id String COMMENT 'Id of the visit',
  message_id String COMMENT 'Id of the event',
  url_host LowCardinality(String) COMMENT 'Host of the page',
  url_path String COMMENT 'Path of the page',
  page_title String COMMENT 'Title of the page',
  page_group LowCardinality(String) COMMENT 'Name given to the page, else the first segment of its path',
  referrer_host LowCardinality(String) COMMENT 'Host of the page before',
  channel LowCardinality(String) COMMENT 'direct, search, social, mail, paid, referral or internal',
  campaign LowCardinality(String) COMMENT 'utm_campaign',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  device LowCardinality(String) COMMENT 'desktop, mobile, tablet or tv'
)
AS SELECT
  site, day, time, person(atom) AS person_id, session_id, message_id, url_host, url_path, page_title, page_group,
  referrer_host, channel, utm_campaign AS campaign, country, device
FROM {db}.events
WHERE type IN ('page', 'screen') AND bot = ''
COMMENT 'One row a page view, without bots';

CREATE OR REPLACE VIEW {db}.orders {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day of the order in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When it was completed',
  order_id String COMMENT 'Id of the order; of the event when it gave none',
  person_id UInt32 COMMENT 'The person, as known now; 0 when the order has no identity',
  session_id String COMMENT 'Visit in which it was completed; empty for orders from a server',
  currency LowCardinality(String) COMMENT 'ISO 4217 code of three letters',
  amount Decimal(18, 4) COMMENT 'Amount; of an order sent more than once the greatest',
  refunded Decimal(38, 4) COMMENT 'Sum of its refunds, negative',
  times_sent UInt64 COMMENT 'How often it was sent'
)
AS SELECT
  e.site AS site,
  minIf(e.day, is_order) AS day,
  minIf(e.time, is_order) AS time,
  if(e.order_id = '', e.message_id, e.order_id) AS order_id,
  person(argMinIf(e.atom, (e.time, e._offset), is_order)) AS person_id,
  argMinIf(e.session_id, (e.time, e._offset), is_order) AS session_id,
  e.currency AS currency,
  maxIf(e.amount, e.name = 'Order Completed' AS is_order) AS amount,
  sumIf(e.amount, NOT is_order) AS refunded,
  countIf(is_order) AS times_sent
FROM {db}.events AS e
WHERE e.name IN ('Order Completed', 'Order Refunded') AND e.bot = ''
GROUP BY e.site, e.currency, order_id
HAVING times_sent > 0
COMMENT 'One row an order, with what was refunded of it';

CREATE OR REPLACE VIEW {db}.consent_choices {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When the choice was made',
  person_id UInt32 COMMENT 'The person, as known now; 0 for a refusal, which leaves no identity',
  consent_id String COMMENT 'Id of the choice, the same on every event collected under it',
  purpose LowCardinality(String) COMMENT 'necessary, measurement, profile, personalisation, prediction or ads',
  state LowCardinality(String) COMMENT 'granted, denied, withdrawn, expired, opted_out, not_required or unset',
  regime LowCardinality(String) COMMENT 'opt_in, opt_out or notice',
  notice LowCardinality(String) COMMENT 'Version and hash of the text shown',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  message_id String COMMENT 'Id of the event that recorded it'
)
AS SELECT
  site, day, time, person(atom) AS person_id, consent_id, purpose, state, regime, notice, country, message_id
FROM {db}.events
ARRAY JOIN \`choice.purpose\` AS purpose, \`choice.state\` AS state
WHERE type = 'consent' AND name = 'consent'
COMMENT 'One row a purpose of every recorded choice';

CREATE OR REPLACE VIEW {db}.audiences {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  dimension LowCardinality(String) COMMENT 'all, country, device, channel, campaign, page_group or event',
  value String COMMENT 'Value of the dimension',
  events UInt64 COMMENT 'Events, those without identity included',
  people UInt64 COMMENT 'Different people, as known now'
)
AS SELECT
  a.site AS site,
  a.day AS day,
  a.dimension AS dimension,
  a.value AS value,
  sum(a.events) AS events,
  arrayUniq(arrayMap(atom -> person(atom), bitmapToArray(groupBitmapMergeState(a.atoms)))) AS people
FROM {db}.audience_day AS a
GROUP BY a.site, a.day, a.dimension, a.value
COMMENT 'How many people were seen on a day with a value of a dimension, without bots';
`,
};
