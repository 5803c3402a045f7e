import { parseComputedTrait, type ComputedTrait } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";

/** One version of a computed trait. */
export interface StoredComputedTrait {
  site: string;
  name: string;
  /** From 1. */
  version: number;
  /** Undefined: it was removed by this version. */
  definition: ComputedTrait | undefined;
  /** Milliseconds since 1970. */
  at: number;
  actor: string;
  reason: string;
}

export interface ComputedTraitStore {
  /** Those that are there, by name. What this version of the program cannot read is left out. */
  list(site: string): Promise<StoredComputedTrait[]>;
  /** Every version, oldest first; empty when there never was one of that name. */
  versions(site: string, name: string): Promise<StoredComputedTrait[]>;
  /** False when somebody else made a version of this number: nothing is changed then. */
  save(version: StoredComputedTrait): Promise<boolean>;
}

interface Row {
  name: string;
  version: number;
  definition: string;
  at: number;
  actor: string;
  reason: string;
}

const columns = "name, version, definition, toUnixTimestamp64Milli(at) AS at, actor, reason";

export function createComputedTraitStore(clickhouse: ClickHouse): ComputedTraitStore {
  const read = async (site: string, sql: string, params: { [name: string]: string | number } = {}) => {
    const rows = await clickhouse.query<Row>(sql, { params: { site, ...params } });
    return rows.map((row): StoredComputedTrait => ({ ...row, site, definition: definitionOf(row.definition) }));
  };
  return {
    list: async (site) => {
      const all = await read(
        site,
        `SELECT ${columns} FROM computed_trait AS t WHERE site = {site:String} ORDER BY name, version DESC LIMIT 1 BY name`,
      );
      return all.filter(({ definition }) => definition !== undefined);
    },
    versions: (site, name) =>
      read(
        site,
        `SELECT ${columns} FROM computed_trait AS t WHERE site = {site:String} AND name = {name:String} ORDER BY version LIMIT 1 BY version`,
        { name },
      ),
    save: async ({ site, name, version, definition, at, actor, reason }) => {
      const row = {
        site,
        name,
        version,
        definition: definition === undefined ? "" : JSON.stringify(definition),
        at: new Date(at).toISOString().slice(0, -1).replace("T", " "),
        actor,
        reason,
      };
      // The server forgets tokens after a while: they settle two at once, and not what was there before.
      const later = await clickhouse.query(
        "SELECT 1 FROM computed_trait WHERE site = {site:String} AND name = {name:String} AND version >= {version:UInt32} LIMIT 1",
        { params: { site, name, version } },
      );
      if (later.length > 0) return false;
      const token = `computed_trait:${JSON.stringify([site, name, version])}`;
      await clickhouse.insertRows("computed_trait", [row], {
        settings: { insert_deduplicate: 1, deduplicate_insert: "enable", insert_deduplication_token: token },
      });
      const [stored] = await clickhouse.query<Row>(
        `SELECT ${columns} FROM computed_trait AS t WHERE site = {site:String} AND name = {name:String} AND version = {version:UInt32} LIMIT 1`,
        { params: { site, name, version } },
      );
      return (
        stored?.at === at && stored.actor === actor && stored.reason === reason && stored.definition === row.definition
      );
    },
  };
}

function definitionOf(json: string): ComputedTrait | undefined {
  if (json === "") return undefined;
  const result = parseComputedTrait(JSON.parse(json));
  return result.ok ? result.definition : undefined;
}
