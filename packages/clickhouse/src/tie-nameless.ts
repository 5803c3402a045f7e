import type { ClickHouse } from "./clickhouse.ts";
import { slices, unique } from "./rewrite-tables.ts";

interface Named {
  site: string;
  atom: number;
  anonymousId: string;
  userId: string;
  person: number;
}

/**
 * Before the ids of identities are taken away: writes down for each of them an identity of the same person, whose person it has from then on. Without
 * that, one person would count as two when everything is worked out anew, and the no of a withdrawal would be nobody's. The same again changes nothing.
 */
export async function tieNameless(clickhouse: ClickHouse, atoms: readonly number[]): Promise<void> {
  const select = "SELECT DISTINCT site, atom, anonymous_id AS anonymousId, user_id AS userId, person(atom) AS person";
  const isFree = "(anonymous_id != '' OR user_id != '') AND atom NOT IN (SELECT atom FROM identity_tie)";
  const leaving: Named[] = [];
  for (const some of slices(atoms))
    leaving.push(
      ...(await clickhouse.query<Named>(
        `${select} FROM atom WHERE atom IN {atoms:Array(UInt32)} AND ${isFree} AND person != 0`,
        { params: { atoms: some } },
      )),
    );
  const isLeaving = new Set(leaving.map(({ atom }) => atom));
  const staying: Named[] = [];
  for (const persons of slices(unique(leaving.map(({ person }) => person))))
    staying.push(
      ...(
        await clickhouse.query<Named>(
          `${select} FROM atom WHERE person IN {persons:Array(UInt32)} AND ${isFree}
           AND atom IN (SELECT atom FROM person_atom WHERE person IN {persons:Array(UInt32)} UNION ALL SELECT arrayJoin({persons:Array(UInt32)}))`,
          { params: { persons } },
        )
      ).filter(({ atom }) => !isLeaving.has(atom)),
    );
  const ofPerson = new Map<string, { staying: Named[]; first: number }>();
  for (const one of leaving) {
    const known = ofPerson.get(keyOf(one));
    ofPerson.set(keyOf(one), { staying: [], first: Math.min(one.atom, known?.first ?? one.atom) });
  }
  for (const one of staying) ofPerson.get(keyOf(one))?.staying.push(one);
  const ties = leaving.flatMap((one) => {
    const { staying: others, first } = ofPerson.get(keyOf(one))!;
    const other = nearest(one, others) ?? first;
    return other === one.atom ? [] : [{ site: one.site, atom: one.atom, other }];
  });
  if (ties.length > 0) await clickhouse.insertRows("identity_tie", ties, { settings: { insert_deduplicate: 0 } });
}

const keyOf = ({ site, person }: Named): string => `${person}:${site}`;

/** Of the same browser, else of the same user, else any: an unmerge may part them later. Of several the smallest number. */
function nearest({ anonymousId, userId }: Named, others: readonly Named[]): number | undefined {
  const distance = (other: Named): number => {
    if (anonymousId !== "" && other.anonymousId === anonymousId) return 0;
    return userId !== "" && other.userId === userId ? 1 : 2;
  };
  return others.toSorted((a, b) => distance(a) - distance(b) || a.atom - b.atom)[0]?.atom;
}
