import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createClickHouse, migrate, renderMigrations } from "@polder/clickhouse";
import { startEngine } from "@polder/engine";
import { quiet } from "./temporary-folder.mjs";

export const site = "bench";
export const days = 90;
/** The last day is a Sunday. */
export const firstDay = "2026-08-25";
export const endsAt = Date.parse("2026-11-23T00:00:00Z");

const start = `toUnixTimestamp64Milli(toDateTime64('${firstDay} 00:00:00', 3, 'UTC'))`;
const dayMs = 86_400_000;
const cacheFolder = join(import.meta.dirname, "..", "..", "..", ".cache");

/**
 * The folder of an engine with the events in its tables, made by SQL once for these tables and this file (minutes), and kept under `.cache`.
 * Blocks of 20 devices: eleven nobody logs in on; a user on two; one on one; one whose order also came from a server; a device that two users share;
 * a user with an old id and a new one, joined by an alias; two users, who were merged by hand in one block of a hundred.
 * @param {number} eventCount ten events a device
 * @param {(line: string) => void} say
 */
export async function preparedFolder(eventCount, say) {
  const deviceCount = eventCount / 10;
  const tables = JSON.stringify(renderMigrations({ database: "polder", dictionaryCredentials: "" }));
  const key = createHash("sha256")
    .update(tables)
    .update(readFileSync(import.meta.filename))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheFolder, `people-${eventCount}-${key}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder, { recursive: true });
  for (const old of readdirSync(cacheFolder).filter((name) => name.startsWith(`people-${eventCount}-`)))
    rmSync(join(cacheFolder, old), { recursive: true, force: true });
  const making = join(cacheFolder, "people-making");
  say(`making ${eventCount.toLocaleString("en-GB")} events of ${deviceCount.toLocaleString("en-GB")} devices, once`);
  await withDatabase(making, async (clickhouse) => {
    await migrate(clickhouse);
    for (let day = 0; day < days; day++) {
      await clickhouse.command(insertDay(day, eventCount), { isLong: true });
      if (day % 10 === 9) say(`${day + 1} of ${days} days`);
    }
    // As the loader says when it has nothing left to do.
    await clickhouse.command(
      "INSERT INTO ledger_progress (topic, partition, next_offset) SELECT 'polder.events', _partition, max(_offset) + 1 FROM events GROUP BY _partition",
    );
    await clickhouse.command(mergedByHand(deviceCount));
    await clickhouse.command("CREATE DATABASE IF NOT EXISTS truth");
    await clickhouse.command(truthTable);
    await settled(clickhouse);
  });
  renameSync(making, folder);
  return folder;
}

/** A copy to work on: what is measured changes it. @param {(clickhouse: import("@polder/clickhouse").ClickHouse, engine: import("@polder/engine").Engine) => Promise<unknown>} use */
export async function withDatabase(folder, use) {
  const engine = await startEngine({ dataPath: folder, logger: quiet, maxMemoryBytes: 6 * 2 ** 30 });
  const clickhouse = createClickHouse({
    url: engine.url,
    ...engine.admin,
    database: "polder",
    logger: quiet,
    timeoutMs: 600_000,
  });
  try {
    return await use(clickhouse, engine);
  } finally {
    await clickhouse.close();
    await engine.stop();
  }
}

export const copyOf = (folder, to) => cpSync(folder, to, { recursive: true });

/** Until no merge is under way: they would be measured instead. */
async function settled(clickhouse) {
  for (;;) {
    const [{ n }] = await clickhouse.query("SELECT count() AS n FROM system.merges");
    if (n === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

// Of a device's number: where it stands in its block, and when somebody logs in on it.
const place = "n % 20";
const block = "intDiv(n, 20)";
const loginAt = `${start} + cityHash64('login', n) % (${days - 9} * ${dayMs})`;
const secondLoginAt = `${loginAt} + 3 * ${dayMs}`;
const userOf = (n, which) => `concat('user-', toString(intDiv(${n}, 20)), '-', toString(${which}))`;
/** Who is logged in on a device at a time. */
const userAt = `multiIf(
    ${place} <= 10 OR at < ${loginAt}, '',
    ${place} IN (11, 12), ${userOf("n", "11")},
    ${place} = 15 AND at < ${secondLoginAt}, ${userOf("n", "13")},
    ${place} = 15, ${userOf("n", "14")},
    ${userOf("n", place)})`;
/** Interleaved by partition as the loader's are, three to a device: without a user, with its first one, with another. */
const atomOf = (n, which) => `toUInt32((intDiv(${n}, 24) * 3 + ${which} + 1) * 64 + ${n} % 24)`;

function insertDay(day, eventCount) {
  const deviceCount = eventCount / 10;
  const blocks = deviceCount / 20;
  const first = deviceCount + 3 * blocks;
  const rest = eventCount - first;
  const [from, to] = [day, day + 1].map((n) => first + Math.floor((rest * n) / days));
  return `
INSERT INTO events (site, day, type, name, time, received_at, client_time, message_id, anonymous_id, user_id, session_id, session_start,
  origin, consent_mask, consent_id, regime, basis, url_host, url_path, page_group, channel, utm_source, utm_campaign, country, device,
  browser, os, library, previous_id, order_id, amount, currency, properties, traits.name, traits.value, traits.class, traits.purpose,
  traits.personal, _partition, _offset, atom)
WITH
  ${userAt} AS who,
  multiIf(source = 'server' OR source = 'alias', '', lower(hex(sipHash128('device', n)))) AS device_id,
  multiIf(source = 'server', ${userOf("n", "14")}, source = 'alias', ${userOf("n", "17")}, who) AS user,
  multiIf(source = 'server' OR source = 'alias', 2, who = '', 0, ${place} = 15 AND at >= ${secondLoginAt}, 2, 1) AS which,
  cityHash64('what', id) % 100 AS dice,
  multiIf(source = 'server', 'Order Completed', source = 'alias', 'alias', source = 'login' AND user != '', 'identify',
    dice < 50, 'page', dice < 70, 'Product Viewed', dice < 80, 'Product Added', dice < 83, 'Order Completed', dice < 95, 'Clicked', 'Products Searched') AS what,
  fromUnixTimestamp64Milli(toInt64(at), 'UTC') AS moment
SELECT '${site}', toDate(moment), if(what IN ('page', 'alias', 'identify'), what, 'track'), what, moment, moment, moment,
  concat('m', lower(hex(sipHash64(id))), toString(id)), device_id, user,
  if(device_id = '', '', lower(hex(sipHash128('visit', n, toDate(moment))))), toDateTime64(toDate(moment), 3, 'UTC'),
  'observed', if(n % 10 < 7, 63, 6), concat('c', toString(n)), 'opt_in', if(source = 'server', 'contract', 'consent'),
  'shop.example', concat('/product/', toString(dice)), '/product', if(dice % 5 = 0, ['direct', 'search', 'social', 'mail', 'paid'][n % 5 + 1], 'internal'),
  if(n % 5 = 4, 'news', ''), if(n % 5 = 4, concat('campaign-', toString(dice % 7)), ''), ['NL', 'BE', 'DE', 'FR', 'GB'][n % 5 + 1],
  ['mobile', 'desktop', 'mobile', 'tablet'][n % 4 + 1], 'Firefox', 'Linux', 'polder.js/0.1.0',
  if(source = 'alias', ${userOf("n", "16")}, ''), if(what = 'Order Completed', concat('o', toString(id)), ''),
  if(what = 'Order Completed', toDecimal64(5 + cityHash64('amount', id) % 20000 / 100, 4), toDecimal64(0, 4)), if(what = 'Order Completed', 'EUR', ''),
  CAST(concat('{"product_id":"p', toString(dice), '","category":"c', toString(dice % 9), '","price":', toString(dice + 0.5), '}'), 'JSON(max_dynamic_paths = 32)'),
  if(what = 'identify', ['email', 'plan'], []), if(what = 'identify', [concat(user, '@shop.example'), ['free', 'gold'][n % 2 + 1]], []),
  if(what = 'identify', ['identity', 'descriptive'], []), if(what = 'identify', ['profile', 'profile'], []), if(what = 'identify', [1, 1], []),
  n % 24, id, ${atomOf("n", "which")}
FROM (
  SELECT * FROM (
    SELECT number AS id, number AS n, 'login' AS source, ${loginAt} AS at FROM numbers(${deviceCount})
    UNION ALL SELECT ${deviceCount} + number, number * 20 + 15 AS n, 'login', ${secondLoginAt} FROM numbers(${blocks})
    UNION ALL SELECT ${deviceCount + blocks} + number, number * 20 + 17 AS n, 'alias', ${loginAt} + 3600000 FROM numbers(${blocks})
    UNION ALL SELECT ${deviceCount + 2 * blocks} + number, number * 20 + 14 AS n, 'server', ${loginAt} + 7200000 FROM numbers(${blocks})
  ) WHERE intDiv(at - ${start}, ${dayMs}) = ${day}
  UNION ALL
  -- A heavy tail: the share of a device falls with the root of its rank.
  SELECT number AS id, toUInt64(${deviceCount} * pow(cityHash64('device', number) % 1000000007 / 1000000007, 2)) AS n, 'visit',
    ${start} + ${day} * ${dayMs} + toUInt64((number - ${from}) * ${dayMs} / ${to - from}) AS at
  FROM numbers(${from}, ${to - from})
)
ORDER BY at
SETTINGS max_insert_block_size = 200000, min_insert_block_size_rows = 200000, max_threads = 2`;
}

const mergedByHand = (deviceCount) => `
INSERT INTO identity_decision (site, id, at, action, left, right, actor, reason)
SELECT '${site}', toString(generateUUIDv4(n)), toDateTime64('${firstDay} 00:00:00', 3, 'UTC'), 'merge', concat('user:', ${userOf("n", "18")}), concat('user:', ${userOf("n", "19")}),
  'bench', 'they look alike'
FROM (SELECT number * 2000 + 18 AS n FROM numbers(${Math.ceil(deviceCount / 2000)}))`;

// Whose an atom is, from how it was made and not from any edge.
const truthTable = `
CREATE TABLE truth.atom_person ENGINE = MergeTree ORDER BY atom AS
WITH
  intDiv(atom, 64) - 1 AS number, number % 3 AS which, toUInt64(intDiv(number, 3) * 24 + atom % 64) AS n,
  multiIf(
    ${place} <= 10 OR (${place} = 15 AND which = 0), concat('device ', toString(n)),
    ${place} IN (11, 12), ${userOf("n", "11")},
    ${place} = 15, ${userOf("n", "12 + which")},
    ${place} = 17, ${userOf("n", "16")},
    ${place} = 19 AND ${block} % 100 = 0, ${userOf("n", "18")},
    ${userOf("n", place)}) AS label
SELECT atom, min(atom) OVER (PARTITION BY label) AS person
FROM (SELECT DISTINCT atom FROM polder.events WHERE atom != 0)`;
