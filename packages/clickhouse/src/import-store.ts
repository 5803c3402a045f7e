import type { ImportStore, StoredImport, StoredVersion } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";

/** {@link ImportStore} in SQL. */
export function createImportStore(clickhouse: ClickHouse): ImportStore {
  return {
    async versions(site, ids) {
      if (ids.length === 0) return [];
      const pairs = ids.map((id) => id.split(":"));
      return clickhouse.query<StoredVersion>(
        `SELECT concat(record, ':', key) AS id, number, fixed, content, toUnixTimestamp64Milli(any(r.time)) AS time,
           toString(any(r.amount)) AS amount
         FROM import_row AS r
         WHERE site = {site:String} AND key IN {keys:Array(String)}
           AND (key, record::String) IN (SELECT arrayJoin(arrayZip({keys:Array(String)}, {records:Array(String)})))
         GROUP BY record, key, number, fixed, content ORDER BY id, number`,
        { params: { site, keys: pairs.map(([, key = ""]) => key), records: pairs.map(([record = ""]) => record) } },
      );
    },

    async knownPeople(site, { userIds, anonymousIds }) {
      const rows = await clickhouse.query<{ kind: "user" | "anonymous"; id: string }>(
        `SELECT DISTINCT 'user' AS kind, user_id AS id FROM atom
         WHERE site = {site:String} AND user_id IN {userIds:Array(String)} AND person(atom) != 0
         UNION ALL
         SELECT DISTINCT 'anonymous', anonymous_id FROM atom
         WHERE site = {site:String} AND anonymous_id IN {anonymousIds:Array(String)} AND person(atom) != 0`,
        { params: { site, userIds: [...userIds], anonymousIds: [...anonymousIds] } },
      );
      const idsOf = (wanted: "user" | "anonymous"): string[] =>
        rows.filter(({ kind }) => kind === wanted).map(({ id }) => id);
      return { userIds: idsOf("user"), anonymousIds: idsOf("anonymous") };
    },

    async countStored(site, importId) {
      const [row] = await clickhouse.query<{ count: number }>(
        `SELECT uniqExact(record, key, number, fixed, content) AS count FROM import_row
         WHERE site = {site:String} AND import_id = {importId:String}`,
        { params: { site, importId } },
      );
      return row?.count ?? 0;
    },

    async imports(site, limit) {
      const rows = await clickhouse.query<Omit<StoredImport, "finishedAt"> & { finishedAt: number | null }>(
        `SELECT import_id AS id, site, kind, toUnixTimestamp64Milli(started_at) AS startedAt,
           toUnixTimestamp64Milli(finished_at) AS finishedAt, actor, file_name AS fileName, origin, partner, basis, rows, refused, sent, stored
         FROM imports WHERE site = {site:String} ORDER BY started_at DESC, id LIMIT {limit:UInt32}`,
        { params: { site, limit } },
      );
      return rows.map(({ finishedAt, ...row }) => ({ ...row, finishedAt: finishedAt ?? undefined }));
    },
  };
}
