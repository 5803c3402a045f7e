import { createHash } from "node:crypto";

/** A row of `consent_log`: one recorded choice and its link to the one before. Columns as in the table; times as ClickHouse writes them, in UTC. */
export interface ConsentLogRow {
  site: string;
  /** Place in the chain of the site, from 1 without a gap. */
  n: number;
  /** Hash of the row before; empty for the first. */
  previous_hash: string;
  /** Of everything else in the row: {@link hashOf}. */
  hash: string;
  message_id: string;
  _partition: number;
  _offset: number;
  at: string;
  received_at: string;
  /** 0: the choice leaves no identity. No other identifier is here, so that an erasure never has to touch the chain. */
  atom: number;
  consent_id: string;
  "choice.purpose": readonly string[];
  "choice.state": readonly string[];
  "text.purpose": readonly string[];
  "text.hash": readonly string[];
  notice_version: string;
  notice_hash: string;
  language: string;
  variant: string;
  regime: string;
  /** 1: Global Privacy Control was on. */
  gpc: number;
  country: string;
  /** JSON: what the event said besides, as the raw strings of a banner. */
  properties: string;
}

/** Names the form below. Another form would get another name, and both stay verifiable. */
const form = "polder.consent/1";

/** All columns but `hash`, in the order in which they are hashed. It never changes. */
export const hashedColumns = [
  "previous_hash",
  "site",
  "n",
  "message_id",
  "_partition",
  "_offset",
  "at",
  "received_at",
  "atom",
  "consent_id",
  "choice.purpose",
  "choice.state",
  "text.purpose",
  "text.hash",
  "notice_version",
  "notice_hash",
  "language",
  "variant",
  "regime",
  "gpc",
  "country",
  "properties",
] as const satisfies readonly (keyof ConsentLogRow)[];

/** The bytes that are hashed: a JSON array in the canonical form of RFC 8785, which for texts and whole numbers is what `JSON.stringify` writes. */
export const canonicalRow = (row: Omit<ConsentLogRow, "hash">): string =>
  JSON.stringify([form, ...hashedColumns.map((column) => row[column])]);

/** SHA-256 of {@link canonicalRow} in UTF-8, in hex. */
export const hashOf = (row: Omit<ConsentLogRow, "hash">): string =>
  createHash("sha256").update(canonicalRow(row)).digest("hex");
