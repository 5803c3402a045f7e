import { createHash } from "node:crypto";
import type { ConsentRecordStore, ConsentSetting, StoredChoice } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";

/** One insert is one block under one token. */
const onceOnly = (token: string) => ({
  insert_deduplicate: 1,
  deduplicate_insert: "enable",
  max_insert_block_size: 1_048_576,
  insert_deduplication_token: token,
});

/** {@link ConsentRecordStore} in SQL. Nothing is held in memory, so a worker may stop anywhere and another may go on. */
export function createConsentRecordStore(clickhouse: ClickHouse): ConsentRecordStore {
  return {
    async chainHeads(sites) {
      const rows = await clickhouse.query<{ site: string; n: number; hash: string }>(
        // Ends of the primary key: no more than the last granule of each site is read.
        sites
          .map((_, i) => `(SELECT site, n, hash FROM consent_log WHERE site = {s${i}:String} ORDER BY n DESC LIMIT 1)`)
          .join(" UNION ALL "),
        { params: Object.fromEntries(sites.map((site, i) => [`s${i}`, site])) },
      );
      return new Map(rows.map(({ site, n, hash }) => [site, { n, hash }]));
    },

    unrecordedChoices: (sinceDay, limit) =>
      clickhouse.query<StoredChoice>(unrecorded(sinceDay !== undefined), {
        params: { limit, ...(sinceDay !== undefined && { sinceDay }) },
      }),

    async appendLinks(site, links, generation) {
      const first = links[0];
      if (first === undefined) return;
      const settings = onceOnly(`consent_log:${site}:${first.n}:${generation}`);
      await clickhouse.insertRows("consent_log", links, { settings });
    },

    async saveNotices(site, notices, now) {
      if (notices.length === 0) return;
      const known = await clickhouse.query<{ hash: string }>(
        "SELECT DISTINCT hash FROM consent_notice WHERE site = {site:String}",
        { params: { site } },
      );
      const hashes = new Set(known.map(({ hash }) => hash));
      const firstSeen = timeText(now);
      for (const notice of notices) {
        if (hashes.has(notice.hash)) continue;
        const row = { site, ...notice, first_seen: firstSeen };
        const settings = onceOnly(`consent_notice:${site}:${notice.hash}`);
        await clickhouse.insertRows("consent_notice", [row], { settings });
      }
    },

    async saveSetting(site, setting, now) {
      const [last] = await clickhouse.query<ConsentSetting & { n: number }>(
        `SELECT n, before_choice, reason, mapSort(regimes) AS regimes, grant_days, refusal_days FROM consent_setting AS s
         WHERE site = {site:String} ORDER BY n DESC, s.since DESC LIMIT 1`,
        { params: { site } },
      );
      const { n: lastNumber = 0, ...held } = last ?? {};
      const text = JSON.stringify(setting);
      if (JSON.stringify(held) === text) return;
      const n = lastNumber + 1;
      // What is set is part of the token: of two workers that read the same file one writes, of two that read others both do.
      const settings = onceOnly(`consent_setting:${site}:${n}:${createHash("sha256").update(text).digest("hex")}`);
      await clickhouse.insertRows("consent_setting", [{ site, n, since: timeText(now), ...setting }], { settings });
    },
  };
}

/** As ClickHouse takes it. */
const timeText = (time: Date): string => time.toISOString().slice(0, -1).replace("T", " ");

// By arrival, whatever day the choice was made on: partitions and granules of what came before are skipped by their bounds. `name` is in the order of
// the table, so that of the others the consent events are read and little else. A choice is known by its id: a row that was lost and loaded again has
// another place, and a withdrawal would be carried out a second time.
const unrecorded = (isRecent: boolean): string => `
SELECT site, message_id, _partition, _offset, toString(e.time) AS at, toString(e.received_at) AS received_at, atom, consent_id,
  \`choice.purpose\`, \`choice.state\`, notice, regime, country, toJSONString(e.properties) AS properties
FROM events AS e
WHERE e.type = 'consent' AND e.name = 'consent' ${isRecent ? "AND e.received_at >= {sinceDay:Date}" : ""}
  AND sipHash128(e.site::String, e.message_id) NOT IN (
    SELECT sipHash128(site::String, message_id) FROM consent_log
    ${isRecent ? "WHERE consent_log.received_at >= {sinceDay:Date} - INTERVAL 2 DAY" : ""})
ORDER BY e.received_at, e._partition, e._offset
LIMIT 1 BY e.site, e.message_id
LIMIT {limit:UInt32}`;
