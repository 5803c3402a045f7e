import { retentionView, weekAndClass } from "./0009-retention.ts";
import { retainedUntil11 } from "./0011-identity.ts";
import type { MoreKeys, ViewSource } from "./0003-materialized-views.ts";
import type { Migration } from "./render-migrations.ts";

/** Those that a visitor is asked for, in the order of their bits in a mask, from 1. */
export const askedPurposes = ["measurement", "profile", "personalisation", "prediction", "ads"] as const;

const milliseconds = "toUInt64(toUnixTimestamp64Milli(events.time))";

// A yes that the collectors did not let stand is a no: to another text, under Global Privacy Control, or older than a no on record.
const word = (purpose: string, bit: number): string => {
  const state = `\`choice.state\`[indexOf(\`choice.purpose\`, '${purpose}')]`;
  const signal = purpose === "ads" ? " OR JSONExtractBool(notice, 'gpc')" : "";
  return `max(multiIf(
    type != 'consent' OR name != 'consent', 0,
    ${state} IN ('denied', 'withdrawn', 'opted_out') OR (${state} = 'granted' AND NOT bitTest(consent_mask, ${bit}))${signal}, 2 * ${milliseconds} + 1,
    ${state} = 'granted', 2 * ${milliseconds},
    0)) AS ${purpose}`;
};

// What is not allowed is counted, so that of two events of one moment the stricter holds.
const lastMask = (name: string, bases: string, restsOnYes: string): string =>
  `maxIf(128 * ${milliseconds} + if(basis = '${restsOnYes}', 64, 0) + bitXor(bitAnd(consent_mask, 63), 63), basis IN (${bases})) AS ${name}`;

/** The question that fills `consent_state`. All that it takes is the greatest of something, so that an event counted twice changes nothing. */
export const consentStateSelect = (
  more: MoreKeys = { columns: [], names: [] },
  source: ViewSource = { from: "{local events}", and: "" },
): string => `SELECT
  site,
  atom,
  ${askedPurposes.map((purpose, index) => word(purpose, index + 1)).join(",\n  ")},
  ${lastMask("by_choice", "'consent', 'opt_out', 'notice'", "consent")},
  ${lastMask("by_key", "'consent_elsewhere', 'legitimate_interest'", "consent_elsewhere")},
  ${lastMask("by_law", "'contract', 'legal_obligation'", "")},
  if(any(anonymous_id) = '', toDateTime64(0, 3, 'UTC'), min(events.time)) AS since,
  max(if(anonymous_id = '' AND user_id = '', 0, cityHash64(anonymous_id, if(anonymous_id = '', user_id, '')))) AS device,
  max(if(user_id = '', 0, cityHash64(user_id))) AS user${more.columns.map((column) => `,\n  ${column}`).join("")}
FROM ${source.from} AS events
WHERE atom != 0 AND bot = ''${source.and}
GROUP BY site, atom${more.names.map((name) => `, ${name}`).join("")}`;

const columns = [
  "site",
  "atom",
  ...askedPurposes,
  "by_choice",
  "by_key",
  "by_law",
  "since",
  "device",
  "user",
  ...weekAndClass.names,
].join(", ");

const choiceColumns = askedPurposes
  .map(
    (purpose) =>
      `  ${purpose} SimpleAggregateFunction(max, UInt64) COMMENT 'Last choice for it: 2 × its time in ms, and 1 more where it was a no; 0: none',`,
  )
  .join("\n");

const maskLayout =
  "128 × its time in ms, 64 where it rests on a yes, and the bits of consent_mask that were not set; 0: none";

export const peopleConsent: Migration = {
  number: 12,
  name: "people-consent",
  sql: `
CREATE TABLE IF NOT EXISTS {local consent_state} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'Number of the identity. person(atom) is whose it is',
${choiceColumns}
  by_choice SimpleAggregateFunction(max, UInt64) COMMENT 'Last event by choice or regime (consent, opt_out, notice): ${maskLayout}',
  by_key SimpleAggregateFunction(max, UInt64) COMMENT 'Last event on a basis of its key that a no undoes (consent_elsewhere, legitimate_interest): as by_choice',
  by_law SimpleAggregateFunction(max, UInt64) COMMENT 'Last event on a contract or the law: as by_choice',
  since SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When the device was first seen with this user; 1970-01-01 for a user without a device',
  device SimpleAggregateFunction(max, UInt64) COMMENT 'Hash of the anonymous id, or of the user id where there is none: whose choices are one; 0 after a withdrawal',
  user SimpleAggregateFunction(max, UInt64) COMMENT 'Hash of the user id; 0 when none, and after a withdrawal',
  week Date COMMENT 'Monday of the week in which the events arrived, in UTC',
  is_known UInt8 COMMENT '1: events with a user id; 0: anonymous ones',
  INDEX by_device device TYPE bloom_filter(0.0001) GRANULARITY 1
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, atom, week, is_known)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What was chosen for an atom and what it was let be used for, without bots. What holds for a person follows from all of theirs';
{distributed consent_state by cityHash64(site, atom)}

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.consent_state_mv {on_cluster} TO {local consent_state} AS
${consentStateSelect(weekAndClass)};

-- Kept by identifier and never by person, so that each side of a merge has its own back when it is undone.
CREATE TABLE IF NOT EXISTS {db}.person_flag {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  at DateTime64(3, 'UTC') COMMENT 'When it was decided',
  id String COMMENT 'Id of the decision: the same on its rows for each identifier of the person',
  flag LowCardinality(String) COMMENT 'restrict (GDPR article 18) or object (article 21)',
  purpose LowCardinality(String) COMMENT 'object: the purpose objected to; restrict: empty',
  is_set UInt8 COMMENT '1: from now on; 0: no longer',
  user_id String COMMENT 'Id that the site gave to the customer; empty for a visitor who never logged in',
  anonymous_id String COMMENT 'Device, where no user id says who it is; else empty',
  person UInt32 COMMENT 'The person as it was asked for then',
  actor String COMMENT 'Who decided it',
  reason String COMMENT 'Why, in their words'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, user_id, anonymous_id, at)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Who may not be used, or not for what, by their own wish: append-only, the last row of an identifier, flag and purpose holds';

${retentionView([...retainedUntil11, { table: "consent_state", week: "week", isKnown: "is_known" }])}
`,
  refill: {
    table: "consent_state",
    isMade: "1",
    week: "week",
    insert: (source) => `(${columns}) ${consentStateSelect(weekAndClass, source)}`,
  },
};
