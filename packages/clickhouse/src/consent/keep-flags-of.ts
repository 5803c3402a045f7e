import type { ClickHouse } from "../clickhouse.ts";
import { slices } from "../rewrite-tables.ts";

/**
 * Before the ids of identities are taken away, and once they are tied: restrictions and objections that were filed for these ids are written down, as they
 * were decided, for the identities that they are tied to. Whatever holds for one holds for its person, and goes with it when that one is taken apart. The same again changes nothing.
 */
export async function keepFlagsOf(clickhouse: ClickHouse, atoms: readonly number[]): Promise<void> {
  for (const some of slices(atoms)) {
    const params = { atoms: some };
    const [found] = await clickhouse.query<{ count: number }>(
      `SELECT count() AS count FROM person_flag AS f WHERE ${isOf("f", "atom IN {atoms:Array(UInt32)}")}`,
      { params },
    );
    if (found !== undefined && found.count > 0)
      await clickhouse.command(insert, { params, settings: { insert_deduplicate: 0 }, isLong: true });
  }
}

const named = "(anonymous_id != '' OR user_id != '')";
/** The ids by which a flag can have been filed for an identity. */
const ids = "arrayJoin(if(user_id = '', [('', anonymous_id)], [(user_id, ''), (user_id, anonymous_id)]))";
const isOf = (flag: string, isAsked: string): string =>
  `(${flag}.site, (${flag}.user_id, ${flag}.anonymous_id)) IN (SELECT site, ${ids} FROM atom WHERE ${isAsked} AND ${named})`;

// A user id that stands for several people says by itself nothing of one of them: with a device it does.
const kept = `
  SELECT DISTINCT t.atom AS gone, a.site AS site, a.user_id AS user_id,
    if(a.user_id = '' OR u.people > 1, a.anonymous_id, '') AS anonymous_id
  FROM (SELECT atom, other FROM identity_tie FINAL WHERE atom IN {atoms:Array(UInt32)}) AS t
  INNER JOIN (
    SELECT site, atom, anonymous_id, user_id FROM atom
    WHERE ${named} AND atom NOT IN {atoms:Array(UInt32)} AND person(atom) != 0
      AND atom IN (SELECT other FROM identity_tie WHERE atom IN {atoms:Array(UInt32)})
  ) AS a ON a.atom = t.other
  LEFT JOIN (
    SELECT site, user_id, uniqExact(person(atom)) AS people FROM atom WHERE user_id != '' GROUP BY site, user_id
  ) AS u ON u.site = a.site AND u.user_id = a.user_id`;

const insert = `
INSERT INTO person_flag (site, at, id, flag, purpose, is_set, user_id, anonymous_id, person, actor, reason)
SELECT DISTINCT f.site, f.last.1, f.last.3, f.flag, f.purpose, 1, kept.user_id, kept.anonymous_id, f.last.4, f.last.5, f.last.6
FROM (
  SELECT site, user_id, anonymous_id, flag, purpose, argMax((at, is_set, id, person, actor, reason), (at, is_set)) AS last
  FROM person_flag AS f WHERE ${isOf("f", "atom IN {atoms:Array(UInt32)}")}
  GROUP BY site, user_id, anonymous_id, flag, purpose HAVING last.2 = 1
) AS f
INNER JOIN (
  SELECT site, atom, ${ids} AS id FROM atom WHERE atom IN {atoms:Array(UInt32)} AND ${named}
) AS gone ON gone.site = f.site AND gone.id.1 = f.user_id AND gone.id.2 = f.anonymous_id
INNER JOIN (${kept}
) AS kept ON kept.site = f.site AND kept.gone = gone.atom
WHERE (f.site, f.last.3, f.flag, f.purpose, kept.user_id, kept.anonymous_id) NOT IN (SELECT site, id, flag, purpose, user_id, anonymous_id FROM person_flag)`;
