/** A set of people as an expression, a bitmap. */
export interface PeopleSet {
  sql: string;
  /** It is of everyone but these. */
  isComplement?: true;
  /** Whoever is in it left a row that is no bot's. */
  isSeen?: true;
  /** All of them are among {@link PeopleSets.everyone}. */
  isStored?: true;
}

/**
 * The sets that a statement is put together from. Each is worked out once, however often it is used, and all
 * that is done with sets is done with bitmaps of people's numbers. Everyone is only worked out where a set cannot be told without.
 */
export interface PeopleSets {
  /** @param people a subquery with a column `person_id`, which may have repetitions and 0. */
  of(people: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  /** @param rows what follows FROM, of a table with a column `atom`. Whose they are is looked up once an atom, not once a row. */
  ofAtoms(rows: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  /** @param bitmap a subquery of one row with a bitmap of atoms, `atoms`. */
  ofBitmap(bitmap: string, given?: Pick<PeopleSet, "isSeen" | "isStored">): PeopleSet;
  and(sets: readonly PeopleSet[]): PeopleSet;
  or(sets: readonly PeopleSet[]): PeopleSet;
  /** Everyone of the site who is not in it. */
  not(set: PeopleSet): PeopleSet;
  /** A SELECT of the people of a set who are somebody. */
  select(set: PeopleSet): string;
}

const peopleOfAtoms = (rows: string): string => peopleOfBitmap(`SELECT groupBitmapState(atom) AS atoms FROM ${rows}`);

/** @param bitmap a subquery of one row with a bitmap of atoms, `atoms`. */
const peopleOfBitmap = (bitmap: string): string =>
  `SELECT person(atom) AS person_id FROM (SELECT arrayJoin(bitmapToArray(atoms)) AS atom FROM (${bitmap}))`;

/**
 * Everyone of the site: whoever left a row that is no bot's. Somebody whose profile was withdrawn is nobody any more, although
 * the events are still counted: they have no state.
 */
const everyone = peopleOfAtoms("profile_state WHERE site = {site:String}");

// Who was withdrawn has a row in `atom` without a key, and few have: they are looked up instead of all the others. What still belongs to one of them by
// name holds on: it has a state, and is found by its number.
const withdrawn = "SELECT atom FROM atom WHERE site = {site:String} AND key = 0 AND anonymous_id = '' AND user_id = ''";
const withdrawnPeople = `SELECT person(atom) AS person FROM (${withdrawn})`;
const theirAtoms = `SELECT atom FROM (${withdrawn}) UNION DISTINCT SELECT person FROM (${withdrawnPeople}) UNION DISTINCT SELECT i.atom FROM identity AS i WHERE i.person IN (${withdrawnPeople})`;
const nobodies = `SELECT person AS person_id FROM (${withdrawnPeople})
  WHERE person_id NOT IN (SELECT person(p.atom) FROM profile_state AS p WHERE p.site = {site:String} AND p.atom IN (${theirAtoms}))`;

export function createPeopleSets(): PeopleSets {
  const names = new Map<string, string>();
  const nameOf = (people: string): string => {
    const name = names.get(people) ?? `s${names.size}`;
    names.set(people, name);
    return name;
  };
  const sets: PeopleSets = {
    of: (people, given) => ({ sql: nameOf(people), ...given }),
    ofAtoms: (rows, given) => sets.of(peopleOfAtoms(rows), given),
    ofBitmap: (bitmap, given) => sets.of(peopleOfBitmap(bitmap), given),
    and(all) {
      const inside = all.filter((set) => set.isComplement === undefined);
      const outside = all.filter((set) => set.isComplement === true);
      if (inside.length === 0) return sets.not(sets.or(outside.map(inverse)));
      const sql = join("bitmapAnd", inside);
      return {
        sql: outside.length === 0 ? sql : `bitmapAndnot(${sql}, ${join("bitmapOr", outside)})`,
        ...(inside.some(({ isSeen }) => isSeen) && { isSeen: true }),
        ...(inside.some(({ isStored }) => isStored) && { isStored: true }),
      };
    },
    or(all) {
      if (all.some(({ isComplement }) => isComplement)) return inverse(sets.and(all.map(inverse)));
      return {
        sql: join("bitmapOr", all),
        ...(all.every(({ isSeen }) => isSeen) && { isSeen: true }),
        ...(all.every(({ isStored }) => isStored) && { isStored: true }),
      };
    },
    not: inverse,
    select(set) {
      const sql = chosen(set);
      const all = [...names.keys()].map(
        (people, index) => `SELECT ${index} AS n, groupBitmapState(person_id) AS people FROM (${people})`,
      );
      const columns = [...names.values()].map(
        (name, index) => `groupBitmapMergeStateIf(people, n = ${index}) AS ${name}`,
      );
      return `SELECT arrayJoin(bitmapToArray(bitmapAndnot(${sql}, bitmapBuild([toUInt32(0)])))) AS person_id
FROM (
SELECT ${columns.join(", ")}
FROM (
${all.join("\nUNION ALL\n")}
))`;
    },
  };
  return sets;

  function chosen({ sql, isComplement, isSeen, isStored }: PeopleSet): string {
    if (isComplement === true) return `bitmapAndnot(${nameOf(everyone)}, ${sql})`;
    if (isStored === true) return sql;
    return isSeen === true ? `bitmapAndnot(${sql}, ${nameOf(nobodies)})` : `bitmapAnd(${sql}, ${nameOf(everyone)})`;
  }
}

/** A complement of what is seen or stored says nothing of those who are left. */
const inverse = ({ sql, isComplement, ...given }: PeopleSet): PeopleSet =>
  isComplement === true ? { sql, ...given } : { sql, isComplement: true, ...given };

/** In halves, so that a long list does not become a deep expression. */
function join(operation: string, sets: readonly PeopleSet[]): string {
  const halves = (expressions: readonly string[]): string => {
    if (expressions.length === 1) return expressions[0]!;
    const half = Math.ceil(expressions.length / 2);
    return `${operation}(${halves(expressions.slice(0, half))}, ${halves(expressions.slice(half))})`;
  };
  return halves([...new Set(sets.map(({ sql }) => sql))]);
}
