import { purposes, type Purpose } from "@polder/protocol";

import { timeText } from "./audience-store.ts";
import { quoteText, type ClickHouse } from "./clickhouse.ts";
import { leftOutReasons, sendVerdicts } from "./send-gate.ts";

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

/** Why a member is not in the file: what the send gate says, or that nothing is known of them to name them by. The first that holds. */
export const exportLeftOutReasons = [...leftOutReasons, "no_identifier"] as const;
export type ExportLeftOutReason = (typeof exportLeftOutReasons)[number];

/** `members` is `exported` and all of `leftOut` together. */
export interface ExportCounts {
  members: number;
  exported: number;
  /** Every reason, also those of nobody. */
  leftOut: { [reason in ExportLeftOutReason]: number };
}

export interface LoggedExport extends Omit<ExportOrder, "site" | "audience">, ExportCounts {}

export interface AudienceExportStore {
  /** Decides who may be in it, once and for all of it, and writes down that it was asked for. */
  begin(order: ExportOrder): Promise<ExportCounts>;
  /** The bytes of the file, of those {@link begin} let through and whose consent is the same still. */
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

/** Members by their numbers as stored: who was erased since the audience was worked out is counted as such. */
const members = "SELECT person FROM audience_member FINAL WHERE site = {site:String} AND audience = {audience:String}";

/** A merge between the decision and the file brings the identifiers of somebody along who was not asked about: asked again, in the statement that reads them. */
const stillPermitted = (purpose: Purpose): string => `
  SELECT person FROM audience_export_person WHERE export_id = {id:String} AND verdict = 'exported' AND (person, mask) IN (
    SELECT person_id, mask FROM ${sendVerdicts({
      people: "SELECT person FROM audience_export_person WHERE export_id = {id:String} AND verdict = 'exported'",
      purpose,
    })} WHERE verdict = 'permitted')`;

export function createAudienceExportStore(clickhouse: ClickHouse): AudienceExportStore {
  return {
    async begin(order) {
      const { id, site, audience } = order;
      const params = { id, site, audience, now: order.at };
      await clickhouse.command(
        `INSERT INTO audience_export_person (export_id, person, mask, verdict)
         SELECT {id:String}, person_id, mask, verdict FROM ${sendVerdicts({ people: members, purpose: order.purpose })}`,
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
      const rows = await clickhouse.query<{ verdict: string; people: number }>(
        "SELECT verdict, count() AS people FROM audience_export_person WHERE export_id = {id:String} GROUP BY verdict",
        { params },
      );
      const of = (verdict: string): number => rows.find((row) => row.verdict === verdict)?.people ?? 0;
      const exported = of("exported");
      const leftOut = Object.fromEntries([
        ...leftOutReasons.map((reason) => [reason, of(reason)]),
        ["no_identifier", of("permitted") - exported],
      ]) as ExportCounts["leftOut"];
      const counts = { exported, leftOut, members: exported + Object.values(leftOut).reduce((sum, n) => sum + n, 0) };
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
          members: counts.members,
          exported,
          left_out: leftOut,
        },
      ]);
      return counts;
    },

    file({ id, site, identifiers, format, purpose, at }) {
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
          WHERE person_id IN (${stillPermitted(purpose)})
          GROUP BY person_id ORDER BY person_id)
        ARRAY JOIN range(1, 1 + arrayMax([${identifiers.map((_, n) => `length(v${n})`).join(", ")}])) AS place
        FORMAT ${isText ? "CSVWithNames" : "Parquet"}`;
      return clickhouse.streamBytes(sql, {
        params: { id, site, now: at },
        settings: { output_format_parquet_string_as_string: 1 },
      });
    },

    async end({ id }) {
      await clickhouse.command(`ALTER TABLE audience_export_person DROP PARTITION ${quoteText(id)}`);
    },

    async list(site, audience, limit) {
      const rows = await clickhouse.query<Omit<LoggedExport, "leftOut"> & { left_out: LoggedExport["leftOut"] }>(
        `SELECT id, version, toUnixTimestamp64Milli(e.at) AS at, purpose, recipient, actor, reason, format, identifiers, members, exported, left_out
         FROM audience_export AS e WHERE site = {site:String} AND audience = {audience:String} ORDER BY e.at DESC LIMIT {limit:UInt32}`,
        { params: { site, audience, limit } },
      );
      return rows.map(({ left_out: leftOut, ...row }) => ({ ...row, leftOut }));
    },
  };
}
