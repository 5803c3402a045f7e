import type { Migration } from "./render-migrations.ts";

/** Run again on every start: the password in it is the one that the server has now. */
export const identityDictionary = `
CREATE OR REPLACE DICTIONARY {db}.identity_dict {on_cluster} (
  atom UInt32,
  person UInt32
)
PRIMARY KEY atom
SOURCE(CLICKHOUSE({credentials} QUERY 'SELECT atom, person FROM {db}.identity FINAL WHERE atom != person'))
LAYOUT(HASHED())
LIFETIME(0)
COMMENT 'The table identity in memory. SYSTEM RELOAD DICTIONARY makes a change visible';
`;

export const people: Migration = {
  number: 2,
  name: "people",
  sql: `
-- The same rows on every node: each resolves the atoms of its own shard.
CREATE TABLE IF NOT EXISTS {db}.identity {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'Number of the identity',
  person UInt32 COMMENT 'The person it belongs to: the smallest atom of that person',
  version UInt64 COMMENT 'The greatest version of an atom holds'
)
ENGINE = {engine_everywhere ReplacingMergeTree(version)}
ORDER BY atom
COMMENT 'Atoms whose person is not themselves';
${identityDictionary}
CREATE OR REPLACE FUNCTION person {on_cluster} AS (atom) ->
  dictGetOrDefault('{db_name}.identity_dict', 'person', toUInt32(atom), toUInt32(atom));
`,
};
