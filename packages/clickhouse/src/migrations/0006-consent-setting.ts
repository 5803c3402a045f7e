import type { Migration } from "./render-migrations.ts";

/** The same rows on every node, as the record of choices. */
export const consentSetting: Migration = {
  number: 6,
  name: "consent-setting",
  sql: `
CREATE TABLE IF NOT EXISTS {db}.consent_setting {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  n UInt32 COMMENT 'Number of the change, from 1',
  since DateTime64(3, 'UTC') COMMENT 'When it was first found in the configuration; it held until the row after it',
  before_choice LowCardinality(String) COMMENT 'What happened before a choice: silent, buffer or measurement',
  reason String COMMENT 'Why that was allowed, in the words of the owner; empty with silent',
  regimes Map(LowCardinality(String), LowCardinality(String)) COMMENT 'Regime by country; default: everywhere else',
  grant_days UInt16 COMMENT 'Days that a yes counted',
  refusal_days UInt16 COMMENT 'Days until a visitor who refused was asked again'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, n)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'What the owner of a site had set about consent, when, and why: append-only';
`,
};
