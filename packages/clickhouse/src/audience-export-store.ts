import { purposes, type Purpose } from "@polder/protocol";

import { timeText } from "./audience-store.ts";
import { quoteText, type ClickHouse } from "./clickhouse.ts";
import { sendVerdicts } from "./send-gate.ts";

export const exportFormats = ["csv", "parquet"] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What a row of an export may say who somebody is by. */
export const exportIdentifiers = [
  "person_id",
  "user_id",
  "anonymous_id",
  "email",
  "email_sha256",
  "phone",
  "phone_sha256",
] as const;
export type ExportIdentifier = (typeof exportIdentifiers)[number];

export interface ExportOrder {
  id: string;
  site: string;
  audience: string;
  version: number;
  /** Nobody is in it who may not be used for this at `at`. */
  purpose: Purpose;
  identifiers: readonly ExportIdentifier[];
  format: ExportFormat;
  recipient: string;
  actor: string;
  reason: string;
  /** Milliseconds since 1970. */
  at: number;
}

export interface ExportCounts {
  members: number;
  exported: number;
  /** By why: `consent` (may not be used for the purpose, by choice or by objection), `no_identifier` (none of those asked for). */
  leftOut: { [reason: string]: number };
}

export interface LoggedExport extends Omit<ExportOrder, "site" | "audience">, ExportCounts {}

export interface AudienceExportStore {
  /** Decides who may be in it, once and for all of it, and writes down that it was asked for. */
  begin(order: ExportOrder): Promise<ExportCounts>;
  /** The bytes of the file, of those {@link begin} let through. */
  file(order: ExportOrder): AsyncIterable<Uint8Array>;
  /** Forgets who was in it. What was not ended goes by itself after an hour. */
  end(order: ExportOrder): Promise<void>;
  /** Newest first. */
  list(site: string, audience: string, limit: number): Promise<LoggedExport[]>;
}

const idsOf = (column: string): string =>
  `SELECT DISTINCT person(atom) AS person_id, ${column} AS value FROM atom WHERE site = {site:String} AND ${column} != ''`;

/** The value stated last on each identity. What was collected for one purpose goes out only where that one is allowed, too. */
const traitsOf = (names: readonly string[], value: string): string =>
  `SELECT DISTINCT t.person_id AS person_id, ${value} AS value FROM (
     SELECT person(atom) AS person_id, argMaxMerge(last) AS stated FROM trait_state
     WHERE site = {site:String} AND name IN (${names.map((name) => quoteText(name)).join(", ")}) GROUP BY atom, name) AS t
   JOIN (SELECT DISTINCT person, mask FROM audience_export_person WHERE export_id = {id:String}) AS c ON c.person = t.person_id
   WHERE bitTest(c.mask, transform(t.stated.4, [${purposes.map((purpose) => quoteText(purpose)).join(", ")}], [${purposes.map((_, bit) => `toUInt8(${bit})`).join(", ")}], toUInt8(7)))
     AND value != ''`;

const email = "if(position(t.stated.1, '@') > 1, lowerUTF8(trimBoth(t.stated.1)), '')";
// As identities are joined by: digits and a leading +, which a leading 00 stands for.
const digits = "replaceRegexpAll(t.stated.1, '[^0-9]', '')";
const phone = `if(length(${digits}) < 6, '', if(startsWith(trimBoth(t.stated.1), '+'), concat('+', ${digits}), replaceRegexpOne(${digits}, '^00', '+')))`;
const sha256 = (value: string): string => `if(${value} = '', '', lower(hex(SHA256(${value}))))`;

const valuesOf: { readonly [identifier in ExportIdentifier]: string } = {
  person_id:
    "SELECT DISTINCT person AS person_id, toString(person) AS value FROM audience_export_person WHERE export_id = {id:String}",
  user_id: idsOf("user_id"),
  anonymous_id: idsOf("anonymous_id"),
  email: traitsOf(["email"], email),
  email_sha256: traitsOf(["email"], sha256(email)),
  phone: traitsOf(["phone", "mobile"], phone),
  phone_sha256: traitsOf(["phone", "mobile"], sha256(phone)),
};

/** Text that a spreadsheet would take for a formula begins with an apostrophe. */
const neutral = (value: string): string => `if(match(${value}, '^[=+@\\t\\r-]'), concat('\\'', ${value}), ${value})`;

export function createAudienceExportStore(clickhouse: ClickHouse): AudienceExportStore {
  return {
    async begin(order) {
      const { id, site, audience } = order;
      const params = { id, site, audience, now: order.at };
      await clickhouse.command(
        `INSERT INTO audience_export_person (export_id, person, mask, verdict)
         SELECT {id:String}, person_id, mask, if(verdict = 'permitted', verdict, 'consent')
         FROM ${sendVerdicts({
           people: "SELECT person_id FROM audience_members WHERE site = {site:String} AND audience = {audience:String}",
           purpose: order.purpose,
         })}`,
        { params },
      );
      const known = order.identifiers
        .map((name) => `SELECT person_id FROM (${valuesOf[name]})`)
        .join(" UNION DISTINCT ");
      await clickhouse.command(
        `INSERT INTO audience_export_person (export_id, person, mask, verdict)
         SELECT {id:String}, person, mask, 'exported' FROM audience_export_person
         WHERE export_id = {id:String} AND verdict = 'permitted' AND person IN (${known})`,
        { params },
      );
      const [found] = await clickhouse.query<{ members: number; refused: number; exported: number }>(
        `SELECT countIf(verdict != 'exported') AS members, countIf(verdict = 'consent') AS refused, countIf(verdict = 'exported') AS exported
         FROM audience_export_person WHERE export_id = {id:String}`,
        { params },
      );
      const { members = 0, refused = 0, exported = 0 } = found ?? {};
      const leftOut = { consent: refused, no_identifier: members - refused - exported };
      await clickhouse.insertRows("audience_export", [
        {
          id,
          site,
          audience,
          version: order.version,
          at: timeText(order.at),
          purpose: order.purpose,
          recipient: order.recipient,
          actor: order.actor,
          reason: order.reason,
          format: order.format,
          identifiers: order.identifiers,
          members,
          exported,
          left_out: leftOut,
        },
      ]);
      return { members, exported, leftOut };
    },

    file({ id, site, identifiers, format }) {
      const isText = format === "csv";
      const columns = identifiers.map((name, n) => {
        const value = `arrayElement(v${n}, place)`;
        if (name === "person_id") return `person_id AS person_id`;
        return `${isText ? neutral(value) : value} AS ${name}`;
      });
      const lists = identifiers.map((_, n) => `arraySort(groupArrayIf(value, n = ${n})) AS v${n}`);
      const rows = identifiers.map((name, n) => `SELECT ${n} AS n, person_id, value FROM (${valuesOf[name]})`);
      const sql = `SELECT ${columns.join(", ")} FROM (
          SELECT person_id, ${lists.join(", ")} FROM (${rows.join(" UNION ALL ")})
          WHERE person_id IN (SELECT person FROM audience_export_person WHERE export_id = {id:String} AND verdict = 'exported')
          GROUP BY person_id ORDER BY person_id)
        ARRAY JOIN range(1, 1 + arrayMax([${identifiers.map((_, n) => `length(v${n})`).join(", ")}])) AS place
        FORMAT ${isText ? "CSVWithNames" : "Parquet"}`;
      return clickhouse.streamBytes(sql, {
        params: { id, site },
        settings: { output_format_parquet_string_as_string: 1 },
      });
    },

    async end({ id }) {
      await clickhouse.command(`ALTER TABLE audience_export_person DROP PARTITION ${quoteText(id)}`);
    },

    async list(site, audience, limit) {
      const rows = await clickhouse.query<Omit<LoggedExport, "leftOut"> & { left_out: { [reason: string]: number } }>(
        `SELECT id, version, toUnixTimestamp64Milli(e.at) AS at, purpose, recipient, actor, reason, format, identifiers, members, exported, left_out
         FROM audience_export AS e WHERE site = {site:String} AND audience = {audience:String} ORDER BY e.at DESC LIMIT {limit:UInt32}`,
        { params: { site, audience, limit } },
      );
      return rows.map(({ left_out: leftOut, ...row }) => ({ ...row, leftOut }));
    },
  };
}
