import type { ImportStore, StoredImport, StoredVersion } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";

/** What one statement holds of ids: a server takes 256 KiB of SQL. */
const maxStatementCharacters = 150_000;

/** {@link ImportStore} in SQL. It only reads, and asks in a way that the analysts' port takes. */
export function createImportStore(clickhouse: ClickHouse): ImportStore {
  const askInParts = async <Row>(ids: readonly string[], ask: (list: string) => Promise<Row[]>): Promise<Row[]> => {
    const rows: Row[] = [];
    for (const list of listsOf(ids)) rows.push(...(await ask(list)));
    return rows;
  };

  return {
    versions: (site, ids) =>
      askInParts(ids, (list) =>
        clickhouse.query<StoredVersion>(
          `WITH ${list} AS ids
           SELECT concat(subject, ':', key) AS id, number, fixed, content, toUnixTimestamp64Milli(any(r.time)) AS time,
             toString(any(r.amount)) AS amount
           FROM import_row AS r
           WHERE site = {site:String} AND key IN (SELECT arrayJoin(arrayMap(id -> splitByChar(':', id)[2], ids)))
             AND (subject, key) IN (SELECT splitByChar(':', arrayJoin(ids) AS id)[1], splitByChar(':', id)[2])
           GROUP BY subject, key, number, fixed, content ORDER BY id, number`,
          { params: { site } },
        ),
      ),

    async knownPeople(site, { userIds, anonymousIds }) {
      const knownAs = async (column: "user_id" | "anonymous_id", ids: readonly string[]): Promise<string[]> =>
        (
          await askInParts(ids, (list) =>
            clickhouse.query<{ id: string }>(
              `SELECT DISTINCT ${column} AS id FROM atom
               WHERE site = {site:String} AND ${column} IN (SELECT arrayJoin(${list})) AND person(atom) != 0`,
              { params: { site } },
            ),
          )
        ).map(({ id }) => id);
      return { userIds: await knownAs("user_id", userIds), anonymousIds: await knownAs("anonymous_id", anonymousIds) };
    },

    async countStored(site, importId) {
      const [row] = await clickhouse.query<{ count: number }>(
        `SELECT uniqExact(subject, key, number, fixed, content) AS count FROM import_row
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

/**
 * Arrays of these texts as SQL. Thousands fit in no address, and a form is more than the analysts' port takes; in hexadecimal nothing of them can be
 * more than text.
 */
function* listsOf(ids: readonly string[]): Generator<string> {
  let some: string[] = [];
  let length = 0;
  const list = (): string => `arrayMap(id -> unhex(id), splitByChar(',', '${some.join(",")}'))`;
  for (const id of ids) {
    const hex = Buffer.from(id).toString("hex");
    if (some.length > 0 && length + hex.length > maxStatementCharacters) {
      yield list();
      some = [];
      length = 0;
    }
    some.push(hex);
    length += hex.length + 1;
  }
  if (some.length > 0) yield list();
}
