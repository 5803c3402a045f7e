import { randomUUID } from "node:crypto";
import { createBlockedCheck } from "@polder/core";
import type { Purpose } from "@polder/protocol";
import { timeText } from "./audience-store.ts";
import type { ClickHouse } from "./clickhouse.ts";

export type PersonFlagKind = "restrict" | "object";

export interface FlagDecision {
  site: string;
  /** As known now. */
  person: number;
  flag: PersonFlagKind;
  /** With `object`: what is objected to. */
  purposes: readonly Purpose[];
  /** False: it holds no longer. */
  isSet: boolean;
  actor: string;
  reason: string;
  at: Date;
}

export interface FiledFlag {
  id: string;
  at: number;
  flag: PersonFlagKind;
  purpose: Purpose | "";
  isSet: boolean;
  actor: string;
  reason: string;
  /** Whether it is the last word for one of the person's identifiers. */
  isInForce: boolean;
}

/** Who may not be used, or not for what, by their own wish. */
export interface PersonFlagStore {
  /** Written down for every identifier that the person has now. Returns the id of the decision, undefined where the person has no identifier. */
  decide(decision: FlagDecision): Promise<string | undefined>;
  /** Everything that was decided for an identifier which the person has now, the newest first. */
  flagsOf(site: string, person: number): Promise<FiledFlag[]>;
}

export interface PersonFlagStoreOptions {
  clickhouse: ClickHouse;
  /** Values that stand for nobody at a site, besides those that do everywhere. */
  blockedAt: (site: string) => readonly string[];
  newId?: () => string;
}

interface Identifier {
  user_id: string;
  anonymous_id: string;
}

export function createPersonFlagStore(options: PersonFlagStoreOptions): PersonFlagStore {
  const { clickhouse, blockedAt, newId = randomUUID } = options;
  return {
    async decide({ site, person, flag, purposes, isSet, actor, reason, at }) {
      const rows = await clickhouse.query<Identifier>(
        `SELECT DISTINCT user_id, anonymous_id FROM atom
         WHERE site = {site:String} AND person(atom) = {person:UInt32} AND (user_id != '' OR anonymous_id != '')`,
        { params: { site, person } },
      );
      if (rows.length === 0) return undefined;
      const { isBlockedId } = createBlockedCheck({ blocked: blockedAt(site) });
      const identifiers = rows.map(({ user_id, anonymous_id }): Identifier => {
        // A user id that many send is nobody's by itself: with a device it is one identity.
        const isWhole = user_id === "" || isBlockedId(user_id);
        return { user_id, anonymous_id: isWhole ? anonymous_id : "" };
      });
      const different = new Map(identifiers.map((one) => [JSON.stringify(one), one]));
      const id = newId();
      const [filed] = await clickhouse.query<{ last: number }>(
        `SELECT toUnixTimestamp64Milli(max(f.at)) AS last FROM person_flag AS f
         WHERE site = {site:String} AND (user_id, anonymous_id) IN (SELECT arrayJoin(arrayZip({users:Array(String)}, {devices:Array(String)})))`,
        {
          params: {
            site,
            users: [...different.values()].map(({ user_id }) => user_id),
            devices: [...different.values()].map(({ anonymous_id }) => anonymous_id),
          },
        },
      );
      // After all others, whatever the clock of this machine says: it is the last word.
      const moment = Math.max(at.getTime(), (filed?.last ?? 0) + 1);
      const decided = { site, id, flag, is_set: isSet ? 1 : 0, person, actor, reason, at: timeText(moment) };
      await clickhouse.insertRows(
        "person_flag",
        [...different.values()].flatMap((identifier) =>
          (flag === "restrict" ? [""] : purposes).map((purpose) => ({ ...decided, ...identifier, purpose })),
        ),
        { settings: { insert_deduplicate: 0 } },
      );
      return id;
    },

    async flagsOf(site, person) {
      const rows = await clickhouse.query<
        Omit<FiledFlag, "isSet" | "isInForce"> & { isSet: number; isInForce: number }
      >(
        `SELECT id, toUnixTimestamp64Milli(any(moment)) AS at, flag, purpose, any(is_set) AS isSet, any(actor) AS actor, any(reason) AS reason, max(is_last) AS isInForce
         FROM (
           SELECT id, f.at AS moment, flag, purpose, is_set, actor, reason,
             (f.at, is_set) = max((f.at, is_set)) OVER (PARTITION BY user_id, anonymous_id, flag, purpose) AS is_last
           FROM person_flag AS f
           WHERE site = {site:String} AND (user_id, anonymous_id) IN (
             SELECT arrayJoin(if(user_id = '', [('', anonymous_id)], [(user_id, ''), (user_id, anonymous_id)])) FROM atom
             WHERE site = {site:String} AND person(atom) = {person:UInt32} AND (user_id != '' OR anonymous_id != '')))
         GROUP BY id, flag, purpose ORDER BY at DESC, id, purpose`,
        { params: { site, person } },
      );
      return rows.map((row) => ({ ...row, isSet: row.isSet === 1, isInForce: row.isInForce === 1 }));
    },
  };
}
