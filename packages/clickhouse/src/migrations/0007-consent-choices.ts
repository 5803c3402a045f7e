import type { Migration } from "./render-migrations.ts";

/** What analysts ask of choices is under which words they were made: the notice apart, and the text as it is on file. */
export const consentChoices: Migration = {
  number: 7,
  name: "consent-choices",
  sql: `
CREATE OR REPLACE VIEW {db}.consent_choices {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When the choice was made',
  person_id UInt32 COMMENT 'The person, as known now; 0 where the choice leaves no identity',
  consent_id String COMMENT 'Id of the choice, the same on every event collected under it',
  purpose LowCardinality(String) COMMENT 'necessary, measurement, profile, personalisation, prediction or ads',
  state LowCardinality(String) COMMENT 'granted, denied, withdrawn, expired, opted_out, not_required or unset',
  regime LowCardinality(String) COMMENT 'opt_in, opt_out or notice',
  notice LowCardinality(String) COMMENT 'JSON: all that was said of what was shown, as sent',
  notice_version LowCardinality(String) COMMENT 'Version of the texts of the banner together; empty when it stated none',
  language LowCardinality(String) COMMENT 'Language it was shown in; empty when the banner stated none',
  variant LowCardinality(String) COMMENT 'Which of several banners it was; empty when it stated none',
  title String COMMENT 'Title of the purpose, as it was shown; empty when its hash was not stated, or is not on file',
  text String COMMENT 'Text of the purpose, as it was shown; empty as the title',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  message_id String COMMENT 'Id of the event that recorded it'
)
AS SELECT
  c.site AS site, c.day AS day, c.time AS time, person(c.atom) AS person_id, c.consent_id AS consent_id,
  c.purpose AS purpose, c.state AS state, c.regime AS regime, c.notice AS notice,
  JSONExtractString(c.notice, 'version') AS notice_version,
  JSONExtractString(c.notice, 'language') AS language,
  JSONExtractString(c.notice, 'variant') AS variant,
  filed.title AS title,
  filed.text AS text,
  c.country AS country, c.message_id AS message_id
FROM (
  SELECT
    site, day, time, atom, consent_id, purpose, state, regime, notice, country, message_id,
    JSONExtractString(notice, 'texts', purpose) AS hash
  FROM {db}.events
  ARRAY JOIN \`choice.purpose\` AS purpose, \`choice.state\` AS state
  WHERE type = 'consent' AND name = 'consent'
) AS c
LEFT ANY JOIN {db}.consent_notice AS filed ON filed.site = c.site AND filed.hash = c.hash
COMMENT 'One row a purpose of every recorded choice. The first no of a visitor is not among them: nothing is sent of it';
`,
};
