import { parseAudience, type AudienceDefinition } from "@polder/core";
import { purposes, type Purpose } from "@polder/protocol";

import type { ClickHouse } from "./clickhouse.ts";

export const audienceStates = ["active", "paused", "archived"] as const;
export type AudienceState = (typeof audienceStates)[number];

/** One revision of an audience. */
export interface Audience {
  site: string;
  /** Id within the site. */
  audience: string;
  /** Number of the change, from 1. */
  revision: number;
  /** Number of the definition, from 1. */
  version: number;
  name: string;
  definition: AudienceDefinition;
  /** Nobody is named: only a size is told, and only from the floor on. */
  isAnonymous: boolean;
  /** Only who may be used for it is in the audience. */
  purpose: Purpose;
  state: AudienceState;
  /** How often it is worked out, at most. */
  everySeconds: number;
  sizeFloor: number;
  /** Milliseconds since 1970; undefined: never. */
  expiresAt: number | undefined;
  /** When this revision was made, in milliseconds since 1970. */
  at: number;
  actor: string;
  reason: string;
}

/** An audience whose definition this version of the program cannot read. */
export interface UnreadableAudience {
  site: string;
  audience: string;
  fault: string;
}

export interface AudienceStore {
  /** The last revision of every audience, of one site or of all, by id. */
  list(site?: string): Promise<{ audiences: Audience[]; unreadable: UnreadableAudience[] }>;
  find(site: string, audience: string): Promise<Audience | undefined>;
  /** All revisions, oldest first. */
  revisions(site: string, audience: string): Promise<Audience[]>;
  /** False when somebody else made a revision of this number: nothing is changed then. */
  save(revision: Audience): Promise<boolean>;
}

interface AudienceRow {
  site: string;
  audience: string;
  revision: number;
  version: number;
  name: string;
  definition: string;
  is_anonymous: number;
  purpose: string;
  state: AudienceState;
  every_seconds: number;
  size_floor: number;
  expires_at: number;
  at: number;
  actor: string;
  reason: string;
}

const selectRow = `site, audience, revision, version, name, definition, is_anonymous, purpose, state, every_seconds, size_floor,
  toUnixTimestamp64Milli(a.expires_at) AS expires_at, toUnixTimestamp64Milli(a.at) AS at, actor, reason`;

/** Definitions of audiences in SQL: each change is a row more. */
export function createAudienceStore(clickhouse: ClickHouse): AudienceStore {
  const last = (where: string, params: { [name: string]: string }): Promise<AudienceRow[]> =>
    clickhouse.query<AudienceRow>(
      `SELECT * FROM (SELECT ${selectRow} FROM audience AS a ${where} ORDER BY revision DESC LIMIT 1 BY site, audience) ORDER BY site, audience`,
      { params },
    );
  const one = async (row: AudienceRow | undefined): Promise<Audience | undefined> => {
    if (row === undefined) return undefined;
    const read = readRow(row);
    if (!read.ok) throw new Error(`The definition of the audience ${row.audience} cannot be read: ${read.fault}`);
    return read.audience;
  };

  return {
    async list(site) {
      const rows = await last(
        site === undefined ? "" : "WHERE site = {site:String}",
        site === undefined ? {} : { site },
      );
      const audiences: Audience[] = [];
      const unreadable: UnreadableAudience[] = [];
      for (const row of rows) {
        const read = readRow(row);
        if (read.ok) audiences.push(read.audience);
        else unreadable.push({ site: row.site, audience: row.audience, fault: read.fault });
      }
      return { audiences, unreadable };
    },

    find: async (site, audience) =>
      one((await last("WHERE site = {site:String} AND audience = {audience:String}", { site, audience }))[0]),

    async revisions(site, audience) {
      const rows = await clickhouse.query<AudienceRow>(
        `SELECT ${selectRow} FROM audience AS a WHERE site = {site:String} AND audience = {audience:String} ORDER BY revision`,
        { params: { site, audience } },
      );
      return rows.flatMap((row) => {
        const read = readRow(row);
        return read.ok ? [read.audience] : [];
      });
    },

    async save(revision) {
      const row = toRow(revision);
      const { site, audience, revision: number } = row;
      const params = { site, audience, number };
      // The server forgets tokens after a while: they settle two at once, and not what was there before.
      const later = await clickhouse.query(
        "SELECT 1 FROM audience WHERE site = {site:String} AND audience = {audience:String} AND revision >= {number:UInt32} LIMIT 1",
        { params },
      );
      if (later.length > 0) return false;
      const settings = {
        insert_deduplicate: 1,
        deduplicate_insert: "enable",
        insert_deduplication_token: `audience:${site}:${audience}:${number}`,
      };
      await clickhouse.insertRows(
        "audience",
        [{ ...row, expires_at: timeText(row.expires_at), at: timeText(row.at) }],
        { settings },
      );
      const [stored] = await clickhouse.query<AudienceRow>(
        `SELECT ${selectRow} FROM audience AS a
         WHERE site = {site:String} AND audience = {audience:String} AND revision = {number:UInt32}`,
        { params },
      );
      return (
        stored !== undefined &&
        Object.entries(row).every(([name, value]) => stored[name as keyof AudienceRow] === value)
      );
    },
  };
}

/** As ClickHouse takes it. */
export const timeText = (milliseconds: number): string =>
  new Date(milliseconds).toISOString().slice(0, -1).replace("T", " ");

const toRow = (audience: Audience): AudienceRow => ({
  site: audience.site,
  audience: audience.audience,
  revision: audience.revision,
  version: audience.version,
  name: audience.name,
  definition: JSON.stringify(audience.definition),
  is_anonymous: audience.isAnonymous ? 1 : 0,
  purpose: audience.purpose,
  state: audience.state,
  every_seconds: audience.everySeconds,
  size_floor: audience.sizeFloor,
  expires_at: audience.expiresAt ?? 0,
  at: audience.at,
  actor: audience.actor,
  reason: audience.reason,
});

function readRow(row: AudienceRow): { ok: true; audience: Audience } | { ok: false; fault: string } {
  let stored: unknown;
  try {
    stored = JSON.parse(row.definition);
  } catch {
    return { ok: false, fault: "it is no JSON" };
  }
  const parsed = parseAudience(stored);
  if (!parsed.ok)
    return { ok: false, fault: parsed.faults.map(({ path, message }) => `${path} ${message}`).join("; ") };
  return {
    ok: true,
    audience: {
      site: row.site,
      audience: row.audience,
      revision: row.revision,
      version: row.version,
      name: row.name,
      definition: parsed.definition,
      isAnonymous: row.is_anonymous === 1,
      purpose: purposes.find((purpose) => purpose === row.purpose) ?? "profile",
      state: row.state,
      everySeconds: row.every_seconds,
      sizeFloor: row.size_floor,
      expiresAt: row.expires_at === 0 ? undefined : row.expires_at,
      at: row.at,
      actor: row.actor,
      reason: row.reason,
    },
  };
}
