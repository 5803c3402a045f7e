import {
  emailHash,
  phoneHash,
  type DecisionStore,
  type EdgeSource,
  type ErasedNode,
  type IdentityAtom,
  type IdentityDecision,
  type IdentityEdge,
  type IdentityEnds,
  type IdentityPosition,
  type IdentityStore,
  type IdentityTie,
  type IdentityView,
  type SiteAtom,
  type SiteEdge,
  type StoredEdge,
  type TiedBy,
} from "@polder/core";
import type { ClickHouse, QueryOptions } from "./clickhouse.ts";
import { nobody } from "./erased-tables.ts";
import { readRowBinary } from "./read-row-binary.ts";
import { reloadIdentities } from "./reload-identities.ts";
import { plainId, standsForNobody } from "./stands-for-nobody.ts";

type Params = NonNullable<QueryOptions["params"]>;

/** An atom is `number * 64 + partition`. */
const residues = 64;
/** A server takes 128 KiB a field of a form, unless told otherwise where we cannot. */
const maxFieldBytes = 90_000;
/** Fields of one question: beyond it there is another question. */
const maxFields = 24;

/** Rows of erased people have the greatest version that there is, so that nothing is written over them. */
const erasedVersion = "18446744073709551615";
const erasedOfRow = "arrayJoin(arrayFilter(one -> NOT has(kept_atoms, one), atoms))";
/** Identities of erased people: nobody's, from the moment in which it was written down. */
const erasedAtoms = `SELECT ${erasedOfRow} FROM erasure WHERE kind = 'person'`;
const isThere = `atom NOT IN (${erasedAtoms})`;
// An identity of its device, by the rules of the site.
const isNoUser = `(${standsForNobody("user_id")} OR ${plainId("user_id")} IN {blocked:Array(String)})`;

const untilEnds = {
  atoms: "atom <= {upToAtoms:Array(UInt32)}[atom % 64 + 1]",
  edges: "toInt64(_offset) <= {upToEdges:Array(Int64)}[_partition + 1]",
};

// As `isNoUser`, of ids that are few or grouped already.
const isSomebody = (id: string): string =>
  `NOT ${standsForNobody(id)} AND ${plainId(id)} NOT IN {blocked:Array(String)}`;
const plainValue = (value: string): string => value.trim().toLowerCase();
const contactHashes = (value: string): string[] => [`email:${emailHash(value)}`, `phone:${phoneHash(value)}`];
/** Of a site of many millions of identities: on disk rather than not at all. */
const spilling = "max_bytes_before_external_group_by = 500000000";

const atomsOfSite = `site = {site:String} AND ${untilEnds.atoms} AND ${isThere}`;
const edgesOfSite = `site = {site:String} AND ${untilEnds.edges} AND ${isThere}`;

/** Ids by which an edge is tied to more than its own identity: what an alias names; of an edge without an identity its own. The same `part` is the same one. */
const namedIds = `
  SELECT cityHash64(anonymous_id, user_id, other) AS part, max(e.atom) AS own,
    arrayFilter(id -> ${isSomebody("id")}, arrayConcat(if(countIf(kind = 'alias') > 0, [other], []), if(min(e.atom) = 0, [user_id, anonymous_id], []))) AS ids
  FROM identity_edge AS e WHERE ${edgesOfSite} AND (kind = 'alias' OR atom = 0) GROUP BY anonymous_id, user_id, other`;
const withId = (column: string): string => `
  SELECT part, a.atom AS atom FROM atom AS a
  GLOBAL INNER JOIN (SELECT part, arrayJoin(ids) AS id FROM (${namedIds})) AS named ON a.${column} = named.id WHERE ${atomsOfSite}`;

const tiedSql: { readonly [by in TiedBy]: string } = {
  user: `SELECT groupUniqArray(atom) FROM atom WHERE ${atomsOfSite} AND user_id != '' GROUP BY user_id HAVING ${isSomebody("user_id")}`,
  device: `SELECT groupUniqArray(atom) FROM atom WHERE ${atomsOfSite} AND anonymous_id != '' GROUP BY anonymous_id HAVING ${isSomebody("anonymous_id")}`,
  login: `SELECT DISTINCT [atom] FROM identity_edge WHERE ${edgesOfSite} AND kind IN ('login', 'import') AND atom != 0`,
  contact: `SELECT groupUniqArray(atom) FROM identity_edge WHERE ${edgesOfSite} AND kind IN ('email', 'phone') AND atom != 0
    AND concat(kind, ':', other) NOT IN {hashes:Array(String)} GROUP BY kind, other`,
  alias: `SELECT groupUniqArray(atom) FROM (SELECT part, own AS atom FROM (${namedIds}) WHERE own != 0
    UNION ALL ${withId("user_id")} UNION ALL ${withId("anonymous_id")}) GROUP BY part`,
};

const edgesWithAtom = `SELECT atom, kind, any(e.anonymous_id) AS anonymous_id, any(e.user_id) AS user_id, other, rule, toUnixTimestamp64Milli(min(e.time)) AS time
  FROM identity_edge AS e WHERE ${edgesOfSite} AND atom != 0 GROUP BY atom, kind, other, rule`;
const edgesBy = (column: string): string => `
  SELECT a.atom AS atom, e.kind AS kind, e.anonymous_id AS anonymous_id, e.user_id AS user_id, e.other AS other, e.rule AS rule, toUnixTimestamp64Milli(e.time) AS time
  FROM identity_edge AS e GLOBAL INNER JOIN (
    SELECT ${column}, min(atom) AS atom FROM atom
    WHERE ${atomsOfSite} AND ${column} GLOBAL IN (SELECT ${column} FROM identity_edge WHERE ${edgesOfSite} AND atom = 0 AND ${column} != '')
    GROUP BY ${column}) AS a ON a.${column} = e.${column}
  WHERE e.site = {site:String} AND toInt64(e._offset) <= {upToEdges:Array(Int64)}[e._partition + 1] AND e.atom = 0`;
/** Log-ins from before identities were written down with them. */
const edgesWithoutAtom = `${edgesBy("user_id")} UNION ALL ${edgesBy("anonymous_id")}`;

/** {@link IdentityStore} in SQL. What is asked by ids is found over their indexes; the ends alone are read from whole columns of numbers. */
export function createIdentityStore(clickhouse: ClickHouse): IdentityStore {
  /** What is in `identity_position`, so that only what moved is written. */
  let written = new Map<string, string>();

  const askInParts = createPartsReader(clickhouse);

  /** The same of identities. */
  async function askOfAtoms<Row>(
    atoms: readonly number[],
    sqlOf: (isIn: string) => string,
    params: Params,
  ): Promise<Row[]> {
    const rows: Row[] = [];
    for (const part of partsOf({ atoms: atoms.map(String) })) {
      const fields = part.get("atoms")!;
      const isIn = `(${fields.map((_, index) => `atom IN {atoms${index}:Array(UInt32)}`).join(" OR ")})`;
      const bound = Object.fromEntries(fields.map((field, index) => [`atoms${index}`, field.map(Number)]));
      rows.push(...(await clickhouse.query<Row>(sqlOf(isIn), { params: { ...params, ...bound } })));
    }
    return rows;
  }

  const rangesOf = (since: ReadonlyMap<number, number>, upTo: ReadonlyMap<number, number>): string => {
    // Ranges of the key, so that the old parts are left out. Numbers, so nothing to escape.
    const ranges = [...upTo].flatMap(([partition, last]) => {
      const first = (since.get(partition) ?? -1) + 1;
      return first > last ? [] : [`(_partition = ${partition} AND _offset BETWEEN ${first} AND ${last})`];
    });
    return ranges.length === 0 ? "0" : `(${ranges.join(" OR ")})`;
  };

  async function edgesAt(
    site: string,
    { users, devices, contacts }: { users: readonly string[]; devices: readonly string[]; contacts: readonly string[] },
    view: IdentityView,
    more: string,
  ): Promise<(StoredEdge & EdgeSource)[]> {
    const hashes = (kind: string): string[] =>
      contacts.filter((contact) => contact.startsWith(`${kind}:`)).map((contact) => contact.slice(kind.length + 1));
    const known = view.before === undefined ? "1" : "toInt64(_offset) <= {knownEdges:Array(Int64)}[_partition + 1]";
    const rows = await askInParts<Omit<StoredEdge, "timeBefore"> & EdgeSource & { isKnown: number; knownTime: number }>(
      { users, devices, emails: hashes("email"), phones: hashes("phone") },
      (isIn) => `
        SELECT kind, anonymous_id AS anonymousId, user_id AS userId, other, rule, toUnixTimestamp64Milli(min(e.time)) AS time,
          max(${known}) AS isKnown, toUnixTimestamp64Milli(minIf(e.time, ${known})) AS knownTime${more}
        FROM identity_edge AS e
        WHERE site = {site:String} AND ${untilEnds.edges} AND ${isThere} AND (
          ${isIn("user_id", "users")} OR (${isIn("anonymous_id", "devices")} AND kind != 'alias')
          OR (${isIn("other", "users", "devices")} AND kind = 'alias')
          OR (${isIn("other", "emails")} AND kind = 'email') OR (${isIn("other", "phones")} AND kind = 'phone'))
        GROUP BY kind, anonymousId, userId, other, rule`,
      { site, ...boundsOf(view.upTo), ...(view.before && { knownEdges: edgesArray(view.before) }) },
    );
    return rows.map(({ isKnown, knownTime, ...edge }) => ({
      ...edge,
      ...(isKnown === 1 && { timeBefore: knownTime }),
    }));
  }

  return {
    async changeMark() {
      // Every insert, removal and merge makes other parts. Of a cluster this node has not all of them, and no parts at all under these names.
      const rows = await clickhouse.query<{ table: string; mark: string }>(
        `SELECT table, concat(toString(count()), '-', toString(sum(cityHash64(name)))) AS mark FROM system.parts
         WHERE database = currentDatabase() AND active AND table IN ('atom', 'identity_edge', 'identity_decision', 'identity_tie', 'erasure', 'erasure_receipt')
         GROUP BY table ORDER BY table`,
      );
      return rows.some(({ table }) => table === "atom") ? JSON.stringify(rows) : undefined;
    },

    async position() {
      const rows = await clickhouse.query<{ what: string; key: string; value: string }>(
        "SELECT what, key, value FROM identity_position FINAL",
      );
      written = new Map(rows.map(({ what, key, value }) => [`${what} ${key}`, value]));
      const of = (what: string): [string, string][] =>
        rows.filter((row) => row.what === what && row.value !== "").map(({ key, value }) => [key, value]);
      const numbers = (what: string): Map<number, number> =>
        new Map(of(what).map(([key, value]) => [Number(key), Number(value)]));
      const [version] = of("version");
      if (version === undefined) return undefined;
      return {
        atoms: numbers("atom"),
        edges: numbers("edge"),
        held: new Map(of("held").map(([site, count]) => [site, Number(count)])),
        rules: new Map(of("rules")),
        decisions: new Set(of("decision").map(([id]) => id)),
        erasures: new Map(of("erasures").map(([site, count]) => [site, Number(count)])),
        version: Number(version[1]),
      };
    },

    async greatestVersion() {
      const [row] = await clickhouse.query<{ version: number }>(
        `SELECT max(version) AS version FROM (
           SELECT version FROM identity WHERE version < ${erasedVersion} UNION ALL SELECT version FROM identity_quarantine)`,
      );
      return row?.version ?? 0;
    },

    async writePosition(position) {
      const wanted = positionRows(position);
      for (const [place, value] of written) if (!wanted.has(place) && value !== "") wanted.set(place, "");
      const rows = [...wanted].filter(([place, value]) => written.get(place) !== value);
      await clickhouse.insertRows(
        "identity_position",
        rows.map(([place, value]) => {
          const [what = ""] = place.split(" ", 1);
          return { what, key: place.slice(what.length + 1), value, version: position.version };
        }),
        { settings: { insert_deduplicate: 0 } },
      );
      for (const [place, value] of rows) written.set(place, value);
    },

    async ends(before) {
      const [atoms, ties, edges] = await Promise.all([
        clickhouse.query<{ key: number; end: number }>(
          "SELECT toUInt8(atom % 64) AS key, max(atom) AS end FROM atom GROUP BY key",
        ),
        clickhouse.query<{ site: string; count: number }>(
          "SELECT site, uniqExact(atom) AS count FROM identity_tie GROUP BY site",
        ),
        clickhouse.query<{ site: string; key: number; end: number; held: number; heldBefore: number }>(
          `SELECT site, _partition AS key, max(_offset) AS end, count() AS held,
             countIf(toInt64(_offset) <= {before:Array(Int64)}[_partition + 1]) AS heldBefore
           FROM identity_edge GROUP BY site, key`,
          { params: { before: before === undefined ? [-1] : edgesArray(before) } },
        ),
      ]);
      const ends = { atoms: new Map<number, number>(), edges: new Map<number, number>() };
      for (const { key, end } of atoms) ends.atoms.set(key, end);
      const held = new Map<string, number>();
      const heldBefore = new Map<string, number>();
      for (const row of edges) {
        ends.edges.set(row.key, Math.max(row.end, ends.edges.get(row.key) ?? 0));
        held.set(row.site, row.held + (held.get(row.site) ?? 0));
        heldBefore.set(row.site, row.heldBefore + (heldBefore.get(row.site) ?? 0));
      }
      for (const { site, count } of ties)
        for (const counts of [held, heldBefore]) counts.set(site, (counts.get(site) ?? 0) - count);
      return { ends, held, heldBefore };
    },

    async countDecisions() {
      const [row] = await clickhouse.query<{ count: number }>("SELECT uniqExact(id) AS count FROM identity_decision");
      return row?.count ?? 0;
    },

    decisions: () => clickhouse.query<IdentityDecision>(selectDecisions("1")),

    async countErasures() {
      // Once when it is asked for, and once more when rows are gone.
      const rows = await clickhouse.query<{ site: string; count: number }>(
        `SELECT site, sum(n) AS count FROM (
           SELECT site, count() AS n FROM erasure GROUP BY site
           UNION ALL
           SELECT site, uniqExactIf((id, round), is_done = 1) AS n FROM erasure_receipt WHERE table_name = '' GROUP BY site)
         GROUP BY site`,
      );
      return new Map(rows.map(({ site, count }) => [site, count]));
    },

    freshAtoms: ({ since, upTo, after, limit }) =>
      clickhouse.query<SiteAtom>(
        `SELECT DISTINCT site, atom, anonymous_id AS anonymousId, user_id AS userId FROM atom
         WHERE atom > {after:UInt32} AND atom > {since:Array(UInt32)}[atom % 64 + 1] AND ${untilEnds.atoms} AND ${isThere}
         ORDER BY atom LIMIT {limit:UInt32} WITH TIES`,
        { params: { after, limit, since: atomsArray(since), ...boundsOf(upTo) } },
      ),

    freshEdges: ({ since, upTo, after, limit }) =>
      clickhouse.query<SiteEdge>(
        `SELECT DISTINCT site, kind, anonymous_id AS anonymousId, user_id AS userId, other, _partition AS partition, _offset AS offset
         FROM identity_edge
         WHERE (_partition, _offset) > ({partition:Int32}, {offset:Int64}) AND ${rangesOf(since.edges, upTo.edges)} AND ${isThere}
         ORDER BY _partition, _offset LIMIT {limit:UInt32} WITH TIES`,
        { params: { partition: after.partition, offset: after.offset, limit } },
      ),

    overriddenAtoms: ({ after, limit, sinceVersion, beforeVersion }) =>
      clickhouse.query<SiteAtom>(
        `SELECT DISTINCT site, atom, anonymous_id AS anonymousId, user_id AS userId FROM atom
         WHERE ${isThere} AND atom > {after:UInt32} AND atom IN (
           SELECT atom FROM identity FINAL
           WHERE atom > {after:UInt32} AND version > {sinceVersion:UInt64} AND version < {beforeVersion:UInt64} AND person != 0
             AND (person != atom OR {sinceVersion:UInt64} > 0))
         ORDER BY atom LIMIT {limit:UInt32}`,
        { params: { after, limit, sinceVersion, beforeVersion } },
      ),

    async sites() {
      const rows = await clickhouse.query<{ site: string }>("SELECT DISTINCT site FROM atom");
      return rows.map(({ site }) => site);
    },

    allTied(site, by, { blocked, upTo }) {
      const params = {
        site,
        blocked: blocked.map(plainValue),
        hashes: blocked.flatMap(contactHashes),
        ...boundsOf(upTo),
      };
      const sql = `${tiedSql[by]} SETTINGS ${spilling} FORMAT RowBinary`;
      return readRowBinary(clickhouse.streamBytes(sql, { params }), (row) => row.numbers());
    },

    allAtoms(site, upTo, isWanted) {
      const sql = `SELECT atom, any(anonymous_id), any(user_id) FROM atom
        WHERE site = {site:String} AND ${untilEnds.atoms} AND ${isThere} GROUP BY atom SETTINGS ${spilling} FORMAT RowBinary`;
      return readRowBinary(clickhouse.streamBytes(sql, { params: { site, ...boundsOf(upTo) } }), (row) => {
        const atom = row.uint32();
        if (isWanted(atom)) return { atom, anonymousId: row.text(), userId: row.text() };
        row.skipText();
        row.skipText();
        return undefined;
      });
    },

    async *allEdges(site, upTo, isWanted) {
      const params = { site, ...boundsOf(upTo) };
      const [odd] = await clickhouse.query(
        `SELECT 1 FROM identity_edge WHERE site = {site:String} AND atom = 0 AND ${untilEnds.edges} LIMIT 1`,
        { params },
      );
      for (const from of [edgesWithAtom, ...(odd === undefined ? [] : [edgesWithoutAtom])]) {
        const sql = `SELECT atom, kind::String, anonymous_id, user_id, other, rule::String, time FROM (${from}) SETTINGS ${spilling} FORMAT RowBinary`;
        yield* readRowBinary(clickhouse.streamBytes(sql, { params }), (row) => {
          const atom = row.uint32();
          if (isWanted(atom)) {
            const kind = row.text() as IdentityEdge["kind"];
            const [anonymousId, userId, other, rule] = [row.text(), row.text(), row.text(), row.text()];
            return { atom, kind, anonymousId, userId, other, rule, time: row.int64() };
          }
          for (let column = 0; column < 5; column++) row.skipText();
          row.int64();
          return undefined;
        });
      }
    },

    atomsNaming: (site, { users, devices }, upTo) =>
      askInParts<IdentityAtom>(
        { users, devices },
        (isIn) => `SELECT DISTINCT atom, anonymous_id AS anonymousId, user_id AS userId FROM atom
          WHERE site = {site:String} AND (${isIn("user_id", "users")} OR ${isIn("anonymous_id", "devices")})
            AND ${untilEnds.atoms} AND ${isThere}`,
        { site, ...boundsOf(upTo) },
      ),

    async namedAtoms(site, atoms, upTo) {
      const rows = await askOfAtoms<{ atom: number }>(
        atoms,
        (isIn) => `SELECT DISTINCT atom FROM atom WHERE site = {site:String} AND (anonymous_id != '' OR user_id != '')
          AND ${isIn} AND ${untilEnds.atoms} AND ${isThere}`,
        { site, ...boundsOf(upTo) },
      );
      return rows.map(({ atom }) => atom);
    },

    async tiesOf(site, atoms) {
      const ties = "SELECT atom, other FROM identity_tie FINAL WHERE site = {site:String}";
      if (atoms === undefined) return clickhouse.query<IdentityTie>(ties, { params: { site } });
      const [any] = await clickhouse.query(`${ties} LIMIT 1`, { params: { site } });
      if (any === undefined) return [];
      return askOfAtoms<IdentityTie>(
        atoms,
        (isIn) => `${ties} AND (${isIn} OR ${isIn.replaceAll("atom IN", "other IN")})`,
        {
          site,
        },
      );
    },

    allPersons(site) {
      const sql = "SELECT atom, person FROM identity FINAL WHERE site = {site:String} FORMAT RowBinary";
      return readRowBinary(clickhouse.streamBytes(sql, { params: { site } }), (row) => ({
        atom: row.uint32(),
        person: row.uint32(),
      }));
    },

    async atomsOf(site, { users, devices, blocked, limit }, view) {
      const known = view.before === undefined ? "1" : "atom <= {knownAtoms:Array(UInt32)}[atom % 64 + 1]";
      const rows = await askInParts<{ atom: number; anonymousId: string; userId: string; known: number }>(
        { users, devices },
        (isIn) => `
          SELECT * FROM (
            SELECT DISTINCT atom, anonymous_id AS anonymousId, user_id AS userId, ${known} AS known FROM atom
            WHERE site = {site:String} AND ${isIn("user_id", "users")} AND ${untilEnds.atoms} AND ${isThere}
            ORDER BY known DESC, atom LIMIT {limit:UInt32} BY userId
          )
          UNION ALL
          SELECT DISTINCT atom, anonymous_id AS anonymousId, user_id AS userId, ${known} AS known FROM atom
          WHERE site = {site:String} AND ${isIn("anonymous_id", "devices")} AND ${isNoUser} AND ${untilEnds.atoms} AND ${isThere}`,
        {
          site,
          limit,
          blocked: blocked.map(plainValue),
          ...boundsOf(view.upTo),
          ...(view.before && { knownAtoms: atomsArray(view.before) }),
        },
      );
      return rows.map(({ known: isKnown, ...atom }) => ({ ...atom, isKnown: isKnown === 1 }));
    },

    edgesOf: (site, ids, view) => edgesAt(site, ids, view, ""),

    sourcesOf: (site, ids, view) =>
      edgesAt(
        site,
        ids,
        view,
        ", argMin(e.message_id, e.time) AS messageId, toUnixTimestamp64Milli(argMin(e.received_at, e.time)) AS receivedAt",
      ),

    async idsOf(site, atom) {
      const [row] = await clickhouse.query<{ anonymousId: string; userId: string }>(
        `SELECT anonymous_id AS anonymousId, user_id AS userId FROM atom
         WHERE site = {site:String} AND atom = {atom:UInt32} AND (anonymous_id != '' OR user_id != '') AND ${isThere} LIMIT 1`,
        { params: { site, atom } },
      );
      return row && { atom, ...row };
    },

    async plainUsers(site, users, maxDevices, view) {
      const rows = await askInParts<{ user: string }>(
        { users },
        (isIn) => `
          SELECT arrayJoin(if(kind = 'alias', [user_id, other], [user_id])) AS user FROM identity_edge
          WHERE site = {site:String} AND ${untilEnds.edges} AND ${isThere}
            AND (${isIn("user_id", "users")} OR (${isIn("other", "users")} AND kind = 'alias'))
          GROUP BY user
          HAVING ${isIn("user", "users")} AND countIf(kind = 'alias') = 0
            AND uniqExactIf(anonymous_id, kind IN ('login', 'import')) <= {maxDevices:UInt32}`,
        { site, maxDevices, ...boundsOf(view.upTo) },
      );
      return rows.map(({ user }) => user);
    },

    async personsOf(atoms) {
      const persons = new Map<number, number>();
      const rows = await askOfAtoms<{ atom: number; person: number }>(
        atoms,
        (isIn) => `SELECT atom, person FROM identity FINAL WHERE ${isIn}`,
        {},
      );
      for (const { atom, person } of rows) persons.set(atom, person);
      return persons;
    },

    async writePersons(rows, version) {
      if (rows.length === 0) return;
      // As bytes: there may be tens of thousands of them at once.
      const lines = rows.map(
        ({ site, atom, person }) =>
          `{"site":${JSON.stringify(site)},"atom":${atom},"person":${person},"version":${version}}`,
      );
      await clickhouse.insertBytes("identity", [Buffer.from(lines.join("\n"))], { settings: { async_insert: 0 } });
    },

    async hideErased(version) {
      const rows = await clickhouse.query<{ site: string; atom: number }>(
        `SELECT DISTINCT site, atom FROM atom
         WHERE atom IN (${erasedAtoms}) AND atom NOT IN (SELECT atom FROM identity FINAL WHERE person = 0)`,
      );
      await clickhouse.insertRows(
        "identity",
        rows.map((row) => ({ ...row, person: 0, version })),
      );
      return rows.length;
    },

    publishPersons: () => reloadIdentities(clickhouse),

    quarantined: () =>
      clickhouse.query("SELECT site, atom, atoms FROM identity_quarantine FINAL WHERE is_released = 0"),

    writeQuarantined: (rows, version) =>
      clickhouse.insertRows(
        "identity_quarantine",
        rows.map(({ isReleased, ...row }) => ({ ...row, is_released: isReleased ? 1 : 0, version })),
        { settings: { insert_deduplicate: 0 } },
      ),
  };
}

/** Asks once for as many ids as fit, and again for the rest. */
const createPartsReader =
  (clickhouse: ClickHouse) =>
  async <Row>(lists: IdLists, sqlOf: (where: WhereIn) => string, params: Params): Promise<Row[]> => {
    const rows: Row[] = [];
    for (const part of partsOf(lists)) {
      const bound: { [name: string]: string[] } = {};
      const where: WhereIn = (column, ...names) => {
        const fields = names.flatMap((name) => (part.get(name) ?? []).map((_, index) => `${name}${index}`));
        return fields.length === 0
          ? "0"
          : `(${fields.map((field) => `${column} IN {${field}:Array(String)}`).join(" OR ")})`;
      };
      for (const [name, fields] of part) fields.forEach((field, index) => (bound[`${name}${index}`] = field));
      rows.push(...(await clickhouse.query<Row>(sqlOf(where), { params: { ...params, ...bound } })));
    }
    return rows;
  };

const nodeColumns = [
  { list: "users", prefix: "user:", id: "user_id" },
  { list: "devices", prefix: "device:", id: "anonymous_id" },
] as const;

/** {@link DecisionStore} in SQL. */
export const createDecisionStore = (clickhouse: ClickHouse): DecisionStore => ({
  decisionsOf: (site) =>
    clickhouse.query<IdentityDecision>(selectDecisions("site = {site:String}"), { params: { site } }),
  write: ({ at, ...decision }) =>
    clickhouse.insertRows(
      "identity_decision",
      [{ ...decision, at: new Date(at).toISOString().slice(0, -1).replace("T", " ") }],
      { settings: { insert_deduplicate: 0 } },
    ),
  async erasedNodes(site, nodes) {
    const lists = Object.fromEntries(
      nodeColumns.map(({ list, prefix }) => [
        list,
        nodes.filter((node) => node.startsWith(prefix)).map((node) => node.slice(prefix.length)),
      ]),
    );
    const rows = await createPartsReader(clickhouse)<ErasedNode & { node: string }>(
      lists,
      (isIn) => `
        SELECT named.node AS node, ${nobody("named.node")} AS name, toUnixTimestamp64Milli(max(asked.at) AS asked_at) AS until
        FROM (${nodeColumns
          .map(
            ({ list, prefix, id }) =>
              `SELECT site, concat('${prefix}', ${id}) AS node, atom FROM atom WHERE site = {site:String} AND ${isIn(id, list)} AND NOT ${isThere}`,
          )
          .join(" UNION ALL ")}) AS named
        GLOBAL INNER JOIN (SELECT ${erasedOfRow} AS atom, requested_at AS at FROM erasure WHERE kind = 'person' AND site = {site:String}) AS asked
          ON asked.atom = named.atom
        -- Whoever used the device before that, and is still there.
        GLOBAL LEFT JOIN (SELECT concat('device:', anonymous_id) AS node, min(first_seen) AS since FROM atom
          WHERE site = {site:String} AND ${isIn("anonymous_id", "devices")} AND ${isThere} GROUP BY node) AS others ON others.node = named.node
        GROUP BY site, node HAVING countIf(others.node != '' AND others.since <= asked.at) = 0`,
      { site },
    );
    return new Map(rows.map(({ node, name, until }) => [node, { name, until }]));
  },
  async isSettled(id) {
    const rows = await clickhouse.query(
      "SELECT 1 FROM identity_position WHERE what = 'decision' AND key = {id:String} LIMIT 1",
      { params: { id } },
    );
    return rows.length > 0;
  },
});

/** Of decisions, as their type in the core has them. */
const selectDecisions = (where: string): string =>
  `SELECT id, site, toUnixTimestamp64Milli(d.at) AS at, action, left, right, edges, actor, reason, undoes
   FROM identity_decision AS d WHERE ${where} ORDER BY d.at, id LIMIT 1 BY id`;

type WhereIn = (column: string, ...names: string[]) => string;
interface IdLists {
  [name: string]: readonly string[];
}
type Part = ReadonlyMap<string, readonly string[][]>;

/** Lists cut into fields that a server takes, and these into questions. Nothing to ask: no question. */
function* partsOf(lists: IdLists): Generator<Part> {
  const fields = Object.entries(lists).flatMap(([name, ids]) => [...fieldsOf(ids)].map((field) => ({ name, field })));
  for (let at = 0; at < fields.length; at += maxFields) {
    const part = new Map<string, string[][]>();
    for (const { name, field } of fields.slice(at, at + maxFields)) part.set(name, [...(part.get(name) ?? []), field]);
    yield part;
  }
}

/** Cut where a server would find one field too long. */
export function* fieldsOf(ids: readonly string[]): Generator<string[]> {
  let field: string[] = [];
  let bytes = 0;
  for (const id of ids) {
    const length = Buffer.byteLength(JSON.stringify(id)) + 1;
    if (bytes + length > maxFieldBytes) {
      yield field;
      field = [];
      bytes = 0;
    }
    field.push(id);
    bytes += length;
  }
  if (field.length > 0) yield field;
}

const atomsArray = ({ atoms }: IdentityEnds): number[] =>
  Array.from({ length: residues }, (_, residue) => atoms.get(residue) ?? 0);

function edgesArray({ edges }: IdentityEnds): number[] {
  const partitions = Math.max(residues, ...[...edges.keys()].map((partition) => partition + 1));
  return Array.from({ length: partitions }, (_, partition) => edges.get(partition) ?? -1);
}

const boundsOf = (ends: IdentityView["upTo"]): Params => ({
  upToAtoms: atomsArray(ends),
  upToEdges: edgesArray(ends),
});

function positionRows({
  atoms,
  edges,
  held,
  rules,
  decisions,
  erasures,
  version,
}: IdentityPosition): Map<string, string> {
  const rows = new Map<string, string>([["version ", String(version)]]);
  for (const [residue, atom] of atoms) rows.set(`atom ${residue}`, String(atom));
  for (const [partition, offset] of edges) rows.set(`edge ${partition}`, String(offset));
  for (const [site, count] of held) rows.set(`held ${site}`, String(count));
  for (const [site, hash] of rules) rows.set(`rules ${site}`, hash);
  for (const id of decisions) rows.set(`decision ${id}`, "settled");
  for (const [site, count] of erasures) rows.set(`erasures ${site}`, String(count));
  return rows;
}
