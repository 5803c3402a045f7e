import { purposesOf } from "@polder/protocol";

import type { ClickHouse } from "./clickhouse.ts";
import { flaggedIds, nodesOfEdge, ownIds, readShared, whoseBody, wordsOf } from "./erased-tables.ts";
import { createComputedTraitStore } from "./traits/computed-trait-store.ts";
import { readComputedTraits } from "./traits/read-computed-traits.ts";
import { blockedValues, isNobodyAt, type BlockedOfSites } from "./stands-for-nobody.ts";

/** In the order in which they come. */
export const exportSections = [
  "identifiers",
  "traits",
  "computed_traits",
  "consent",
  "restrictions",
  "audiences",
  "recipients",
  "decisions",
  "erasures",
  "refused",
  "events",
] as const;
export type ExportSection = (typeof exportSections)[number];

/** One thing that is stored of a person. Empty text: does not apply. */
export interface ExportedRow {
  section: ExportSection;
  /** When, in UTC as `2026-11-22T20:15:00.123Z`. */
  time: string;
  name: string;
  value: string;
  /** Where it came from: observed, declared, partner or third_party. */
  origin: string;
  /** Why it may be kept: consent, contract, … */
  basis: string;
  /** What it may be used for. */
  purposes: string[];
  /** Who got it. */
  recipient: string;
  /** What else is stored of it. */
  details: { readonly [name: string]: unknown };
}

export interface PersonExport {
  /**
   * Everything that is stored of a person, as it is read: nothing is collected in memory. Undefined when there is nobody with this number. An
   * absorbed number stands for its survivor.
   */
  read(site: string, person: number): Promise<AsyncIterable<ExportedRow> | undefined>;
}

/** @param rules by site, what stands for nobody there besides the built-in values. Asked every time. */
export function createPersonExport(
  clickhouse: ClickHouse,
  rules: () => BlockedOfSites = () => new Map(),
): PersonExport {
  return {
    async read(site, asked) {
      const blocked = blockedValues(rules());
      const atoms = await identitiesOf(clickhouse, { site, asked, blocked });
      if (atoms.length === 0) return undefined;
      const shared = await readShared(clickhouse, { atoms, until: always });
      return readAll(clickhouse, { site, atoms, blocked, shared });
    },
  };
}

/** Theirs, and those of whoever has a user id of theirs, as an erasure takes them: who is not joined yet, or never will be, since there are too many. */
async function identitiesOf(
  clickhouse: ClickHouse,
  { asked, ...params }: { site: string; asked: number; blocked: string[] },
): Promise<number[]> {
  const theirs = `site = {site: String} AND person(atom) IN {people: Array(UInt32)} AND person(atom) != 0`;
  const [survivor] = await clickhouse.query<{ person: number }>("SELECT person({asked: UInt32}) AS person", {
    params: { asked },
  });
  for (let people = [survivor!.person], known = 0; ;) {
    const rows = await clickhouse.query<{ atom: number; person: number }>(
      `SELECT DISTINCT atom, person(atom) AS person FROM atom WHERE ${theirs}
       UNION DISTINCT
       SELECT DISTINCT atom, person(atom) AS person FROM atom WHERE site = {site: String} AND person(atom) != 0 AND user_id IN (
         SELECT user_id FROM atom WHERE ${theirs} AND NOT ${isNobodyAt("site", "user_id")})`,
      { params: { ...params, people } },
    );
    if (rows.length === known) return rows.map(({ atom }) => atom);
    known = rows.length;
    people = [...new Set(rows.map(({ person }) => person))];
  }
}

/** Whoever has a device of theirs is somebody else, since whenever. */
const always = Date.UTC(2200, 0, 1);

type Params = { site: string; atoms: number[]; blocked: string[]; shared: number[] };
type Found = Partial<Omit<ExportedRow, "section" | "details">> & { details?: object };

async function* readAll(clickhouse: ClickHouse, params: Params): AsyncGenerator<ExportedRow> {
  for (const section of exportSections) {
    if (section === "events" || section === "computed_traits") {
      yield* section === "events" ? readEvents(clickhouse, params) : readComputed(clickhouse, params);
      continue;
    }
    for await (const row of clickhouse.stream<Found>(questions[section], { params })) yield toRow(section, row);
  }
}

const toRow = (section: ExportSection, { details = {}, ...row }: Found): ExportedRow => ({
  section,
  time: "",
  name: "",
  value: "",
  origin: "",
  basis: "",
  purposes: [],
  recipient: "",
  ...row,
  details: stated(details),
});

interface EventColumns {
  time: string;
  name: string;
  type: string;
  origin: string;
  basis: string;
  consent_mask: number;
  [column: string]: unknown;
}

async function* readEvents(clickhouse: ClickHouse, params: Params): AsyncGenerator<ExportedRow> {
  const sql = `SELECT * EXCEPT (site, atom, _partition, _offset, is_known) FROM events AS e WHERE ${mine} ORDER BY e.time, e._offset`;
  for await (const { time, name, type, origin, basis, consent_mask: mask, ...rest } of clickhouse.stream<EventColumns>(
    sql,
    { params },
  )) {
    const row = { time: isoText(time), name, value: type, origin, basis, purposes: purposesOf(mask) };
    yield toRow("events", { ...row, details: rest });
  }
}

/** As they are now: they are worked out when somebody asks. */
async function* readComputed(clickhouse: ClickHouse, { site, atoms }: Params): AsyncGenerator<ExportedRow> {
  const stored = await createComputedTraitStore(clickhouse).list(site);
  const definitions = new Map(
    stored.flatMap(({ name, definition }) => (definition === undefined ? [] : [[name, definition] as const])),
  );
  const now = new Date();
  for (const { name, value } of await readComputedTraits(clickhouse, site, atoms, definitions, now)) {
    const version = stored.find((each) => each.name === name)!.version;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    yield toRow("computed_traits", { time: now.toISOString(), name, value: text, details: { version } });
  }
}

const isoText = (time: string): string => `${time.replace(" ", "T")}Z`;

/** Without what says nothing: empty texts and lists, and 1970. */
const stated = (columns: object): { [name: string]: unknown } =>
  Object.fromEntries(
    Object.entries(columns).filter(
      ([, value]) =>
        value !== "" &&
        value !== "1970-01-01 00:00:00.000" &&
        !(typeof value === "object" && value !== null && Object.keys(value).length === 0),
    ),
  );

const mine = "site = {site: String} AND atom IN {atoms: Array(UInt32)}";
const iso = (time: string): string => `concat(replaceOne(toString(${time}), ' ', 'T'), 'Z')`;
const pair = (names: readonly string[]): string =>
  `CAST((${names.join(", ")}), 'Tuple(${names.map((name) => `${name} String`).join(", ")})')`;

// What was sent under an id of theirs and could not be stored: by whose it is, and not by any id in it.
const refused = `SELECT ${iso("r.received_at")} AS time, r.name AS name, r.reason AS value,
    CAST((r.detail, r.body), 'Tuple(detail String, body String)') AS details
  FROM rejected AS r WHERE r.site = {site: String} AND hasAny(${whoseBody}, (SELECT groupArray(word) FROM (${wordsOf("word")})))
  ORDER BY r.received_at`;

const questions: { readonly [section in Exclude<ExportSection, "events" | "computed_traits">]: string } = {
  identifiers: `SELECT time, name, value, details FROM (
      SELECT ${iso("min(a.first_seen)")} AS time, id.1 AS name, id.2 AS value, CAST(tuple(''), 'Tuple(rule String)') AS details
      FROM (SELECT first_seen, arrayJoin([('user_id', user_id), ('anonymous_id', anonymous_id)]) AS id FROM atom WHERE ${mine}) AS a
      WHERE id.2 != '' GROUP BY name, value
      UNION ALL
      SELECT ${iso("min(e.time)")}, concat('sha256_of_', e.kind), e.other, CAST(tuple(e.rule::String), 'Tuple(rule String)')
      FROM identity_edge AS e WHERE ${mine} AND e.kind IN ('email', 'phone') GROUP BY e.kind, e.other, e.rule
    ) ORDER BY time, name, value`,
  traits: `SELECT ${iso("last.time")} AS time, name, last.value AS value, last.origin AS origin, said.basis AS basis, [last.purpose] AS purposes,
      CAST((last.class, if(last.personal = 1, 'yes', 'no')), 'Tuple(class String, personal String)') AS details
    FROM (SELECT name, argMaxMerge(last) AS last, last.time AS time, last.value AS value FROM trait_state WHERE ${mine} GROUP BY name) AS t
    LEFT ANY JOIN (SELECT trait AS name, time, stated AS value, basis::String AS basis FROM events ARRAY JOIN \`traits.name\` AS trait, \`traits.value\` AS stated WHERE ${mine}) AS said
      ON said.name = t.name AND said.time = t.time AND said.value = t.value
    ORDER BY name`,
  consent: `SELECT ${iso("c.time")} AS time, c.purpose AS name, c.state AS value, [c.purpose] AS purposes, 'consent' AS basis,
      CAST((c.consent_id, c.regime::String, c.notice::String, t.title, t.text, t.language::String), 'Tuple(consent_id String, regime String, notice String, title String, text String, language String)') AS details
    FROM (SELECT e.time AS time, purpose, state, consent_id, regime, notice, JSONExtractString(notice, 'texts', purpose) AS hash
      FROM events AS e ARRAY JOIN \`choice.purpose\` AS purpose, \`choice.state\` AS state
      WHERE ${mine} AND type = 'consent' AND name = 'consent') AS c
    LEFT ANY JOIN (SELECT hash, title, text, language FROM consent_notice WHERE site = {site: String}) AS t ON t.hash = c.hash
    ORDER BY c.time, c.purpose`,
  restrictions: `SELECT ${iso("f.at")} AS time, f.flag AS name, if(f.is_set = 1, 'set', 'lifted') AS value, [f.purpose::String] AS purposes,
      ${pair(["actor", "reason"])} AS details
    FROM person_flag AS f WHERE f.site = {site: String} AND (f.user_id, f.anonymous_id) IN (${flaggedIds("user, device")})
    GROUP BY f.at, f.id, f.flag, f.is_set, f.purpose, f.actor, f.reason ORDER BY f.at, f.id, f.purpose`,
  audiences: `SELECT ${iso("l.at")} AS time, l.audience AS name, l.change AS value, [a.purpose] AS purposes,
      CAST((a.title, l.reason::String), 'Tuple(audience_name String, reason String)') AS details
    FROM audience_log AS l
    LEFT JOIN (SELECT audience, argMax(purpose, revision)::String AS purpose, argMax(name, revision) AS title FROM audience WHERE site = {site: String} GROUP BY audience) AS a
      ON a.audience = l.audience
    WHERE l.site = {site: String} AND l.person IN {atoms: Array(UInt32)} ORDER BY l.seq`,
  // Of exports no names are kept: who was in the audience when it was exported, under any of their numbers, was in the file for sure where nobody was left out.
  recipients: `SELECT ${iso("x.at")} AS time, x.audience AS name, if(x.exported >= x.members, 'in the file', 'maybe in the file') AS value, x.recipient AS recipient, [x.purpose::String] AS purposes,
      CAST((x.id, x.format::String, arrayStringConcat(x.identifiers, ', '), x.reason), 'Tuple(export_id String, format String, identifiers String, reason String)') AS details
    FROM audience_export AS x
    WHERE x.site = {site: String} AND x.exported > 0 AND (x.audience, x.id) IN (
      SELECT e.audience, e.id FROM audience_export AS e
      JOIN (SELECT audience, person, seq, at, change FROM audience_log WHERE site = {site: String} AND person IN {atoms: Array(UInt32)}) AS l ON l.audience = e.audience
      WHERE e.site = {site: String} AND l.at <= e.at GROUP BY e.audience, e.id, l.person HAVING argMax(l.change, l.seq) = 'enter')
    ORDER BY x.at, x.id`,
  // What was decided by name, and what undoes it. The ids of the others in it are theirs.
  decisions: `WITH own AS (SELECT DISTINCT node FROM (${ownIds("node")})),
      about AS (SELECT id, arrayFilter(node -> node IN own, arrayDistinct(arrayConcat([left, right], arrayFlatten(arrayMap(edge -> ${nodesOfEdge("edge")}, edges))))) AS nodes
        FROM identity_decision WHERE site = {site: String} AND notEmpty(nodes)),
      undone AS (SELECT id FROM identity_decision WHERE site = {site: String} AND action = 'undo' AND undoes IN (SELECT id FROM about))
    SELECT ${iso("d.at")} AS time, d.action AS name, arrayStringConcat(a.nodes, ', ') AS value,
      CAST((d.id, d.actor, d.reason, d.undoes), 'Tuple(decision String, actor String, reason String, undoes String)') AS details
    FROM identity_decision AS d LEFT ANY JOIN about AS a ON a.id = d.id
    WHERE d.site = {site: String} AND (d.id IN (SELECT id FROM about) OR d.undoes IN (SELECT id FROM about) OR d.undoes IN (SELECT id FROM undone))
    ORDER BY d.at, d.id`,
  erasures: `SELECT ${iso("requested_at")} AS time, 'traits' AS name, arrayStringConcat(traits, ', ') AS value,
      CAST((id, actor, reason), 'Tuple(erasure String, actor String, reason String)') AS details
    FROM erasure WHERE site = {site: String} AND kind = 'traits' AND round = 1 AND hasAny(atoms, {atoms: Array(UInt32)}) ORDER BY requested_at, id`,
  refused,
};
