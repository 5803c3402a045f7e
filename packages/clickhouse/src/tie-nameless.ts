import { createBlockedCheck, createUnionFind } from "@polder/core";
import { timeText } from "./audience-store.ts";
import type { ClickHouse } from "./clickhouse.ts";
import { joinedAt } from "./consent/joined-at.ts";
import { maxAtomsAtOnce, slices, unique } from "./rewrite-tables.ts";
import { isNobodysHash } from "./stands-for-nobody.ts";

interface Named {
  site: string;
  atom: number;
  anonymousId: string;
  userId: string;
  person: number;
}
interface Statement {
  atom: number;
  kind: "alias" | "email" | "phone";
  other: string;
}

/**
 * Before the ids of identities are taken away: writes down for each of them an identity of the same person, whose person it has from then on. Without
 * that, one person would count as two when everything is worked out anew, and the no of a withdrawal would be nobody's. The same again changes nothing.
 */
export async function tieNameless(clickhouse: ClickHouse, atoms: readonly number[], now: Date): Promise<void> {
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
  const statements = new Map<number, Statement[]>();
  for (const some of slices([...leaving, ...staying].map(({ atom }) => atom)))
    for (const one of await clickhouse.query<Statement>(
      "SELECT DISTINCT atom, kind, other FROM identity_edge WHERE atom IN {atoms:Array(UInt32)} AND kind IN ('alias', 'email', 'phone')",
      { params: { atoms: some } },
    ))
      statements.set(one.atom, [...(statements.get(one.atom) ?? []), one]);
  const ofPerson = new Map<string, { leaving: Named[]; staying: Named[] }>();
  for (const one of leaving) {
    const known = ofPerson.get(keyOf(one)) ?? { leaving: [], staying: [] };
    ofPerson.set(keyOf(one), known);
    known.leaving.push(one);
  }
  for (const one of staying) ofPerson.get(keyOf(one))?.staying.push(one);
  const people = [...ofPerson.values()];
  const since = await sinceWhen(clickhouse, people, now.getTime());
  const ties = people
    .flatMap((some) => tiesOf(some, statements))
    .map((tie): Tie => ({ ...tie, since: timeText(since(tie.atom)) }));
  if (ties.length > 0) await clickhouse.insertRows("identity_tie", ties, { settings: { insert_deduplicate: 0 } });
}

interface Tie {
  site: string;
  atom: number;
  other: number;
  since: string;
}
interface Together {
  leaving: readonly Named[];
  staying: readonly Named[];
}

/**
 * By identity that leaves, since when its device and all others have been of its person, in milliseconds since 1970: a yes of before did not overrule its no,
 * and does not when nothing but a tie holds them together.
 */
async function sinceWhen(
  clickhouse: ClickHouse,
  people: readonly Together[],
  now: number,
): Promise<(atom: number) => number> {
  const joined = new Map<string, number>();
  const seen: { atom: number; device: string; user: string; since: number }[] = [];
  for (const [site, atoms] of atomsOfSites(people))
    for (const some of atoms) {
      const params = { site, atoms: some };
      for (const { person, at } of await clickhouse.query<{ person: number; at: number }>(
        `SELECT person_id AS person, joined_ms AS at FROM ${joinedAt("SELECT arrayJoin({atoms:Array(UInt32)})")}`,
        { params },
      ))
        joined.set(keyOf({ site, person }), at);
      const isUsed = `s.user != 0 AND NOT ${isNobodysHash("s.user")}`;
      seen.push(
        ...(await clickhouse.query<(typeof seen)[number]>(
          `SELECT s.atom AS atom, toString(s.device) AS device, toString(maxIf(s.user, ${isUsed})) AS user, toUnixTimestamp64Milli(minIf(s.since, ${isUsed})) AS since
           FROM consent_state AS s WHERE site = {site:String} AND s.atom IN {atoms:Array(UInt32)} AND s.device != 0 GROUP BY atom, device`,
          { params },
        )),
      );
    }
  const seenAs = new Map(seen.map((one) => [one.atom, one]));
  const since = new Map<number, number>();
  for (const some of people) {
    const used = new Map<string, number>();
    const users = new Set<string>();
    for (const { atom } of [...some.leaving, ...some.staying]) {
      const one = seenAs.get(atom);
      if (one === undefined || one.user === "0") continue;
      users.add(one.user);
      if (one.since > 0) used.set(one.device, Math.min(one.since, used.get(one.device) ?? Infinity));
    }
    for (const { atom, ...rest } of some.leaving) {
      // Of several users something joins that has gone before: from now on it counts.
      const all = joined.get(keyOf(rest)) ?? (users.size > 1 ? now : 0);
      since.set(atom, Math.max(all, used.get(seenAs.get(atom)?.device ?? "") ?? 0));
    }
  }
  return (atom) => since.get(atom) ?? 0;
}

/** As much as a statement takes, and all of one person in one. */
function atomsOfSites(people: readonly Together[]): Map<string, number[][]> {
  const parts = new Map<string, number[][]>();
  for (const { leaving, staying } of people) {
    const atoms = [...leaving, ...staying].map(({ atom }) => atom);
    const { site } = leaving[0]!;
    const ofSite = parts.get(site) ?? [];
    parts.set(site, ofSite);
    const last = ofSite.at(-1);
    if (last === undefined || last.length + atoms.length > maxAtomsAtOnce) ofSite.push(atoms);
    else last.push(...atoms);
  }
  return parts;
}

const keyOf = ({ site, person }: Pick<Named, "site" | "person">): string => `${person}:${site}`;

const { isBlockedId } = createBlockedCheck({ blocked: [] });
const isId = (id: string): boolean => id !== "" && !isBlockedId(id);

/**
 * To an identity that stays and is one with it also when those who were merged by hand are taken apart: of the same user, who may be one that was seen on the
 * same browser; else of whoever stated the same address, number or alias; else of the same browser; else to any. Of several to the smallest number.
 */
function tiesOf(
  { leaving, staying }: Together,
  statements: ReadonlyMap<number, readonly Statement[]>,
): Omit<Tie, "since">[] {
  const all = [...leaving, ...staying];
  const usersOf = new Map<string, Set<string>>();
  for (const { anonymousId, userId } of all)
    if (isId(anonymousId) && isId(userId))
      usersOf.set(anonymousId, (usersOf.get(anonymousId) ?? new Set()).add(userId));
  // A browser of several users is no one's.
  const nodeOf = ({ anonymousId, userId }: Named): string => {
    const [user, ...others] = isId(userId) ? [userId] : (usersOf.get(anonymousId) ?? []);
    return user === undefined || others.length > 0 ? `device:${anonymousId}` : `user:${user}`;
  };
  const nodes = new Map(all.map((one) => [one.atom, nodeOf(one)]));
  const { find, join } = createUnionFind();
  for (const [atom, node] of nodes)
    for (const { kind, other } of statements.get(atom) ?? [])
      for (const stated of kind === "alias" ? [`user:${other}`, `device:${other}`] : [`${kind}:${other}`])
        join(node, stated);

  const distance = (one: Named, other: Named): number => {
    const [node, otherNode] = [nodes.get(one.atom)!, nodes.get(other.atom)!];
    if (node === otherNode) return 0;
    if (find(node) === find(otherNode)) return 1;
    return one.anonymousId !== "" && one.anonymousId === other.anonymousId ? 2 : 3;
  };
  const first = Math.min(...leaving.map(({ atom }) => atom));
  return leaving.flatMap((one) => {
    const near = staying.map((other) => ({ distance: distance(one, other), atom: other.atom }));
    const [nearest] = near.toSorted((a, b) => a.distance - b.distance || a.atom - b.atom);
    const other = nearest?.atom ?? first;
    return other === one.atom ? [] : [{ site: one.site, atom: one.atom, other }];
  });
}
