import { hashedColumns, type ConsentLogRow } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";
import { notErased } from "./not-erased.ts";

/** A text as it was on file. */
export interface FiledText {
  hash: string;
  purpose: string;
  language: string;
  title: string;
  text: string;
  /** As ClickHouse writes it, in UTC. */
  firstSeen: string;
}

/** What is known of one stored event's consent. */
export interface EventConsent {
  site: string;
  messageId: string;
  type: string;
  name: string;
  time: string;
  atom: number;
  /** What it was stored for. */
  purposes: string[];
  consentId: string;
  regime: string;
  basis: string;
}

/** Of one table. */
export interface ReceiptLine {
  table: string;
  /** Rows of this visitor that were there. */
  rows: number;
  /** Of these, how many still said who it was. */
  remaining: number;
}

export interface ConsentQueries {
  /** Every site that a worker has filed the settings of or that has choices, by name: its choices among the events, and its links. */
  knownSites(): Promise<{ site: string; choices: number; links: number }[]>;
  /** Sites that have a chain. */
  chainSites(): Promise<string[]>;
  /** All links of a chain in ascending `n`, links with the same `n` as often as they are there. */
  chain(site: string): AsyncIterable<ConsentLogRow>;
  /** Every text on file, of one site or of all. */
  filedTexts(site?: string): Promise<(FiledText & { site: string })[]>;
  /** Events with this id: one, unless it was sent again long after. */
  eventConsents(messageId: string, site?: string): Promise<EventConsent[]>;
  /** The links that recorded these choices, in the order of their chains. */
  linksOfChoice(site: string, consentId: string): Promise<ConsentLogRow[]>;
  linksOfAtoms(site: string, atoms: readonly number[]): Promise<ConsentLogRow[]>;
  linksOfMessage(site: string, messageId: string): Promise<ConsentLogRow[]>;
  /** Every atom of a person. */
  atomsOf(person: number): Promise<number[]>;
  /** Every atom of a browser. */
  atomsOfDevice(site: string, anonymousId: string): Promise<number[]>;
  /** What a withdrawal removed; undefined when it has not been carried out to the end, or there is none. */
  receiptOf(site: string, consentId: string): Promise<{ doneAt: number; tables: ReceiptLine[] } | undefined>;
  /** Consent events that are in no chain yet. */
  countUnrecorded(): Promise<number>;
}

const pageLinks = 10_000;

const selectLink = ["hash", ...hashedColumns]
  .map((column) =>
    column === "at" || column === "received_at"
      ? `toString(l.${column}) AS ${column}`
      : `l.\`${column}\` AS \`${column}\``,
  )
  .join(", ");

export function createConsentQueries(clickhouse: ClickHouse): ConsentQueries {
  const links = (where: string, params: { [name: string]: string | readonly number[] }): Promise<ConsentLogRow[]> =>
    clickhouse.query(`SELECT ${selectLink} FROM consent_log AS l WHERE ${where} ORDER BY l.site, l.n`, { params });
  return {
    knownSites: () =>
      clickhouse.query(
        `SELECT site, sum(choices) AS choices, sum(links) AS links FROM (
           SELECT site, count() AS choices, 0 AS links FROM events WHERE type = 'consent' AND name = 'consent' GROUP BY site
           UNION ALL SELECT site, 0, count() FROM consent_log GROUP BY site
           UNION ALL SELECT site, 0, 0 FROM consent_setting GROUP BY site
         ) GROUP BY site ORDER BY site`,
      ),

    chainSites: async () =>
      (await clickhouse.query<{ site: string }>("SELECT DISTINCT site FROM consent_log ORDER BY site")).map(
        ({ site }) => site,
      ),

    async *chain(site) {
      // Page by page: an answer is bounded for analysts, and a chain is not.
      let after = -1;
      for (;;) {
        const page = await clickhouse.query<ConsentLogRow>(
          `SELECT ${selectLink} FROM consent_log AS l WHERE l.site = {site:String} AND l.n > {after:Int64}
           ORDER BY l.n LIMIT ${pageLinks} WITH TIES`,
          { params: { site, after } },
        );
        yield* page;
        const last = page.at(-1);
        if (last === undefined) return;
        after = last.n;
      }
    },

    filedTexts: (site) =>
      clickhouse.query(
        `SELECT site, hash, purpose, language, title, text, toString(first_seen) AS firstSeen FROM consent_notice
         ${site === undefined ? "" : "WHERE site = {site:String}"} ORDER BY site, consent_notice.first_seen, purpose, language`,
        { params: site === undefined ? {} : { site } },
      ),

    eventConsents: (messageId, site) =>
      clickhouse.query(
        `SELECT site, message_id AS messageId, type, name, toString(e.time) AS time, atom,
           arrayFilter((purpose, bit) -> bitTest(consent_mask, bit),
             ['necessary', 'measurement', 'profile', 'personalisation', 'prediction', 'ads'], range(6)) AS purposes,
           consent_id AS consentId, regime, basis
         FROM events AS e WHERE message_id = {messageId:String} AND ${notErased} ${site === undefined ? "" : "AND site = {site:String}"}
         ORDER BY e.received_at LIMIT 100`,
        { params: { messageId, ...(site !== undefined && { site }) } },
      ),

    linksOfChoice: (site, consentId) =>
      links("l.site = {site:String} AND l.consent_id = {consentId:String}", { site, consentId }),
    linksOfAtoms: (site, atoms) => links("l.site = {site:String} AND l.atom IN {atoms:Array(UInt32)}", { site, atoms }),
    linksOfMessage: (site, messageId) =>
      links("l.site = {site:String} AND l.message_id = {messageId:String}", { site, messageId }),

    atomsOf: async (person) =>
      (
        await clickhouse.query<{ atom: number }>(
          `SELECT {person:UInt32} AS atom WHERE person({person:UInt32}) != 0
           UNION DISTINCT SELECT atom FROM identity FINAL WHERE person = {person:UInt32} AND person != 0`,
          { params: { person } },
        )
      ).map(({ atom }) => atom),

    atomsOfDevice: async (site, anonymousId) =>
      anonymousId === ""
        ? []
        : (
            await clickhouse.query<{ atom: number }>(
              "SELECT DISTINCT atom FROM atom WHERE site = {site:String} AND anonymous_id = {anonymousId:String} AND person(atom) != 0",
              { params: { site, anonymousId } },
            )
          ).map(({ atom }) => atom),

    receiptOf: async (site, consentId) => {
      const rows = await clickhouse.query<ReceiptLine & { doneAt: number }>(
        `SELECT table_name AS table, sum(r.rows) AS rows, sum(r.remaining) AS remaining, max(toUnixTimestamp64Milli(r.at)) AS doneAt
         FROM consent_receipt AS r FINAL
         WHERE site = {site:String} AND consent_id = {consentId:String} AND is_done = 1 GROUP BY table_name ORDER BY table_name`,
        { params: { site, consentId } },
      );
      const whole = rows.find(({ table }) => table === "");
      if (whole === undefined) return undefined;
      const tables = rows
        .filter(({ table }) => table !== "")
        .map(({ table, rows: count, remaining }) => ({ table, rows: count, remaining }));
      return { doneAt: whole.doneAt, tables };
    },

    countUnrecorded: async () => {
      const [row] = await clickhouse.query<{ count: number }>(
        `SELECT count() AS count FROM events
         WHERE type = 'consent' AND name = 'consent'
           AND sipHash128(site::String, message_id) NOT IN (SELECT sipHash128(site::String, message_id) FROM consent_log)`,
      );
      return row?.count ?? 0;
    },
  };
}
